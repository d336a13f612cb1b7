//! Routing: which handler is asked, with which parameters, behind which middleware; and each form a handler may have.
#![forbid(unsafe_code)]

mod middleware;
mod paths;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::header::ALLOW;
use http::{Method, StatusCode};

use super::*;
use crate::conn::{Body, BodySender};
use crate::testing;
use crate::web::{IntoResponse, Next, Router};

/// The answer of a service whose handlers never wait.
fn answer<S: 'static>(app: &App<S>, method: &str, path: &str) -> Response {
    answer_to(app, format!("{method} {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes())
}

fn answer_to<S: 'static>(app: &App<S>, head: &[u8]) -> Response {
    let call = pin!(app.call(testing::request(head)));
    match call.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(response) => response,
        Poll::Pending => panic!("the handler waits"),
    }
}

fn text(response: &Response) -> &str {
    str::from_utf8(response.body().as_bytes().unwrap()).unwrap()
}

/// Asks for each path, and compares the status and the text of its answer.
fn check<S: 'static>(app: &App<S>, cases: &[(&str, u16, &str)]) {
    for &(path, status, body) in cases {
        let response = answer(app, "GET", path);
        assert_eq!((response.status().as_u16(), text(&response)), (status, body), "{path}");
    }
}

fn app<S: 'static>(router: Router<S>, state: S) -> App<S> {
    router.into_service(state).unwrap()
}

/// What serving these routes is refused with.
fn mistake(router: Router<()>) -> String {
    format!("{:?}", router.into_service(()).unwrap_err())
}

/// Says which route it was and with which values.
async fn route(_: &(), req: Request) -> String {
    let names = req.matched().route.clone().unwrap();
    let names = names.names();
    let values = names.iter().map(|name| format!(" {name}={}", req.param_str(name).unwrap()));
    format!("{}{}", req.route(), values.collect::<String>())
}

/// Middleware of the tests writes here which one it was, on the way in and on the way out.
#[derive(Default)]
struct Log {
    lines: RefCell<String>,
    inner: Inner,
}

#[derive(Default)]
struct Inner {
    asked: Cell<u32>,
}

impl Log {
    async fn named(&self, name: &str, req: Request, next: Next<'_, Self>) -> Response {
        *self.lines.borrow_mut() += &format!("{name}({}) ", req.route());
        let response = next.run(req).await;
        *self.lines.borrow_mut() += &format!("{}/{name} ", response.status().as_u16());
        response
    }

    async fn outer(&self, req: Request, next: Next<'_, Self>) -> Response {
        self.named("outer", req, next).await
    }

    async fn inner(&self, req: Request, next: Next<'_, Self>) -> Response {
        self.named("inner", req, next).await
    }
}

fn logged(app: &App<Log>, method: &str, path: &str) -> String {
    app.state().lines.borrow_mut().clear();
    let status = answer(app, method, path).status();
    format!("{}: {}", status.as_u16(), app.state().lines.borrow().trim_end())
}

