//! Interim responses that a handler sends ahead of its answer (RFC 9110 §15.2).
#![forbid(unsafe_code)]

use std::future::poll_fn;

use http::{HeaderMap, StatusCode, Version};

use super::request::Request;
use super::sender::client_gone;
use crate::error::{Error, Result};
use crate::proto::http1::{Framing, Implied, encode_response_head};

impl Request {
    /// Sends `103 Early Hints` (RFC 8297): `Link` fields, mostly, by which the client loads what it will need while the
    /// answer is made. As [`send_interim`](Self::send_interim).
    ///
    /// ```
    /// use ringhttp::{HeaderMap, HeaderValue, Html, Request, Result, header};
    ///
    /// async fn page(_: &(), req: Request) -> Result<Html<&'static str>> {
    ///     let mut hints = HeaderMap::new();
    ///     hints.insert(header::LINK, HeaderValue::from_static("</style.css>; rel=preload; as=style"));
    ///     req.early_hints(&hints).await?;
    ///     Ok(Html("<link rel=stylesheet href=/style.css>"))
    /// }
    /// # ringhttp::Router::new().get("/", page);
    /// ```
    ///
    /// # Errors
    /// As [`send_interim`](Self::send_interim).
    ///
    /// # Cancellation
    /// As [`send_interim`](Self::send_interim).
    pub async fn early_hints(&self, headers: &HeaderMap) -> Result<()> {
        self.send_interim(StatusCode::EARLY_HINTS, headers).await
    }

    /// Sends an interim response: it begins to leave at once, behind the answers to earlier requests, and the answer of this
    /// one follows. Waits while more than `ServerConfig::write_buffer_bytes_max` bytes wait for the kernel. To a client of
    /// HTTP/1.0, which knows no interim responses, nothing is sent. A `100` is sent only if the client still waits for it.
    ///
    /// # Errors
    /// 500 if `status` is not 1xx or is 101 (see [`upgrade`](Self::upgrade)), if a field frames a body, or if the request has
    /// been answered; 502 if the client is gone.
    ///
    /// # Cancellation
    /// The response is queued by the first poll; dropping the future after that loses nothing.
    pub async fn send_interim(&self, status: StatusCode, headers: &HeaderMap) -> Result<()> {
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::internal(format!("{status} is no interim response")));
        }
        let connection = self.connection();
        if !connection.may_be_taken(self.cycle()) {
            return Err(Error::internal("the request has been answered"));
        }
        // RFC 9110 §15.2: none to an HTTP/1.0 client.
        if self.version() == Version::HTTP_10 {
            return Ok(());
        }
        if status == StatusCode::CONTINUE {
            connection.send_continue();
        } else {
            let framing = Framing::Empty;
            let encoded = connection.with_output(|output| {
                let (out, version, implied) = (output.buffer(), Version::HTTP_11, Implied::default());
                encode_response_head(out, version, status, None, headers, framing, &implied)
            });
            encoded
                .ok_or_else(|| Error::internal("the connection was taken over"))?
                .map_err(Error::internal)?;
        }
        let queued_max = connection.host.config.write_buffer_bytes_max;
        let drained = poll_fn(|cx| connection.poll_drained(cx, queued_max)).await;
        drained.map_err(client_gone)
    }
}
