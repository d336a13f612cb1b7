//! Whole bodies: bytes and text.
#![forbid(unsafe_code)]

use bytes::Bytes;

use super::content::Content;
use super::pieces;
use crate::conn::Request;
use crate::error::{Error, Result};
use crate::proto::charset;

impl Request {
    /// The whole body: a view of the read buffer if it came in one piece, else its pieces joined. Memory grows with what
    /// has come, not with what was announced.
    ///
    /// # Errors
    /// 413 if the body is longer than the route allows, 400 or 408 if it breaks the protocol, ends early or stalls; 500 if it
    /// was read to its end before, by a middleware, say, that did not [put it back](crate::RequestBody::unread).
    ///
    /// # Cancellation
    /// What has been read is lost; another read goes on behind it.
    pub async fn bytes(&mut self) -> Result<Bytes> {
        self.body().check_unread()?;
        let expected = self.body().length().unwrap_or(0);
        pieces::gather(self.body(), expected, usize::MAX).await
    }

    /// The whole body as text, in the charset that `Content-Type` names: UTF-8 (also if it names none), US-ASCII,
    /// ISO-8859-1 or windows-1252. A byte order mark before UTF-8 is left out.
    ///
    /// # Errors
    /// 415 if it is another charset; 400 if the body is not in it; and as [`bytes`](Self::bytes).
    ///
    /// # Cancellation
    /// As [`bytes`](Self::bytes).
    pub async fn text(&mut self) -> Result<String> {
        let charset = self.content_type().and_then(|content_type| content_type.charset());
        let charset = charset.map(std::borrow::Cow::into_owned);
        let body = self.bytes().await?;
        let text = charset::decode(charset.as_deref(), body.into());
        text.map_err(|error| Error::new(error.status()).with_text(format!("the body is {error}")))
    }

    /// The body as a stream of lines, of pieces of known length, and of chunks.
    ///
    /// ```
    /// async fn longest(_: &(), mut req: ringhttp::Request) -> ringhttp::Result<String> {
    ///     let mut content = req.content();
    ///     let mut longest = 0;
    ///     while let Some(line) = content.line().await? {
    ///         longest = longest.max(line.len());
    ///     }
    ///     Ok(longest.to_string())
    /// }
    /// # ringhttp::Router::new().post("/", longest);
    /// ```
    pub fn content(&mut self) -> Content<'_> {
        Content::new(self.body())
    }
}
