//! Answers that send the client elsewhere (RFC 9110 §15.4).
#![forbid(unsafe_code)]

use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::into_response::IntoResponse;
use crate::conn::Response;
use crate::error::{Error, Result};

/// An answer that sends the client elsewhere (RFC 9110 §15.4).
///
/// The location is a URI reference, or an IRI: what is not ASCII, and spaces, are percent-encoded when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    status: StatusCode,
    location: String,
}

impl Redirect {
    /// 301: it has moved for good. Clients may turn a POST into a GET: [`permanent`](Self::permanent) does not let them.
    pub fn moved(location: impl Into<String>) -> Self {
        Self { status: StatusCode::MOVED_PERMANENTLY, location: location.into() }
    }

    /// 302: it is elsewhere this time. Clients may turn a POST into a GET: [`see_other`](Self::see_other) and
    /// [`temporary`](Self::temporary) say what is meant.
    pub fn found(location: impl Into<String>) -> Self {
        Self { status: StatusCode::FOUND, location: location.into() }
    }

    /// 303: fetch `location` by GET, whatever the method of this request was.
    pub fn see_other(location: impl Into<String>) -> Self {
        Self { status: StatusCode::SEE_OTHER, location: location.into() }
    }

    /// 307: send the same request to `location` this time.
    pub fn temporary(location: impl Into<String>) -> Self {
        Self { status: StatusCode::TEMPORARY_REDIRECT, location: location.into() }
    }

    /// 308: send the same request to `location` from now on.
    pub fn permanent(location: impl Into<String>) -> Self {
        Self { status: StatusCode::PERMANENT_REDIRECT, location: location.into() }
    }

    /// 303 to a path that a client named (`?next=/cart`), if it is a path of this site: it begins with one `/` and cannot
    /// be read as another host by a browser, which takes `\` for `/` and skips tabs and line ends.
    ///
    /// ```
    /// use ringhttp::{Redirect, Request, Result};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Login { next: String }
    ///
    /// async fn signed_in(_: &(), req: Request) -> Result<Redirect> {
    ///     Redirect::local(req.query::<Login>()?.next)
    /// }
    /// # let _ = signed_in;
    /// assert!(Redirect::local("/cart?item=1").is_ok());
    /// assert!(Redirect::local("//evil.example").is_err());
    /// ```
    ///
    /// # Errors
    /// 400 if it is anything else: an absolute or relative URL, `//host`, or with control characters, spaces or
    /// backslashes.
    pub fn local(path: impl Into<String>) -> Result<Self> {
        let path = path.into();
        let is_local = path.starts_with('/') && !path.starts_with("//");
        let is_plain = path.bytes().all(|byte| byte > b' ' && byte != b'\\' && byte != 0x7f);
        if is_local && is_plain {
            Ok(Self::see_other(path))
        } else {
            Err(Error::bad_request("the location is not a path of this site"))
        }
    }
}

/// A location that is no field value (it contains a line break, say) is answered with 500.
impl IntoResponse for Redirect {
    fn into_response(self) -> Response {
        // RFC 9110 §10.2.2 and RFC 3986 §2: URIs consist of ASCII. What is percent-encoded already stays as it is.
        let location = utf8_percent_encode(&self.location, NOT_IN_URI).to_string();
        match HeaderValue::try_from(location) {
            Ok(location) => Response::empty(self.status).with_header(LOCATION, location),
            Err(error) => Error::internal(error).into(),
        }
    }
}

/// Beside what is not ASCII. Control characters are not among them: they are a mistake, and refused.
const NOT_IN_URI: &AsciiSet = &AsciiSet::EMPTY.add(b' ');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_10_2_2_a_location_is_ascii() {
        let cases = [
            ("/a?b=%C3%A9&c=d#e", "/a?b=%C3%A9&c=d#e"),
            ("/é", "/%C3%A9"),
            ("http://a.example/b c", "http://a.example/b%20c"),
        ];
        for (location, sent) in cases {
            assert_eq!(Redirect::found(location).into_response().headers()[LOCATION], sent);
        }
    }

    #[test]
    fn a_redirect_cannot_smuggle_a_field() {
        let cases = [
            (Redirect::moved("/a"), 301),
            (Redirect::found("/a"), 302),
            (Redirect::see_other("/a"), 303),
            (Redirect::temporary("/a"), 307),
            (Redirect::permanent("/a"), 308),
        ];
        for (redirect, status) in cases {
            let response = redirect.into_response();
            assert_eq!(
                (response.status().as_u16(), &response.headers()[LOCATION]),
                (status, &"/a".parse().unwrap())
            );
        }
        let bad = Redirect::see_other("/\r\nset-cookie: a=1").into_response();
        assert_eq!(bad.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(bad.headers().get(LOCATION).is_none());
    }

    #[test]
    fn a_local_redirect_stays_on_the_site() {
        for path in ["/", "/a/b?c=d#e", "/a//b", "/@evil.example", "/:80", "/%2f%2fevil.example", "/ä"] {
            assert_eq!(Redirect::local(path).unwrap(), Redirect::see_other(path));
        }
        let hostile = [
            "",
            "a",
            "?a",
            "#a",
            ".",
            "../a",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " /a",
            "/a b",
            "/\r\nx: y",
            "/\0",
            "/a\u{7f}",
            "http://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
        ];
        for path in hostile {
            assert_eq!(Redirect::local(path).unwrap_err().status(), 400, "{path:?}");
        }
    }
}
