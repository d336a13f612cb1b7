//! The answers a router gives by itself: 404, 405 with `Allow`, and 204 with `Allow` to OPTIONS.
#![forbid(unsafe_code)]

use std::cell::OnceCell;
use std::future::ready;

use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

use super::handler::{Answer, Endpoint};
use crate::conn::{Request, Response};
use crate::error::Error;

/// Answers requests for a path that has routes, but none for their method.
///
/// It exists before the table does, so that it can stand behind the middleware of its router; which methods there are is
/// known once all routers are joined.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    allow: OnceCell<HeaderValue>,
}

impl Refusal {
    /// Says which methods have a handler. The first call counts.
    pub(super) fn set_methods<'a>(&self, methods: impl Iterator<Item = &'a Method>) {
        self.allow.get_or_init(|| allow(methods));
    }

    fn answer(&self, method: &Method) -> Response {
        // RFC 9110 §9.3.7: OPTIONS asks what there is; for all others it is a refusal (§15.5.6).
        let response = match *method {
            Method::OPTIONS => Response::empty(StatusCode::NO_CONTENT),
            _ => Error::new(StatusCode::METHOD_NOT_ALLOWED).into(),
        };
        match self.allow.get() {
            Some(allow) => response.with_header(ALLOW, allow.clone()),
            None => response,
        }
    }
}

impl<S> Endpoint<S> for Refusal {
    fn call<'a>(&'a self, _: &'a S, request: Request) -> Answer<'a> {
        Box::pin(ready(self.answer(request.method())))
    }
}

/// Answers 404.
#[derive(Debug)]
pub(super) struct NotFound;

impl<S> Endpoint<S> for NotFound {
    fn call<'a>(&'a self, _: &'a S, _: Request) -> Answer<'a> {
        Box::pin(ready(Error::new(StatusCode::NOT_FOUND).into()))
    }
}

/// The `Allow` field (RFC 9110 §10.2.1): sorted, with HEAD where there is GET, and with OPTIONS, which is always answered.
fn allow<'a>(methods: impl Iterator<Item = &'a Method>) -> HeaderValue {
    let mut names = vec![Method::OPTIONS.as_str()];
    for method in methods {
        names.push(method.as_str());
        if *method == Method::GET {
            names.push(Method::HEAD.as_str());
        }
    }
    names.sort_unstable();
    names.dedup();
    HeaderValue::try_from(names.join(", ")).expect("methods are tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_10_2_1_allow_is_sorted_and_complete() {
        let cases: &[(&[Method], &str)] = &[
            (&[], "OPTIONS"),
            (&[Method::POST, Method::GET], "GET, HEAD, OPTIONS, POST"),
            (&[Method::HEAD, Method::GET, Method::HEAD], "GET, HEAD, OPTIONS"),
            (&[Method::PUT, Method::OPTIONS, Method::DELETE], "DELETE, OPTIONS, PUT"),
        ];
        for (methods, expected) in cases {
            assert_eq!(allow(methods.iter()), expected, "{methods:?}");
        }
    }
}
