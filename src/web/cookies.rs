//! Cookies of a request and of a response.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use http::header::{COOKIE, SET_COOKIE};
use percent_encoding::percent_decode_str;

use crate::conn::{Request, Response};
use crate::error::{Error, Result};
use crate::proto::cookie::{self, SetCookie};

impl Request {
    /// The value of a cookie, as it was sent but for double quotes around it; of several, the first, which browsers make
    /// the one with the longest path (RFC 6265 §5.4).
    ///
    /// Nothing is copied: each call looks through the `Cookie` fields, which are part of the head and so within
    /// `ServerConfig::head_bytes_max` (64 KiB; a longer head is answered 431). Pairs that are broken or not UTF-8 are
    /// passed over, as browsers do.
    ///
    /// ```
    /// use ringhttp::{Request, Result, StatusCode};
    ///
    /// async fn cart(_: &(), req: Request) -> Result<String> {
    ///     let id = req.cookie("cart").ok_or(StatusCode::NOT_FOUND)?;
    ///     Ok(format!("cart {id}\n"))
    /// }
    /// # ringhttp::Router::new().get("/", cart);
    /// ```
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// A cookie's value, percent-decoded: what [`SetCookie::encoded`] set.
    ///
    /// # Errors
    /// 400 if it is not UTF-8 then.
    pub fn cookie_decoded(&self, name: &str) -> Result<Option<Cow<'_, str>>> {
        let decoded = self.cookie(name).map(|value| percent_decode_str(value).decode_utf8());
        decoded.transpose().map_err(|_| Error::bad_request(format!("cookie `{name}` is not UTF-8")))
    }

    /// All cookies, name and value, in the order they came; as [`cookie`](Self::cookie).
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers().get_all(COOKIE).iter().flat_map(|field| cookie::pairs(field.as_bytes()))
    }
}

impl Response {
    /// Adds a `Set-Cookie` field, behind those that are there.
    ///
    /// # Errors
    /// 500 if browsers would not take the cookie: see [`CookieError`](crate::proto::cookie::CookieError).
    pub fn with_cookie(mut self, cookie: &SetCookie) -> Result<Self> {
        self.append_cookie(cookie)?;
        Ok(self)
    }

    /// Adds a `Set-Cookie` field that removes a cookie from the path `/`. For one of another path or with a domain:
    /// [`with_cookie`](Self::with_cookie) of a [`SetCookie::removal`].
    ///
    /// ```
    /// use ringhttp::Response;
    ///
    /// let response = Response::text("bye\n").remove_cookie("sid")?;
    /// assert!(response.headers()["set-cookie"].to_str()?.starts_with("sid=; Path=/; Max-Age=0"));
    /// # Ok::<(), ringhttp::Error>(())
    /// ```
    ///
    /// # Errors
    /// 500 if it is no name.
    pub fn remove_cookie(self, name: &str) -> Result<Self> {
        self.with_cookie(&SetCookie::removal(name.to_owned()))
    }

    pub(super) fn append_cookie(&mut self, cookie: &SetCookie) -> Result<()> {
        let field = cookie.encode().map_err(Error::internal)?;
        self.headers_mut().append(SET_COOKIE, field);
        Ok(())
    }
}
