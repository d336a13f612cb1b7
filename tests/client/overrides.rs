//! What one request does otherwise than its client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringhttp::client::{AddressFilter, CloseReason, ErrorKind, Proxies, Proxy};
use ringhttp::testing::RawServer;
use ringhttp::{Body, BodySender, ClientConfig};

use super::{answering, field, mirror, ok, text, until, with_config};

#[test]
fn limits_of_an_answer_hold_for_one_request_on_a_connection_that_all_share() {
    let server = answering(|message| {
        let trailers =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-a: 0123456789\r\n\r\n";
        if message.starts_with("GET /trailers ") { trailers.to_owned() } else { ok("hello") }
    });
    with_config(&ClientConfig::default(), async |_, client| {
        let get = |path: &str| client.get(server.url(path));
        for _ in 0..2 {
            assert_eq!(text(get("/").send().await).await, "hello");
            let made = client.stats().made;
            let long = get("/").head_bytes_max(40).send().await.expect_err("the head is longer");
            assert_eq!((long.kind(), client.stats().made), (ErrorKind::Protocol, made), "over the same one");
            let many = get("/").header_count_max(1).send().await.expect_err("it has two fields");
            assert_eq!(many.kind(), ErrorKind::Protocol);
            let answer = get("/trailers").trailer_bytes_max(10).send().await.expect("a head");
            assert_eq!(answer.bytes().await.expect_err("a longer trailer").kind(), ErrorKind::Protocol);
            assert_eq!(text(get("/trailers").send().await).await, "x");
        }
        // And the other way round: what was allowed to one is not to the next, over the same connection.
        assert_eq!(text(get("/").head_bytes_max(1 << 20).send().await).await, "hello");
        for request in
            [get("/").head_bytes_max(0), get("/").header_count_max(0), get("/").write_buffer_bytes_max(0)]
        {
            let error = request.send().await.expect_err("nothing could be read");
            assert!(
                error.kind() == ErrorKind::Request && error.to_string().contains("must not be 0"),
                "{error}"
            );
        }
    });
}

#[test]
fn addresses_of_a_host_for_one_request() {
    let (one, other) = (answering(|_| ok("one")), answering(|_| ok("other")));
    let elsewhere = mirror();
    let lead_away = elsewhere.url("/away");
    let leading = answering(move |message| {
        let to = if message.starts_with("GET /far ") { lead_away.as_str() } else { "/near" };
        if message.starts_with("GET /near ") {
            return ok("near");
        }
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
    });
    with_config(&ClientConfig::default(), async |_, client| {
        let get = |path: &str| client.get(format!("http://replicas.invalid{path}"));
        for _ in 0..2 {
            assert_eq!(text(get("/").host_addresses(&[one.address()]).send().await).await, "one");
            assert_eq!(text(get("/").host_addresses(&[other.address()]).send().await).await, "other");
        }
        assert_eq!(client.stats().made, 2, "each has connections of its own");
        let error = get("/").send().await.expect_err("the name has no address");
        assert_eq!(error.kind(), ErrorKind::Resolve);
        let dead = SocketAddr::from(([127, 0, 0, 1], 1));
        let tried = get("/").host_addresses(&[dead, other.address()]).send().await;
        assert_eq!(text(tried).await, "other", "one after the other");

        // The port of the URL, a proxy that is passed by, redirects here and away.
        let url = format!("http://replicas.invalid:{}/", one.address().port());
        let proxy = Proxies::all(Proxy::new(other.url("/")).expect("a proxy"));
        let here = [SocketAddr::from(([127, 0, 0, 1], 0))];
        assert_eq!(text(client.get(url).host_addresses(&here).proxies(&proxy).send().await).await, "one");
        let leading = [leading.address()];
        assert_eq!(text(get("/again").host_addresses(&leading).send().await).await, "near");
        let message = text(get("/far").host_addresses(&leading).send().await).await;
        assert_eq!(field(&message, "host"), Some(&*elsewhere.address().to_string()));

        let error = get("/").host_addresses(&[]).send().await.expect_err("nowhere");
        assert_eq!(error.kind(), ErrorKind::Request);
    });
    let mut config = ClientConfig::default();
    config.addresses = AddressFilter::public();
    with_config(&config, async |_, client| {
        let request = client.get("http://replicas.invalid/").host_addresses(&[one.address()]);
        assert_eq!(request.send().await.expect_err("not public").kind(), ErrorKind::AddressRefused);
    });
}

