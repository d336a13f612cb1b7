//! What a jar takes and gives, by the tables of RFC 6265bis.

use std::time::Duration;

use super::*;

fn jar(cookies: &[(&str, &str)]) -> CookieJar {
    let jar = CookieJar::new();
    for (url, field) in cookies {
        jar.set(url, field).unwrap_or_else(|refused| panic!("{url} {field}: {refused}"));
    }
    jar
}

fn field(jar: &CookieJar, url: &str) -> String {
    jar.field_for(url).unwrap_or_default()
}

#[test]
fn rfc6265bis_5_7_domains() {
    type Case = (&'static str, &'static str, Result<(), CookieRefused>);
    const REFUSED: Result<(), CookieRefused> = Err(CookieRefused::Domain);
    const CASES: &[Case] = &[
        ("http://a.example/", "x=1", Ok(())),
        ("http://a.example/", "x=1; domain=a.example", Ok(())),
        ("http://b.a.example/", "x=1; domain=a.example", Ok(())),
        ("http://b.a.example/", "x=1; domain=.A.Example", Ok(())),
        ("http://a.example/", "x=1; domain=b.a.example", REFUSED),
        ("http://a.example/", "x=1; domain=b.example", REFUSED),
        ("http://ba.example/", "x=1; domain=a.example", REFUSED),
        ("http://a.example/", "x=1; domain=example", REFUSED),
        ("http://a.example./", "x=1; domain=example.", REFUSED),
        ("http://b.a.example./", "x=1; domain=a.example.", Ok(())),
        ("http://localhost/", "x=1; domain=localhost", Ok(())),
        ("http://127.0.0.1/", "x=1; domain=127.0.0.1", Ok(())),
        ("http://127.0.0.1/", "x=1; domain=0.0.1", REFUSED),
        ("http://[::1]/", "x=1", Ok(())),
        ("http://a.example/", "x\u{1}=1", Err(CookieRefused::Malformed)),
        ("http://a.example/", "x=1; secure", Err(CookieRefused::Secure)),
        ("https://a.example/", "__Host-x=1; secure; path=/", Ok(())),
        ("https://a.example/", "__Host-x=1; secure; path=/; domain=a.example", Err(CookieRefused::Prefix)),
        ("https://a.example/", "__Secure-x=1", Err(CookieRefused::Prefix)),
        ("ftp://a.example/", "x=1", Err(CookieRefused::Url)),
    ];
    for (url, cookie, expected) in CASES {
        assert_eq!(CookieJar::new().set(url, cookie), *expected, "{url} {cookie}");
    }
}

#[cfg(feature = "psl")]
#[test]
fn no_cookie_is_for_everybody_below_a_public_suffix() {
    let jar = CookieJar::new();
    for (url, domain) in
        [("http://a.co.uk/", "co.uk"), ("http://a.github.io/", "github.io"), ("http://a.co.uk./", "co.uk.")]
    {
        assert_eq!(jar.set(url, &format!("x=1; domain={domain}")), Err(CookieRefused::Domain));
    }
    jar.set("http://github.io/", "x=1; domain=github.io").expect("its own");
    assert_eq!(field(&jar, "http://a.github.io/"), "", "for that host only");
    jar.set("http://b.a.co.uk/", "x=1; domain=a.co.uk").expect("its own");
    assert_eq!(field(&jar, "http://a.co.uk/"), "x=1");
}

#[test]
fn rfc6265bis_5_8_3_which_cookies_go_where() {
    let jar = jar(&[
        ("https://a.example/docs/page", "host=1"),
        ("https://a.example/", "domain=2; domain=a.example; path=/"),
        ("https://a.example/", "secure=3; secure; path=/"),
        ("https://a.example/", "deep=4; path=/docs/x"),
        ("https://a.example/", "slash=5; path=/docs/"),
        ("http://127.0.0.1/", "address=6"),
    ]);
    const CASES: &[(&str, &str)] = &[
        ("https://a.example/", "domain=2; secure=3"),
        ("http://a.example/", "domain=2"),
        ("https://a.example/docs", "host=1; domain=2; secure=3"),
        ("https://a.example/docs/", "slash=5; host=1; domain=2; secure=3"),
        ("https://a.example/docs/x/y?z", "deep=4; slash=5; host=1; domain=2; secure=3"),
        ("https://a.example/docsx", "domain=2; secure=3"),
        ("http://b.a.example/docs/x", "domain=2"),
        ("http://ba.example/", ""),
        ("http://example/", ""),
        ("http://127.0.0.1:8080/", "address=6"),
        ("http://1.127.0.0.1.example/", ""),
    ];
    for (url, expected) in CASES {
        assert_eq!(field(&jar, url), *expected, "{url}");
    }
}

