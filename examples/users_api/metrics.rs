//! What is counted, as Prometheus reads it. Each core counts for itself; whoever asks gets the sum.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;

use ringhttp::middleware::Timing;
use ringhttp::{Error, HeaderValue, Request, Response, Result, Server, ServerStats, header};

use crate::Api;

/// The counters of one core.
pub(crate) struct Metrics {
    server: Rc<ServerStats>,
    /// Answers and seconds by route and status: there are only so many of both, whatever clients ask for.
    routes: RefCell<BTreeMap<(String, u16), (u64, f64)>>,
}

/// What they were at one moment.
#[derive(Default)]
struct Snapshot {
    connections: u64,
    refused: u64,
    cache_hits: u64,
    cache_misses: u64,
    routes: BTreeMap<(String, u16), (u64, f64)>,
}

impl Metrics {
    pub(crate) fn of(server: &Server) -> Self {
        Self { server: server.stats(), routes: RefCell::default() }
    }

    pub(crate) fn count(&self, timing: &Timing<'_>) {
        let mut routes = self.routes.borrow_mut();
        let (count, seconds) = routes.entry((timing.route.to_owned(), timing.status.as_u16())).or_default();
        *count += 1;
        *seconds += timing.elapsed.as_secs_f64();
    }
}

impl Snapshot {
    fn of(api: &Api) -> Self {
        let (server, cache) = (&api.metrics.server, api.cache.stats());
        Self {
            connections: server.active.get(),
            refused: server.refused.get(),
            cache_hits: cache.hits.get(),
            cache_misses: cache.misses.get(),
            routes: api.metrics.routes.borrow().clone(),
        }
    }

    fn add(&mut self, other: Self) {
        self.connections += other.connections;
        self.refused += other.refused;
        self.cache_hits += other.cache_hits;
        self.cache_misses += other.cache_misses;
        for (route, (count, seconds)) in other.routes {
            let sum = self.routes.entry(route).or_default();
            *sum = (sum.0 + count, sum.1 + seconds);
        }
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "# TYPE http_connections gauge\nhttp_connections {}", self.connections)?;
        writeln!(out, "# TYPE http_heads_refused_total counter\nhttp_heads_refused_total {}", self.refused)?;
        writeln!(out, "# TYPE cache_hits_total counter\ncache_hits_total {}", self.cache_hits)?;
        writeln!(out, "# TYPE cache_misses_total counter\ncache_misses_total {}", self.cache_misses)?;
        writeln!(out, "# TYPE http_answer_seconds summary")?;
        for ((route, status), (count, seconds)) in &self.routes {
            let labels = format!("{{route=\"{route}\",status=\"{status}\"}}");
            writeln!(out, "http_answer_seconds_count{labels} {count}")?;
            writeln!(out, "http_answer_seconds_sum{labels} {seconds:.6}")?;
        }
        Ok(())
    }
}

pub(crate) async fn show(api: &Rc<Api>, _: Request) -> Result {
    let mut sum = Snapshot::default();
    for core in api.core.gather(async |_| crate::here().map(|api| Snapshot::of(&api))).await? {
        sum.add(core.unwrap_or_default());
    }
    let mut text = String::new();
    sum.write(&mut text).map_err(Error::internal)?;
    let version = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(Response::new(text).with_header(header::CONTENT_TYPE, version))
}
