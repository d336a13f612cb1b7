//! A request that is changed for those who look at it later, and what it was when it came.
#![forbid(unsafe_code)]

use http::{HeaderMap, Method};

use super::request::Request;
use crate::error::{Error, Result};

impl Request {
    /// The fields as they were sent: names in their case and values in their order, whatever was changed since. Space around
    /// values is left out.
    ///
    /// ```
    /// async fn names(_: &(), req: ringhttp::Request) -> String {
    ///     let names = req.raw_headers().map(|(name, _)| String::from_utf8_lossy(name));
    ///     names.collect::<Vec<_>>().join("\n")
    /// }
    /// # ringhttp::Router::new().get("/", names);
    /// ```
    pub fn raw_headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.exchange().head.raw_fields()
    }

    /// The fields, to be changed for those who look at the request later. Where the body ends and whether the connection goes
    /// on has been decided: fields that say so change nothing of it.
    ///
    /// ```
    /// use ringhttp::{Next, Request, Response, Router, header};
    ///
    /// /// Handlers are not to depend on what a client prefers.
    /// async fn in_english(_: &(), mut req: Request, next: Next<'_, ()>) -> Response {
    ///     req.headers_mut().remove(header::ACCEPT_LANGUAGE);
    ///     next.run(req).await
    /// }
    /// # let _ = Router::new().get("/", async |_: &(), _| "hello\n").with(in_english);
    /// ```
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.exchange_mut().head.headers_mut()
    }

    /// Gives the request another method, for who routes it: a service around an [`App`](crate::App). How its answer is framed
    /// remains a matter of the method that was sent.
    ///
    /// ```
    /// use ringhttp::{Method, Request, Router, Service};
    ///
    /// let app = Router::new().delete("/note", async |_: &(), _| "deleted\n").into_service(())?;
    /// // Forms of HTML know GET and POST only.
    /// let service = async move |mut req: Request| {
    ///     if req.method() == Method::POST && req.header("x-http-method-override").is_some_and(|name| name == "DELETE") {
    ///         req.set_method(Method::DELETE);
    ///     }
    ///     app.call(req).await
    /// };
    /// # fn is_service(_: impl Service) {}
    /// # is_service(service);
    /// # Ok::<(), ringhttp::Error>(())
    /// ```
    pub fn set_method(&mut self, method: Method) {
        // What was found for the old method is not to be found for a request that comes with the new one.
        self.matched_mut().numbers = None;
        self.exchange_mut().head.set_method(method);
    }

    /// Gives the request another path and query, percent-encoded, for who routes it: as [`set_method`](Self::set_method).
    ///
    /// # Errors
    /// 500 if it does not begin with `/` or is none, or if a router has seen the request already.
    pub fn set_path_and_query(&mut self, target: &str) -> Result<()> {
        // Where the parameters of its route stand has been found.
        if self.matched().route.is_some() {
            return Err(Error::internal("the request has been routed"));
        }
        if !target.starts_with('/') {
            return Err(Error::internal("a path begins with a slash"));
        }
        self.exchange_mut().head.set_target(target).map_err(Error::internal)
    }
}
