//! The web layer over real sockets, on both drivers.

use std::cell::Cell;

use bytes::Bytes;
use http::header::ALLOW;
use http::{Method, StatusCode};
use ringhttp::testing::{self, TestClient};
use ringhttp::{Core, Json, Next, Request, Response, Result, Router, ServerConfig};
use serde::{Deserialize, Serialize};

/// An application of the kind the documentation shows.
#[derive(Default)]
struct Api {
    asked: Cell<u32>,
}

#[derive(Deserialize, Serialize)]
struct User {
    name: String,
    age: u8,
}

impl Api {
    async fn user(&self, req: Request) -> Result<String> {
        Ok(format!("{} {}", req.route(), req.param::<u32>("id")?))
    }

    async fn create(&self, mut req: Request) -> Result<(StatusCode, Json<User>)> {
        let mut user: User = req.json().await?;
        user.age += 1;
        Ok((StatusCode::CREATED, Json(user)))
    }

    async fn count(&self, req: Request, next: Next<'_, Self>) -> Response {
        self.asked.set(self.asked.get() + 1);
        next.run(req).await
    }
}

fn routes() -> Router<Api> {
    let large = Router::new()
        .post("/echo", async |_: &Api, req: Request| Response::new(req.into_body()))
        .post("/length", async |_: &Api, mut req: Request| -> Result<String> {
            Ok(req.bytes().await?.len().to_string())
        })
        .body_limit(8 << 20);
    Router::new()
        .get("/users/{id}", Api::user)
        .post("/users", Api::create)
        .get("/asked", async |api: &Api, _| api.asked.get().to_string())
        .post("/text", async |_: &Api, mut req: Request| req.text().await)
        .post("/ignore", async |_: &Api, _| "ignored")
        .get("/panics", async |_: &Api, req: Request| -> &'static str { panic!("asked to: {}", req.path()) })
        .get("/stream", async |_: &Api, _| {
            Response::stream(async |mut out| {
                for number in 0..3 {
                    out.write(format!("{number}\n")).await?;
                }
                Ok(())
            })
        })
        .nest("/large", large)
        .with(Api::count)
}

/// Runs `body` against the application on both drivers.
fn with_api(body: impl AsyncFn(TestClient) + Send + Sync) {
    testing::each_driver(async |core: Core| {
        testing::serve_on(&core, ServerConfig::default(), routes(), Api::default(), &body).await;
    });
}

#[test]
fn requests_are_routed_and_answered() {
    with_api(async |client| {
        let cases = [
            ("GET", "/users/7", 200, "/users/{id} 7"),
            ("GET", "/users/x", 400, "path parameter `id`: invalid digit found in string\n"),
            ("HEAD", "/users/7", 200, ""),
            ("DELETE", "/users/7", 405, "Method Not Allowed\n"),
            ("GET", "/nothing", 404, "Not Found\n"),
            ("GET", "/stream", 200, "0\n1\n2\n"),
        ];
        for (method, path, status, text) in cases {
            let response = client.request(method.parse().unwrap(), path).send().await;
            assert_eq!((response.status.as_u16(), response.text()), (status, text), "{method} {path}");
        }
        let refused = client.request(Method::DELETE, "/users/7").send().await;
        assert_eq!(refused.headers[ALLOW], "GET, HEAD, OPTIONS");
        assert_eq!(client.get("/asked").await.text(), "8", "the middleware sees all of them");
    });
}

#[test]
fn json_goes_in_and_out() {
    with_api(async |client| {
        let post = |content_type: &str, body: &str| {
            client.request(Method::POST, "/users").header("content-type", content_type).body(body).send()
        };
        let created = post("application/json", r#"{"name": "ä", "age": 41}"#).await;
        assert_eq!((created.status.as_u16(), created.text()), (201, r#"{"name":"ä","age":42}"#));
        assert_eq!(created.header("content-type"), Some("application/json"));
        assert_eq!(post("text/plain", "{}").await.status, 415);
        assert_eq!(post("application/json", "{").await.status, 400);
        let wrong = post("application/json", r#"{"name": "a", "age": "b"}"#).await;
        assert_eq!(wrong.status, 422);
        assert!(wrong.text().starts_with("JSON: `age`: invalid type: string"), "{}", wrong.text());
    });
}

#[test]
fn bodies_of_any_size_are_read_up_to_the_limit_of_their_route() {
    with_api(async |client| {
        for (path, length, status) in [
            ("/large/length", 0, 200),
            ("/large/length", 1, 200),
            ("/large/length", 3_000_000, 200),
            ("/large/length", 8 << 20, 200),
            ("/large/length", (8 << 20) + 1, 413),
            ("/text", 1 << 20, 200),
            ("/text", (1 << 20) + 1, 413),
        ] {
            let response = client.request(Method::POST, path).body(vec![b'x'; length]).send().await;
            assert_eq!(response.status.as_u16(), status, "{path} {length}");
            if path == "/large/length" && status == 200 {
                assert_eq!(response.text(), length.to_string());
            }
        }
    });
}

#[test]
fn a_body_is_sent_back_while_it_comes() {
    with_api(async |client| {
        let body: Bytes = (0..2_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let response = client.request(Method::POST, "/large/echo").body(body.clone()).send().await;
        assert_eq!(response.status, 200);
        assert!(response.body == body, "{} bytes of {} came back", response.body.len(), body.len());
    });
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    with_api(async |client| {
        let get = "GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n";
        let head = "HEAD /users/2 HTTP/1.1\r\nHost: a\r\n\r\n";
        let post =
            "POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let last = "GET /users/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let mut connection = client.raw([get, head, post, last].concat()).await;
        assert_eq!(connection.response(&Method::GET).await.text(), "/users/{id} 1");
        assert_eq!(connection.response(&Method::HEAD).await.header("content-length"), Some("13"));
        assert_eq!(connection.response(&Method::POST).await.text(), "ignored");
        let response = connection.response(&Method::GET).await;
        assert_eq!((response.text(), response.header("connection")), ("/users/{id} 3", Some("close")));
        assert_eq!(connection.receive_all().await, b"");
    });
}

#[test]
fn a_panic_ends_its_own_request_only() {
    with_api(async |client| {
        let mut other = client.raw("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(other.response(&Method::GET).await.status, 200);
        assert_eq!(client.get("/panics").await.status, 500);
        other.send("GET /users/2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(other.response(&Method::GET).await.text(), "/users/{id} 2");
    });
}

#[test]
fn a_router_that_contradicts_itself_is_not_served() {
    async fn nothing(_: &(), _: Request) {}
    testing::each_driver(async |core: Core| {
        let router = Router::new().get("/{a}", nothing).get("/{b}", nothing);
        let server = ringhttp::Server::bind("127.0.0.1:0", ServerConfig::default()).unwrap();
        let error = server.serve(&core, router, ()).await.unwrap_err();
        assert!(format!("{error:?}").contains("GET /{b} (tests/web/app.rs:"), "{error:?}");
    });
}

#[test]
fn the_short_form_serves_too() {
    testing::serve(
        || Router::new().get("/", async |number: &u8, _| number.to_string()),
        || 7,
        async |client| assert_eq!(client.get("/").await.text(), "7"),
    );
}

#[test]
#[should_panic(expected = "assertion `left == right` failed")]
fn a_test_that_fails_is_seen_to_fail() {
    testing::serve(Router::new, || (), async |client| assert_eq!(client.get("/").await.status, 200));
}
