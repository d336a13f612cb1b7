//! A request that is being made.
#![forbid(unsafe_code)]

mod overrides;

use std::fmt;
use std::rc::Rc;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method};

#[cfg(feature = "digest-auth")]
use super::digest_auth::{DigestAuth, SigningIn};
use super::error::{Error, ErrorKind, Result};
use super::form_data::FormData;
use super::location::{Location, UserInfo};
use super::outline::{Outline, add_cookies, basic, unusable};
use super::response::Response;
use super::send;
use super::session::Client;
use super::settings::Settings;
use crate::conn::Body;
use crate::conn::websocket::Opening;

/// A request to be filled in and sent: see [`Client::request`].
///
/// What is wrong with a part is told by [`send`](Self::send).
///
/// ```no_run
/// # async fn example(client: ringhttp::Client) -> ringhttp::Result<()> {
/// use std::time::Duration;
///
/// let answer = client
///     .post("http://127.0.0.1:8080/orders?dry=1")
///     .query(&[("page", 2)])
///     .header("x-trace", "7")
///     .bearer_auth("token")
///     .body("two apples")
///     .timeout(Some(Duration::from_secs(2)))
///     .send()
///     .await?;
/// assert_eq!(answer.status(), 201);
/// # Ok(())
/// # }
/// ```
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    pub(super) client: Client,
    outline: Result<Outline>,
}

impl RequestBuilder {
    pub(super) fn new(client: Client, method: Method, located: Result<(Location, Option<UserInfo>)>) -> Self {
        let outline = located.map(|(location, user)| Outline::new(method, location, user));
        Self { client, outline }
    }

    /// The URL, unless something is wrong with the request.
    pub(super) fn location(&self) -> Option<&str> {
        self.outline.as_ref().ok().map(|outline| outline.location.as_str())
    }

