//! Routing: which handler is asked, with which parameters, behind which middleware; and each form a handler may have.
#![forbid(unsafe_code)]

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
    for (path, status, body) in cases {
        let response = answer(&app, "GET", path);
        assert_eq!((response.status().as_u16(), text(&response)), (*status, *body), "{path}");
    }
    assert_eq!(app.state().calls.get(), 2);
}

type Boxed = std::pin::Pin<Box<dyn Future<Output = &'static str>>>;

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
fn the_first_middleware_is_the_outermost_and_all_answers_pass_it() {
    let router = Router::new().get("/before", async |_, _| ()).with(Log::outer).with(Log::inner);
    let app = app(router.get("/after", async |_, _| ()), Log::default());
    let cases = [
        ("GET", "/before", "204: outer(/before) inner(/before) 204/inner 204/outer"),
        ("GET", "/after", "204: outer(/after) inner(/after) 204/inner 204/outer"),
        ("POST", "/after", "405: outer(/after) inner(/after) 405/inner 405/outer"),
        ("OPTIONS", "/after", "204: outer(/after) inner(/after) 204/inner 204/outer"),
        ("OPTIONS", "*", "204: outer() inner() 204/inner 204/outer"),
        ("GET", "/none", "404: outer() inner() 404/inner 404/outer"),
    ];
    for (method, path, expected) in cases {
        assert_eq!(logged(&app, method, path), expected, "{method} {path}");
    }
}

#[test]
fn middleware_may_answer_itself_fail_or_change_what_comes_back() {
    async fn guard(_: &(), req: Request, next: Next<'_, ()>) -> Result {
        match req.query_string() {
            Some("stop") => Ok("stopped".into_response()),
            Some("fail") => Err(Error::new(StatusCode::FORBIDDEN)),
            _ => Ok(next.run(req).await.with_status(StatusCode::ACCEPTED)),
        }
    }
    let configured = |tag: &'static str| {
        async move |_: &(), req: Request, next: Next<'_, ()>| {
            let response = next.run(req).await;
            response.with_header(http::header::VIA, http::HeaderValue::from_static(tag))
        }
    };
    let app = app(Router::new().get("/", async |_, _| "through").with(configured("x")).with(guard), ());
    for (path, status, body) in
        [("/", 202, "through"), ("/?stop", 200, "stopped"), ("/?fail", 403, "Forbidden\n")]
    {
        let response = answer(&app, "GET", path);
        assert_eq!((response.status().as_u16(), text(&response)), (status, body), "{path}");
        assert_eq!(response.headers()[http::header::VIA], "x", "{path}");
    }
}

#[test]
fn nested_routers_keep_their_middleware() {
    let inner = Router::new().get("/", async |_, _| ()).get("/{id}", async |_, _| ()).with(Log::inner);
    let router = Router::new().get("/", async |_, _| ()).nest("/in/{side}", inner).with(Log::outer);
    let listed: Vec<_> = router.routes().map(|route| route.path).collect();
    assert_eq!(listed, ["/", "/in/{side}", "/in/{side}/{id}"]);
    let app = app(router, Log::default());
    let cases = [
        ("GET", "/", "204: outer(/) 204/outer"),
        ("GET", "/in/x", "204: outer(/in/{side}) inner(/in/{side}) 204/inner 204/outer"),
        ("GET", "/in/x/7", "204: outer(/in/{side}/{id}) inner(/in/{side}/{id}) 204/inner 204/outer"),
        ("POST", "/in/x/7", "405: outer(/in/{side}/{id}) inner(/in/{side}/{id}) 405/inner 405/outer"),
        ("GET", "/in/x/7/8", "404: outer() 404/outer"),
        ("GET", "/in/x/", "404: outer() 404/outer"),
    ];
    for (method, path, expected) in cases {
        assert_eq!(logged(&app, method, path), expected, "{method} {path}");
    }
}

