//! Bodies of requests that are compressed while they leave, unpacked by our own server and looked at by one that does not.

use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use ringhttp::middleware::{DecompressConfig, decompress};
use ringhttp::proto::content_coding::ContentCoding;
use ringhttp::runtime::file::OpenFile;
use ringhttp::testing::{RawServer, each_driver, serve_on};
use ringhttp::{Body, BodySender, Client, ClientConfig, Request, Result, Router, ServerConfig, time};

use super::{answering, field, ok, text, with_config};

/// Text that becomes a fraction of itself.
fn lines(count: usize) -> String {
    (0..count).map(|number| format!("line {number} of a longer text\n")).collect()
}

async fn echo(_: &(), mut req: Request) -> Result<String> {
    req.text().await
}

#[test]
fn every_coding_of_every_kind_of_body() {
    let (short, long) = (lines(100), lines(40_000));
    let path = std::env::temp_dir().join(format!("ringhttp-compressed-{}.txt", std::process::id()));
    fs::write(&path, &long).expect("a directory for temporary files");
    each_driver(async |core| {
        let mut config = ServerConfig::default();
        config.body_bytes_max = 8 << 20;
        let routes = Router::new().post("/", echo).with(decompress(DecompressConfig::default()));
        serve_on(&core, config, routes, (), async |tester| {
            let client = Client::new(&core, ClientConfig::default()).expect("a good configuration");
            let url = format!("http://{}/", tester.address());
            for coding in ContentCoding::ALL {
                let write = |text: &str| {
                    let text = text.to_owned();
                    async move |mut out: BodySender| {
                        for piece in text.as_bytes().chunks(100_000) {
                            out.write(piece.to_vec()).await?;
                        }
                        Ok(())
                    }
                };
                let file = OpenFile::open(&path).await.expect("it is there");
                let bodies: [(Body, &str); 6] = [
                    (short.clone().into(), &short),
                    (long.clone().into(), &long),
                    (file.into(), &long),
                    (Body::stream(write(&long)), &long),
                    (Body::stream_of(long.len() as u64, write(&long)), &long),
                    (Body::stream(write("")), ""),
                ];
                for (body, expected) in bodies {
                    let answer = client.post(&url).compress(Some(*coding)).body(body).send().await;
                    assert!(text(answer).await == expected, "{coding:?}, {} bytes", expected.len());
                }
            }
            client.close().await;
        })
        .await;
    });
    fs::remove_file(&path).expect("it is there");
}

#[test]
fn what_is_compressed_and_what_is_not() {
    let server = answering(|message| ok(message.split("\r\n\r\n").next().expect("a head")));
    let mut config = ClientConfig::default();
    config.compress = Some(ContentCoding::Gzip);
    config.compress_bytes_min = 100;
    with_config(&config, async |_, client| {
        let coding = async |request: ringhttp::client::RequestBuilder| {
            let head = text(request.send().await).await;
            (
                field(&head, "content-encoding").map(str::to_owned),
                field(&head, "content-length").map(str::to_owned),
            )
        };
        let (gzip, length) = coding(client.post(server.url("/")).body(lines(100))).await;
        assert_eq!(gzip.as_deref(), Some("gzip"));
        assert!(
            length.is_some_and(|length| length.parse::<usize>().expect("a number") < lines(100).len() / 4)
        );
        let plain = |length: &str| (None, Some(length.to_owned()));
        assert_eq!(coding(client.post(server.url("/")).body("x".repeat(99))).await, plain("99"));
        assert_eq!(coding(client.post(server.url("/")).body("")).await, plain("0"));
        assert_eq!(
            coding(client.post(server.url("/")).compress(Some(ContentCoding::Gzip))).await,
            plain("0")
        );
        assert_eq!(coding(client.get(server.url("/"))).await, (None, None));
        let long = || client.post(server.url("/")).body("x".repeat(200));
        assert_eq!(coding(long().compress(None)).await, plain("200"));
        assert_eq!(coding(long().header("content-range", "bytes 0-199/200")).await, plain("200"));
        let own = coding(long().header("content-encoding", "own")).await;
        assert_eq!(own, (Some("own".to_owned()), Some("200".to_owned())));
        let short = client.post(server.url("/")).body("x").compress(Some(ContentCoding::Deflate));
        assert_eq!(coding(short).await.0.as_deref(), Some("deflate"));
    });
}

#[test]
fn a_redirect_sends_it_compressed_again_or_not_at_all() {
    let server = answering(|message| {
        let to = |status| format!("HTTP/1.1 {status} Moved\r\nlocation: /new\r\ncontent-length: 0\r\n\r\n");
        match message {
            _ if message.starts_with("POST /same ") => to(307),
            _ if message.starts_with("POST /other ") => to(303),
            _ => ok(&message.len().to_string()),
        }
    });
    with_config(&ClientConfig::default(), async |_, client| {
        let send = async |path: &str| {
            let request = client.post(server.url(path)).body(lines(100)).compress(Some(ContentCoding::Gzip));
            text(request.send().await).await.parse::<usize>().expect("a number")
        };
        let straight = send("/new").await;
        assert_eq!(send("/same").await, straight);
        assert!(send("/other").await < straight);
    });
}

/// What was written leaves although the encoder has not enough of it yet, when the writer waits for something.
#[test]
fn a_writer_that_waits_is_not_held_back() {
    let server = RawServer::start(|mut peer| {
        if peer.read_head().is_none() {
            return;
        }
        // The head of gzip is ten bytes; what is behind it was flushed.
        let mut packed = 0;
        while packed <= 10 {
            let size = usize::from_str_radix(&read_line(&mut peer), 16).expect("a chunk");
            packed += size;
            peer.read(size + 2);
        }
        peer.send(ok("early"));
    });
    with_config(&ClientConfig::default(), async |_, client| {
        let body = Body::stream(async |mut out: BodySender| {
            out.write("hello").await?;
            time::sleep(Duration::from_secs(30)).await;
            Ok(())
        });
        let answer = client.post(server.url("/")).compress(Some(ContentCoding::Gzip)).body(body).send().await;
        assert_eq!(text(answer).await, "early");
    });
}

fn read_line(peer: &mut ringhttp::testing::RawPeer) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let byte = peer.read(1);
        assert!(!byte.is_empty(), "the client ends");
        line.extend(byte);
    }
    String::from_utf8(line).expect("ASCII").trim_end().to_owned()
}

/// A body that becomes next to nothing does not hold up the core while it is compressed.
#[test]
fn others_have_their_turn_while_a_body_is_compressed() {
    let server = RawServer::start(|mut peer| {
        peer.read_head();
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n0\r\n\r\n") {
            body.extend(peer.read(1));
        }
        peer.send(ok("done"));
    });
    with_config(&ClientConfig::default(), async |core, client| {
        let turns = Rc::new(Cell::new(0));
        let (counted, here) = (Rc::clone(&turns), core.clone());
        let counting = core.spawn("others", async move {
            loop {
                here.yield_now().await;
                counted.set(counted.get() + 1);
            }
        });
        let counted = Rc::clone(&turns);
        let body = Body::stream(async move |mut out: BodySender| {
            let before = counted.get();
            out.write(vec![0; 4 << 20]).await?;
            out.flush().await?;
            // 4 MiB are compressed in 64 turns.
            assert!(counted.get() - before >= 50, "{} turns", counted.get() - before);
            Ok(())
        });
        let answer = client.post(server.url("/")).compress(Some(ContentCoding::Gzip)).body(body).send().await;
        assert_eq!(text(answer).await, "done");
        counting.cancel();
    });
}
