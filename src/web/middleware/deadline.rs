//! A deadline for whole requests, which travels to what is done under it.
#![forbid(unsafe_code)]

use std::pin::pin;
use std::time::Duration;

use http::StatusCode;
use ringhttp_runtime::deadline::within;
use ringhttp_runtime::time::Elapsed;

use super::answered::answered;
use crate::conn::{Request, count};
use crate::error::{Error, Result};
use crate::web::Next;

/// Gives the handlers behind it `limit` until they return. Then they are dropped where they wait, the answer is 504, and
/// [`ServerStats::deadlines_passed`](crate::ServerStats::deadlines_passed) counts it; the connection goes on.
///
/// The deadline travels: [`Request::deadline`] has it, and [`deadline::current`](crate::deadline::current) is it for all code
/// that is polled as a part of the handler, so that what the handler asks of others can end in time too. Of several around
/// a handler the earliest holds. It does not follow into tasks that are spawned, [`Request::shield`] included, and it does
/// not hold for the body of a streamed answer, nor for the life of a WebSocket or of another protocol: they begin with their answer.
///
/// ```
/// use std::time::Duration;
/// use ringhttp::middleware::deadline;
/// use ringhttp::{Request, Router};
///
/// async fn search(_: &(), req: Request) -> String {
///     format!("to be answered until {:?}\n", req.deadline())
/// }
///
/// let router = Router::new().get("/search", search).with(deadline(Duration::from_secs(2)));
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn deadline<S: 'static>(limit: Duration) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Result + 'static {
    async move |_: &S, mut request: Request, next: Next<'_, S>| -> Result {
        let timers = request.timers().clone();
        let mut at = timers.now() + limit;
        at = request.deadline().map_or(at, |outer| outer.min(at));
        request.set_deadline(at);
        let stats = request.server_stats();
        let takeover = request.takeover();
        let mut handler = pin!(next.run(request));
        match within(&timers, at, answered(handler.as_mut(), &takeover)).await {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Ok(handler.await),
            Err(Elapsed) => {
                count(&stats.deadlines_passed);
                Err(Error::new(StatusCode::GATEWAY_TIMEOUT).with_text("the request took too long"))
            }
        }
    }
}
