//! What is a proxy, and what goes through which.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::*;

fn location(url: &str) -> Location {
    Location::parse(url, None).expect("a URL").0
}

fn goes_straight(except: &str, url: &str) -> bool {
    let proxies = Proxies::all(Proxy::new("http://p:1").unwrap()).except(except).unwrap();
    ProxyRoutes::new(&proxies).to(&location(url)).is_none()
}

#[test]
fn what_goes_straight() {
    const CASES: &[(&str, &str, bool)] = &[
        ("", "http://a.example/", false),
        ("*", "http://a.example/", true),
        ("a.example", "http://a.example/", true),
        ("a.example", "https://b.a.example:81/", true),
        (".a.example", "http://a.example/", true),
        ("*.a.example", "http://b.a.example/", true),
        ("A.Example.", "http://a.example./", true),
        ("a.example", "http://ba.example/", false),
        ("a.example", "http://example/", false),
        ("a.example:81", "http://a.example:81/", true),
        ("a.example:81", "http://a.example/", false),
        ("a.example:443", "https://a.example/", true),
        ("b, a.example\tc", "http://a.example/", true),
        ("b\u{fc}cher.example", "http://b\u{fc}cher.example/", true),
        ("127.0.0.1", "http://127.0.0.1:8080/", true),
        ("127.0.0.1:80", "http://127.0.0.1:8080/", false),
        ("10.0.0.0/8", "http://10.1.2.3/", true),
        ("10.0.0.0/8", "http://0x0a.1.2.3/", true),
        ("10.0.0.0/8", "http://[::ffff:10.1.2.3]/", true),
        ("10.0.0.0/8", "http://11.1.2.3/", false),
        ("10.0.0.0/8", "http://a.example/", false),
        ("3", "http://1.2.3.3/", false),
        ("::1", "http://[::1]/", true),
        ("[::1]:81", "http://[::1]:81/", true),
        ("[::1]:81", "http://[::1]/", false),
    ];
    for (except, url, expected) in CASES {
        assert_eq!(goes_straight(except, url), *expected, "{except} {url}");
    }
    for wrong in ["a:b", "a/b", "http://a", "a:99999", "10.0.0.1/8", "a@b", "."] {
        let error = Proxies::none().except(wrong).unwrap_err();
        assert!(error.to_string().contains(wrong), "{error}");
    }
}

#[test]
fn what_is_a_proxy() {
    for (url, origin, signs_in) in [
        ("http://p:3128", "http://p:3128", false),
        ("http://p:3128/", "http://p:3128", false),
        ("p:3128", "http://p:3128", false),
        ("P", "http://p", false),
        ("http://user:password@p:80", "http://p", true),
        ("socks5://p", "http://p:1080", false),
        ("SOCKS5H://user:password@p:80/", "http://p", true),
        ("socks5://[::1]", "http://[::1]:1080", false),
        ("socks5://[::1]:9", "http://[::1]:9", false),
        ("https://p", "https://p", false),
        ("HTTPS://ada:password@p:8443/", "https://p:8443", true),
    ] {
        let proxy = Proxy::new(url).unwrap();
        assert_eq!((&*proxy.origin, proxy.credentials.is_some()), (origin, signs_in), "{url}");
        assert!(!format!("{proxy:?}").contains("password"));
    }
    for url in [
        "ftp://p",
        "https://p/path",
        "socks4://p",
        "socks5://p/path",
        "socks5://",
        "http://p/path",
        "http://p?q",
        "",
        "http://",
    ] {
        let error = Proxy::new(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
    }
    let error = Proxy::new("ftp://user:secret@p/").unwrap_err();
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    assert!(Proxy::new("p").unwrap().header("host", "x").is_err());
    assert!(Proxy::new("p").unwrap().header("x", "a\r\nb").is_err());
}

#[test]
fn what_the_environment_says() {
    let find = |variables: &[(&str, &str)]| {
        let value =
            |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        Proxies::from_variables(value).map(|proxies| {
            let origin = |proxy: &Option<Arc<Proxy>>| {
                proxy.as_ref().map_or_else(String::new, |proxy| proxy.origin.to_string())
            };
            (origin(&proxies.http), origin(&proxies.https), proxies.except.len())
        })
    };
    let text = |http: &str, https: &str, except| Ok((http.to_owned(), https.to_owned(), except));
    let check = |variables: &[(&str, &str)], expected: std::result::Result<_, ErrorKind>| {
        assert_eq!(find(variables).map_err(|error| error.kind()), expected, "{variables:?}");
    };
    check(&[], text("", "", 0));
    check(&[("http_proxy", "a:1"), ("HTTP_PROXY", "b")], text("http://a:1", "", 0));
    check(&[("HTTP_PROXY", "b")], text("http://b", "", 0));
    check(&[("HTTP_PROXY", "b"), ("REQUEST_METHOD", "GET")], text("", "", 0));
    check(&[("http_proxy", "a"), ("REQUEST_METHOD", "GET")], text("http://a", "", 0));
    check(&[("ALL_PROXY", "a"), ("https_proxy", "b")], text("http://a", "http://b", 0));
    check(&[("https_proxy", " "), ("no_proxy", "a, b,c")], text("", "", 3));
    check(&[("all_proxy", "socks5://a")], text("http://a:1080", "http://a:1080", 0));
    check(&[("all_proxy", "socks4://a")], Err(ErrorKind::Config));
    check(&[("no_proxy", "a/b")], Err(ErrorKind::Config));
}
