//! Failures that programs can read: `application/problem+json` (RFC 9457).
#![forbid(unsafe_code)]

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::into_response::IntoResponse;
use crate::conn::Response;
use crate::error::Error;

/// The details of a failure (RFC 9457 §3), as an answer or, by `?`, as an [`Error`].
///
/// ```
/// use ringhttp::{Problem, Request, Result, StatusCode};
///
/// async fn pay(_: &(), _: Request) -> Result<String> {
///     Err(Problem::new(StatusCode::FORBIDDEN)
///         .with_type("https://example.com/probs/out-of-credit")
///         .with_title("You do not have enough credit.")
///         .with_detail("Your balance is 30, but that costs 50.")
///         .with_member("balance", 30)
///         .into())
/// }
/// # ringhttp::Router::new().post("/pay", pay);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "it is an answer only when a handler returns it"]
pub struct Problem {
    status: StatusCode,
    members: Map<String, Value>,
}

static PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

impl Problem {
    /// A problem that is no more than its status: its title is the status's reason.
    pub fn new(status: StatusCode) -> Self {
        let mut members = Map::new();
        members.insert("title".to_owned(), status.canonical_reason().unwrap_or("Error").into());
        members.insert("status".to_owned(), status.as_u16().into());
        Self { status, members }
    }

    /// A URI that says which kind of problem it is, at best that of a page about it. Without it the kind is the status.
    pub fn with_type(self, uri: impl Into<String>) -> Self {
        self.with("type", uri.into())
    }

    /// A short text for people, the same for all problems of the kind.
    pub fn with_title(self, title: impl Into<String>) -> Self {
        self.with("title", title.into())
    }

    /// A text for people about this occurrence.
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        self.with("detail", detail.into())
    }

    /// A URI of this occurrence.
    pub fn with_instance(self, uri: impl Into<String>) -> Self {
        self.with("instance", uri.into())
    }

    /// A member of your own (RFC 9457 §3.2). One with the name of a standard member takes its place, except for
    /// `status`.
    pub fn with_member(self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let name = name.into();
        if name == "status" { self } else { self.with(name, value) }
    }

    fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    fn into_body(self) -> String {
        Value::Object(self.members).to_string()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        Response::new(self.into_body()).with_status(status).with_header(CONTENT_TYPE, PROBLEM_JSON.clone())
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::new(problem.status).with_body(PROBLEM_JSON.clone(), problem.into_body())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9457_3_members_come_out_as_an_answer_and_as_an_error() {
        let problem = Problem::new(StatusCode::FORBIDDEN)
            .with_detail("no \"credit\"")
            .with_type("https://example.com/p")
            .with_member("balance", 30)
            .with_member("status", 200);
        let expected = r#"{"balance":30,"detail":"no \"credit\"","status":403,"title":"Forbidden","type":"https://example.com/p"}"#;
        let expected: Value = serde_json::from_str(expected).unwrap();
        for response in [problem.clone().into_response(), Error::from(problem).into()] {
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            assert_eq!(
                response.headers().get_all(CONTENT_TYPE).iter().collect::<Vec<_>>(),
                ["application/problem+json"]
            );
            let body: Value = serde_json::from_slice(response.body().as_bytes().unwrap()).unwrap();
            assert_eq!(body, expected);
            assert_eq!(response.error_text(), None);
        }
    }
}
