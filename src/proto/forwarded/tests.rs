//! Who the client is, by the fields of honest and hostile chains of proxies.
#![forbid(unsafe_code)]

use http::header::FORWARDED;

use super::*;

fn trusted() -> Vec<IpNetwork> {
    ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).to_vec()
}

fn said(
    fields: ProxyFields,
    lines: &[(&str, &str)],
) -> Option<(Option<String>, Option<&'static str>, Option<String>)> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let found = resolve(&headers, fields, &trusted())?;
    Some((found.client.map(|client| client.to_string()), found.scheme, found.host.map(Cow::into_owned)))
}

fn client_by_forwarded(lines: &[&str]) -> Option<Option<String>> {
    let lines: Vec<_> = lines.iter().map(|line| (FORWARDED.as_str(), *line)).collect();
    said(ProxyFields::Forwarded, &lines).map(|found| found.0)
}

fn client_by_x_forwarded(lines: &[&str]) -> Option<Option<String>> {
    let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
    said(ProxyFields::XForwarded, &lines).map(|found| found.0)
}

#[test]
fn rfc7239_4_the_client_is_the_first_from_the_end_who_is_not_trusted() {
    // `None`: nobody is named; `Some("")`: unknown.
    const CASES: &[(&[&str], Option<&str>)] = &[
        (&[], None),
        (&[""], None),
        (&[" , ,"], None),
        (&["for=192.0.2.60;proto=http;by=203.0.113.43"], Some("192.0.2.60")),
        (&["For=\"[2001:db8:cafe::17]:4711\""], Some("2001:db8:cafe::17")),
        (&["for=192.0.2.43, for=198.51.100.17"], Some("198.51.100.17")),
        (&["for=192.0.2.43, for=10.0.0.1"], Some("192.0.2.43")),
        (&["for=192.0.2.43", "for=10.0.0.1"], Some("192.0.2.43")),
        (&["for=10.0.0.1"], Some("10.0.0.1")),
        (&["for=192.0.2.1, for=\"[fd00::1]\", for=\"10.0.0.2:80\""], Some("192.0.2.1")),
        (&["for=\"192.0.2.43:47011\" ; by=x"], Some("192.0.2.43")),
        (&["for=\"192.0.2.43:_gazonk\""], Some("192.0.2.43")),
        (&["for=\"1\\92.0.2.43\""], Some("192.0.2.43")),
        (&["for=[2001:db8::1]:80"], Some("2001:db8::1")),
        (&["for=\"::ffff:192.0.2.1\""], Some("192.0.2.1")),
        (&[";;for=192.0.2.1;;"], Some("192.0.2.1")),
        (&["for=192.0.2.1;ext=\"a, for=6.6.6.6; \\\"\""], Some("192.0.2.1")),
        (&["for=unknown"], Some("")),
        (&["for=192.0.2.1, for=unknown"], Some("")),
        (&["for=\"_gazonk\""], Some("")),
        (&["proto=https"], Some("")),
    ];
    for (lines, expected) in CASES {
        let expected = expected.map(|client| (!client.is_empty()).then(|| client.to_owned()));
        assert_eq!(client_by_forwarded(lines), expected, "{lines:?}");
    }
}

#[test]
fn a_client_cannot_name_itself_in_forwarded() {
    // Its own text comes first, on the proxy's line or on one before it: 203.0.113.9 is what the proxy saw.
    const FORGED: &[&str] = &[
        "for=10.0.0.1",
        "for=10.0.0.1;",
        "for=10.0.0.1,",
        "for=\"",
        "for=\"10.0.0.1",
        "for=\"10.0.0.1\\",
        "for=\"10.0.0.1\" garbage",
        "for=10.0.0.1;for=10.0.0.2",
        "for",
        "=",
        "for =10.0.0.1",
        "for= 10.0.0.1",
        "for=10.0.0.1 for=10.0.0.2",
        "\u{e9}",
        "((",
    ];
    for forged in FORGED {
        for honest in ["for=203.0.113.9", "for=\"203.0.113.9\"", "for=\"203.0.113.9:80\";by=\"_x\""] {
            let on_lines = client_by_forwarded(&[forged, honest]);
            assert_eq!(on_lines, Some(Some("203.0.113.9".to_owned())), "{forged} / {honest}");
            let joined = client_by_forwarded(&[&format!("{forged}, {honest}")]);
            let is_harmless =
                matches!(&joined, Some(None)) || joined.as_ref() == Some(&Some("203.0.113.9".to_owned()));
            assert!(is_harmless, "{forged}, {honest}: {joined:?}");
        }
    }
}

