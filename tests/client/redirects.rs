//! Redirects: what is followed, what goes along, what is refused.

use ringhttp::client::{AddressFilter, ErrorKind, Netrc};
use ringhttp::{Body, ClientConfig, HeaderValue, header};

use super::{answering, field, mirror, ok, text, with_config};

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\ncontent-length: 4\r\n\r\nmove")
}

/// `/STATUS/n` leads to `/STATUS/n-1`, down to 0; all else is given back.
fn countdown() -> ringhttp::testing::RawServer {
    answering(|request| {
        let mut parts = request.split([' ', '/']).skip(2);
        let numbers = (
            parts.next().and_then(|part| part.parse().ok()),
            parts.next().and_then(|part| part.parse().ok()),
        );
        match numbers {
            (Some(status), Some(1..)) => {
                redirect(status, &format!("/{status}/{}", numbers.1.unwrap_or(1_u32) - 1))
            }
            _ => ok(request),
        }
    })
}

#[test]
fn redirects_are_followed_on_one_connection_with_their_history() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = countdown();
        let answer = client.get(server.url("/302/3#part")).send().await.expect("an answer");
        assert_eq!(answer.url().as_str(), server.url("/302/0#part"));
        let history: Vec<_> =
            answer.history().iter().map(|step| (step.url.path().to_owned(), step.status.as_u16())).collect();
        assert_eq!(
            history,
            [("/302/3".to_owned(), 302), ("/302/2".to_owned(), 302), ("/302/1".to_owned(), 302)]
        );
        assert_eq!(answer.history()[0].headers["location"], "/302/2");
        assert_eq!((server.accepted(), client.stats().redirects, client.stats().requests), (1, 3, 1));
        assert!(answer.text().await.expect("text").starts_with("GET /302/0 HTTP/1.1\r\n"));
    });
}

#[test]
fn there_is_an_end_to_it() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = countdown();
        text(client.get(server.url("/302/10")).send().await).await;
        let error = client.get(server.url("/302/11")).send().await.expect_err("one too many");
        assert_eq!(error.kind(), ErrorKind::Redirect);
        assert_eq!(error.url(), Some(&*server.url("/302/1")));
        let error = client.get(server.url("/302/3")).redirects_max(2).send().await.expect_err("one too many");
        assert_eq!(error.kind(), ErrorKind::Redirect);
        let answer =
            client.get(server.url("/302/3")).redirects_max(0).send().await.expect("the redirect itself");
        assert_eq!((answer.status().as_u16(), answer.text().await.expect("text").as_str()), (302, "move"));
        let circle = answering(|_| redirect(307, "/"));
        let error = client.get(circle.url("/")).send().await.expect_err("for ever");
        assert_eq!(error.kind(), ErrorKind::Redirect);
    });
}

#[test]
fn methods_and_bodies_go_along_as_the_status_says() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = countdown();
        for (status, method, has_body) in [
            (301, "GET", false),
            (302, "GET", false),
            (303, "GET", false),
            (307, "POST", true),
            (308, "POST", true),
        ] {
            let sent = text(client.post(server.url(&format!("/{status}/1"))).json("body").send().await).await;
            assert!(sent.starts_with(&format!("{method} /{status}/0 ")), "{sent}");
            assert_eq!(sent.ends_with("\"body\""), has_body, "{sent}");
            assert_eq!(field(&sent, "content-type").is_some(), has_body, "{sent}");
            // A stream is sent once.
            let body = Body::stream(async |mut out| out.write("streamed").await);
            let result = client.post(server.url(&format!("/{status}/1"))).body(body).send().await;
            match result {
                Ok(answer) => assert!(!has_body && answer.status() == 200),
                Err(error) => assert!(has_body && error.kind() == ErrorKind::Redirect, "{error:?}"),
            }
        }
    });
}

