//! The answers a router gives by itself: 404, 405 with `Allow`, 204 with `Allow` to OPTIONS, and 308 to the path that was
//! meant.
#![forbid(unsafe_code)]

use std::cell::OnceCell;
use std::rc::Rc;
use std::task::Context;

use http::header::{ALLOW, LOCATION};
use http::{HeaderValue, Method, StatusCode};

use super::handler::{Endpoint, State, Unbound};
use super::slot::Begun;
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

    fn answer(&self, request: &Request) -> Response {
        let allow = match request.extensions().get::<Verdict>() {
            Some(Verdict::Moved(location)) => {
                return Response::empty(StatusCode::PERMANENT_REDIRECT)
                    .with_header(LOCATION, location.clone());
            }
            Some(Verdict::Allow(allow)) => Some(allow),
            None => self.allow.get(),
        };
        // RFC 9110 §9.3.7: OPTIONS asks what there is; for all others it is a refusal (§15.5.6).
        let response = match *request.method() {
            Method::OPTIONS => Response::empty(StatusCode::NO_CONTENT),
            _ => Error::new(StatusCode::METHOD_NOT_ALLOWED).into(),
        };
        match allow {
            Some(allow) => response.with_header(ALLOW, allow.clone()),
            None => response,
        }
    }
}

/// What a refusal has to say to one request, where it is not what it says to all.
pub(super) enum Verdict {
    /// These methods have a handler: those of all paths that the request's path may be taken for.
    Allow(HeaderValue),
    /// The path that was meant.
    Moved(HeaderValue),
}

impl Endpoint for Refusal {
    fn begin(&self, request: Request, _: &mut Context<'_>) -> Begun {
        Begun::Answered(self.answer(&request))
    }
}

impl<S> Unbound<S> for Refusal {
    fn bind(self: Rc<Self>, _: &State<S>) -> Rc<dyn Endpoint> {
        self
    }
}

/// Answers 404.
#[derive(Debug)]
pub(super) struct NotFound;

impl Endpoint for NotFound {
    fn begin(&self, _: Request, _: &mut Context<'_>) -> Begun {
        Begun::Answered(Error::new(StatusCode::NOT_FOUND).into())
    }
}

impl<S> Unbound<S> for NotFound {
    fn bind(self: Rc<Self>, _: &State<S>) -> Rc<dyn Endpoint> {
        self
    }
}

/// The `Allow` field (RFC 9110 §10.2.1): sorted, with HEAD where there is GET, and with OPTIONS, which is always answered.
pub(super) fn allow<'a>(methods: impl Iterator<Item = &'a Method>) -> HeaderValue {
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
