//! Cookie pairs as clients send them, and what a cookie may and may not say.
#![forbid(unsafe_code)]

use super::*;

#[test]
fn rfc6265_5_4_pairs_are_found_in_order_and_broken_ones_passed_over() {
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: &[(&[u8], Pairs)] = &[
        (b"", &[]),
        (b"a=1", &[("a", "1")]),
        (b"a=1; b=2;c=3 ;\td=4\t", &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]),
        (b"a=1; a=2", &[("a", "1"), ("a", "2")]),
        (b"a=", &[("a", "")]),
        (b"a==b=", &[("a", "=b=")]),
        (b"a=\"q\"; b=\"; c=\"\"; d=\"x", &[("a", "q"), ("b", "\""), ("c", ""), ("d", "\"x")]),
        (b"a; =1; ; b=2", &[("b", "2")]),
        (b"a=%20+x", &[("a", "%20+x")]),
        (b"a=\xff; b=2; \xfe=1; c=\xc3\xa4", &[("b", "2"), ("c", "ä")]),
        (b"a,b=1,2; $Version=1", &[("a,b", "1,2"), ("$Version", "1")]),
        (b";;;;", &[]),
    ];
    for (field, expected) in cases {
        assert_eq!(pairs(field).collect::<Vec<_>>(), *expected, "b\"{}\"", field.escape_ascii());
    }
}

#[test]
fn any_bytes_are_read_without_a_panic_and_within_the_field() {
    let bytes = b"a=\"; \xff\xc3\xa4=;\0\x7f\"=";
    for start in 0..bytes.len() {
        for end in start..=bytes.len() {
            let field = &bytes[start..end];
            let read: usize = pairs(field).map(|(name, value)| name.len() + value.len()).sum();
            assert!(read <= field.len(), "b\"{}\"", field.escape_ascii());
        }
    }
}

/// A cookie, changed.
fn changed(change: impl FnOnce(&mut SetCookie)) -> SetCookie {
    let mut cookie = SetCookie::new("a", "1");
    change(&mut cookie);
    cookie
}

#[test]
fn rfc6265_4_1_1_every_attribute_is_written() {
    let all = changed(|cookie| {
        cookie.path = Some("/x y".into());
        cookie.domain = Some("example.com".into());
        cookie.max_age = Some(Duration::from_millis(61_900));
        cookie.expires = Some(UNIX_EPOCH + Duration::from_secs(784_111_777));
        cookie.secure = true;
        cookie.http_only = true;
        cookie.same_site = Some(SameSite::None);
        cookie.partitioned = true;
    });
    let cases: &[(SetCookie, &str)] = &[
        (SetCookie::new("a", "1"), "a=1; Path=/"),
        (changed(|cookie| cookie.path = None), "a=1"),
        (changed(|cookie| cookie.same_site = Some(SameSite::Strict)), "a=1; SameSite=Strict; Path=/"),
        (changed(|cookie| cookie.max_age = Some(Duration::MAX)), "a=1; Path=/; Max-Age=34560000"),
        (
            all,
            "a=1; HttpOnly; SameSite=None; Partitioned; Secure; Path=/x y; Domain=example.com; Max-Age=61; \
             Expires=Sun, 06 Nov 1994 08:49:37 GMT",
        ),
        (SetCookie::encoded("a", "ä;\r\n~"), "a=%C3%A4%3B%0D%0A~; Path=/"),
        (SetCookie::removal("a"), "a=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
        (
            SetCookie::removal("__Host-a"),
            "__Host-a=; Secure; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ),
    ];
    for (cookie, expected) in cases {
        assert_eq!(cookie.encode().unwrap(), expected);
    }
}

#[test]
fn rfc6265_4_1_1_bytes_that_would_mean_something_else_are_refused() {
    for byte in 0..=255_u8 {
        let character = char::from(byte);
        let value = changed(|cookie| cookie.value = format!("x{character}").into());
        let allowed = byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        assert_eq!(value.encode().is_ok(), allowed, "value {character:?}");
        let name = changed(|cookie| cookie.name = format!("x{character}").into());
        let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert_eq!(name.encode().is_ok(), token, "name {character:?}");
        let path = changed(|cookie| cookie.path = Some(format!("/{character}").into()));
        assert_eq!(path.encode().is_ok(), (b' '..0x7f).contains(&byte) && byte != b';', "path {character:?}");
        let domain = changed(|cookie| cookie.domain = Some(format!("a{character}").into()));
        let host = byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        assert_eq!(domain.encode().is_ok(), host, "domain {character:?}");
    }
}

#[test]
fn cookies_that_browsers_drop_are_refused_and_their_neighbours_not() {
    let host = |change: fn(&mut SetCookie)| {
        changed(|cookie| {
            cookie.name = "__Host-a".into();
            cookie.secure = true;
            change(cookie);
        })
    };
    let secure = |cookie: &mut SetCookie| cookie.secure = true;
    let none = |cookie: &mut SetCookie| cookie.same_site = Some(SameSite::None);
    let cases: Vec<(SetCookie, Result<(), CookieError>)> = vec![
        (SetCookie::new("", "1"), Err(CookieError::Name)),
        (SetCookie::new("a", "x".repeat(4095)), Ok(())),
        (SetCookie::new("a", "x".repeat(4096)), Err(CookieError::TooLong)),
        (changed(|cookie| cookie.path = Some("".into())), Err(CookieError::Path)),
        (changed(|cookie| cookie.path = Some("a".into())), Err(CookieError::Path)),
        (changed(|cookie| cookie.path = Some(format!("/{}", "x".repeat(1023)).into())), Ok(())),
        (
            changed(|cookie| cookie.path = Some(format!("/{}", "x".repeat(1024)).into())),
            Err(CookieError::TooLong),
        ),
        (changed(|cookie| cookie.domain = Some("".into())), Err(CookieError::Domain)),
        (changed(none), Err(CookieError::SecureMissing)),
        (changed(|cookie| [secure, none].iter().for_each(|change| change(cookie))), Ok(())),
        (changed(|cookie| cookie.partitioned = true), Err(CookieError::SecureMissing)),
        (SetCookie::new("__secure-a", "1"), Err(CookieError::Prefix)),
        (changed(|cookie| (cookie.name, cookie.secure) = ("__Secure-a".into(), true)), Ok(())),
        (host(|_| {}), Ok(())),
        (host(|cookie| cookie.secure = false), Err(CookieError::Prefix)),
        (host(|cookie| cookie.path = Some("/x".into())), Err(CookieError::Prefix)),
        (host(|cookie| cookie.path = None), Err(CookieError::Prefix)),
        (host(|cookie| cookie.domain = Some("a".into())), Err(CookieError::Prefix)),
        (changed(|cookie| cookie.expires = Some(UNIX_EPOCH - Duration::from_secs(1))), Ok(())),
        (changed(|cookie| cookie.expires = Some(UNIX_EPOCH + Duration::from_secs(253_402_300_799))), Ok(())),
        (
            changed(|cookie| cookie.expires = Some(UNIX_EPOCH + Duration::from_secs(253_402_300_800))),
            Err(CookieError::Expires),
        ),
    ];
    for (cookie, expected) in cases {
        assert_eq!(cookie.encode().map(drop), expected, "{cookie:?}");
    }
}
