//! What a trace is told, and in which order.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ringhttp::client::{Error, RequestId, Timings, Trace};
use ringhttp::testing::RawServer;
use ringhttp::{Body, ClientConfig, Method, StatusCode};

use super::{answering, ok, text, until, with_config};

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn note(&self, request: RequestId, what: impl std::fmt::Display) {
        self.0.borrow_mut().push(format!("{request} {what}"));
    }

    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

impl Trace for Log {
    fn request_start(&self, request: RequestId, method: &Method, url: &str) {
        let path = url.rsplit('/').next().unwrap_or_default();
        self.note(request, format_args!("start {method} /{path}"));
    }

    fn request_headers_sent(&self, request: RequestId) {
        self.note(request, "headers sent");
    }

    fn request_chunk_sent(&self, request: RequestId, bytes: u64) {
        if bytes > 100_000 {
            self.note(request, "much sent");
        }
    }

    fn request_redirect(&self, request: RequestId, status: StatusCode, _: &str) {
        self.note(request, format_args!("redirect {}", status.as_u16()));
    }

    fn request_end(&self, request: RequestId, status: StatusCode, timings: &Timings) {
        self.note(request, format_args!("end {} {}", status.as_u16(), timings.reused));
    }

    fn request_exception(&self, request: RequestId, error: &Error) {
        self.note(request, format_args!("exception {:?}", error.kind()));
    }

    fn response_chunk_received(&self, request: RequestId, bytes: usize) {
        self.note(request, format_args!("chunk {bytes}"));
    }

    fn connection_queued_start(&self, request: RequestId) {
        self.note(request, "queued");
    }

    fn connection_queued_end(&self, request: RequestId) {
        self.note(request, "unqueued");
    }

    fn connection_create_start(&self, request: RequestId) {
        self.note(request, "creates");
    }

    fn connection_create_end(&self, request: RequestId) {
        self.note(request, "created");
    }

    fn connection_reused(&self, request: RequestId) {
        self.note(request, "reused");
    }

    fn dns_resolve_start(&self, request: RequestId, host: &str) {
        self.note(request, format_args!("resolves {host}"));
    }

    fn dns_resolve_end(&self, request: RequestId, host: &str) {
        self.note(request, format_args!("resolved {host}"));
    }

    fn dns_cache_hit(&self, request: RequestId, host: &str) {
        self.note(request, format_args!("hit {host}"));
    }

    fn dns_cache_miss(&self, request: RequestId, host: &str) {
        self.note(request, format_args!("miss {host}"));
    }
}

#[test]
fn all_signals_are_given() {
    let mut config = ClientConfig::default();
    config.limit = 1;
    with_config(&config, async |core, client| {
        let server = answering(|request| match request.split(' ').nth(1) {
            Some("/go") => "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".to_owned(),
            _ => ok("hello"),
        });
        let log = Log::default();
        let traced = client.with_trace(log.clone());
        let url = |path: &str| format!("http://localhost:{}{path}", server.address().port());
        text(traced.get(url("/go")).send().await).await;
        assert_eq!(
            log.take(),
            [
                "1 start GET /go",
                "1 creates",
                "1 miss localhost",
                "1 resolves localhost",
                "1 resolved localhost",
                "1 created",
                "1 headers sent",
                "1 redirect 302",
                "1 reused",
                "1 headers sent",
                "1 end 200 true",
                "1 chunk 5"
            ]
        );
        // One handle has the trace, the other has not.
        text(client.get(url("/")).send().await).await;
        assert!(log.take().is_empty());

        let held = client.get(url("/")).send().await.expect("an answer");
        let (waiting, target) = (traced.clone(), url("/"));
        let waits = core.spawn("waits", async move { text(waiting.get(target).send().await).await });
        until("it to wait", || client.stats().waiting == 1).await;
        drop(held);
        waits.await.expect("no panic");
        let told = log.take();
        assert_eq!(told[..3], ["2 start GET /", "2 queued", "2 unqueued"]);
        assert!(
            told.contains(&"2 end 200 true".to_owned()) || told.contains(&"2 created".to_owned()),
            "{told:?}"
        );
    });
}

#[test]
fn failures_and_progress_are_told() {
    with_config(&ClientConfig::default(), async |_, client| {
        let log = Log::default();
        let traced = client.with_trace(log.clone());
        let server = RawServer::start(|mut peer| {
            peer.read_head();
            peer.read(1_000_000);
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        });
        let body = Body::stream_of(1_000_000, async |mut out| {
            for _ in 0..10 {
                out.write(vec![0; 100_000]).await?;
                ringhttp::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(())
        });
        let answer = traced.put(server.url("/up")).body(body).send().await.expect("a head");
        answer.bytes().await.expect_err("it breaks off");
        let told = log.take();
        assert!(told.iter().filter(|line| *line == "1 much sent").count() > 1, "{told:?}");
        assert_eq!(told[told.len() - 2..], ["1 chunk 4", "1 exception Body"], "{told:?}");
        traced.get("ftp://a/").send().await.expect_err("no such URL");
        assert_eq!(log.take(), ["2 exception Url"]);
    });
}
