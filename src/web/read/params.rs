//! What the head says: path parameters, the query, the content type.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::fields;
use crate::conn::Request;
use crate::error::{Error, Result};
use crate::proto::{ContentType, form};

impl Request {
    /// A path parameter, decoded and parsed.
    ///
    /// # Errors
    /// 400 with the parameter's name, if its value is not UTF-8 or is no `T`; 500 if the route has no such parameter.
    pub fn param<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T> {
        let value = self.param_str(name)?;
        value.parse().map_err(|error| Error::bad_request(format!("path parameter `{name}`: {error}")))
    }

    /// A path parameter, percent-decoded; borrowed from the path if there was nothing to decode. `+` is a plus.
    ///
    /// # Errors
    /// 400 if the value is not UTF-8; 500 if the route has no such parameter.
    pub fn param_str(&self, name: &str) -> Result<Cow<'_, str>> {
        let value = self.raw_param(name).ok_or_else(|| {
            Error::internal(format!("the route `{}` has no parameter `{name}`", self.route()))
        })?;
        decoded(value).ok_or_else(|| Error::bad_request(format!("path parameter `{name}` is not UTF-8")))
    }

    /// The path of the route that the request took, as it was added: `/users/{id}`. Empty in a fallback.
    #[must_use]
    pub fn route(&self) -> &str {
        self.matched().route.as_ref().map_or("", |route| route.path())
    }

    /// The path, percent-decoded; borrowed if there was nothing to decode. `+` is a plus. A `%2F` has become a `/` that
    /// ends no segment: for comparing with files and routes, [`path`](Self::path) is the one to use.
    ///
    /// # Errors
    /// 400 if it is not UTF-8.
    pub fn path_decoded(&self) -> Result<Cow<'_, str>> {
        decoded(self.path()).ok_or_else(|| Error::bad_request("the path is not UTF-8"))
    }

    /// The path of the route of a name, with values for all of its parameters: what belongs into a link or a
    /// `Location`. Values are percent-encoded; in the place of a `{*rest}` a `/` stays one.
    ///
    /// ```
    /// use ringhttp::{Request, Result, Router};
    ///
    /// async fn list(_: &(), req: Request) -> Result<String> {
    ///     req.url_for("user", &[("id", "a b")])
    /// }
    ///
    /// let router = Router::new().get("/users", list).get("/users/{id}", list).name("user");
    /// assert_eq!(router.url_for("user", &[("id", "a b")])?, "/users/a%20b");
    /// # Ok::<(), ringhttp::Error>(())
    /// ```
    ///
    /// # Errors
    /// 500, with the reason for the log: no route of that name, a parameter without a value, a value without a parameter,
    /// or a value that its place does not take (empty, against the limit of its segment, or such that the segment would
    /// be `.` or `..` or the path begin with `//`). Also if no router has seen the request.
    pub fn url_for(&self, name: &str, values: &[(&str, &str)]) -> Result<String> {
        match &self.matched().route {
            Some(route) => route.url_for(name, values),
            None => Err(Error::internal("the request has not come through a router")),
        }
    }

    /// The query, read into a type by field names. A field that may come several times is a `Vec`, one that may be
    /// missing an `Option` or has `#[serde(default)]`. Values are percent-decoded, and `+` is a space.
    ///
    /// ```
    /// #[derive(serde::Deserialize)]
    /// struct Search { text: String, #[serde(default)] tag: Vec<String>, page: Option<u32> }
    ///
    /// async fn search(_: &(), req: ringhttp::Request) -> ringhttp::Result<String> {
    ///     let search: Search = req.query()?;
    ///     Ok(format!("{} {:?} {:?}", search.text, search.tag, search.page))
    /// }
    /// ```
    ///
    /// # Errors
    /// 400 with the field, if it does not fit or is not UTF-8.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T> {
        let query = self.query_string().unwrap_or_default().as_bytes();
        // The length of a target bounds the number of fields.
        fields::read(query, "query", usize::MAX, StatusCode::BAD_REQUEST)
    }

    /// The names and values of the query in their order, decoded as by [`query`](Self::query).
    ///
    /// ```
    /// async fn echo(_: &(), req: ringhttp::Request) -> ringhttp::Result<String> {
    ///     let mut text = String::new();
    ///     for pair in req.query_pairs() {
    ///         let (name, value) = pair?;
    ///         text += &format!("{name} is {value}\n");
    ///     }
    ///     Ok(text)
    /// }
    /// ```
    ///
    /// # Errors
    /// A pair that is not UTF-8 is a 400 in its place.
    pub fn query_pairs(&self) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>)>> {
        let query = self.query_string().unwrap_or_default().as_bytes();
        form::fields(query).map(|pair| pair.map_err(|error| Error::bad_request(format!("query: {error}"))))
    }

    /// What `Content-Type` says of the body; `None` if it is missing, or no media type.
    ///
    /// ```
    /// # async fn handler(_: &(), req: ringhttp::Request) -> ringhttp::Result<String> {
    /// let is_csv = req.content_type().is_some_and(|content_type| content_type.is("text/csv"));
    /// # Ok(is_csv.to_string()) }
    /// ```
    #[must_use]
    pub fn content_type(&self) -> Option<ContentType<'_>> {
        ContentType::parse(self.header(CONTENT_TYPE)?.as_bytes())
    }

    pub(in crate::web) fn raw_param(&self, name: &str) -> Option<&str> {
        let matched = self.matched();
        let index = matched.route.as_ref()?.names().iter().position(|other| other == name)?;
        let &(start, end) = matched.values.get(index)?;
        self.path().get(start as usize..end as usize)
    }
}

/// `None`: it is not UTF-8. Most text has nothing to decode, and need not be looked at twice.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'%', text.as_bytes()).is_none() {
        return Some(Cow::Borrowed(text));
    }
    percent_decode_str(text).decode_utf8().ok()
}