#[test]
fn x_forwarded_for_is_walked_from_its_end() {
    const CASES: &[(&[&str], Option<&str>)] = &[
        (&[], None),
        (&["192.0.2.1"], Some("192.0.2.1")),
        (&["192.0.2.1:1234"], Some("192.0.2.1")),
        (&["2001:db8::1"], Some("2001:db8::1")),
        (&["[2001:db8::1]"], Some("2001:db8::1")),
        (&["[2001:db8::1]:80"], Some("2001:db8::1")),
        (&["6.6.6.6, 192.0.2.1"], Some("192.0.2.1")),
        (&["6.6.6.6,192.0.2.1 , 10.0.0.1"], Some("192.0.2.1")),
        (&["6.6.6.6", "192.0.2.1", "10.0.0.1, fd00::1"], Some("192.0.2.1")),
        (&["10.0.0.3, 10.0.0.2"], Some("10.0.0.3")),
        (&["garbage, 192.0.2.1"], Some("192.0.2.1")),
        (&["192.0.2.1, garbage"], Some("")),
        (&["192.0.2.1, garbage, 10.0.0.1"], Some("")),
        (&["192.0.2.1,"], Some("")),
        (&[""], Some("")),
        (&["192.0.2.1:"], Some("")),
        (&["192.0.2.1:65536"], Some("")),
        (&["192.0.2.1:+1"], Some("")),
        (&["[2001:db8::1"], Some("")),
        (&["[2001:db8::1]x"], Some("")),
        (&["192.0.2.256"], Some("")),
        (&["192.0.2"], Some("")),
        (&["fe80::1%eth0"], Some("")),
        (&["\u{e9}"], Some("")),
    ];
    for (lines, expected) in CASES {
        let expected = expected.map(|client| (!client.is_empty()).then(|| client.to_owned()));
        assert_eq!(client_by_x_forwarded(lines), expected, "{lines:?}");
    }
}

#[test]
fn the_walk_has_an_end() {
    let many = vec!["10.0.0.1"; 10_000].join(",");
    assert_eq!(client_by_x_forwarded(&[&many]), Some(Some("10.0.0.1".to_owned())));
    let many = vec!["for=10.0.0.1"; 5_000].join(",");
    assert_eq!(client_by_forwarded(&[&many]), Some(Some("10.0.0.1".to_owned())));
}

#[test]
fn scheme_and_host_are_those_of_the_outermost_trusted_hop() {
    let forwarded =
        |line| said(ProxyFields::Forwarded, &[("forwarded", line)]).map(|found| (found.1, found.2));
    let some = |host: &str| Some(host.to_owned());
    assert_eq!(
        forwarded("for=192.0.2.1;proto=https;host=\"a.example:8443\", for=10.0.0.1;proto=http;host=b"),
        Some((Some("https"), some("a.example:8443")))
    );
    assert_eq!(
        forwarded("for=6.6.6.6;proto=http;host=evil, for=192.0.2.1;proto=HTTPS;host=a"),
        Some((Some("https"), some("a")))
    );
    assert_eq!(forwarded("for=192.0.2.1, for=10.0.0.1;proto=https"), Some((Some("https"), None)));
    assert_eq!(forwarded("for=192.0.2.1;proto=gopher;host=\"a b\""), Some((None, None)));

    let x = |client: &str, proto: &str, host: &str| {
        let lines = [("x-forwarded-for", client), ("x-forwarded-proto", proto), ("x-forwarded-host", host)];
        said(ProxyFields::XForwarded, &lines).map(|found| (found.1, found.2))
    };
    assert_eq!(x("192.0.2.1", "https", "a:80"), Some((Some("https"), some("a:80"))));
    assert_eq!(x("192.0.2.1, 10.0.0.1", "https, http", "a, b"), Some((Some("https"), some("a"))));
    assert_eq!(x("6.6.6.6, 192.0.2.1", "http, https", "evil, a"), Some((Some("https"), some("a"))));
    assert_eq!(x("192.0.2.1, 10.0.0.1", "https", "a"), Some((Some("https"), some("a"))));
    assert_eq!(x("192.0.2.1", "javascript", "a/b"), Some((None, None)));
    assert_eq!(x("192.0.2.1", "", "user@a"), Some((None, None)));
}

#[test]
fn fields_of_the_other_kind_are_a_clients() {
    assert_eq!(said(ProxyFields::XForwarded, &[("forwarded", "for=6.6.6.6")]), None);
    assert_eq!(
        said(ProxyFields::Forwarded, &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "https")]),
        None
    );
}

#[test]
fn who_is_a_proxy() {
    let peer = |text: &str| Some(text.parse().unwrap());
    assert!(is_proxy(&trusted(), peer("10.1.2.3:1")));
    assert!(is_proxy(&trusted(), peer("[::ffff:10.1.2.3]:1")));
    assert!(!is_proxy(&trusted(), peer("192.0.2.1:1")));
    assert!(is_proxy(&trusted(), None));
    assert!(!is_proxy(&[], peer("10.1.2.3:1")));
    assert!(!is_proxy(&[], None));
}
