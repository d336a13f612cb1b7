//! A line per request, for whoever listens to `tracing`.
#![forbid(unsafe_code)]

use std::error::Error as StdError;

use super::super::error::Result;
use super::super::response::Response;
use super::super::trace::now;
use super::{Next, Request};

/// An event of `tracing` for each request: `info` with method, URL (without query), status and milliseconds to the head of the
/// answer, `warn` with the error in place of the status. Its target is `ringhttp::client`.
///
/// ```
/// # fn example(client: ringhttp::Client) -> ringhttp::Client {
/// use ringhttp::client::middleware;
///
/// client.with(middleware::logging())
/// # }
/// ```
pub fn logging() -> impl AsyncFn(Request, Next<'_>) -> Result<Response> + 'static {
    async |request: Request, next: Next<'_>| {
        let (method, location) = (request.outline.method.clone(), request.outline.location.clone());
        let started = now();
        let result = next.run(request).await;
        let (url, milliseconds) = (location.display(), started.elapsed().as_secs_f64() * 1000.0);
        match &result {
            Ok(answer) => {
                let status = answer.status().as_u16();
                tracing::info!(target: TARGET, %method, url, status, milliseconds);
            }
            Err(error) => {
                let error = error as &dyn StdError;
                tracing::warn!(target: TARGET, %method, url, error, milliseconds);
            }
        }
        result
    }
}

const TARGET: &str = "ringhttp::client";
