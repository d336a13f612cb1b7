//! Handlers that end with their clients.
#![forbid(unsafe_code)]

use crate::conn::{CancelOnDisconnect, Request, Response};
use crate::web::Next;

/// Drops the handlers behind it where they wait when their client is gone, in place of
/// `ServerConfig::cancel_on_disconnect`.
///
/// ```
/// use ringhttp::middleware::cancel_on_disconnect;
/// use ringhttp::{CancelOnDisconnect, Request, Router};
///
/// async fn report(_: &(), _: Request) -> &'static str { "the rows of a long query\n" }
///
/// let reports = Router::new().get("/", report).with(cancel_on_disconnect(CancelOnDisconnect::End));
/// let router = Router::new().nest("/reports", reports);
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn cancel_on_disconnect<S: 'static>(
    what: CancelOnDisconnect,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Response + 'static {
    async move |_: &S, request: Request, next: Next<'_, S>| {
        request.cancel_on_disconnect(what);
        next.run(request).await
    }
}