#[test]
fn a_nested_router_may_see_only_a_part_of_the_state() {
    async fn count(inner: &Inner, req: Request, next: Next<'_, Inner>) -> Response {
        inner.asked.set(inner.asked.get() + 1);
        next.run(req).await
    }
    let part = Router::new()
        .get("/{id}", async |inner: &Inner, req: Request| {
            format!("{} {}", req.param_str("id").unwrap(), inner.asked.get())
        })
        .fallback(async |inner: &Inner, _| format!("part's fallback {}", inner.asked.get()))
        .with(count);
    let router = Router::new().nest_part("/part", part, |log: &Log| &log.inner).with(Log::outer);
    let app = app(router.fallback(async |_, _| "whole's fallback"), Log::default());
    let cases = [
        ("GET", "/part/a", "a 1"),
        ("GET", "/part/a/b", "part's fallback 2"),
        ("GET", "/part", "part's fallback 3"),
        ("GET", "/part/", "part's fallback 4"),
        ("POST", "/part/a", "Method Not Allowed\n"),
        ("GET", "/partly", "whole's fallback"),
        ("GET", "/", "whole's fallback"),
        ("GET", "/part/c", "c 6"),
    ];
    for (method, path, expected) in cases {
        assert_eq!(text(&answer(&app, method, path)), expected, "{method} {path}");
    }
}

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

#[test]
fn paths_are_compared_by_meaning() {
    let router = Router::new()
        .get("/café/{name}", route)
        .get("/caf%C3%A9-2", route)
        .get("/a b", route)
        .get("/admin", route)
        .get("/{one}/x/{two}", route)
        .get("/dots/{*path}", route);
    let app = app(router, ());
    let cases: &[(&str, u16, &str)] = &[
        ("/caf%C3%A9/x", 200, "/café/{name} name=x"),
        ("/caf%c3%a9/%7A%2fy%20", 200, "/café/{name} name=z/y "),
        ("/caf%c3%a9-2", 200, "/caf%C3%A9-2"),
        ("/a%20b", 200, "/a b"),
        ("/%61dmin", 200, "/admin"),
        ("/admi%6E", 200, "/admin"),
        ("/%61/%78/%62", 200, "/{one}/x/{two} one=a two=b"),
        ("/a%2Fb/x/%41c%41", 200, "/{one}/x/{two} one=a/b two=AcA"),
        ("/dots/%2e%2E/a", 200, "/dots/{*path} path=../a"),
        ("/admin%2F", 404, "Not Found\n"),
        ("/%2Fadmin", 404, "Not Found\n"),
        ("/%2561dmin", 404, "Not Found\n"),
        ("/admin%00", 404, "Not Found\n"),
        ("/caf%E9-2", 404, "Not Found\n"),
        ("/caf%C3%A9/%", 200, "/café/{name} name=%"),
    ];
    for (path, status, body) in cases {
        let response = answer(&app, "GET", path);
        assert_eq!((response.status().as_u16(), text(&response)), (*status, *body), "{path}");
    }
}

#[test]
fn the_path_is_there_raw_and_decoded() {
    let app = app(
        Router::new()
            .get("/decoded/{*rest}", async |_: &(), req: Request| -> Result<String> {
                Ok(format!("{} {}", req.path(), req.path_decoded()?))
            })
            .get("/param/{a}", async |_, req: Request| req.param::<String>("a")),
        (),
    );
    for (path, status, body) in [
        ("/decoded/a%2Fb+c", 200, "/decoded/a%2Fb+c /decoded/a/b+c"),
        ("/decoded/%C3%A9", 200, "/decoded/%C3%A9 /decoded/é"),
        ("/decoded/%FF", 400, "the path is not UTF-8\n"),
        ("/param/%C3", 400, "path parameter `a` is not UTF-8\n"),
        ("/param/%C3%A9", 200, "é"),
    ] {
        let response = answer(&app, "GET", path);
        assert_eq!((response.status().as_u16(), text(&response)), (status, body), "{path}");
    }
}

