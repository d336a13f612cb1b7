//! A limit for request bodies, put around handlers.
#![forbid(unsafe_code)]

use crate::conn::{BodyError, Request};
use crate::error::Result;
use crate::web::Next;

/// Limits how many bytes of a request body can be read. A body that is announced as longer is answered 413 before the
/// handler sees it; one that turns out to be longer is 413 for its reader. The connection is closed then.
///
/// It takes the place of the limits further out: those of `ServerConfig::body_bytes_max`, of
/// [`Router::body_limit`](crate::Router::body_limit), and of this middleware around it. A handler may set its own.
///
/// ```
/// use ringhttp::{Request, Router, middleware};
///
/// let router = Router::new()
///     .post("/", async |_: &(), mut req: Request| req.text().await)
///     .with(middleware::body_limit(16 * 1024));
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn body_limit<S: 'static>(bytes_max: u64) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Result + 'static {
    async move |_: &S, mut req: Request, next: Next<'_, S>| {
        let body = req.body();
        body.set_limit(bytes_max);
        if body.length().is_some_and(|length| length > bytes_max) {
            return Err(BodyError::TooLarge.into());
        }
        Ok(next.run(req).await)
    }
}