#[test]
fn a_later_cookie_takes_the_place_of_an_earlier_one_in_its_order() {
    let jar = jar(&[
        ("http://a.example/", "x=1"),
        ("http://a.example/", "y=2"),
        ("http://a.example/", "x=3"),
        ("http://a.example/", "=nameless"),
    ]);
    assert_eq!(field(&jar, "http://a.example/"), "x=3; y=2; nameless");
    jar.set("http://a.example/", "x=; max-age=0").expect("a removal");
    jar.set("http://a.example/", "y=; expires=Thu, 01 Jan 1970 00:00:00 GMT").expect("a removal");
    assert_eq!(field(&jar, "http://a.example/"), "nameless");
    jar.set("http://a.example/", "x=9; max-age=-1; expires=Fri, 31 Dec 2099 00:00:00 GMT").expect("over");
    assert_eq!(field(&jar, "http://a.example/"), "nameless", "Max-Age goes before Expires");
    jar.clear();
    assert_eq!(jar.cookies(), []);
}

#[test]
fn a_secure_cookie_is_left_alone() {
    let jar = jar(&[("https://a.example/", "sid=good; secure; path=/login")]);
    for (url, cookie, expected) in [
        ("http://a.example/", "sid=evil; path=/login/x", Err(CookieRefused::Secure)),
        ("http://b.a.example/", "sid=evil; path=/login; domain=a.example", Err(CookieRefused::Secure)),
        ("http://a.example/", "sid=other; path=/elsewhere", Ok(())),
        ("http://b.example/", "sid=other; path=/login", Ok(())),
        ("https://a.example/", "sid=new; secure; path=/login", Ok(())),
    ] {
        assert_eq!(jar.set(url, cookie), expected, "{url} {cookie}");
    }
    assert_eq!(field(&jar, "https://a.example/login"), "sid=new");
}

#[test]
fn a_cookie_whose_time_is_over_stands_in_the_way_of_none() {
    let (jar, now) = (CookieJar::new(), SystemTime::now());
    let take = |url: &str, field: &str, seconds: u64| {
        let received = ReceivedCookie::parse(field.as_bytes()).unwrap();
        let now = now + Duration::from_secs(seconds);
        jar.0.borrow_mut().take(&locate(url).unwrap(), received, now)
    };
    assert_eq!(take("https://a.example/", "a=1; secure; max-age=1", 0), Ok(()));
    assert_eq!(take("http://a.example/", "b=1", 0), Ok(()));
    assert_eq!(take("http://a.example/", "a=2", 0), Err(CookieRefused::Secure));
    assert_eq!(take("http://a.example/", "a=2", 2), Ok(()));
    assert_eq!(field(&jar, "http://a.example/"), "b=1; a=2", "it is the later one");
}

#[test]
fn a_secure_cookie_makes_no_room_for_others() {
    let jar = jar(&[("https://a.example/", "sid=good; secure; path=/login")]);
    for number in 0..2 * DOMAIN_COOKIES_MAX {
        jar.set("http://a.example/", &format!("n{number}=x")).expect("it may be set");
    }
    let forged = jar.set("http://a.example/", "sid=evil; path=/login");
    assert_eq!(forged, Err(CookieRefused::Secure), "it is there still");
    for host in 0..=COOKIES_MAX {
        jar.set(&format!("http://h{host}.example/"), "x=1").expect("it may be set");
    }
    assert!(field(&jar, "https://a.example/login").contains("sid=good"));
}

