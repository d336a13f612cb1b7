//! Routing over real sockets, on both drivers: limits, names, hosts, slashes, encodings, and paths of hostile clients.

use std::cell::Cell;
use std::fmt::Write as _;

use http::Method;
use ringhttp::testing::{TestClient, each_driver, serve_on, serve_service_on};
use ringhttp::{
    Core, HeaderValue, IntoResponse, Next, Request, Response, Result, Router, ServerConfig, Service,
    middleware,
};

/// How often the middleware of each level was passed.
#[derive(Default)]
struct State {
    outer: Cell<u32>,
    inner: Inner,
}

#[derive(Default)]
struct Inner {
    passed: Cell<u32>,
}

impl State {
    async fn count(&self, req: Request, next: Next<'_, Self>) -> Response {
        self.outer.set(self.outer.get() + 1);
        next.run(req).await
    }
}

impl Inner {
    async fn count(&self, req: Request, next: Next<'_, Self>) -> Response {
        self.passed.set(self.passed.get() + 1);
        next.run(req).await
    }
}

/// Says which route it was.
async fn which<S>(_: &S, req: Request) -> String {
    format!("{} of {}", req.route(), req.path())
}

async fn user(_: &State, req: Request) -> Result<String> {
    let id: i64 = req.param("id")?;
    req.url_for("user", &[("id", &(id + 1).to_string())])
}

/// Reads the body as far as the route allows.
async fn length(_: &State, mut req: Request) -> Result<String> {
    Ok(req.bytes().await?.len().to_string())
}

fn routes() -> Router<State> {
    let deep = (0..DEPTH).fold(Router::new().get("/x", which), |router, _| {
        Router::new().nest("/d", router.with(Inner::count))
    });
    let api = Router::new().get("/users/{id:int}", which).fallback(async |_: &State, _| "api's fallback");
    Router::new()
        .get("/users/{id:int}", user)
        .name("user")
        .get("/users/{name}", which)
        .post("/users/{name}", which)
        .get("/café/{*rest}", which)
        .get("/decoded/{*rest}", async |_: &State, req: Request| -> Result<String> {
            Ok(req.path_decoded()?.into_owned())
        })
        .get("/text/{t}", async |_: &State, req: Request| req.param::<String>("t"))
        .get("/dir/", which)
        .any("/any", async |_: &State, req: Request| req.method().to_string())
        .route(Method::from_bytes(b"PURGE").expect("a token"), "/any/cache", which)
        .nest("/leaf", Router::new().get("/a", which).remove_slash())
        .post("/small", length)
        .post("/large", length)
        .last_route(|route| route.body_bytes_max = Some(64))
        .body_limit(8)
        .append_slash()
        .merge_slashes()
        .nest_part("/deep", deep, |state| &state.inner)
        .host("api.example.com", api)
        .host("*.example.com", Router::new().get("/", which))
        .with(State::count)
}

/// Routers that are nested in one another.
const DEPTH: usize = 16;

fn with_routes(body: impl AsyncFn(TestClient) + Send + Sync) {
    each_driver(async |core| {
        serve_on(&core, ServerConfig::default(), routes(), State::default(), &body).await;
    });
}

#[test]
fn requests_find_their_routes() {
    with_routes(async |client| {
        let cases = [
            ("GET", "/users/7", 200, "/users/8"),
            ("GET", "/users/%37", 200, "/users/8"),
            ("GET", "/users/ada", 200, "/users/{name} of /users/ada"),
            ("POST", "/users/7", 200, "/users/{name} of /users/7"),
            ("PUT", "/users/7", 405, "Method Not Allowed\n"),
            ("GET", "/caf%c3%a9/a", 200, "/café/{*rest} of /caf%c3%a9/a"),
            ("GET", "/decoded/%C3%A9%2Fx", 200, "/decoded/é/x"),
            ("GET", "/nothing", 404, "Not Found\n"),
            ("POST", "/nothing", 404, "Not Found\n"),
            ("HEAD", "/users/ada", 200, ""),
            ("BREW", "/any", 200, "BREW"),
            ("OPTIONS", "/any", 200, "OPTIONS"),
            ("PURGE", "/any/cache", 200, "/any/cache of /any/cache"),
            ("purge", "/any/cache", 405, "Method Not Allowed\n"),
            ("GET", "/any/cache", 405, "Method Not Allowed\n"),
        ];
        for (method, path, status, text) in cases {
            let response = client.request(method.parse().unwrap(), path).send().await;
            assert_eq!((response.status.as_u16(), response.text()), (status, text), "{method} {path}");
        }
        let refused = client.request(Method::PUT, "/users/7").send().await;
        assert_eq!(refused.header("allow"), Some("GET, HEAD, OPTIONS, POST"));
        let of_its_own = client.get("/any/cache").await;
        assert_eq!(of_its_own.header("allow"), Some("OPTIONS, PURGE"));
        let refused = client.request(Method::OPTIONS, "/users/ada").send().await;
        assert_eq!(
            (refused.status.as_u16(), refused.header("allow")),
            (204, Some("GET, HEAD, OPTIONS, POST"))
        );
    });
}

