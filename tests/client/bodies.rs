//! Bodies of answers: how they end, how they are read, how large they may be; bodies of requests that come from elsewhere.

use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use ringhttp::client::{ErrorKind, Result};
use ringhttp::runtime::file::OpenFile;
use ringhttp::testing::{RawServer, each_driver, serve_on};
use ringhttp::{Client, ClientConfig, Request, Response, Router, ServerConfig};

use super::{answering, mirror, ok, text, with_config};

/// A server that sends `answer` to each request, then closes if it does not say where it ends.
fn sending(answer: impl Into<Vec<u8>>) -> RawServer {
    let answer = answer.into();
    RawServer::start(move |mut peer| {
        while peer.read_head().is_some() {
            peer.send(&answer);
            if !answer.windows(15).any(|window| window == b"content-length:" || window == b"transfer-encodi")
            {
                return;
            }
        }
    })
}

#[test]
fn every_way_to_end_a_body() {
    with_config(&ClientConfig::default(), async |_, client| {
        for (answer, body) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "hello"),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\na: b\r\n\r\n",
                "hello",
            ),
            ("HTTP/1.1 200 OK\r\n\r\nhello", "hello"),
            ("HTTP/1.0 200 OK\r\n\r\nhello", "hello"),
            ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", "hello"),
            ("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", ""),
            ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", ""),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""),
        ] {
            let server = sending(answer);
            for _ in 0..2 {
                assert_eq!(text(client.get(server.url("/")).send().await).await, body, "{answer}");
            }
            let is_kept = answer.contains("-") && answer.starts_with("HTTP/1.1");
            assert_eq!(server.accepted(), if is_kept { 1 } else { 2 }, "{answer}");
        }
    });
}

#[test]
fn a_length_without_a_body_is_no_length() {
    let mut config = ClientConfig::default();
    config.body_bytes_max = 1000;
    with_config(&config, async |_, client| {
        let server = sending("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
        for _ in 0..2 {
            let answer = client.head(server.url("/")).send().await.expect("an answer");
            assert_eq!(answer.length(), Some(1_000_000));
            assert!(answer.bytes().await.expect("it has no body").is_empty());
        }
        assert_eq!(server.accepted(), 1);
    });
}

#[test]
fn trailers_come_behind_the_body() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server =
            sending("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\nsum: 7\r\n\r\n");
        let mut answer = client.get(server.url("/")).send().await.expect("an answer");
        assert!(answer.trailers().is_none());
        while answer.chunk().await.expect("a piece").is_some() {}
        assert_eq!(answer.trailers().expect("there are some")["sum"], "7");
        assert!(answer.trailers().is_none(), "once");
        assert_eq!(client.stats().idle, 1);
    });
}

#[test]
fn a_body_that_is_too_large_is_not_gathered() {
    let mut config = ClientConfig::default();
    config.body_bytes_max = 1000;
    with_config(&config, async |_, client| {
        let long = "x".repeat(1001);
        for answer in [
            ok(&long),
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1f4\r\n{0}\r\n1f4\r\n{0}\r\n1\r\nx\r\n0\r\n\r\n",
                &long[..500]
            ),
            format!("HTTP/1.1 200 OK\r\n\r\n{long}"),
        ] {
            let server = sending(answer);
            let result = client.get(server.url("/")).send().await.expect("a head").bytes().await;
            assert_eq!(result.expect_err("it is too large").kind(), ErrorKind::BodyTooLarge);
            let larger = client.get(server.url("/")).body_bytes_max(1001).send().await;
            assert_eq!(larger.expect("a head").bytes().await.expect("it fits").len(), 1001);
            let mut answer = client.get(server.url("/")).send().await.expect("a head");
            let mut total = 0;
            while let Some(piece) = answer.chunk().await.expect("a piece") {
                total += piece.len();
            }
            assert_eq!(total, 1001, "who reads piece by piece has no limit");
        }
    });
}

