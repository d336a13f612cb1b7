//! Paths that mean the same, paths told apart by limits or hosts, and paths made of names.
#![forbid(unsafe_code)]

use super::*;

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
    check(&app, cases);
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
    check(
        &app,
        &[
            ("/decoded/a%2Fb+c", 200, "/decoded/a%2Fb+c /decoded/a/b+c"),
            ("/decoded/%C3%A9", 200, "/decoded/%C3%A9 /decoded/é"),
            ("/decoded/%FF", 400, "the path is not UTF-8\n"),
            ("/param/%C3", 400, "path parameter `a` is not UTF-8\n"),
            ("/param/%C3%A9", 200, "é"),
        ],
    );
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
    check(
        &app,
        &[
            ("/", 200, "/users/7 /admin/x/7"),
            ("/?8", 200, "/users/8 /admin/x/8"),
            ("/none", 200, "/users/7 /admin/x/7"),
            ("/?x", 500, "Internal Server Error\n"),
        ],
    );
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
