//! Clients that want more than they are meant to get: answers for others, other routes, more memory or time of the core
//! than its limits say. Over real sockets on both drivers.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use ringhttp::middleware::{
    self, CompressConfig, CorsConfig, DecompressConfig, Origins, ResponseCacheConfig,
};
use ringhttp::proto::content_coding::{ContentCoding, Encoder, Level};
use ringhttp::session::{MemoryStore, SessionConfig, Store};
use ringhttp::testing::{self, TestClient};
use ringhttp::websocket::Closed;
use ringhttp::{
    AccessLog, CancelOnDisconnect, Core, HeaderValue, Next, Request, Response, Result, Router, ServerConfig,
    WebSocketConfig, time,
};

use crate::common::{ask, until};
use crate::counting::Growth;

fn with(routes: impl Fn() -> Router<()> + Send + Sync, body: impl AsyncFn(TestClient) + Send + Sync) {
    testing::each_driver(async |core: Core| {
        testing::serve_on(&core, ServerConfig::default(), routes(), (), &body).await;
    });
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let (mut encoder, mut packed) = (Encoder::new(ContentCoding::Gzip, Level::Balanced), Vec::new());
    encoder.write(content, &mut packed);
    encoder.finish(&mut packed);
    packed
}

/// Else a cache in between keeps the answer without the field, whoever has fetched it first, and no page may read it.
#[test]
fn an_answer_for_all_origins_says_so_to_those_without_one() {
    let routes = || {
        let mut config = CorsConfig::default();
        config.origins = Origins::Any;
        Router::new()
            .get("/", async |_: &(), _| "for all")
            .with(middleware::cache(ResponseCacheConfig::default()))
            .with(middleware::cors(config).expect("a good configuration"))
    };
    with(routes, async |client| {
        for fields in [&[][..], &[("origin", "https://a.example")]] {
            let answer = ask(&client, "GET", "/", fields).await;
            assert_eq!(answer.text(), "for all");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{fields:?}");
        }
    });
}

/// What a session was used for is its client's, wherever the cache stands.
#[test]
fn answers_that_a_session_was_used_for_are_not_kept() {
    let routes = || {
        let (count, shown) = (Cell::new(0), Cell::new(0));
        let form = async move |_: &(), req: Request| -> Result<String> {
            count.set(count.get() + 1);
            req.session()?.insert("token", &count.get())?;
            Ok(format!("token {}", count.get()))
        };
        let page = async move |_: &(), _: Request| {
            shown.set(shown.get() + 1);
            format!("page {}", shown.get())
        };
        let sessions = middleware::stored_sessions(MemoryStore::default(), SessionConfig::insecure());
        let cache = middleware::cache(ResponseCacheConfig::default());
        Router::new().get("/form", form).get("/page", page).with(sessions.expect("good settings")).with(cache)
    };
    with(routes, async |client| {
        for text in ["token 1", "token 2"] {
            assert_eq!(ask(&client, "GET", "/form", &[]).await.text(), text);
        }
        for _ in 0..2 {
            assert_eq!(ask(&client, "GET", "/page", &[]).await.text(), "page 1", "others are");
        }
    });
}

/// A middleware of a router that changes the method comes too late for that request; it is not to lead the next one astray.
#[test]
fn a_method_that_is_changed_too_late_changes_no_other_request() {
    let routes = || {
        let overridden = async |_: &(), mut req: Request, next: Next<'_, ()>| {
            if req.method() == Method::POST {
                req.set_method(Method::DELETE);
            }
            next.run(req).await
        };
        Router::new()
            .post("/note", async |_: &(), _| "posted")
            .delete("/note", async |_: &(), _| "deleted")
            .with(overridden)
    };
    with(routes, async |client| {
        let head = |method| format!("{method} /note HTTP/1.1\r\nhost: a\r\nx-override: DELETE\r\n\r\n");
        let mut raw = client.raw(["POST", "DELETE", "DELETE", "POST"].map(head).concat()).await;
        for text in ["posted", "deleted", "deleted", "posted"] {
            assert_eq!(raw.response(&Method::POST).await.text(), text);
        }
    });
}