#[test]
fn whether_a_connection_is_used_again() {
    let server = mirror();
    with_config(&ClientConfig::default(), async |_, client| {
        let head = text(client.get(server.url("/")).keep_alive(false).send().await).await;
        assert_eq!((field(&head, "connection"), client.stats().idle), (Some("close"), 0));
        let head = text(client.get(server.url("/")).send().await).await;
        assert_eq!((field(&head, "connection"), client.stats().idle), (None, 1));
    });
    let mut config = ClientConfig::default();
    config.keep_alive = false;
    with_config(&config, async |_, client| {
        let head = text(client.get(server.url("/")).keep_alive(true).send().await).await;
        assert_eq!((field(&head, "connection"), client.stats().idle), (None, 1));
        let head = text(client.get(server.url("/")).send().await).await;
        assert_eq!((field(&head, "connection"), client.stats().idle), (Some("close"), 0));
        assert!(client.stats().closed.get(CloseReason::Failed) == 0, "{:?}", client.stats());
    });
}

/// A writer that may have one byte waiting waits for the kernel; one that may have a lot does not.
#[test]
fn how_much_of_a_body_waits() {
    // More than the kernel takes by itself.
    const PIECES: usize = 32;
    let written = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&written);
    let server = RawServer::start(move |mut peer| {
        let Some(head) = peer.read_head() else { return };
        // Nothing of the body is read.
        for _ in 0..1000 {
            peer.wait(Duration::from_millis(5));
            if head.starts_with("POST /little ") || seen.load(Ordering::SeqCst) == PIECES {
                break;
            }
        }
        peer.send(ok("seen"));
        peer.read_all();
    });
    with_config(&ClientConfig::default(), async |_, client| {
        for (path, bytes_max, all) in [("/little", 1, false), ("/all", 1 << 30, true)] {
            written.store(0, Ordering::SeqCst);
            let count = Arc::clone(&written);
            let body = Body::stream(async move |mut out: BodySender| {
                for _ in 0..PIECES {
                    out.write(vec![0; 1 << 20]).await?;
                    count.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            });
            let request = client.post(server.url(path)).body(body).write_buffer_bytes_max(bytes_max);
            let answer = request.send().await.expect("an answer");
            let count = written.load(Ordering::SeqCst);
            assert_eq!(count == PIECES, all, "{path}: {count} of {PIECES}");
            drop(answer);
            until("it to be closed", || client.stats().in_use == 0).await;
        }
    });
}

#[cfg(feature = "compression")]
#[test]
fn how_a_body_is_packed_and_how_much_may_be_unpacked() {
    use ringhttp::proto::content_coding::{ContentCoding, DecodeLimits, Encoder, Level};

    let packed = |text: &str| {
        let (mut encoder, mut out) = (Encoder::new(ContentCoding::Gzip, Level::Small), Vec::new());
        encoder.write(text.as_bytes(), &mut out);
        encoder.finish(&mut out);
        out
    };
    let zeros = packed(&"0".repeat(100_000));
    let server = RawServer::start(move |mut peer| {
        while let Some(head) = peer.read_head() {
            let length = field(&head, "content-length").map_or(0, |length| length.parse().expect("a number"));
            peer.read(length);
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nx-length: {length}\r\ncontent-length: {}\r\n\r\n",
                zeros.len()
            );
            peer.send([answer.as_bytes(), &zeros].concat());
        }
    });
    with_config(&ClientConfig::default(), async |_, client| {
        let mut limits = DecodeLimits::default();
        (limits.ratio_max, limits.ratio_free_bytes) = (2, 10);
        let request = client.get(server.url("/")).decode_limits(limits);
        let answer = request.send().await.expect("a head");
        assert_eq!(answer.bytes().await.expect_err("a bomb").kind(), ErrorKind::Decode);
        assert_eq!(text(client.get(server.url("/")).send().await).await.len(), 100_000);

        let words: String =
            (0..3000_u32).map(|number| format!("{} ", number.wrapping_mul(2_654_435_761))).collect();
        let mut lengths = Vec::new();
        for level in [Level::Fast, Level::Small] {
            let request = client.post(server.url("/")).body(words.clone());
            let answer = request.compress(Some(ContentCoding::Gzip)).compress_level(level).send().await;
            let answer = answer.expect("an answer");
            lengths.push(
                answer.headers()["x-length"].to_str().expect("ASCII").parse::<usize>().expect("a number"),
            );
            answer.discard().await;
        }
        assert!(lengths[1] < lengths[0], "{lengths:?}");
    });
}
