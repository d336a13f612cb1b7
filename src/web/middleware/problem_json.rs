//! Failures shown as `application/problem+json` (RFC 9457).
#![forbid(unsafe_code)]

use super::error_pages::{failure_text, replace};
use crate::conn::{Request, Response};
use crate::web::{IntoResponse, Next, Problem};

/// A middleware that gives failures without a body of their own the form of a [`Problem`]: the answers of an
/// [`Error`](crate::Error), the router's 404 and 405 too, and statuses of 4xx and 5xx without a body. The public text of the
/// error is the `detail`.
///
/// ```
/// use ringhttp::{Error, Request, Result, Router, middleware};
///
/// async fn user(_: &(), _: Request) -> Result<String> {
///     Err(Error::not_found("no such user")) // {"detail":"no such user","status":404,"title":"Not Found"}
/// }
///
/// let router = Router::new().get("/user", user).with(middleware::problem_json);
/// # assert!(router.into_service(()).is_ok());
/// ```
///
/// # Cancellation
/// Dropping it drops the handler, as without it.
pub async fn problem_json<S>(_: &S, request: Request, next: Next<'_, S>) -> Response {
    let response = next.run(request).await;
    let Some(text) = failure_text(&response) else {
        return response;
    };
    let status = response.status();
    let mut problem = Problem::new(status);
    if Some(text.as_str()) != status.canonical_reason() {
        problem = problem.with_detail(text);
    }
    replace(response, problem.into_response())
}
