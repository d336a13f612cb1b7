//! What handlers may return, and how it becomes a response.
#![forbid(unsafe_code)]

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::conn::{Body, Response};
use crate::error::Error;
use crate::proto::http1::ContentTypeLine;
use crate::websocket::Closed;

/// What a handler may return.
///
/// ```
/// use ringhttp::{IntoResponse, StatusCode};
///
/// assert_eq!("hello".into_response().status(), StatusCode::OK);
/// assert_eq!((StatusCode::CREATED, "made").into_response().status(), StatusCode::CREATED);
/// assert_eq!(().into_response().status(), StatusCode::NO_CONTENT);
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "this is not a response",
    note = "handlers return `Response`, `&'static str`, `String`, `Bytes`, `Vec<u8>`, `()`, `StatusCode`, `Json<T>`, `Html<T>`, \
            `Redirect`, `Sse`, `Problem`, `websocket::Closed`, a stream of JSON lines, a pair `(StatusCode, T)`, a triple `(StatusCode, HeaderMap, T)` of those, or a `Result` of them whose \
            error turns into `ringhttp::Error`"
)]
pub trait IntoResponse {
    /// Makes the response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

/// As `text/plain; charset=utf-8`.
impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

/// As `text/plain; charset=utf-8`.
impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

/// As `application/octet-stream`.
impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::bytes(self)
    }
}

/// As `application/octet-stream`.
impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::bytes(self)
    }
}

/// As `application/octet-stream`.
impl IntoResponse for &'static [u8] {
    fn into_response(self) -> Response {
        Response::bytes(self)
    }
}

/// 204: done, and nothing to say about it.
impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::empty(StatusCode::NO_CONTENT)
    }
}

/// The status, without a body.
impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        Response::empty(self)
    }
}

/// 101, which was sent when the socket was opened: middleware sees it, and nobody else.
impl IntoResponse for Closed {
    fn into_response(self) -> Response {
        Response::empty(StatusCode::SWITCHING_PROTOCOLS)
    }
}

/// The error's status and public text.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.into()
    }
}

/// Another status.
impl<R: IntoResponse> IntoResponse for (StatusCode, R) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

/// Another status, and fields that replace those of the same name.
impl<R: IntoResponse> IntoResponse for (StatusCode, HeaderMap, R) {
    fn into_response(self) -> Response {
        let (status, fields, inner) = self;
        let mut response = inner.into_response().with_status(status);
        let headers = response.headers_mut();
        let mut last = None;
        // A map gives the name only with the first of its values.
        for (name, value) in fields {
            match name {
                Some(name) => {
                    headers.insert(&name, value);
                    last = Some(name);
                }
                None => {
                    let name = last.as_ref().expect("a map's first value has a name");
                    headers.append(name, value);
                }
            }
        }
        response
    }
}

/// Either of the two; an error becomes its status and public text.
impl<R: IntoResponse, E: Into<Error>> IntoResponse for Result<R, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(inner) => inner.into_response(),
            Err(error) => error.into().into(),
        }
    }
}

// Checked when they are compiled, not for each response.
#[cfg(feature = "json")]
static APPLICATION_JSON: ContentTypeLine = ContentTypeLine::new("content-type: application/json\r\n");
static TEXT_HTML: ContentTypeLine = ContentTypeLine::new("content-type: text/html; charset=utf-8\r\n");

/// A value that is answered as `application/json`. If it cannot be serialized, the answer is 500.
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

#[cfg(feature = "json")]
impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(text) => Response::new(text).with_content_type(&APPLICATION_JSON),
            Err(error) => Error::internal(error).into(),
        }
    }
}

/// A page that is answered as `text/html; charset=utf-8`. It is sent as it is: escape what comes from users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Html<T>(pub T);

impl<T: Into<Body>> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        Response::new(self.0).with_content_type(&TEXT_HTML)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{CONTENT_TYPE, SET_COOKIE};

    use super::*;

    #[test]
    fn values_become_responses() {
        let text = Some("text/plain; charset=utf-8");
        let binary = Some("application/octet-stream");
        let failed: Result<&'static str, Error> = Err(Error::not_found("no such user"));
        let cases: Vec<(Response, u16, Option<&str>, &[u8])> = vec![
            ("a".into_response(), 200, text, b"a"),
            (String::from("b").into_response(), 200, text, b"b"),
            (Bytes::from_static(b"c").into_response(), 200, binary, b"c"),
            (vec![0_u8, 255].into_response(), 200, binary, &[0, 255]),
            ((&b"d"[..]).into_response(), 200, binary, b"d"),
            (().into_response(), 204, None, b""),
            (StatusCode::IM_A_TEAPOT.into_response(), 418, None, b""),
            ((StatusCode::CREATED, "e").into_response(), 201, text, b"e"),
            (Ok::<_, Error>("f").into_response(), 200, text, b"f"),
            (failed.into_response(), 404, text, b"no such user\n"),
            (Err::<(), _>(StatusCode::CONFLICT).into_response(), 409, text, b"Conflict\n"),
            (Html("<p>").into_response(), 200, Some("text/html; charset=utf-8"), b"<p>"),
        ];
        for (response, status, content_type, body) in cases {
            let found = response.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), found), (status, content_type), "{response:?}");
            assert_eq!(response.body().as_bytes(), Some(body), "{response:?}");
        }
    }

    #[test]
    fn fields_of_a_triple_replace_and_keep_their_order() {
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv"));
        fields.append(SET_COOKIE, HeaderValue::from_static("a=1"));
        fields.append(SET_COOKIE, HeaderValue::from_static("b=2"));
        let response = (StatusCode::ACCEPTED, fields, "x").into_response();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.headers().get_all(CONTENT_TYPE).iter().collect::<Vec<_>>(), ["text/csv"]);
        assert_eq!(response.headers().get_all(SET_COOKIE).iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_that_cannot_be_written_is_a_500() {
        let good = Json(vec![1, 2]).into_response();
        assert_eq!(good.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(good.body().as_bytes(), Some(&b"[1,2]"[..]));
        // JSON has no keys that are lists.
        let bad = Json(std::collections::BTreeMap::from([(vec![1], 2)])).into_response();
        assert_eq!(bad.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