    fn change(mut self, change: impl FnOnce(&mut Outline) -> Result<()>) -> Self {
        if let Ok(outline) = &mut self.outline
            && let Err(error) = change(outline)
        {
            self.outline = Err(error);
        }
        self
    }

    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        if let Ok(outline) = &mut self.outline {
            let client = &self.client.shared.settings;
            set(outline.own_settings.get_or_insert_with(|| Box::new(client.clone())));
        }
        self
    }

    /// Sets a field, in place of those of its name. `Content-Length` and `Transfer-Encoding` are the body's own business.
    pub fn header(
        self,
        name: impl TryInto<HeaderName, Error: Into<http::Error>>,
        value: impl TryInto<HeaderValue, Error: Into<http::Error>>,
    ) -> Self {
        self.change(|outline| {
            let (name, value) = (name.try_into().map_err(unusable)?, value.try_into().map_err(unusable)?);
            outline.headers.insert(name, value);
            Ok(())
        })
    }

    /// Sets fields, each in place of those of its name.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.change(|outline| {
            outline.headers.extend(headers);
            Ok(())
        })
    }

    /// Leaves out a field that all requests of the client have: `User-Agent`, `Accept`, one of
    /// `ClientConfig::default_headers`.
    pub fn without_header(self, name: HeaderName) -> Self {
        self.set(|settings| settings.without.push(name))
    }

    /// Adds to the query of the URL: pairs, a map, or a struct whose fields are names.
    pub fn query(self, query: &(impl serde::Serialize + ?Sized)) -> Self {
        self.change(|outline| {
            let text = serde_html_form::to_string(query).map_err(unusable_body)?;
            if !text.is_empty() {
                outline.location = outline.location.with_query(&text)?;
            }
            Ok(())
        })
    }

    /// Sets the body: text, bytes, a file, a stream ([`Body::stream`]), or the body of a request that is passed on. Text and
    /// bytes leave with their length, a stream without one chunked. It does not change `Content-Type`.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.change(|outline| {
            outline.replace_body(body.into());
            Ok(())
        })
    }

    /// Sets the body to what a function makes, which is called for each time that it is sent: a stream can so be sent once more, where
    /// a redirect leads or by another try.
    pub fn body_from(self, make: impl Fn() -> Body + 'static) -> Self {
        self.change(|outline| {
            outline.replace_body(Body::empty());
            outline.make_body = Some(Rc::new(make));
            Ok(())
        })
    }

    /// Sets the body to a value as JSON, and `Content-Type` unless it is set.
    #[cfg(feature = "json")]
    pub fn json(self, value: &(impl serde::Serialize + ?Sized)) -> Self {
        self.change(|outline| {
            let text = serde_json::to_vec(value).map_err(unusable_body)?;
            outline.set_body(text, HeaderValue::from_static("application/json"));
            Ok(())
        })
    }

    /// Sets the body to an HTML form (`application/x-www-form-urlencoded`): pairs, a map, or a struct whose fields are names.
    /// Sets `Content-Type` unless it is set.
    pub fn form(self, form: &(impl serde::Serialize + ?Sized)) -> Self {
        self.change(|outline| {
            let text = serde_html_form::to_string(form).map_err(unusable_body)?;
            outline.set_body(text, HeaderValue::from_static("application/x-www-form-urlencoded"));
            Ok(())
        })
    }

    /// Sets the body to a form with files (`multipart/form-data`, RFC 7578), and `Content-Type`, which has to name its boundary, in place of
    /// any that is set.
    pub fn multipart(self, form: FormData) -> Self {
        self.change(|outline| {
            let (content_type, body) = form.into_body()?;
            outline.replace_body(body);
            outline.headers.insert(header::CONTENT_TYPE, content_type);
            Ok(())
        })
    }

    /// Signs in by user and password (RFC 7617). User and password of the URL do the same.
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        self.change(|outline| {
            if user.contains(':') {
                return Err(Error::new(ErrorKind::Request).with_text("a user name must not have a colon"));
            }
            outline.headers.insert(header::AUTHORIZATION, basic(user, password));
            Ok(())
        })
    }

    /// Signs in by digest authentication (RFC 7616) where the request's server asks for it; where redirects to another origin lead, nobody is
    /// signed in. In place of user and password of the URL and of `basic_auth`.
    ///
    /// The first request is answered with a challenge, and sent again: a body that can be sent only once, as a stream, gets the 401 then, unless
    /// it was held back by [`expect_continue`](Self::expect_continue). The same `auth` remembers the challenge, and its next requests are signed from the beginning.
    #[cfg(feature = "digest-auth")]
    pub fn digest_auth(self, auth: &DigestAuth) -> Self {
        self.change(|outline| {
            auth.check()?;
            outline.headers.remove(header::AUTHORIZATION);
            outline.digest = Some(Box::new(SigningIn::new(auth)));
            Ok(())
        })
    }

    /// Signs in by a token (RFC 6750).
    pub fn bearer_auth(self, token: &str) -> Self {
        self.change(|outline| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(unusable)?;
            value.set_sensitive(true);
            outline.headers.insert(header::AUTHORIZATION, value);
            Ok(())
        })
    }

    /// Adds a cookie to this request, beside those of the jar.
    pub fn cookie(self, name: &str, value: &str) -> Self {
        self.change(|outline| {
            let is_free_of = |text: &str, bytes: &[u8]| !text.bytes().any(|byte| bytes.contains(&byte));
            if name.is_empty() || !is_free_of(name, b"=; ") || !is_free_of(value, b"; ,") {
                return Err(Error::new(ErrorKind::Request).with_text("a cookie has a byte that ends it"));
            }
            let pair = format!("{name}={value}");
            add_cookies(&mut outline.headers, &pair)
        })
    }

    /// Makes it ask for a WebSocket. A proxy has no business in that: it is asked for a tunnel (RFC 6455 §4.1).
    pub(super) fn opening(self, opening: &Opening) -> Self {
        let asking = self.change(|outline| {
            opening.ask(&mut outline.headers);
            Ok(())
        });
        asking.set(|settings| {
            settings.proxies = settings.proxies.as_ref().map(|proxies| Rc::new(proxies.tunneling()));
        })
    }

    /// Has its first byte come as soon as any other, unless that has a time of its own: where the whole has none, a server that says
    /// nothing would be waited for without an end.
    pub(super) fn first_byte_as_any(self) -> Self {
        self.set(|settings| {
            settings.first_byte_timeout = settings.first_byte_timeout.or(settings.read_timeout);
        })
    }

    /// Sends it and waits for the head of the answer. Redirects are followed. Any status is an answer: see
    /// [`Response::error_for_status`].
    ///
    /// # Errors
    /// [`ErrorKind`] says which phase failed.
    ///
    /// # Cancellation
    /// The request is given up where it is: its place in line goes to the next, a connection that is being made or used for
    /// it is closed. The server may have seen it.
    pub async fn send(self) -> Result<Response> {
        send::send(&self.client, self.outline).await
    }
}

fn unusable_body(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Request).with_source(error)
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RequestBuilder");
        match &self.outline {
            Ok(outline) => shown.field("method", &outline.method).field("url", &outline.location),
            Err(error) => shown.field("error", error),
        };
        shown.finish_non_exhaustive()
    }
}
