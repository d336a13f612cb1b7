//! Cookies that are kept and sent back.

use ringhttp::ClientConfig;

use super::{answering, field, ok, text, with_config};

/// Sets the cookie that the query names, and gives the request back.
fn setting() -> ringhttp::testing::RawServer {
    answering(|request| {
        let query = request.split(' ').nth(1).and_then(|target| target.split_once('?'));
        let set = query
            .map_or(String::new(), |(_, cookie)| format!("set-cookie: {}\r\n", cookie.replace('+', "; ")));
        let leads = if request.contains("/go?") { ("302 Found", "location: /\r\n") } else { ("200 OK", "") };
        format!("HTTP/1.1 {}\r\n{set}{}content-length: {}\r\n\r\n{request}", leads.0, leads.1, request.len())
    })
}

#[test]
fn a_jar_is_filled_and_sent() {
    let mut config = ClientConfig::default();
    config.cookies = true;
    with_config(&config, async |_, client| {
        let server = setting();
        let cookie = async |path: &str| {
            let sent = text(client.get(server.url(path)).send().await).await;
            field(&sent, "cookie").map(str::to_owned)
        };
        assert_eq!(cookie("/?a=1").await, None);
        assert_eq!(cookie("/?b=2+Path=/deep").await.as_deref(), Some("a=1"));
        assert_eq!(cookie("/deep/x").await.as_deref(), Some("b=2; a=1"));
        assert_eq!(cookie("/?c=3+Secure").await.as_deref(), Some("a=1"));
        assert_eq!(cookie("/?a=4+Max-Age=100").await.as_deref(), Some("a=1"));
        let sent = text(client.get(server.url("/")).cookie("own", "5").send().await).await;
        assert_eq!(field(&sent, "cookie"), Some("own=5; a=4"));
        let sent = text(client.get(server.url("/?d=6")).cookies(false).send().await).await;
        assert_eq!(field(&sent, "cookie"), None);
        assert_eq!(cookie("/").await.as_deref(), Some("a=4"));
        assert_eq!(cookie("/?a=+Max-Age=0").await.as_deref(), Some("a=4"));
        assert_eq!(cookie("/").await, None);
        // Set by a redirect, it goes to where that leads.
        assert_eq!(cookie("/go?e=7").await.as_deref(), Some("e=7"));
        client.cookies().clear();
        client.cookies().set(&server.url("/"), "mine=8").expect("it may be set");
        assert_eq!(cookie("/").await.as_deref(), Some("mine=8"));
    });
}

#[test]
fn without_being_asked_none_is_kept() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = setting();
        text(client.get(server.url("/?a=1")).send().await).await;
        let sent = text(client.get(server.url("/")).send().await).await;
        assert_eq!((field(&sent, "cookie"), client.cookies().cookies().len()), (None, 0));
        let _ = ok("");
    });
}