#[test]
fn credentials_stay_at_home() {
    let mut config = ClientConfig::default();
    config.cookies = true;
    config.default_headers.insert("authorization", HeaderValue::from_static("Basic default"));
    config.default_headers.insert("x-own", HeaderValue::from_static("stays"));
    with_config(&config, async |_, client| {
        let elsewhere = mirror();
        let target = elsewhere.url("/there");
        let home = answering(move |request| match request.split(' ').nth(1) {
            Some("/away") => redirect(302, &target),
            Some("/near") => redirect(302, "/here"),
            _ => ok(request),
        });
        let ask = |path: &str| client.get(home.url(path)).cookie("k", "v").header("proxy-authorization", "p");
        for (request, own) in [(ask("/near"), "Basic default"), (ask("/near").bearer_auth("t"), "Bearer t")] {
            let sent = text(request.send().await).await;
            assert!(sent.starts_with("GET /here "), "{sent}");
            assert_eq!(field(&sent, "authorization"), Some(own));
            assert_eq!(field(&sent, "cookie"), Some("k=v"));
            assert_eq!(field(&sent, "proxy-authorization"), Some("p"));
        }
        for request in [ask("/away"), ask("/away").bearer_auth("t"), ask("/away").header("host", "home")] {
            let sent = text(request.send().await).await;
            assert!(sent.starts_with("GET /there "), "{sent}");
            for name in ["authorization", "cookie", "proxy-authorization"] {
                assert_eq!(field(&sent, name), None, "{sent}");
            }
            assert_eq!(field(&sent, "x-own"), Some("stays"));
            assert_eq!(field(&sent, "host"), Some(&*elsewhere.address().to_string()));
        }
        // Another request to there is its own affair.
        assert_eq!(
            field(&text(client.get(elsewhere.url("/")).send().await).await, "authorization"),
            Some("Basic default")
        );
        // Whoever is redirected does not take credentials out of the location.
        let address = elsewhere.address();
        let tempting = answering(move |_| redirect(302, &format!("http://user:password@{address}/")));
        let sent = text(client.get(tempting.url("/")).send().await).await;
        assert_eq!(field(&sent, "authorization"), None);
    });
}

#[test]
fn a_redirect_leads_to_http_only_and_to_allowed_addresses_only() {
    let mut config = ClientConfig::default();
    config.addresses = AddressFilter::public().allow("127.0.0.1/32".parse().expect("a network"));
    with_config(&config, async |_, client| {
        for (location, kind) in [
            ("file:///etc/passwd", ErrorKind::Redirect),
            ("ftp://127.0.0.1/", ErrorKind::Redirect),
            ("http://127.0.0.2/", ErrorKind::AddressRefused),
            ("http://2130706434/", ErrorKind::AddressRefused),
            ("http://0x7f.2/", ErrorKind::AddressRefused),
            ("http://[::ffff:127.0.0.2]/", ErrorKind::AddressRefused),
            ("http://169.254.169.254/latest/meta-data", ErrorKind::AddressRefused),
            ("https://127.0.0.2/", ErrorKind::AddressRefused),
        ] {
            let server = answering(move |_| redirect(302, location));
            let error = client.get(server.url("/")).send().await.expect_err("it is refused");
            assert_eq!(error.kind(), kind, "{location}: {error:?}");
        }
        let error = client.get("http://10.0.0.1/").send().await.expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::AddressRefused);
        let error = client.get("http://localhost:1/").send().await;
        assert!(error.is_err(), "nobody listens at the only address that is allowed");
    });
}

#[test]
fn a_redirect_without_a_location_is_an_answer() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = answering(|_| "HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n".to_owned());
        assert_eq!(client.get(server.url("/")).send().await.expect("an answer").status(), 302);
        let server = answering(|_| "HTTP/1.1 304 Not Modified\r\nlocation: /x\r\n\r\n".to_owned());
        assert_eq!(client.get(server.url("/")).send().await.expect("an answer").status(), 304);
    });
}

#[test]
fn who_asks_is_looked_up_for_the_first_url_alone() {
    let other = mirror();
    let there = other.url("/there").replace("127.0.0.1", "localhost");
    let server = answering(move |message| match message.starts_with("GET /away ") {
        true => redirect(307, &there),
        false => ok(message),
    });
    let mut config = ClientConfig::default();
    config.netrc =
        Netrc::parse("machine 127.0.0.1 login ada password pw default login guest").expect("a file");
    with_config(&config, async |_, client| {
        let who = |head: &str| field(head, "authorization").map(str::to_owned);
        let ada = Some("Basic YWRhOnB3".to_owned());
        assert_eq!(who(&text(client.get(server.url("/")).send().await).await), ada);
        let other = server.url("/").replace("127.0.0.1", "localhost");
        assert_eq!(who(&text(client.get(other).send().await).await), Some("Basic Z3Vlc3Q6".to_owned()));
        let head = text(client.get(server.url("/away")).send().await).await;
        assert_eq!((who(&head), head.starts_with("GET /there ")), (None, true));
        let head = text(client.get(server.url("/")).bearer_auth("x").send().await).await;
        assert_eq!(who(&head).as_deref(), Some("Bearer x"));
        let of_url = server.url("/").replace("//", "//eve:x@");
        assert_eq!(who(&text(client.get(of_url).send().await).await).as_deref(), Some("Basic ZXZlOng="));
        let nobody = client.get(server.url("/")).without_header(header::AUTHORIZATION);
        assert_eq!(who(&text(nobody.send().await).await), None);
    });
}