#[test]
fn limits_tell_paths_apart() {
    let uuid = "0190163d-8694-739b-aea5-966c26f8ad91";
    let patterns = [
        "/{*all}",
        "/u/{name}",
        "/u/{id:int}",
        "/u/{id:uuid}",
        "/u/me",
        "/only/{id:uint}",
        "/deep/{id:int}/x",
        "/deep/{name}/{*rest}",
        "/n-{n:uint}.txt",
    ];
    let router = patterns.iter().fold(Router::new(), |router, pattern| router.get(pattern, route));
    let app = app(router, ());
    let cases: &[(String, String)] = &[
        ("/u/me".into(), "/u/me".into()),
        ("/u/7".into(), "/u/{id:int} id=7".into()),
        ("/u/%37".into(), "/u/{id:int} id=7".into()),
        ("/u/-7".into(), "/u/{id:int} id=-7".into()),
        ("/u/9223372036854775808".into(), "/u/{name} name=9223372036854775808".into()),
        (format!("/u/{uuid}"), format!("/u/{{id:uuid}} id={uuid}")),
        ("/u/ada".into(), "/u/{name} name=ada".into()),
        ("/only/7".into(), "/only/{id:uint} id=7".into()),
        ("/only/-7".into(), "/{*all} all=only/-7".into()),
        ("/deep/7/x".into(), "/deep/{id:int}/x id=7".into()),
        ("/deep/a/x".into(), "/deep/{name}/{*rest} name=a rest=x".into()),
        ("/n-5.txt".into(), "/n-{n:uint}.txt n=5".into()),
        ("/n-x.txt".into(), "/{*all} all=n-x.txt".into()),
    ];
    for (path, expected) in cases {
        let response = answer(&app, "GET", path);
        assert_eq!((response.status().as_u16(), text(&response)), (200, &**expected), "{path}");
    }
    assert_eq!(answer(&app, "GET", "/").status(), 404);
}

#[test]
fn shapes_that_a_tree_cannot_tell_apart_are_told_apart() {
    let patterns = [
        "/{*all}",
        "/{one}",
        "/a/{*rest}",
        "/a/{one}",
        "/{name}.png",
        "/{name}.jpg",
        "/v{major}",
        "/v{major:int}-x",
        "/b/{n:int}",
        "/b/{*rest}",
    ];
    let router = patterns.iter().fold(Router::new(), |router, pattern| router.get(pattern, route));
    let app = app(router, ());
    let cases = [
        ("/x", "/{one} one=x"),
        ("/x/y", "/{*all} all=x/y"),
        ("/a/x", "/a/{one} one=x"),
        ("/a/x/y", "/a/{*rest} rest=x/y"),
        ("/a/", "/{*all} all=a/"),
        ("/x.png", "/{name}.png name=x"),
        ("/x.jpg", "/{name}.jpg name=x"),
        ("/x.gif", "/{one} one=x.gif"),
        ("/v7", "/v{major} major=7"),
        ("/v7-x", "/v{major:int}-x major=7"),
        ("/vx-x", "/v{major} major=x-x"),
        ("/b/7", "/b/{n:int} n=7"),
        ("/b/x", "/b/{*rest} rest=x"),
        ("/b/7/8", "/b/{*rest} rest=7/8"),
    ];
    for (path, expected) in cases {
        assert_eq!(text(&answer(&app, "GET", path)), expected, "{path}");
    }
}

#[test]
fn methods_of_paths_that_differ_in_limits_are_those_of_all_that_take_the_value() {
    let router = Router::new()
        .get("/u/{id:int}", route)
        .put("/u/{n:uint}", route)
        .delete("/u/{name}", route)
        .get("/only/{id:int}", route)
        .post("/only/{a}/{*b}", route);
    let app = app(router, ());
    let cases = [
        ("GET", "/u/7", 200, "/u/{id:int} id=7", None),
        ("PUT", "/u/7", 200, "/u/{n:uint} n=7", None),
        ("DELETE", "/u/7", 200, "/u/{name} name=7", None),
        ("POST", "/u/7", 405, "Method Not Allowed\n", Some("DELETE, GET, HEAD, OPTIONS, PUT")),
        ("OPTIONS", "/u/7", 204, "", Some("DELETE, GET, HEAD, OPTIONS, PUT")),
        ("PUT", "/u/-7", 405, "Method Not Allowed\n", Some("DELETE, GET, HEAD, OPTIONS")),
        ("GET", "/u/x", 405, "Method Not Allowed\n", Some("DELETE, OPTIONS")),
        ("GET", "/only/x", 404, "Not Found\n", None),
        ("POST", "/only/7", 405, "Method Not Allowed\n", Some("GET, HEAD, OPTIONS")),
    ];
    for (method, path, status, body, allow) in cases {
        let response = answer(&app, method, path);
        let found = response.headers().get(ALLOW).map(|value| value.to_str().unwrap());
        assert_eq!(
            (response.status().as_u16(), text(&response), found),
            (status, body, allow),
            "{method} {path}"
        );
    }
}

