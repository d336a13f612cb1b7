//! What a client would like to get (RFC 9110 §12.5).
#![forbid(unsafe_code)]

use http::header::{ACCEPT, ACCEPT_LANGUAGE};

use crate::conn::Request;
use crate::proto::negotiation;

impl Request {
    /// The media type among `offers` that the client wants most by its `Accept`, the first among equals; the first if it does
    /// not say. `None`: it takes none of them, for which the status is 406. See [`negotiation::media_type`].
    ///
    /// ```
    /// use ringhttp::{IntoResponse, Html, Request, Response, StatusCode};
    ///
    /// async fn page(_: &(), req: Request) -> Response {
    ///     match req.accepts(&["text/html", "text/plain"]) {
    ///         Some("text/html") => Html("<p>hello</p>").into_response(),
    ///         Some(_) => "hello".into_response(),
    ///         None => StatusCode::NOT_ACCEPTABLE.into_response(),
    ///     }
    /// }
    /// # let _ = ringhttp::Router::new().get("/", page);
    /// ```
    #[must_use]
    pub fn accepts<'offer>(&self, offers: &[&'offer str]) -> Option<&'offer str> {
        negotiation::media_type(self.headers().get_all(ACCEPT), offers)
    }

    /// The language among `offers` that the client wants most by its `Accept-Language`, the first among equals; the first if
    /// it does not say. `None`: it takes none of them; most servers then give their default. See [`negotiation::language`].
    #[must_use]
    pub fn accepts_language<'offer>(&self, offers: &[&'offer str]) -> Option<&'offer str> {
        negotiation::language(self.headers().get_all(ACCEPT_LANGUAGE), offers)
    }
}