#[test]
fn middleware_of_every_depth_is_passed_once() {
    each_driver(async |core| {
        let routes = routes().get("/passed", async |state: &State, _| {
            format!("{} {}", state.outer.get(), state.inner.passed.get())
        });
        serve_on(&core, ServerConfig::default(), routes, State::default(), async |client| {
            let deep = format!("/deep{}/x", "/d".repeat(DEPTH));
            assert_eq!(client.get(&deep).await.text(), format!("{deep} of {deep}"));
            assert_eq!(client.get("/passed").await.text(), format!("2 {DEPTH}"));
            assert_eq!(client.request(Method::POST, &deep).send().await.status, 405);
            assert_eq!(client.get("/passed").await.text(), format!("4 {}", 2 * DEPTH));
        })
        .await;
    });
}

#[test]
fn hosts_are_told_apart() {
    with_routes(async |client| {
        let cases = [
            ("api.example.com", "/users/7", 200, "/users/{id:int} of /users/7"),
            ("API.example.com:81", "/users/7", 200, "/users/{id:int} of /users/7"),
            ("api.example.com", "/users/x", 200, "api's fallback"),
            ("api.example.com", "/dir", 200, "api's fallback"),
            ("x.example.com", "/", 200, "/ of /"),
            ("x.example.com", "/users/7", 404, "Not Found\n"),
            ("example.com", "/users/7", 200, "/users/8"),
            ("example.com.evil", "/users/7", 200, "/users/8"),
        ];
        for (host, path, status, text) in cases {
            let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            let response = client.raw(head).await.response(&Method::GET).await;
            assert_eq!((response.status.as_u16(), response.text()), (status, text), "{host} {path}");
        }
    });
}

#[test]
fn slashes_are_made_good_within_the_host() {
    with_routes(async |client| {
        for (path, status, location) in [
            ("/dir", 308, Some("/dir/")),
            ("/leaf/a/", 308, Some("/leaf/a")),
            ("/leaf/a//?x=/", 308, Some("/leaf/a?x=/")),
            ("/dir?q=//x", 308, Some("/dir/?q=//x")),
            ("//dir", 308, Some("/dir/")),
            ("//users//7", 308, Some("/users/7")),
            ("//evil.example", 404, None),
            ("//evil.example/..", 404, None),
            ("///users/evil.example", 308, Some("/users/evil.example")),
            ("/%2Fevil.example", 404, None),
        ] {
            let response = client.get(path).await;
            assert_eq!((response.status.as_u16(), response.header("location")), (status, location), "{path}");
        }
        // What is left of a body is drained behind a redirect.
        let moved = client.request(Method::GET, "/dir").body("left").send().await;
        assert_eq!(moved.status, 308);
        assert_eq!(client.get("/users/7").await.status, 200);
    });
}

#[test]
fn one_route_may_take_more_than_its_router() {
    with_routes(async |client| {
        for (path, bytes, status) in
            [("/small", 8, 200), ("/small", 9, 413), ("/large", 64, 200), ("/large", 65, 413)]
        {
            let response = client.request(Method::POST, path).body("x".repeat(bytes)).send().await;
            assert_eq!(response.status, status, "{path} {bytes}");
        }
    });
}

#[cfg(feature = "regex")]
#[test]
fn a_pattern_limits_what_a_segment_may_be() {
    each_driver(async |core| {
        let routes = Router::new().get("/{name:[a-z]+}", which).get("/{rest}", which);
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            for (path, text) in [
                ("/abc", "/{name:[a-z]+} of /abc"),
                ("/%61bc", "/{name:[a-z]+} of /%61bc"),
                ("/abC", "/{rest} of /abC"),
                ("/abc%0a", "/{rest} of /abc%0a"),
                ("/abc%ff", "/{rest} of /abc%ff"),
            ] {
                assert_eq!(client.get(path).await.text(), text, "{path}");
            }
        })
        .await;
    });
}