#[test]
fn what_is_announced_and_does_not_come_costs_nothing() {
    let mut config = ClientConfig::default();
    config.body_bytes_max = usize::MAX;
    with_config(&config, async |_, client| {
        let server = RawServer::start(|mut peer| {
            if peer.read_head().is_some() {
                peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1_u64 << 63));
                // More than one read brings.
                peer.send(vec![b'x'; 4 << 20]);
            }
        });
        let result = client.get(server.url("/")).send().await.expect("a head").bytes().await;
        assert_eq!(result.expect_err("most of it is missing").kind(), ErrorKind::Body);
    });
}

#[test]
fn json_is_checked() {
    with_config(&ClientConfig::default(), async |_, client| {
        let json = |content_type: &str, body: &str| {
            let length = body.len();
            sending(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
        };
        let get = async |server: &RawServer| -> Result<Vec<u32>> {
            client.get(server.url("/")).send().await?.json().await
        };
        assert_eq!(get(&json("application/json; charset=utf-8", "[1, 2]")).await.expect("JSON"), [1, 2]);
        assert_eq!(get(&json("application/problem+json", "\u{feff}[3]")).await.expect("JSON"), [3]);
        for (content_type, body) in
            [("text/html", "[1]"), ("application/json", "[1"), ("application/json", "{}"), ("a\u{7f}", "[1]")]
        {
            let error = get(&json(content_type, body)).await.expect_err("it is none");
            assert!(matches!(error.kind(), ErrorKind::Decode | ErrorKind::Protocol), "{error:?}");
        }
        let server = json("text/html", "[1]");
        let any: Vec<u32> =
            client.get(server.url("/")).send().await.expect("a head").json_of_any_type().await.expect("JSON");
        assert_eq!(any, [1]);
    });
}

#[test]
fn text_is_of_its_character_set() {
    with_config(&ClientConfig::default(), async |_, client| {
        for (content_type, body, expected) in [
            ("text/plain", &b"gr\xc3\xbcn"[..], Some("grün")),
            ("text/plain; charset=\"ISO-8859-1\"", b"gr\xfcn", Some("grün")),
            ("text/plain", b"gr\xfcn", None),
            ("text/plain; charset=koi8-r", b"x", None),
        ] {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let server = sending([head.as_bytes(), body].concat());
            let found = client.get(server.url("/")).send().await.expect("a head").text().await;
            match expected {
                Some(expected) => assert_eq!(found.expect("text"), expected),
                None => assert_eq!(found.expect_err("no text").kind(), ErrorKind::Decode),
            }
        }
    });
}

#[cfg(feature = "compression")]
mod compressed {
    use ringhttp::proto::content_coding::{ContentCoding, Encoder, Level};

    use super::*;
    use crate::field;

    fn pack(coding: ContentCoding, body: &[u8]) -> Vec<u8> {
        let (mut encoder, mut packed) = (Encoder::new(coding, Level::Balanced), Vec::new());
        encoder.write(body, &mut packed);
        encoder.finish(&mut packed);
        packed
    }

    fn answer(coding: &str, body: &[u8]) -> Vec<u8> {
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    #[test]
    fn bodies_are_decompressed() {
        with_config(&ClientConfig::default(), async |_, client| {
            let body: Vec<u8> =
                (0..100_000_u32).flat_map(|number| (number / 100).to_string().into_bytes()).collect();
            for coding in ContentCoding::ALL {
                let server = sending(answer(coding.name(), &pack(*coding, &body)));
                let found = client.get(server.url("/")).send().await.expect("a head");
                assert!(!found.headers().contains_key("content-encoding") && found.length().is_none());
                assert_eq!(found.bytes().await.expect("a body"), body, "{}", coding.name());
                let found = client.head(server.url("/")).send().await.expect("a head");
                assert_eq!(found.headers()["content-encoding"], coding.name());
                let raw = client.get(server.url("/")).decompress(false).send().await.expect("a head");
                assert_eq!(raw.bytes().await.expect("a body"), pack(*coding, &body));
            }
            let unknown = sending(answer("snappy", b"as it is"));
            assert_eq!(text(client.get(unknown.url("/")).send().await).await, "as it is");
        });
    }

    #[test]
    fn what_is_accepted_is_said() {
        with_config(&ClientConfig::default(), async |_, client| {
            let server = mirror();
            let sent = text(client.get(server.url("/")).send().await).await;
            assert!(field(&sent, "accept-encoding").is_some_and(|names| names.contains("gzip")), "{sent}");
            let sent = text(client.get(server.url("/")).decompress(false).send().await).await;
            assert_eq!(field(&sent, "accept-encoding"), None);
        });
    }

    #[test]
    fn rfc9110_15_3_7_a_part_is_given_as_it_comes_and_asked_for_without_a_coding() {
        with_config(&ClientConfig::default(), async |_, client| {
            let part = pack(ContentCoding::Gzip, &b"hello".repeat(100))[5..15].to_vec();
            let head = "HTTP/1.1 206 Partial Content\r\ncontent-encoding: gzip\r\ncontent-range: bytes 5-14/*\r\n\
                        content-length: 10\r\n\r\n";
            let server = sending([head.as_bytes(), &part[..]].concat());
            let found = client.get(server.url("/")).send().await.expect("a head");
            assert_eq!(found.headers()["content-encoding"], "gzip");
            assert_eq!(found.length(), Some(10));
            assert_eq!(found.bytes().await.expect("a body"), part);
            let server = mirror();
            let ranged = || client.get(server.url("/")).header("range", "bytes=5-14");
            let sent = text(ranged().send().await).await;
            assert_eq!(field(&sent, "accept-encoding"), Some("identity"));
            let sent = text(ranged().header("accept-encoding", "gzip").send().await).await;
            assert_eq!(field(&sent, "accept-encoding"), Some("gzip"));
        });
    }

    #[test]
    fn bombs_and_broken_bodies_are_refused() {
        with_config(&ClientConfig::default(), async |_, client| {
            let bomb = pack(ContentCoding::Gzip, &vec![0; 64 << 20]);
            let mut cut = pack(ContentCoding::Gzip, &b"hello".repeat(100));
            cut.truncate(cut.len() - 9);
            for (coding, body) in [
                ("gzip", bomb),
                ("gzip", cut),
                ("gzip", b"no gzip at all".to_vec()),
                ("gzip, gzip", b"x".to_vec()),
            ] {
                let server = sending(answer(coding, &body));
                let result = async { client.get(server.url("/")).send().await?.bytes().await }.await;
                assert_eq!(result.expect_err("it is refused").kind(), ErrorKind::Decode);
                let mut total = 0;
                let Ok(mut found) = client.get(server.url("/")).send().await else { continue };
                let error = loop {
                    match found.chunk().await {
                        Ok(Some(piece)) => total += piece.len(),
                        Ok(None) => panic!("it has no end"),
                        Err(error) => break error,
                    }
                };
                assert!(total <= 2 << 20, "{total}");
                assert_eq!(found.chunk().await.expect_err("it stays so").kind(), error.kind());
            }
        });
    }
}

#[test]
fn a_file_is_sent_as_it_is() {
    let path = std::env::temp_dir().join(format!("ringhttp-client-{}.bin", std::process::id()));
    let content: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    fs::write(&path, &content).expect("a file");
    let count = content.len();
    let server = RawServer::start(move |mut peer| {
        while let Some(head) = peer.read_head() {
            assert_eq!(crate::field(&head, "content-length"), Some(&*count.to_string()));
            let body = peer.read(count);
            let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
            peer.send(ok(&sum.to_string()));
        }
    });
    let sum: u64 = content.iter().map(|byte| u64::from(*byte)).sum();
    with_config(&ClientConfig::default(), async |_, client| {
        for _ in 0..2 {
            let file = OpenFile::open(&path).await.expect("it is there");
            assert_eq!(text(client.put(server.url("/")).body(file).send().await).await, sum.to_string());
        }
        assert_eq!(client.stats().made, 1);
    });
    fs::remove_file(&path).expect("it is there");
}

/// A server passes requests and answers on, while they still come.
#[test]
fn a_handler_passes_bodies_on() {
    let behind =
        || Router::new().post("/up", async |_: &(), request: Request| Response::new(request.into_body()));
    let front = || {
        Router::new()
            .post("/", async |state: &(Client, String), request: Request| {
                let answer = state.0.post(&state.1).body(request.into_body()).send().await?;
                Ok::<_, ringhttp::Error>(Response::new(answer.into_body()))
            })
            .post("/rest", async |state: &(Client, String), request: Request| {
                let mut answer = state.0.post(&state.1).body(request.into_body()).send().await?;
                assert!(answer.length().is_some() && answer.chunk().await?.is_some());
                Ok::<_, ringhttp::Error>(Response::new(answer.into_body()))
            })
    };
    each_driver(async |core| {
        let server = ringhttp::Server::bind("127.0.0.1:0", ServerConfig::default()).expect("a port");
        let url = format!("http://{}/up", server.local_addrs()[0]);
        let here = core.clone();
        let served = core.spawn("behind", async move { server.serve(&here, behind(), ()).await });
        let client = Client::new(&core, ClientConfig::default()).expect("a good configuration");
        let state = (client.clone(), url);
        serve_on(&core, ServerConfig::default(), front(), state, async |front| {
            let body = "0123456789".repeat(60_000);
            let answer = front.request(ringhttp::Method::POST, "/").body(body.clone()).send().await;
            assert_eq!((answer.status.as_u16(), answer.text() == body), (200, true));
            // Without the first piece, which was read.
            let answer = front.request(ringhttp::Method::POST, "/rest").body(body.clone()).send().await;
            let rest = answer.text();
            assert_eq!(answer.status, 200);
            assert!(!rest.is_empty() && rest.len() < body.len() && body.ends_with(rest), "{}", rest.len());
            // Too large for the server in front: that is what its client is told.
            let answer = front.request(ringhttp::Method::POST, "/").body("x".repeat(2 << 20)).send().await;
            assert_eq!(answer.status, 413);
            client.close().await;
        })
        .await;
        served.await.expect("no panic").expect("it stops");
    });
}

#[test]
fn an_empty_answer_frees_its_connection_at_once() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = answering(|_| "HTTP/1.1 204 No Content\r\n\r\n".to_owned());
        let first = client.get(server.url("/")).send().await.expect("an answer");
        let second = client.get(server.url("/")).send().await.expect("an answer");
        assert!(second.timings().reused, "although the first answer is still held");
        drop(first);
    });
}