/// A request that is under way while another signs out, and that only prolongs the session, does not undo that.
#[test]
fn a_session_is_prolonged_as_it_is_then() {
    testing::each_driver(async |core: Core| {
        let store = Rc::new(MemoryStore::default());
        let mut config = SessionConfig::insecure();
        config.idle_timeout = Duration::from_secs(1000);
        let sessions = middleware::stored_sessions(Rc::clone(&store), config).expect("good settings");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later").as_secs();
        let record = |values: &str| format!("[{},{},{values}]", now - 600, now + 400);
        let (id, hour) = ("A".repeat(32), Duration::from_secs(3600));
        let (signed_in, signed_out) =
            (record(r#"{"theme":"dark","user":"ada"}"#), record(r#"{"theme":"dark"}"#));
        store.insert(&id, signed_in.clone(), hour).await.expect("memory takes all");
        let kept = Rc::clone(&store);
        let slow = async move |_: &(), req: Request| -> Result {
            store.replace(req.cookie("session").unwrap_or_default(), signed_out.clone(), hour).await?;
            let said = HeaderValue::from_str(req.query_string().unwrap_or_default()).expect("a value");
            let response = Response::text("slow").with_header("cache-control", said);
            Ok(response.with_header("cdn-cache-control", HeaderValue::from_static("max-age=60")))
        };
        let who = async |_: &(), req: Request| -> Result<String> {
            let session = req.session()?;
            let value = |name| session.get(name).map(Option::<String>::unwrap_or_default);
            Ok(format!("{}, {}", value("user")?, value("theme")?))
        };
        let routes = Router::new().get("/slow", slow).get("/who", who).with(sessions);
        testing::serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let cookie = format!("session={id}");
            // A cookie that is sent again with something for all must not become everybody's in a cache that they share.
            for (said, told) in
                [("public", "private"), ("no-cache", "private, no-cache"), ("no-store", "no-store")]
            {
                kept.replace(&id, signed_in.clone(), hour).await.expect("memory takes all");
                let prolonged = ask(&client, "GET", &format!("/slow?{said}"), &[("cookie", &cookie)]).await;
                assert!(
                    prolonged.header("set-cookie").is_some_and(|field| field.contains("Max-Age=")),
                    "{said}"
                );
                let (cache_control, vary) = (prolonged.header("cache-control"), prolonged.header("vary"));
                assert_eq!((cache_control, vary), (Some(told), Some("cookie")), "{said}");
                assert_eq!(prolonged.header("cdn-cache-control"), None, "{said}");
            }
            assert_eq!(ask(&client, "GET", "/who", &[("cookie", &cookie)]).await.text(), ", dark");
        })
        .await;
    });
}

/// Changes a session right behind the second time that it is loaded: when it is to be prolonged.
struct Overtaken {
    store: MemoryStore,
    loaded: Cell<u32>,
    change: String,
}

impl Store for Overtaken {
    async fn load(&self, id: &str) -> Result<Option<String>> {
        let found = self.store.load(id).await?;
        self.loaded.set(self.loaded.get() + 1);
        if self.loaded.get() == 2 {
            self.store.replace(id, self.change.clone(), Duration::from_secs(3600)).await?;
        }
        Ok(found)
    }

    async fn insert(&self, id: &str, record: String, lifetime: Duration) -> Result<()> {
        self.store.insert(id, record, lifetime).await
    }

    async fn replace(&self, id: &str, record: String, lifetime: Duration) -> Result<bool> {
        self.store.replace(id, record, lifetime).await
    }

    async fn remove(&self, id: &str) -> Result<()> {
        self.store.remove(id).await
    }
}