/// What is changed for those further in is changed for this request only, and what was sent is still known.
#[test]
fn requests_may_be_changed_on_their_way() {
    async fn shown(_: &(), req: Request) -> String {
        let fields = ["accept", "x-added", "host"].map(|name| req.header(name).is_some());
        let raw: Vec<_> = req.raw_headers().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        format!("{} {} {fields:?} {}", req.method(), req.path(), raw.join(","))
    }
    async fn changes(_: &(), mut req: Request, next: Next<'_, ()>) -> Result {
        if req.path() == "/changed" {
            req.headers_mut().remove("accept");
            req.headers_mut().insert("x-added", HeaderValue::from_static("1"));
            req.headers_mut().insert("content-length", HeaderValue::from_static("5"));
        }
        if req.query_string() == Some("late") {
            req.set_path_and_query("/elsewhere")?;
        }
        Ok(next.run(req).await)
    }
    each_driver(async |core| {
        let router = Router::new().get("/{*all}", shown).delete("/{*all}", shown).with(changes);
        let app = router.into_service(()).expect("good routes");
        let service = async move |mut req: Request| {
            if let Some(method) =
                req.header("x-method").and_then(|name| Method::from_bytes(name.as_bytes()).ok())
            {
                req.set_method(method);
            }
            if let Some(path) = req.path().strip_prefix("/strip").map(str::to_owned)
                && let Err(error) = req.set_path_and_query(&path)
            {
                return error.into_response();
            }
            app.call(req).await
        };
        serve_service_on(&core, ServerConfig::default(), service, async |client| {
            let mut connection = client.raw("").await;
            let cases = [
                ("GET", "/changed", "", 200, "GET /changed [false, true, true] Host,ACCEPT"),
                ("GET", "/same", "", 200, "GET /same [true, false, true] Host,ACCEPT"),
                ("GET", "/changed", "", 200, "GET /changed [false, true, true] Host,ACCEPT"),
                ("GET", "/strip/a%20b?c", "", 200, "GET /a%20b [true, false, true] Host,ACCEPT"),
                ("GET", "/strip/changed", "", 200, "GET /changed [false, true, true] Host,ACCEPT"),
                ("GET", "http://b/strip/same", "", 200, "GET /same [true, false, true] Host,ACCEPT"),
                ("GET", "/same", "", 200, "GET /same [true, false, true] Host,ACCEPT"),
                ("GET", "/stripa", "", 500, "Internal Server Error\n"),
                ("GET", "/same?late", "", 500, "Internal Server Error\n"),
                (
                    "POST",
                    "/same",
                    "X-Method: DELETE\r\n",
                    200,
                    "DELETE /same [true, false, true] Host,ACCEPT,X-Method",
                ),
                ("POST", "/same", "X-Method: PUT\r\n", 405, "Method Not Allowed\n"),
                ("HEAD", "/same", "X-Method: DELETE\r\n", 200, ""),
                (
                    "GET",
                    "/same",
                    "X-Method: HEAD\r\n",
                    200,
                    "HEAD /same [true, false, true] Host,ACCEPT,X-Method",
                ),
            ];
            for (method, target, fields, status, text) in cases {
                connection
                    .send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\nACCEPT: */*\r\n{fields}\r\n"))
                    .await;
                let response = connection.response(&method.parse().expect("a method")).await;
                assert_eq!((response.status.as_u16(), response.text()), (status, text), "{method} {target}");
            }
        })
        .await;
    });
}

/// Each is answered as documented, and the core goes on.
#[test]
fn hostile_paths_are_answered() {
    let segments = "/a".repeat(3000);
    let escapes = format!("/text/{}", "%".repeat(5000));
    let encoded = format!("/text/{}", "%61".repeat(2000));
    let slashes = "/".repeat(6000);
    let digits = format!("/users/{}", "9".repeat(5000));
    let long = format!("/{}", "a".repeat(9000));
    let text = "a".repeat(2000);
    let cases: &[(&str, u16, &str)] = &[
        ("/text/%FF", 400, "path parameter `t` is not UTF-8\n"),
        ("/text/%C3%28", 400, "path parameter `t` is not UTF-8\n"),
        ("/text/%ED%A0%80", 400, "path parameter `t` is not UTF-8\n"),
        ("/decoded/%FF", 400, "the path is not UTF-8\n"),
        ("/caf%C3/x", 404, "Not Found\n"),
        ("/%FF", 404, "Not Found\n"),
        ("/text/%00", 200, "\0"),
        ("/text/..", 200, ".."),
        ("/text/%2e%2e%2fetc", 200, "../etc"),
        ("/text/%252e", 200, "%2e"),
        ("/text/..%5c..", 200, "..\\.."),
        ("/decoded/../../etc/passwd", 200, "/decoded/../../etc/passwd"),
        ("/users/+7", 200, "/users/{name} of /users/+7"),
        ("/users/9223372036854775808", 200, "/users/{name} of /users/9223372036854775808"),
        (&segments, 404, "Not Found\n"),
        (&escapes, 200, &"%".repeat(5000)),
        (&encoded, 200, &text),
        (&slashes, 404, "Not Found\n"),
        (&digits, 200, &format!("/users/{{name}} of {digits}")),
        (&long, 414, "URI Too Long\n"),
    ];
    with_routes(async |client| {
        for (path, status, text) in cases {
            let response = client.get(path).await;
            let shown: String = path.chars().take(40).collect();
            assert_eq!((response.status.as_u16(), response.text()), (*status, *text), "{shown}");
        }
        assert_eq!(client.get("/users/7").await.status, 200);
    });
}

/// Paths that are tried with all patterns one by one are answered, at a table of many limits too.
#[test]
fn a_table_of_many_limits_answers_what_none_of_them_takes() {
    each_driver(async |core| {
        let routes = (0..300).fold(Router::new(), |router, number| {
            let mut path = String::new();
            write!(path, "/{{a:uint}}/{{b:int}}/x{number}").expect("a string takes all");
            router.get(&path, which)
        });
        let routes = routes.get("/{one}/{*rest}", which);
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            for (path, route) in [
                ("/1/-1/x299", "/{a:uint}/{b:int}/x299"),
                ("/-1/-1/x299", "/{one}/{*rest}"),
                ("/1/-1/x300", "/{one}/{*rest}"),
            ] {
                assert_eq!(client.get(path).await.text(), format!("{route} of {path}"));
            }
            assert_eq!(client.get("/1").await.status, 404);
        })
        .await;
    });
}

/// What was found for a request is used for the next one of its connection if that asks for the same, and only then.
#[test]
fn a_request_line_that_is_repeated_leads_where_it_led() {
    async fn twice(_: &(), req: Request) -> Result<String> {
        let id: String = req.param("id")?;
        Ok(format!("{} {} {id}", req.method(), req.route()))
    }
    let asked = [
        ("GET", "/a", "GET /{id} a"),
        ("GET", "/a", "GET /{id} a"),
        ("GET", "/a%2fb", "GET /{id} a/b"),
        ("GET", "/a%2fb", "GET /{id} a/b"),
        ("GET", "/a", "GET /{id} a"),
        ("POST", "/a", "Method Not Allowed\n"),
        ("POST", "/a", "Method Not Allowed\n"),
        ("GET", "/a", "GET /{id} a"),
        ("DELETE", "/a/x", "DELETE /{id}/x a"),
        ("DELETE", "/a/x", "DELETE /{id}/x a"),
        ("GET", "/a/x", "GET /{id}/x a"),
        ("GET", "/none/of/these", "Not Found\n"),
        ("GET", "/none/of/these", "Not Found\n"),
        ("GET", "/a/x", "GET /{id}/x a"),
    ];
    let head = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    each_driver(async |core: Core| {
        let routes = Router::new().get("/{id}", twice).delete("/{id}/x", twice).get("/{id}/x", twice);
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let heads: String = asked.iter().map(|(method, path, _)| head(method, path)).collect();
            let mut pipelined = client.raw(heads).await;
            let mut one_by_one = client.raw("").await;
            for (method, path, text) in asked {
                one_by_one.send(head(method, path)).await;
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                assert_eq!(pipelined.response(&method).await.text(), text, "{method} {path}");
                assert_eq!(one_by_one.response(&method).await.text(), text, "{method} {path}");
            }
        })
        .await;
    });
}

/// Whatever came before it on its connection, a path leads where it leads on a new one.
#[test]
fn a_path_leads_to_its_route_after_any_other() {
    let patterns = [
        "/users",
        "/users/",
        "/users/me",
        "/users/{id}",
        "/users/{id}/posts",
        "/users/{id}/{post:uint}",
        "/users/{id}/{*rest}",
        "/items/{id}",
        "/items/{id}/a",
        "/items/{id}.json",
        "/files/{name}",
        "/files/{name}/b{rest}",
        "/f{short}",
        "/{one}",
        "/{one:uint}",
        "/{one}/{two}/c",
        "/{*all}",
    ];
    let paths = [
        "/users",
        "/users/",
        "/users/me",
        "/users/m",
        "/users/m/posts",
        "/users/7/8",
        "/users/7/x",
        "/items/1",
        "/items/1.json",
        "/items/1/a",
        "/items/2/a",
        "/items/%31/a",
        "/files/x",
        "/files/y",
        "/files/x/b1",
        "/files/x/c1",
        "/f1",
        "/f",
        "/7",
        "/x",
        "/x/y/c",
        "/x/y/d",
        "/files/x%2Fy",
        "/files/",
    ];
    let request = |path: &&str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    each_driver(async |core: Core| {
        let routes = patterns.iter().fold(Router::new(), |router, pattern| router.get(pattern, which));
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let mut alone = Vec::new();
            for path in &paths {
                let answer = client.raw(request(path)).await.response(&Method::GET).await;
                alone.push(answer.text().to_owned());
            }
            for (first, _) in paths.iter().enumerate() {
                // Each behind this one, which so comes behind each.
                let asked = (0..paths.len()).flat_map(|second| [first, second]);
                let requests: String = asked.clone().map(|number| request(&paths[number])).collect();
                let mut connection = client.raw(requests).await;
                for number in asked {
                    assert_eq!(connection.response(&Method::GET).await.text(), alone[number]);
                }
            }
        })
        .await;
    });
}

/// Text behind a parameter keeps a path from no other route, on a new connection or a used one.
#[test]
fn text_behind_a_parameter_hides_no_other_route() {
    let patterns = [
        "/{repo}.git/info/{what}",
        "/{user}/{repo}",
        "/{user}/log",
        "/{user}s/{what}",
        "/x/{a}.b",
        "/{*all}",
    ];
    let expected = [
        ("/a.git/info/refs", "/{repo}.git/info/{what}"),
        ("/a.git/b", "/{user}/{repo}"),
        ("/c/b", "/{user}/{repo}"),
        ("/a.git/log", "/{user}/log"),
        ("/bs/log", "/{user}/log"),
        ("/bs/other", "/{user}s/{what}"),
        ("/x/y.b", "/x/{a}.b"),
        ("/x/y.c", "/{user}/{repo}"),
        ("/a.git/info/x/y", "/{*all}"),
    ];
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    each_driver(async |core: Core| {
        let routes = patterns.iter().fold(Router::new(), |router, pattern| router.get(pattern, which));
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            for (path, pattern) in expected {
                let answer = client.raw(request(path)).await.response(&Method::GET).await;
                assert!(answer.text().starts_with(pattern), "{path}: {}", answer.text());
            }
            for (first, _) in expected {
                let requests: String =
                    expected.iter().flat_map(|(path, _)| [request(first), request(path)]).collect();
                let mut connection = client.raw(requests).await;
                for (path, pattern) in expected {
                    connection.response(&Method::GET).await;
                    let answer = connection.response(&Method::GET).await;
                    assert!(answer.text().starts_with(pattern), "{path} behind {first}: {}", answer.text());
                }
            }
        })
        .await;
    });
}

/// A path that has routes but not of its method is refused, whatever routes there are for other paths.
#[test]
fn a_method_is_looked_for_where_only_limits_differ() {
    for other in ["/elsewhere", "/elsewhere/{id:int}", "/{repo}.git/info"] {
        each_driver(async |core: Core| {
            let routes = Router::new()
                .get("/{name}", which)
                .post("/{*rest}", which)
                .get("/users/{id:uint}", which)
                .delete("/users/{name}", which)
                .get(other, which);
            serve_on(&core, ServerConfig::default(), routes, (), async |client| {
                for (head, answer) in [
                    ("POST /a", "Method Not Allowed\n"),
                    ("POST /a/b", "/{*rest} of /a/b"),
                    ("GET /users/7", "/users/{id:uint} of /users/7"),
                    ("DELETE /users/7", "/users/{name} of /users/7"),
                    ("POST /users/7", "Method Not Allowed\n"),
                ] {
                    let mut raw = client.raw(format!("{head} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
                    assert_eq!(raw.response(&Method::GET).await.text(), answer, "{head} beside {other}");
                }
            })
            .await;
        });
    }
}

/// The body limit of a router holds for its fallbacks as for its routes: of nested routers and hosts, the innermost counts.
#[test]
fn a_fallback_has_the_body_limit_of_its_router() {
    async fn length(_: &(), mut req: Request) -> Result<String> {
        Ok(req.bytes().await?.len().to_string())
    }
    each_driver(async |core: Core| {
        let routes = Router::new()
            .nest("/small", Router::new().fallback(length).body_limit(4))
            .nest("/outer", Router::new().fallback(length))
            .host("api.example.com", Router::new().fallback(length))
            .fallback(length)
            .body_limit(8);
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            for (host, path, body, status) in [
                ("a", "/small/x", "1234", 200),
                ("a", "/small/x", "12345", 413),
                ("a", "/outer/x", "12345678", 200),
                ("a", "/outer/x", "123456789", 413),
                ("api.example.com", "/x", "123456789", 413),
                ("a", "/x", "12345678", 200),
                ("a", "/x", "123456789", 413),
            ] {
                let length = body.len();
                let head =
                    format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n");
                let answer = client.raw(head + body).await.response(&Method::POST).await;
                assert_eq!(answer.status.as_u16(), status, "{host} {path} {body}");
            }
        })
        .await;
    });
}

/// A limit that is put around a router counts for its nested ones, whichever of their handlers answers.
#[test]
fn a_fallback_reads_no_more_than_the_routes_beside_it() {
    async fn length(_: &(), mut req: Request) -> Result<String> {
        Ok(req.bytes().await?.len().to_string())
    }
    each_driver(async |core: Core| {
        let inner = Router::new().post("/route", length).fallback(length).body_limit(1 << 20);
        let routes = Router::new().nest("/inner", inner).with(middleware::body_limit(4));
        serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            for path in ["/inner/route", "/inner/else"] {
                for (body, status) in [("4\r\n1234\r\n", 200), ("3\r\n123\r\n2\r\n45\r\n", 413)] {
                    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\n");
                    let request = format!("{head}transfer-encoding: chunked\r\n\r\n{body}0\r\n\r\n");
                    let answer = client.raw(request).await.response(&Method::POST).await;
                    assert_eq!(answer.status.as_u16(), status, "{path} {body}");
                }
            }
        })
        .await;
    });
}

/// Two routers behind one connection, with the same paths.
#[test]
fn what_another_router_found_counts_for_nothing() {
    async fn first(_: &(), req: Request) -> Result<String> {
        Ok(format!("first {}", req.param_str("one")?))
    }
    async fn second(_: &(), req: Request) -> Result<String> {
        Ok(format!("second {}", req.param_str("two")?))
    }
    each_driver(async |core: Core| {
        let (one, two) = (
            Router::new().get("/{one}", first).into_service(()).unwrap(),
            Router::new().get("/{two}", second).into_service(()).unwrap(),
        );
        let turn = Cell::new(0);
        let service = async move |req: Request| {
            turn.set(turn.get() + 1);
            if turn.get() % 2 == 1 { one.call(req).await } else { two.call(req).await }
        };
        serve_service_on(&core, ServerConfig::default(), service, async |client| {
            let mut raw = client.raw("GET /a HTTP/1.1\r\nhost: a\r\n\r\n".repeat(4)).await;
            for text in ["first a", "second a", "first a", "second a"] {
                assert_eq!(raw.response(&Method::GET).await.text(), text);
            }
        })
        .await;
    });
}

/// A request line that is repeated leads elsewhere if the request was changed, before it or before the one it repeats.
#[test]
fn a_changed_request_is_routed_anew() {
    async fn which(_: &(), req: Request) -> String {
        format!("{} {} {}", req.method(), req.path(), req.route())
    }
    each_driver(async |core: Core| {
        let app = Router::new().get("/a", which).get("/bb/{x}", which).delete("/a", async |_: &(), _| "gone");
        let app = app.into_service(()).unwrap();
        let turn = Cell::new(0);
        let service = async move |mut req: Request| {
            match turn.replace((turn.get() + 1) % 5) {
                1 => req.set_method(Method::DELETE),
                3 => req.set_path_and_query("/bb/c").expect("a good path"),
                _ => {}
            }
            app.call(req).await
        };
        serve_service_on(&core, ServerConfig::default(), service, async |client| {
            let mut raw = client.raw("GET /a HTTP/1.1\r\nhost: a\r\n\r\n".repeat(10)).await;
            let texts = ["GET /a /a", "gone", "GET /a /a", "GET /bb/c /bb/{x}", "GET /a /a"];
            for text in texts.iter().chain(&texts) {
                assert_eq!(raw.response(&Method::GET).await.text(), *text);
            }
        })
        .await;
    });
}