/// Much input of which nothing is made, in pieces of a byte: others have their turn.
#[test]
fn what_is_unpacked_does_not_keep_the_core() {
    const CHUNKS: usize = 60_000;
    with_config(&ClientConfig::default(), async |core, client| {
        // Empty blocks, a byte in a chunk.
        let mut empty = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
        while empty.len() < CHUNKS {
            empty.extend([0, 0, 0, 0xff, 0xff]);
        }
        empty.extend([1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
        let chunks = empty.iter().flat_map(|&byte| [b'1', b'\r', b'\n', byte, b'\r', b'\n']);
        let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n";
        let server = sending(head.bytes().chain(chunks).chain(*b"0\r\n\r\n").collect::<Vec<u8>>());
        let turns = Rc::new(Cell::new(0));
        let (seen, ticking) = (Rc::clone(&turns), core.clone());
        let ticks = core.spawn("ticks", async move {
            loop {
                seen.set(seen.get() + 1);
                ticking.yield_now().await;
            }
        });
        let answer = client.get(server.url("/")).send().await.expect("an answer");
        // All of it is with the kernel before anything is read.
        core.timers().sleep(Duration::from_millis(300)).await;
        let before = turns.get();
        assert_eq!(answer.bytes().await.expect("a body"), "");
        let turns = turns.get() - before;
        assert!(turns >= CHUNKS / 1024 / 2, "{turns} turns of others");
        drop(ticks);
    });
}