#[cfg(feature = "regex")]
#[test]
fn a_limit_may_be_a_regular_expression() {
    let router = Router::new()
        .get("/{name:[a-z]+}", route)
        .get("/{code:[a-z]{2}\\d{2,3}}", route)
        .get("/{*rest}", route);
    let app = app(router, ());
    for (path, expected) in [
        ("/abc", "/{name:[a-z]+} name=abc"),
        ("/ab123", "/{code:[a-z]{2}\\d{2,3}} code=ab123"),
        ("/ab1234", "/{*rest} rest=ab1234"),
        ("/abc%0A", "/{*rest} rest=abc\n"),
    ] {
        let response = answer(&app, "GET", path);
        assert_eq!((response.status().as_u16(), text(&response)), (200, expected), "{path}");
    }
}

#[test]
fn names_lead_back_to_paths() {
    async fn link(_: &(), req: Request) -> Result<String> {
        let id = req.query_string().unwrap_or("7");
        Ok(format!(
            "{} {}",
            req.url_for("user", &[("id", id)])?,
            req.url_for("admin.user", &[("side", "x"), ("id", id)])?
        ))
    }
    let admin = Router::new().get("/{id}", link).name("user").namespace("admin");
    let router = Router::new()
        .get("/", link)
        .get("/users/{id:int}", link)
        .name("user")
        .post("/users/{id:int}", link)
        .name("user")
        .nest("/admin/{side}", admin)
        .fallback(link);
    assert_eq!(router.url_for("admin.user", &[("side", "a/b"), ("id", "c")]).unwrap(), "/admin/a%2Fb/c");
    assert!(router.url_for("nobody", &[]).is_err());
    let listed: Vec<_> = router.routes().map(|route| (route.name, route.path)).collect();
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(
        listed,
        [
            (None, "/".to_owned()),
            (named("user"), "/users/{id:int}".to_owned()),
            (named("user"), "/users/{id:int}".to_owned()),
            (named("admin.user"), "/admin/{side}/{id}".to_owned()),
        ]
    );
    let app = app(router, ());
    assert_eq!(app.url_for("user", &[("id", "-1")]).unwrap(), "/users/-1");
    assert_eq!(app.routes().filter(|route| route.method == Some(Method::POST)).count(), 1);
    for (path, status, body) in [
        ("/", 200, "/users/7 /admin/x/7"),
        ("/?8", 200, "/users/8 /admin/x/8"),
        ("/none", 200, "/users/7 /admin/x/7"),
        ("/?x", 500, "Internal Server Error\n"),
    ] {
        let response = answer(&app, "GET", path);
        assert_eq!((response.status().as_u16(), text(&response)), (status, body), "{path}");
    }
}

#[test]
fn hosts_have_routes_of_their_own() {
    fn says(text: &'static str) -> impl AsyncFn(&Log, Request) -> String {
        async move |_: &Log, req: Request| format!("{text} {}", req.route())
    }
    let api = Router::new().get("/x", says("api")).post("/only", says("api")).with(Log::inner);
    let shop = Router::new().get("/x", says("shop")).fallback(says("shop's fallback")).append_slash();
    let router = Router::new()
        .get("/x", says("any"))
        .get("/y", says("any"))
        .host("API.example.com", api)
        .host("*.example.com", Router::new().get("/x", says("mask")))
        .host("*.shop.example.com", shop)
        .host("[::1]", Router::new().get("/x", says("v6")))
        .with(Log::outer);
    assert_eq!(
        router.routes().filter_map(|route| route.host).collect::<Vec<_>>(),
        ["API.example.com", "API.example.com", "*.example.com", "*.shop.example.com", "[::1]"]
    );
    let app = app(router, Log::default());
    let long = "a.".repeat(1000) + "example.com";
    let cases: &[(&str, &str, u16, &str)] = &[
        ("api.example.com", "/x", 200, "api /x"),
        ("Api.Example.COM:8080", "/x", 200, "api /x"),
        ("api.example.com.", "/x", 200, "api /x"),
        ("api.example.com", "/y", 404, "Not Found\n"),
        ("api.example.com", "/only", 405, "Method Not Allowed\n"),
        ("b.example.com", "/x", 200, "mask /x"),
        ("c.b.example.com", "/x", 200, "mask /x"),
        ("a.shop.example.com:1", "/x", 200, "shop /x"),
        ("a.shop.example.com", "/z", 200, "shop's fallback "),
        ("shop.example.com", "/x", 200, "mask /x"),
        ("example.com", "/x", 200, "any /x"),
        (".example.com", "/x", 200, "any /x"),
        ("notexample.com", "/x", 200, "any /x"),
        ("[::1]:80", "/x", 200, "v6 /x"),
        ("[::2]", "/x", 200, "any /x"),
        ("", "/x", 200, "any /x"),
        (&long, "/x", 200, "any /x"),
        ("other", "/y", 200, "any /y"),
    ];
    for (host, path, status, body) in cases {
        let response = answer_to(&app, format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes());
        assert_eq!((response.status().as_u16(), text(&response)), (*status, *body), "{host} {path}");
    }
    let absolute = answer_to(&app, b"GET http://api.example.com/x HTTP/1.1\r\nhost: other\r\n\r\n");
    assert_eq!(text(&absolute), "api /x");
    assert_eq!(text(&answer_to(&app, b"GET /x HTTP/1.0\r\n\r\n")), "any /x");
    app.state().lines.borrow_mut().clear();
    answer_to(&app, b"GET /none HTTP/1.1\r\nhost: api.example.com\r\n\r\n");
    assert_eq!(*app.state().lines.borrow(), "outer() inner() 404/inner 404/outer ");
}