#[test]
fn prolonging_a_session_undoes_no_change_of_another_request() {
    testing::each_driver(async |core: Core| {
        let mut config = SessionConfig::insecure();
        config.idle_timeout = Duration::from_secs(1000);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later").as_secs();
        let record = |values: &str| format!("[{},{},{values}]", now - 600, now + 400);
        let (id, hour) = ("A".repeat(32), Duration::from_secs(3600));
        let (store, change) = (MemoryStore::default(), record(r#"{"theme":"dark"}"#));
        store.insert(&id, record(r#"{"theme":"dark","user":"ada"}"#), hour).await.expect("memory takes all");
        let store = Rc::new(Overtaken { store, loaded: Cell::new(0), change: change.clone() });
        let sessions = middleware::stored_sessions(Rc::clone(&store), config).expect("good settings");
        let routes = Router::new().get("/", async |_: &(), _| "nothing of the session").with(sessions);
        testing::serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            let answer = ask(&client, "GET", "/", &[("cookie", &format!("session={id}"))]).await;
            assert_eq!(answer.header("set-cookie"), None);
        })
        .await;
        assert_eq!(store.store.load(&id).await.expect("memory"), Some(change));
    });
}

/// Each part may become a hundred times as long; all of them together no longer than the body may be.
#[test]
fn decoded_parts_have_a_limit_together() {
    let routes = || {
        let decoded = async |_: &(), mut req: Request| -> Result<String> {
            let (mut form, mut bytes) = (req.multipart()?, 0);
            while let Some(part) = form.next_part().await? {
                bytes += part.decoded()?.bytes().await?.len();
            }
            Ok(bytes.to_string())
        };
        Router::new().post("/", decoded)
    };
    let upload = |count: usize, packed: &[u8]| {
        let head = "--x\r\ncontent-disposition: form-data; name=a\r\ncontent-encoding: gzip\r\n\r\n";
        let part = [head.as_bytes(), packed, b"\r\n"].concat();
        [part.repeat(count), b"--x--".to_vec()].concat()
    };
    with(routes, async |client| {
        let packed = gzip(&vec![0; 500_000]);
        for (count, status) in [(2, 200), (3, 413), (900, 413)] {
            let request = client.request(Method::POST, "/");
            let request = request.header("content-type", "multipart/form-data; boundary=x");
            let answer = request.body(upload(count, &packed)).send().await;
            assert_eq!(answer.status, status, "{count} parts: {}", answer.text());
        }
    });
}

/// Chunks of one byte, each of which is given to the decoder by itself: others have their turn among them.
#[test]
fn a_compressed_body_in_tiny_pieces_does_not_keep_the_core() {
    const CHUNKS: usize = 60_000;
    testing::each_driver(async |core: Core| {
        let turns = Rc::new(Cell::new(0));
        let (seen, ticking) = (Rc::clone(&turns), core.clone());
        let ticks = core.spawn("ticks", async move {
            loop {
                seen.set(seen.get() + 1);
                ticking.yield_now().await;
            }
        });
        let read = async move |_: &(), mut req: Request| -> Result<String> {
            // All of it is with the kernel before anything is read.
            time::sleep(Duration::from_millis(300)).await;
            let before = turns.get();
            let length = req.bytes().await?.len();
            Ok(format!("{length} {}", turns.get() - before))
        };
        let routes = Router::new().post("/", read).with(middleware::decompress(DecompressConfig::default()));
        testing::serve_on(&core, ServerConfig::default(), routes, (), async |client| {
            // Empty blocks: much input, and nothing made of it.
            let mut body = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
            while body.len() < CHUNKS {
                body.extend([0, 0, 0, 0xff, 0xff]);
            }
            body.extend([1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
            let head =
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunks = body.iter().flat_map(|&byte| [b'1', b'\r', b'\n', byte, b'\r', b'\n']);
            let message = head.bytes().chain(chunks).chain(*b"0\r\n\r\n").collect::<Vec<u8>>();
            let mut raw = client.raw(message).await;
            let answer = raw.response(&Method::POST).await;
            let (length, turns) = answer.text().split_once(' ').expect("two numbers");
            assert_eq!((answer.status.as_u16(), length), (200, "0"));
            let turns: usize = turns.parse().expect("a number");
            assert!(turns >= CHUNKS / 1024 / 2, "{turns} turns of others");
        })
        .await;
        drop(ticks);
    });
}

/// An encoder holds some hundred KiB, and a stream may last for ever.
#[test]
fn only_so_many_streams_are_compressed_at_a_time() {
    let routes = || {
        let mut config = CompressConfig::default();
        config.codings = vec![ContentCoding::Gzip];
        config.streams_max = 2;
        let ticks = async |_: &(), _: Request| {
            Response::stream(async |mut out| {
                out.write("tick\n").await?;
                out.flush().await?;
                std::future::pending().await
            })
            .with_header("content-type", HeaderValue::from_static("text/plain"))
        };
        let ends = middleware::cancel_on_disconnect(CancelOnDisconnect::End);
        Router::new().get("/", ticks).with(ends).with(middleware::compress(config))
    };
    with(routes, async |client| {
        let open = async || {
            let mut raw = client.raw("GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n").await;
            let mut head = Vec::new();
            while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                head.extend(raw.receive().await);
            }
            (raw, String::from_utf8_lossy(&head).contains("content-encoding: gzip"))
        };
        let mut streams = Vec::new();
        for is_packed in [true, true, false, false] {
            streams.push(open().await);
            assert_eq!(streams.last().map(|(_, is_packed)| *is_packed), Some(is_packed));
        }
    });
    let one_by_one = || {
        let mut config = CompressConfig::default();
        config.codings = vec![ContentCoding::Gzip];
        config.streams_max = 1;
        let lines = async |_: &(), _: Request| {
            Response::stream(async |mut out| out.write("line\n").await)
                .with_header("content-type", HeaderValue::from_static("text/plain"))
        };
        Router::new().get("/", lines).with(middleware::compress(config))
    };
    with(one_by_one, async |client| {
        for _ in 0..3 {
            let answer = ask(&client, "GET", "/", &[("accept-encoding", "gzip")]).await;
            assert_eq!(answer.header("content-encoding"), Some("gzip"), "the one before has ended");
        }
    });
}

/// Long values would push the lines of others out of the log's buffer.
#[test]
fn a_long_field_is_cut_in_the_log() {
    testing::each_driver(async |core: Core| {
        let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = std::sync::Arc::clone(&lines);
        let mut config = ServerConfig::default();
        config.access_log = Some(AccessLog::common().to_fn(move |line, _| {
            kept.lock().expect("no panic").push(line.to_owned());
        }));
        let routes = Router::new().get("/", async |_: &(), _| "hello");
        testing::serve_on(&core, config, routes, (), async |client| {
            let agent = [b"agent".to_vec(), vec![0xff; 50_000]].concat();
            let head = [b"GET / HTTP/1.1\r\nhost: a\r\nuser-agent: ", &agent[..], b"\r\n\r\n"].concat();
            let mut raw = client.raw(head).await;
            assert_eq!(raw.response(&Method::GET).await.text(), "hello");
        })
        .await;
        let lines = lines.lock().expect("no panic");
        let line = lines.iter().find(|line| line.contains("\"agent\\xff")).expect("its line");
        assert!(line.len() < 5_000 && line.ends_with('"'), "{} bytes", line.len());
    });
}

/// Small messages, each of which came in a large buffer of its own, to a handler that does not receive: what waits for it is
/// bounded by what it holds, not by what it says.
#[test]
fn messages_that_wait_do_not_hold_the_buffers_they_came_in() {
    const OPENING: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    const COUNT: usize = 200;
    testing::each_driver(async |core: Core| {
        let deaf = async |_: &(), req: Request| -> Result<Closed> {
            let stats = req.server_stats();
            let mut config = WebSocketConfig::default();
            config.close_timeout = Duration::from_millis(100);
            let mut socket = req.websocket(config).await?;
            let growth = Growth::begin();
            until("all are here", || stats.websockets.messages_in.get() == COUNT as u64).await;
            let grown = growth.most_bytes();
            let mut count = 0;
            while count < COUNT && socket.receive().await?.is_some() {
                count += 1;
            }
            socket.send(format!("{count} {grown}")).await?;
            Ok(socket.close().await?)
        };
        testing::serve_on(&core, ServerConfig::default(), Router::new().get("/", deaf), (), async |client| {
            let address = client.address();
            let peer = core.spawn_blocking(move || {
                let mut socket = TcpStream::connect(address).expect("the server listens");
                // A text of one byte, masked by zeros, and Pongs that nobody asked for.
                let pongs = [&[0x8a, 0x80 | 125, 0, 0, 0, 0][..], &[0; 125]].concat().repeat(600);
                let one = [&[0x81, 0x81, 0, 0, 0, 0, b'x'][..], &pongs].concat();
                socket.write_all(&[OPENING, &one.repeat(COUNT)].concat()).expect("the server reads");
                let mut answer = Vec::new();
                socket.read_to_end(&mut answer).expect("the server closes");
                answer
            });
            let answer = peer.await.expect("no panic");
            let text = String::from_utf8_lossy(&answer);
            let grown = text
                .split_once("200 ")
                .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next());
            let grown: usize = grown.and_then(|grown| grown.parse().ok()).expect("the count and the bytes");
            assert!(grown < 1 << 20, "{grown} bytes");
        })
        .await;
    });
}
