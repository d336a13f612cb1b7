//! What is told of failures, and to whom: the event of a handler's error, over real sockets, on both drivers.

use std::fmt::{self, Write};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhttp::testing::{each_driver, serve_on};
use ringhttp::{
    AccessLog, AccessRecord, Core, Error, Next, Request, Response, Result, Router, ServerConfig, middleware,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A subscriber that keeps each event as a line.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// What was said on this thread by `target` while `body` ran.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics while holding it"))
    }

    /// An access log whose lines come here, each with what `tell` says of its record.
    fn of(&self, format: &str, tell: impl Fn(&AccessRecord) -> String + Send + Sync + 'static) -> AccessLog {
        let kept = self.clone();
        AccessLog::new(format).expect("known atoms").to_fn(move |line, record| {
            let line = format!("{line} {}", tell(record));
            kept.0.lock().expect("nobody panics while holding it").push(line);
        })
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ringhttp")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().expect("nobody panics while holding it").push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

async fn fails(_: &(), _: Request) -> Result {
    Err(Error::internal("db down"))
}

#[test]
fn a_failure_is_logged_with_the_request_it_belongs_to() {
    each_driver(async |core: Core| {
        let lines = Lines::default();
        let _kept = tracing::subscriber::set_default(lines.clone());
        let router = Router::new()
            .get("/users/{id}", fails)
            .get("/plain", async |_: &(), _| -> Result { Err(Error::bad_request("no source")) })
            .with(middleware::error_pages(async |_: &(), _: &_| Some("a page")))
            .with(middleware::request_id(Default::default()));
        serve_on(&core, ServerConfig::default(), router, (), async |client| {
            // A test beside this one may have reached the event at the moment at which this subscriber came, and then nobody
            // hears it until everybody is asked again.
            assert_eq!(client.get("/users/1").await.status, 500);
            tracing::callsite::rebuild_interest_cache();
            lines.take();
            let request = client.request(http::Method::GET, "/users/7?token=secret");
            let response = request.header("x-request-id", "abc-1").send().await;
            assert_eq!((response.status.as_u16(), response.text()), (500, "a page"));
            assert_eq!(client.get("/plain").await.status, 400);
        })
        .await;
        let lines = lines.take();
        let failures: Vec<_> = lines.iter().filter(|line| line.contains("handler failed")).collect();
        assert_eq!(failures.len(), 1, "once, and nothing for a client's mistake: {lines:?}");
        for part in [
            "status=500",
            "method=\"GET\"",
            "path=\"/users/7\"",
            "route=\"/users/{id}\"",
            "request_id=\"abc-1\"",
            "peer=127.0.0.1:",
            "error=db down",
        ] {
            assert!(failures[0].contains(part), "{part} in {}", failures[0]);
        }
        assert!(!failures[0].contains("secret"));
    });
}

#[test]
fn a_middleware_sees_the_source_of_a_failure() {
    async fn report(seen: &Mutex<Vec<String>>, req: Request, next: Next<'_, Mutex<Vec<String>>>) -> Response {
        let response = next.run(req).await;
        let source = response.error_source().and_then(|source| source.downcast_ref::<io::Error>());
        seen.lock().expect("nobody panics while holding it").push(format!("{source:?}"));
        response
    }
    /// Once a response, again an error: it keeps its source.
    async fn again(_: &Mutex<Vec<String>>, req: Request, next: Next<'_, Mutex<Vec<String>>>) -> Result {
        Err(Error::from(next.run(req).await))
    }
    each_driver(async |core: Core| {
        let router = Router::new()
            .get("/", async |_: &Mutex<Vec<String>>, _| -> Result {
                Err(io::Error::from_raw_os_error(5).into())
            })
            .get("/seen", async |seen: &Mutex<Vec<String>>, _| {
                seen.lock().expect("nobody panics while holding it").join(" ")
            })
            .with(report)
            .with(again);
        serve_on(&core, ServerConfig::default(), router, Mutex::default(), async |client| {
            assert_eq!(client.get("/").await.status, 500);
            let seen = client.get("/seen").await;
            assert!(seen.text().starts_with("Some(Os { code: 5"), "{}", seen.text());
        })
        .await;
    });
}

#[test]
fn the_access_log_knows_the_client_behind_a_proxy_and_the_route() {
    each_driver(async |core: Core| {
        let lines = Lines::default();
        let mut config = ServerConfig::default();
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        config.access_log = Some(lines.of("%a %C %S %R", |record| {
            let (method, target) = (record.method(), record.target());
            format!("{method:?} {target:?} {:?} {:?}", record.route(), record.client_addr())
        }));
        let user = async |_: &(), _: Request| "user";
        let router = Router::new().nest("/users", Router::new().get("/{id}", user));
        serve_on(&core, config, router, (), async |client| {
            for path in ["/users/7?a=b", "/nowhere"] {
                let request = client.request(http::Method::GET, path);
                let request = request.header("x-forwarded-for", "203.0.113.9");
                request.header("x-forwarded-proto", "https").send().await;
            }
            client.raw("nonsense\r\n\r\n").await.receive_all().await;
        })
        .await;
        let client = "Some(203.0.113.9)";
        let expected = [
            format!(
                "127.0.0.1 203.0.113.9 https /users/{{id}} Some(\"GET\") Some(\"/users/7?a=b\") \
                 Some(\"/users/{{id}}\") {client}"
            ),
            format!("127.0.0.1 203.0.113.9 https - Some(\"GET\") Some(\"/nowhere\") None {client}"),
            "127.0.0.1 - - - None None None None".to_owned(),
        ];
        assert_eq!(lines.take(), expected);
    });
}

#[test]
fn the_access_log_knows_that_the_rest_of_a_body_ended_the_connection() {
    each_driver(async |core: Core| {
        let lines = Lines::default();
        let mut config = ServerConfig::default();
        config.drain_bytes_max = 1000;
        config.access_log = Some(lines.of("%s", |record| format!("{:?}", record.close_reason())));
        let router = Router::new().post("/", async |_: &(), _: Request| "done");
        serve_on(&core, config, router, (), async |client| {
            let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            let short = format!("{head}3\r\nabc\r\n0\r\n\r\n");
            let long = format!("{head}800\r\n{}\r\n", "x".repeat(0x800));
            let answers = client.raw(short + &long).await.receive_all().await;
            assert_eq!(String::from_utf8_lossy(&answers).matches("200 OK").count(), 2);
        })
        .await;
        assert_eq!(lines.take(), ["200 None", "200 Some(BodyLeftUnread)"]);
    });
}

#[test]
fn the_access_log_counts_no_time_of_what_is_read_behind_an_answer() {
    each_driver(async |core: Core| {
        let lines = Lines::default();
        let mut config = ServerConfig::default();
        config.access_log = Some(lines.of("%s", |record| {
            format!("{} {:?}", record.elapsed() < Duration::from_secs(1), record.close_reason())
        }));
        let router = Router::new().post("/", async |_: &(), _: Request| "done");
        serve_on(&core, config, router, (), async |client| {
            let mut raw = client.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n").await;
            assert_eq!(raw.response(&http::Method::POST).await.status.as_u16(), 200);
            core.timers().sleep(Duration::from_secs(1)).await;
            raw.send("abc").await;
            raw.end();
            raw.receive_all().await;
        })
        .await;
        assert_eq!(lines.take(), ["200 true None"]);
    });
}