#[test]
fn slashes_are_made_good_where_a_router_says_so() {
    let strict = Router::new().get("/a", route).get("/b/", route);
    let router = Router::new()
        .get("/dir/", route)
        .get("/dir/{name}/", route)
        .get("/file", route)
        .post("/post/", route)
        .nest("/evil.example", Router::new().get("/", route).remove_slash())
        .append_slash()
        .merge_slashes()
        .nest("/removes", Router::new().get("/x", route).get("/y/{*rest}", route).remove_slash());
    let app = app(
        Router::new().nest("/strict", strict).nest("/", router).with(async |_, req, next: Next<'_, ()>| {
            next.run(req).await.with_header(http::header::VIA, http::HeaderValue::from_static("x"))
        }),
        (),
    );
    let cases = [
        ("GET", "/dir", 308, "/dir/"),
        ("GET", "/dir?a=/b//c", 308, "/dir/?a=/b//c"),
        ("GET", "/dir/caf%C3%A9", 308, "/dir/caf%C3%A9/"),
        ("GET", "/dir/a%2F%2fb", 308, "/dir/a%2F%2fb/"),
        ("GET", "//dir", 308, "/dir/"),
        ("GET", "/dir//", 308, "/dir/"),
        ("GET", "//dir//x", 308, "/dir/x/"),
        ("GET", "///file", 308, "/file"),
        ("GET", "/file/", 404, ""),
        ("HEAD", "/dir", 308, "/dir/"),
        ("POST", "/dir", 404, ""),
        ("POST", "/post", 308, "/post/"),
        ("GET", "/removes/x/", 308, "/removes/x"),
        ("GET", "/removes//x/", 308, "/removes/x"),
        ("GET", "/removes/y/a/", 200, ""),
        ("GET", "/strict/a/", 404, ""),
        ("GET", "/strict/b", 404, ""),
        ("GET", "/strict//a", 404, ""),
        ("GET", "//evil.example", 308, "/evil.example"),
        ("GET", "//evil.example/", 308, "/evil.example"),
        ("GET", "///evil.example//", 308, "/evil.example"),
        ("GET", "/%2Fevil.example", 404, ""),
        ("GET", "/%5Cevil.example", 404, ""),
        ("GET", "/", 404, ""),
        ("GET", "//", 404, ""),
    ];
    for (method, path, status, location) in cases {
        let response = answer(&app, method, path);
        let found =
            response.headers().get(http::header::LOCATION).map_or("", |value| value.to_str().unwrap());
        assert_eq!((response.status().as_u16(), found), (status, location), "{method} {path}");
        assert_eq!(response.headers()[http::header::VIA], "x", "{method} {path}");
    }
}

#[test]
fn without_merging_no_redirect_begins_with_two_slashes() {
    let router = Router::new().get("/{a}/{b}/", route).get("/x", route).append_slash().remove_slash();
    let app = app(router, ());
    for (path, status) in
        [("/a/b", 308), ("//b", 404), ("//evil.example/b", 404), ("//evil.example//", 404), ("//x", 404)]
    {
        assert_eq!(answer(&app, "GET", path).status(), status, "{path}");
    }
}