#[test]
fn paths_find_their_routes() {
    let patterns = [
        "/",
        "/users",
        "/users/",
        "/users/{id}",
        "/users/me",
        "/users/{id}/posts/{post}",
        "/files/{*path}",
        "/files/index",
        "/a/{one}/b/{two}/c/{three}/d/{four}",
        "/img-{name}.png",
        "/{{raw}}",
        "/caf%C3%A9",
    ];
    let router = patterns.iter().fold(Router::new(), |router, pattern| router.get(pattern, route));
    let app = app(router, ());
    let cases: &[(&str, &str)] = &[
        ("/", "/"),
        ("/users", "/users"),
        ("/users/", "/users/"),
        ("/users/7", "/users/{id} id=7"),
        ("/users/7?x=/y", "/users/{id} id=7"),
        ("/users/me", "/users/me"),
        ("/users/meh", "/users/{id} id=meh"),
        ("/users/a%2Fb", "/users/{id} id=a/b"),
        ("/users/a+b%20c", "/users/{id} id=a+b c"),
        ("/users/7/posts/8", "/users/{id}/posts/{post} id=7 post=8"),
        ("/files/a/b/c.txt", "/files/{*path} path=a/b/c.txt"),
        ("/files/index", "/files/index"),
        ("/files/..%2f..%2fetc", "/files/{*path} path=../../etc"),
        ("/a/1/b/2/c/3/d/4", "/a/{one}/b/{two}/c/{three}/d/{four} one=1 two=2 three=3 four=4"),
        ("/img-x.png", "/img-{name}.png name=x"),
        ("/%7Braw%7D", "/{{raw}}"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ("/Users", ""),
        ("/users/7/", ""),
        ("/users/7/posts", ""),
        ("/files/", ""),
        ("//users", ""),
        ("/nothing", ""),
    ];
    for (path, expected) in cases {
        let response = answer(&app, "GET", path);
        if expected.is_empty() {
            assert_eq!(response.status(), 404, "{path}: {}", text(&response));
        } else {
            assert_eq!((response.status().as_u16(), text(&response)), (200, *expected), "{path}");
        }
    }
}

#[test]
fn methods_find_their_handlers() {
    let router = Router::new()
        .get("/all", async |_: &(), _| "get")
        .post("/all", async |_, _| "post")
        .put("/all", async |_, _| "put")
        .delete("/all", async |_, _| "delete")
        .patch("/all", async |_, _| "patch")
        .head("/own-head", async |_, _| StatusCode::ACCEPTED)
        .get("/own-head", async |_, _| "get")
        .options("/own-options", async |_, _| "own")
        .route(Method::from_bytes(b"PURGE").unwrap(), "/purge", async |_, _| "purge")
        .get("/any", async |_, _| "get")
        .any("/any", async |_, req: Request| req.method().to_string());
    let app = app(router, ());
    let all = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";
    let everything = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PURGE, PUT";
    let cases: &[(&str, &str, u16, &str, Option<&str>)] = &[
        ("GET", "/all", 200, "get", None),
        ("HEAD", "/all", 200, "get", None),
        ("POST", "/all", 200, "post", None),
        ("PUT", "/all", 200, "put", None),
        ("DELETE", "/all", 200, "delete", None),
        ("PATCH", "/all", 200, "patch", None),
        ("TRACE", "/all", 405, "Method Not Allowed\n", Some(all)),
        ("get", "/all", 405, "Method Not Allowed\n", Some(all)),
        ("OPTIONS", "/all", 204, "", Some(all)),
        ("HEAD", "/own-head", 202, "", None),
        ("GET", "/own-head", 200, "get", None),
        ("OPTIONS", "/own-options", 200, "own", None),
        ("GET", "/own-options", 405, "Method Not Allowed\n", Some("OPTIONS")),
        ("PURGE", "/purge", 200, "purge", None),
        ("HEAD", "/purge", 405, "Method Not Allowed\n", Some("OPTIONS, PURGE")),
        ("GET", "/any", 200, "get", None),
        ("HEAD", "/any", 200, "get", None),
        ("OPTIONS", "/any", 200, "OPTIONS", None),
        ("BREW", "/any", 200, "BREW", None),
        ("GET", "/none", 404, "Not Found\n", None),
        ("OPTIONS", "/none", 404, "Not Found\n", None),
        ("OPTIONS", "*", 204, "", Some(everything)),
    ];
    for &(method, path, status, body, allow) in cases {
        let response = answer(&app, method, path);
        let found = response.headers().get(ALLOW).map(|value| value.to_str().unwrap());
        assert_eq!(
            (response.status().as_u16(), text(&response), found),
            (status, body, allow),
            "{method} {path}"
        );
    }
}

#[test]
fn a_handler_may_be_a_method_a_function_or_a_closure() {
    struct Api {
        name: String,
        calls: Cell<u32>,
    }

    impl Api {
        async fn method(&self, req: Request) -> Result<(StatusCode, String)> {
            self.calls.set(self.calls.get() + 1);
            Ok((StatusCode::CREATED, format!("{} {}", self.name, req.param::<u8>("n")?)))
        }

        async fn bare(&self, _: Request) {}
    }

    async fn function(api: &Api, _: Request) -> Response {
        Response::text(api.name.clone())
    }

    async fn whatever_the_state<S>(_: &S, req: Request) -> impl IntoResponse + use<S> {
        req.path().to_owned()
    }

    fn configured(greeting: &'static str) -> impl AsyncFn(&Api, Request) -> String {
        async move |api: &Api, _: Request| format!("{greeting}, {}", api.name)
    }

    let outside = String::from("captured");
    let router = Router::new()
        .get("/method/{n}", Api::method)
        .get("/bare", Api::bare)
        .get("/function", function)
        .get("/generic", whatever_the_state)
        .get("/configured", configured("hello"))
        .get("/ignores", async |_: &Api, _| "both")
        .get("/captures", async move |_: &Api, _: Request| outside.clone())
        .get("/borrows", async |api: &Api, _: Request| {
            let name = &api.name;
            std::future::ready(()).await;
            name.len().to_string()
        })
        .get("/fn-pointer", (|_, _| Box::pin(async { "boxed" })) as fn(&Api, Request) -> Boxed);
    let app = app(router, Api { name: "state".to_owned(), calls: Cell::new(0) });
    let cases: &[(&str, u16, &str)] = &[
        ("/method/7", 201, "state 7"),
        ("/method/300", 400, "path parameter `n`: number too large to fit in target type\n"),
        ("/bare", 204, ""),
        ("/function", 200, "state"),
        ("/generic", 200, "/generic"),
        ("/configured", 200, "hello, state"),
        ("/ignores", 200, "both"),
        ("/captures", 200, "captured"),
        ("/captures", 200, "captured"),
        ("/borrows", 200, "5"),
        ("/fn-pointer", 200, "boxed"),
    ];
    check(&app, cases);
    assert_eq!(app.state().calls.get(), 2);
}

type Boxed = std::pin::Pin<Box<dyn Future<Output = &'static str>>>;

#[test]
fn routers_can_be_joined_on_one_path() {
    let post = Router::new().post("/x", async |_, _| "post").with(Log::inner).body_limit(5);
    let router = Router::new().get("/x", async |_, _| "get").nest("/", post);
    let app = app(router, Log::default());
    assert_eq!(logged(&app, "GET", "/x"), "200: ");
    assert_eq!(logged(&app, "POST", "/x"), "200: inner(/x) 200/inner");
    let refused = answer(&app, "PUT", "/x");
    assert_eq!(refused.headers()[ALLOW], "GET, HEAD, OPTIONS, POST");
}

#[test]
fn a_body_limit_belongs_to_its_routes() {
    async fn read(_: &(), mut req: Request) -> Result<String> {
        Ok(req.bytes().await?.len().to_string())
    }
    let inner = Router::new().post("/own", read).body_limit(3);
    let small = Router::new().post("/small", read).nest("/in", inner).body_limit(5);
    let app = app(Router::new().post("/default", read).nest("/", small), ());
    let cases = [
        ("/small", 5, 200),
        ("/small", 6, 413),
        ("/in/own", 3, 200),
        ("/in/own", 4, 413),
        ("/default", 6, 200),
        ("/default", 1 << 20, 200),
        ("/default", (1 << 20) + 1, 413),
    ];
    for (path, length, status) in cases {
        let mut message =
            format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        message.resize(message.len() + length, b'x');
        assert_eq!(answer_to(&app, &message).status(), status, "{path} {length}");
    }
}

#[test]
fn a_route_may_have_a_body_limit_of_its_own() {
    async fn read(_: &(), mut req: Request) -> Result<String> {
        Ok(req.bytes().await?.len().to_string())
    }
    let router = Router::new()
        .post("/a", read)
        .post("/b", read)
        .last_route(|route| route.body_bytes_max = Some(7))
        .body_limit(5);
    let app = app(router, ());
    for (path, length, status) in [("/a", 5, 200), ("/a", 6, 413), ("/b", 7, 200), ("/b", 8, 413)] {
        let mut message =
            format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        message.resize(message.len() + length, b'x');
        assert_eq!(answer_to(&app, &message).status(), status, "{path} {length}");
    }
}

#[test]
fn mistakes_are_named_with_both_routes() {
    async fn nothing(_: &(), _: Request) {}
    let cases: Vec<(Router<()>, &[&str])> = vec![
        (
            Router::new().get("/a", nothing).get("/a", nothing),
            &["GET /a", "conflicts with GET /a", "tests.rs:"],
        ),
        (Router::new().any("/a", nothing).any("/a", nothing), &["any /a", "conflicts with any /a"]),
        (
            Router::new().get("/users/{id}", nothing).post("/users/{name}", nothing),
            &["POST /users/{name}", "conflicts with GET /users/{id}"],
        ),
        (
            Router::new().get("/a/b", nothing).nest("/a", Router::new().get("/b", nothing)),
            &["GET /a/b", "conflicts with GET /a/b"],
        ),
        (Router::new().get("/{a}{b}", nothing), &["GET /{a}{b}", "cannot be added"]),
        (Router::new().get("/{open", nothing), &["GET /{open", "cannot be added"]),
        (Router::new().get("/{*rest}/more", nothing), &["GET /{*rest}/more", "cannot be added"]),
        (Router::new().get("no-slash", nothing), &["path \"no-slash\"", "must begin with `/`"]),
        (Router::new().get("", nothing), &["path \"\"", "must begin with `/`"]),
        (Router::new().nest("api", Router::new()), &["prefix \"api\""]),
        (Router::new().nest("/api/", Router::new()), &["prefix \"/api/\""]),
        (Router::new().nest("/api", Router::new().get("users", nothing)), &["path \"users\""]),
        (
            Router::new()
                .nest("/x", Router::new().fallback(nothing))
                .nest("/x", Router::new().fallback(nothing)),
            &["fallback below /x"],
        ),
        (
            Router::new().get("/a", nothing).name("x").get("/b", nothing).name("x"),
            &["two paths have the name `x`: /a and /b"],
        ),
        (Router::new().get("/{id:}", nothing), &["GET /{id:}", "cannot be added", "nothing behind"]),
        (
            Router::new().get("/{id:int}", nothing).get("/{n:int}", nothing),
            &["GET /{n:int}", "conflicts with GET /{id:int}"],
        ),
        (Router::new().get("/caf%c3%a9", nothing).get("/café", nothing), &["conflicts with GET /caf%c3%a9"]),
        (Router::new().host("a:80", Router::new()), &["host \"a:80\"", "no port", "tests.rs:"]),
        (
            Router::new().host("a", Router::new()).host("A.", Router::new()),
            &["host \"A.\" has routes already"],
        ),
        (Router::new().host("a", Router::new().host("b", Router::new())), &["routes of other hosts"]),
        (Router::new().nest("/p", Router::new().host("b", Router::new())), &["cannot be below prefix"]),
        (Router::new().host("a", Router::new().get("x", nothing)), &["path \"x\""]),
        (Router::new().name("x"), &["there is no route before", "tests.rs:"]),
        (
            Router::new().get("/a", nothing).nest("/b", Router::new().get("/c", nothing)).name("c"),
            &["there is no route before"],
        ),
        (Router::new().get("x", nothing).get("y", nothing), &["path \"x\"", "path \"y\""]),
    ];
    for (router, parts) in cases {
        let message = mistake(router);
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    }
}

#[test]
fn a_body_can_be_streamed_by_a_handler() {
    let router = Router::new().get("/", async |_: &(), _| {
        Response::new(Body::stream(async |mut out: BodySender| out.write("x").await))
    });
    assert_eq!(answer(&app(router, ()), "GET", "/").body().length(), None);
}