#[test]
fn a_cookie_without_a_name_does_not_look_like_another() {
    let jar = jar(&[("https://a.example/", "sid=good; secure; path=/")]);
    let forged = jar.set("http://a.example/", "=sid=evil; path=/login");
    assert_eq!(forged, Err(CookieRefused::Malformed));
    assert_eq!(field(&jar, "https://a.example/login"), "sid=good");
}

#[test]
fn a_jar_is_bounded() {
    let jar = CookieJar::new();
    for number in 0..200 {
        jar.set("http://a.example/", &format!("n{number}=x")).expect("it may be set");
    }
    assert_eq!(jar.cookies().len(), DOMAIN_COOKIES_MAX);
    assert!(field(&jar, "http://a.example/").contains("n199=x"));
    for host in 0..4000 {
        jar.set(&format!("http://h{host}.example/"), "x=1").expect("it may be set");
        if host % 100 == 0 {
            assert!(!field(&jar, "http://h0.example/").is_empty(), "what is used stays: {host}");
        }
    }
    let count = jar.cookies().len();
    assert!((COOKIES_MAX * 9 / 10..=COOKIES_MAX).contains(&count), "{count}");
    assert_eq!(jar.0.borrow().count, count);
    assert!(!field(&jar, "http://h3999.example/").is_empty());
    assert_eq!(field(&jar, "http://h1.example/"), "");
}

#[test]
fn times_are_kept() {
    let (jar, now) = (CookieJar::new(), SystemTime::now());
    let take = |field: &[u8]| {
        let location = locate("http://a.example/").unwrap();
        jar.0.borrow_mut().take(&location, ReceivedCookie::parse(field).unwrap(), now).unwrap();
    };
    take(b"short=1; max-age=60");
    take(b"session=2");
    take(b"long=3; max-age=999999999");
    let at = |seconds: u64| {
        let location = locate("http://a.example/").unwrap();
        jar.0.borrow_mut().field(&location, now + Duration::from_secs(seconds)).unwrap_or_default()
    };
    assert_eq!(at(59), "short=1; session=2; long=3");
    assert_eq!(at(60), "session=2; long=3");
    assert_eq!(at(401 * 86_400), "session=2");
}

#[cfg(feature = "json")]
#[test]
fn a_jar_goes_through_json() {
    let before = jar(&[
        ("https://a.example/x/y", "a=\"1\"; secure; httponly; samesite=lax; max-age=1000"),
        ("http://b.a.example/", "b=2; domain=a.example; path=/z; expires=Fri, 31 Dec 2099 00:00:00 GMT"),
        ("http://127.0.0.1/", "c"),
    ]);
    let after = CookieJar::new();
    after.add_json(&before.to_json()).expect("it was written by a jar");
    let whole_seconds = |jar: &CookieJar| {
        let mut cookies = jar.cookies();
        for cookie in &mut cookies {
            let since = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            cookie.expires = cookie.expires.map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(since(at)));
        }
        cookies
    };
    assert_eq!(after.cookies(), whole_seconds(&before));
    assert_eq!(field(&after, "https://a.example/x/y"), "a=\"1\"");

    let good = r#"{"name":"n","value":"v","domain":"a.example","host_only":true,"path":"/","expires":null,"secure":false,"http_only":false,"same_site":null}"#;
    for (json, is_good) in [
        (format!("[{good}]"), true),
        ("[]".to_owned(), true),
        ("{}".to_owned(), false),
        ("[1]".to_owned(), false),
        (format!("[{good},{{}}]"), false),
        (format!("[{}]", good.replace("\"v\"", "\"v\\r\\nx: y\"")), false),
        (format!("[{}]", good.replace("\"v\"", "\"v; admin=1\"")), false),
        (format!("[{}]", good.replace("null}", "\"odd\"}")), false),
    ] {
        let jar = CookieJar::new();
        assert_eq!(jar.add_json(&json).is_ok(), is_good, "{json}");
        assert!(is_good || jar.cookies().is_empty());
    }
}
