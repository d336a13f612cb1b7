//! What stands before handlers: in which order, and for which routes.
#![forbid(unsafe_code)]

use super::*;

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
