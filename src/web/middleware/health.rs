//! Whether the process lives, and whether it should be sent requests.
#![forbid(unsafe_code)]

use std::fmt;
use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use ringhttp_runtime::{Core, time};

use crate::conn::{Request, Response};
use crate::error::Result;
use crate::proto::escape::json_string;
use crate::web::Router;

/// Two routes for those who watch over a service.
///
/// `/health` says that this core lives: always 200, with `status` (`ok` or `stopping`), `uptime_seconds`, `core`, `cores`,
/// and of this core `request_count`, `connections` and `panics`.
///
/// `/ready` says whether to send requests: 200 if all checks pass, else 503 with those that failed and their errors'
/// public texts. The first thing that a stop does is that it is 503. Checks run one after the other, at each
/// request; let nobody ask who may not start them.
///
/// ```
/// use std::time::Duration;
/// use ringhttp::middleware::Health;
/// use ringhttp::{Error, Router, StatusCode};
///
/// struct Api { loaded: bool }
///
/// let health = Health::new().check("data", Duration::from_secs(1), async |api: &Api| {
///     let missing = || Error::new(StatusCode::SERVICE_UNAVAILABLE).with_text("not loaded yet");
///     if api.loaded { Ok(()) } else { Err(missing()) }
/// });
/// let router = Router::new().get("/", async |_: &Api, _| "hello").nest("/", health.routes());
/// # assert!(router.into_service(Api { loaded: true }).is_ok());
/// ```
pub struct Health<S> {
    checks: Vec<Check<S>>,
}

struct Check<S> {
    name: String,
    timeout: Duration,
    probe: Box<dyn Probe<S>>,
}

/// A check as an object.
trait Probe<S> {
    fn run<'a>(&'a self, state: &'a S) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;
}

impl<S, F: AsyncFn(&S) -> Result<()>> Probe<S> for F {
    fn run<'a>(&'a self, state: &'a S) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>> {
        Box::pin(async move { self(state).await })
    }
}

impl<S: 'static> Health<S> {
    /// No checks.
    #[must_use]
    pub fn new() -> Self {
        Self { checks: Vec::new() }
    }

    /// Adds a check that `/ready` runs. It fails if it gives an error, or takes longer than `timeout`.
    #[must_use]
    pub fn check(
        mut self,
        name: &str,
        timeout: Duration,
        check: impl AsyncFn(&S) -> Result<()> + 'static,
    ) -> Self {
        self.checks.push(Check { name: name.to_owned(), timeout, probe: Box::new(check) });
        self
    }

    /// Lets the server go on accepting for `delay` after the stop began, while `/ready` is 503 already: the time that a load
    /// balancer needs to notice. It is a part of `RuntimeConfig::shutdown_timeout`, so choose it well below.
    #[must_use]
    pub fn drain_delay(self, core: &Core, delay: Duration) -> Self {
        let timers = core.timers().clone();
        core.on_shutdown(async move { timers.sleep(delay).await });
        self
    }

    /// `/health` and `/ready`, to be nested.
    pub fn routes(self) -> Router<S> {
        let (start, checks) = (Instant::now(), Rc::new(self.checks));
        Router::new()
            .get("/health", async move |_: &S, req: Request| health(&req, start))
            .get("/ready", async move |state: &S, _: Request| ready(&checks, state).await)
    }
}

impl<S: 'static> Default for Health<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Health<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|check| &check.name)).finish()
    }
}

fn health(request: &Request, start: Instant) -> Response {
    let core = Core::current();
    let (id, count) = core.as_ref().map_or((0, 1), |core| (core.id(), core.count()));
    let status = if is_stopping() { "stopping" } else { "ok" };
    let stats = request.server_stats();
    let text = format!(
        "{{\"status\":\"{status}\",\"uptime_seconds\":{:.1},\"core\":{id},\"cores\":{count},\"request_count\":{},\
         \"connections\":{},\"panics\":{}}}\n",
        start.elapsed().as_secs_f64(),
        stats.requests.get(),
        stats.active.get(),
        stats.panics.get(),
    );
    json(StatusCode::OK, text)
}

async fn ready<S>(checks: &[Check<S>], state: &S) -> Response {
    if is_stopping() {
        return json(StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"stopping\"}\n".to_owned());
    }
    let mut failed = String::new();
    for check in checks {
        let Some(why) = check.failure(state).await else {
            continue;
        };
        failed.push_str(if failed.is_empty() { "" } else { "," });
        json_string(&mut failed, check.name.as_bytes());
        failed.push(':');
        json_string(&mut failed, why.as_bytes());
    }
    if failed.is_empty() {
        return json(StatusCode::OK, "{\"status\":\"ready\"}\n".to_owned());
    }
    let mut text = String::new();
    let _ = writeln!(text, "{{\"status\":\"not ready\",\"failed\":{{{failed}}}}}");
    json(StatusCode::SERVICE_UNAVAILABLE, text)
}

impl<S> Check<S> {
    /// Why the check does not pass, if it does not.
    async fn failure(&self, state: &S) -> Option<String> {
        match time::timeout(self.timeout, self.probe.run(state)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                tracing::warn!(check = self.name, error = &error as &dyn std::error::Error, "not ready");
                Some(error.text().to_owned())
            }
            Err(_) => {
                tracing::warn!(check = self.name, "not ready: the check takes too long");
                Some("takes too long".to_owned())
            }
        }
    }
}

fn is_stopping() -> bool {
    Core::current().is_some_and(|core| core.is_stopping())
}

fn json(status: StatusCode, text: String) -> Response {
    Response::new(text)
        .with_status(status)
        .with_header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
