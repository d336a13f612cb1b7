//! Parts of answers for clients that ask for parts.
#![forbid(unsafe_code)]

use http::HeaderName;
use http::header::{IF_RANGE, RANGE};

use super::conditional::copied;
use crate::conn::{Request, Response};
use crate::proto::range::RANGES_MAX;
use crate::web::Next;
use crate::web::ranges::with_ranges;

/// What [`ranges`] gives.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RangesConfig {
    /// Ranges of one request; one that asks for more gets the whole body. Default: [`RANGES_MAX`] (16).
    pub ranges_max: usize,
}

impl Default for RangesConfig {
    fn default() -> Self {
        Self { ranges_max: RANGES_MAX }
    }
}

/// Cuts answers of 200 to the `Range` of their requests: see [`Response::with_ranges`]. Bodies of known length can be cut: bytes,
/// files, and streams that say how long they are.
///
/// ```
/// use ringhttp::Router;
/// use ringhttp::middleware::{RangesConfig, ranges};
///
/// let router = Router::new().get("/", async |_: &(), _| "0123456789").with(ranges(RangesConfig::default()));
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn ranges<S: 'static>(
    config: RangesConfig,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Response + 'static {
    async move |_: &S, request: Request, next: Next<'_, S>| {
        let (method, asked) = (request.method().clone(), copied(request.headers(), &FIELDS));
        let response = next.run(request).await;
        with_ranges(response, &method, &asked, config.ranges_max)
    }
}

const FIELDS: [HeaderName; 2] = [RANGE, IF_RANGE];
