//! Multipart bodies as handlers read them: part by part, each as a stream, whole, or into a file.
#![forbid(unsafe_code)]

mod decode;

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use self::decode::Source;
use super::read::Content;
use super::read::pieces::{self, Pieces, Waiting};
use super::spool::{self, Spooled};
use crate::conn::Request;
use crate::error::{Error, Result};
use crate::proto::multipart::{Event, Limits, MultipartError, PartHead, Reader, boundary, safe_file_name};
use crate::proto::{ContentType, charset};

/// How a multipart body is read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MultipartConfig {
    /// Limits of the parts: their number, their heads, their content.
    pub limits: Limits,
    /// Bytes of the whole body. Default: what the route allows. Beyond: 413, closed.
    pub total_bytes_max: Option<u64>,
    /// Bytes of a part that [`Part::bytes`] and [`Part::text`] gather in memory. Default 1 MiB. Beyond: 413.
    pub memory_bytes_max: usize,
    /// Levels of multipart bodies in parts of others, the outermost included. Default 4. Beyond: 400.
    pub depth_max: usize,
    /// Where [`Part::spool`] puts temporary files. Default: the system's directory for them (`TMPDIR`, else `/tmp`).
    pub spool_directory: Option<PathBuf>,
}

impl Default for MultipartConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            total_bytes_max: None,
            memory_bytes_max: 1024 * 1024,
            depth_max: 4,
            spool_directory: None,
        }
    }
}

impl Request {
    /// The body as the parts of a multipart body: those of a form with files (`multipart/form-data`, RFC 7578), or of any other
    /// `multipart/*`.
    ///
    /// ```
    /// use ringhttp::{Request, Result, Router};
    ///
    /// async fn upload(_: &(), mut req: Request) -> Result<String> {
    ///     let mut form = req.multipart()?;
    ///     let mut seen = String::new();
    ///     while let Some(mut part) = form.next_part().await? {
    ///         if let Some(file_name) = part.safe_file_name() {
    ///             let bytes = part.save(format!("/srv/uploads/{file_name}")).await?;
    ///             seen += &format!("{file_name}: {bytes} bytes\n");
    ///         } else {
    ///             seen += &format!("{} = {}\n", part.name().to_owned(), part.text().await?);
    ///         }
    ///     }
    ///     Ok(seen)
    /// }
    ///
    /// let router = Router::new().nest("/", Router::new().post("/upload", upload).body_limit(1 << 30));
    /// # assert!(router.into_service(()).is_ok());
    /// ```
    ///
    /// # Errors
    /// 415 if `Content-Type` is no `multipart/*`, 400 if it has no valid boundary.
    pub fn multipart(&mut self) -> Result<Multipart<'_>> {
        self.multipart_with(MultipartConfig::default())
    }

    /// As [`multipart`](Self::multipart), with limits of one's own.
    ///
    /// # Errors
    /// As [`multipart`](Self::multipart).
    pub fn multipart_with(&mut self, config: MultipartConfig) -> Result<Multipart<'_>> {
        let form = Kind::of(self.content_type())?;
        self.body().check_unread()?;
        if let Some(bytes_max) = config.total_bytes_max {
            self.body().set_limit(bytes_max);
        }
        let decoded_left = Cell::new(self.body().limit());
        Ok(Multipart::new(self.body(), &form, Rc::new(Whole { config, decoded_left }), 1))
    }
}

/// What all parts of a body share, those of bodies in them included.
struct Whole {
    config: MultipartConfig,
    /// Bytes that may still be made of encoded parts.
    decoded_left: Cell<u64>,
}

/// What a content type says about a multipart body.
struct Kind {
    boundary: String,
    is_form: bool,
}

impl Kind {
    fn of(content_type: Option<ContentType<'_>>) -> Result<Self> {
        let Some(content_type) = content_type.filter(ContentType::is_multipart) else {
            return Err(
                Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).with_text("the body must be multipart")
            );
        };
        let boundary = boundary(&content_type).map_err(refused)?;
        Ok(Self { boundary, is_form: content_type.is("multipart/form-data") })
    }
}

/// The parts of a multipart body, one after the other: [`Request::multipart`].
pub struct Multipart<'r> {
    source: &'r mut (dyn Pieces + 'r),
    reader: Reader,
    /// What is left of the last piece.
    input: Bytes,
    in_part: bool,
    is_form: bool,
    whole: Rc<Whole>,
    depth: usize,
}

impl<'r> Multipart<'r> {
    fn new(source: &'r mut (dyn Pieces + 'r), kind: &Kind, whole: Rc<Whole>, depth: usize) -> Self {
        let reader = Reader::new(&kind.boundary, whole.config.limits);
        Self { source, reader, input: Bytes::new(), in_part: false, is_form: kind.is_form, whole, depth }
    }

    /// The next part; what is left of the one before is read and thrown away. `None` at the end of the body.
    ///
    /// # Errors
    /// 400 if the body is not what it says, or ends before its last boundary; 400 for a part without a name in a
    /// `multipart/form-data`; 413 beyond a limit of [`MultipartConfig`]; and as [`RequestBody::chunk`](crate::RequestBody::chunk).
    ///
    /// # Cancellation
    /// Nothing is lost: the next call gives the part.
    pub async fn next_part(&mut self) -> Result<Option<Part<'_>>> {
        let head = {
            let waiting = Waiting(&mut *self);
            poll_fn(|cx| waiting.0.poll_head(cx)).await?
        };
        let Some(head) = head else {
            return Ok(None);
        };
        if self.is_form && head.name().is_none() {
            return Err(refused(MultipartError::NameMissing));
        }
        let (whole, depth) = (Rc::clone(&self.whole), self.depth);
        Ok(Some(Part { head, whole, depth, source: Source::new(self) }))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<PartHead>>> {
        loop {
            match ready!(self.poll_event(cx))? {
                Event::Part(head) => {
                    self.in_part = true;
                    return Poll::Ready(Ok(Some(head)));
                }
                Event::End => return Poll::Ready(Ok(None)),
                _ => {}
            }
        }
    }

    /// The next event that is not [`Event::NeedMore`].
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event>> {
        loop {
            match self.reader.next(&mut self.input).map_err(refused)? {
                Event::NeedMore => match ready!(self.source.poll_piece(cx))? {
                    Some(piece) => self.input = piece,
                    None => self.reader.end(),
                },
                event => return Poll::Ready(Ok(event)),
            }
        }
    }
}

/// The content of the current part.
impl Pieces for Multipart<'_> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        if !self.in_part {
            return Poll::Ready(Ok(None));
        }
        let event = ready!(self.poll_event(cx))?;
        Poll::Ready(Ok(match event {
            Event::Data(data) => Some(data),
            _ => {
                self.in_part = false;
                None
            }
        }))
    }

    fn give_up(&mut self) {
        self.source.give_up();
    }
}

fn refused(error: MultipartError) -> Error {
    Error::new(error.status()).with_text(format!("multipart: {error}"))
}

impl fmt::Debug for Multipart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multipart").field("depth", &self.depth).finish_non_exhaustive()
    }
}

/// A part of a multipart body: its head, and the right to read its content.
///
/// Content comes as it was sent. [`decoded`](Self::decoded) undoes what its head says was done to it.
pub struct Part<'f> {
    head: PartHead,
    source: Source<'f>,
    whole: Rc<Whole>,
    depth: usize,
}

impl<'f> Part<'f> {
    /// The part with its `Content-Transfer-Encoding` (`base64`, `quoted-printable`, `7bit`, `8bit`, `binary`) and its
    /// `Content-Encoding` undone in all that is read from it: browsers send neither (RFC 7578 §4.7), mails and some programs do.
    ///
    /// Content that does not decode is a 400 for who reads it, what becomes longer than `Limits::part_bytes_max` a 413, as is more
    /// than 100 bytes made of one, from a megabyte on. All parts that are decoded may together become as long as the body may be
    /// (`MultipartConfig::total_bytes_max`, or what the route allows); beyond: 413.
    ///
    /// ```
    /// use ringhttp::{Request, Result};
    ///
    /// async fn first(_: &(), mut req: Request) -> Result<String> {
    ///     let mut form = req.multipart()?;
    ///     match form.next_part().await? {
    ///         Some(part) => part.decoded()?.text().await,
    ///         None => Ok("nothing\n".to_owned()),
    ///     }
    /// }
    /// # ringhttp::Router::new().post("/", first);
    /// ```
    ///
    /// # Errors
    /// 415 if an encoding is not known, or there are several.
    pub fn decoded(self) -> Result<Self> {
        let stages = decode::stages(self.head.headers())?;
        Ok(Part { source: self.source.decoded(stages, &self.whole), ..self })
    }

    /// The name of the form's field; empty if it has none, as only parts of other bodies than `multipart/form-data` may.
    #[must_use]
    pub fn name(&self) -> &str {
        self.head.name().unwrap_or_default()
    }

    /// The name of the file as the client wrote it, path and all; `None` if this is no file. Do not use it on a file
    /// system: see [`safe_file_name`](Self::safe_file_name).
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.head.file_name()
    }

    /// The last component of the file's name, without what could do harm:
    /// [`proto::multipart::safe_file_name`](crate::proto::multipart::safe_file_name). `None` if this is no file, or nothing of
    /// its name is left.
    #[must_use]
    pub fn safe_file_name(&self) -> Option<String> {
        safe_file_name(self.file_name()?)
    }

    /// The media type, if it has a valid one; without, a part is `text/plain` (RFC 7578 §4.4).
    #[must_use]
    pub fn content_type(&self) -> Option<ContentType<'_>> {
        self.head.content_type()
    }

    /// The fields of the part.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// The next piece of the content, a view of the read buffer; `None` at its end.
    ///
    /// # Errors
    /// As [`Multipart::next_part`].
    ///
    /// # Cancellation
    /// Nothing is lost: the next call gives the piece.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        pieces::next(&mut self.source).await
    }

    /// The content as a stream of lines and of pieces of known length.
    pub fn content(&mut self) -> Content<'_> {
        Content::new(&mut self.source)
    }

    /// The whole content.
    ///
    /// # Errors
    /// 413 if it is longer than [`MultipartConfig::memory_bytes_max`], and as [`Multipart::next_part`].
    ///
    /// # Cancellation
    /// What has been read is lost.
    pub async fn bytes(&mut self) -> Result<Bytes> {
        pieces::gather(&mut self.source, 0, self.whole.config.memory_bytes_max).await
    }

    /// The whole content as text, in the charset of its `Content-Type`, as [`Request::text`] reads it.
    ///
    /// # Errors
    /// 415 if the charset is not known; 400 if the content is not in it; and as [`bytes`](Self::bytes).
    ///
    /// # Cancellation
    /// What has been read is lost.
    pub async fn text(&mut self) -> Result<String> {
        let content = self.bytes().await?;
        let charset = self.content_type().and_then(|content_type| content_type.charset());
        let text = charset::decode(charset.as_deref(), content.into());
        text.map_err(|error| {
            Error::new(error.status()).with_text(format!("multipart: `{}` is {error}", self.name()))
        })
    }

    /// The whole content, read from JSON, whatever its `Content-Type` says: the fields that browsers send have none.
    ///
    /// # Errors
    /// 400 and 422 as [`Request::json`], and as [`bytes`](Self::bytes).
    ///
    /// # Cancellation
    /// What has been read is lost.
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        super::read::from_json(&self.bytes().await?)
    }

    /// Writes the content to a file on the core's blocking threads, and says how many bytes it has. The file appears under its
    /// name when it is complete, in place of one that is there; it is not synced.
    ///
    /// # Errors
    /// 500 if it cannot be written, 503 if too many blocking calls wait, and as [`Multipart::next_part`].
    ///
    /// # Cancellation
    /// What has been read is lost. No file is left, unless it was complete: then it may appear all the same.
    pub async fn save(&mut self, path: impl AsRef<Path>) -> Result<u64> {
        spool::save(&mut self.source, path.as_ref()).await
    }

    /// Reads the content into memory up to `memory_bytes_max` bytes, and beyond into a temporary file that has no name: it is
    /// gone with the [`Spooled`], and if the process is killed. It is written on the core's blocking threads.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    ///
    /// # Cancellation
    /// What has been read is lost; no file is left.
    pub async fn spool(&mut self, memory_bytes_max: usize) -> Result<Spooled> {
        let directory = self.whole.config.spool_directory.as_deref();
        spool::spool(&mut self.source, memory_bytes_max, directory).await
    }

    /// The content as a multipart body of its own (`multipart/mixed` in a form, RFC 7578 §4.3).
    ///
    /// # Errors
    /// As [`Request::multipart`], and 400 beyond [`MultipartConfig::depth_max`].
    pub fn multipart(&mut self) -> Result<Multipart<'_>> {
        let kind = Kind::of(self.head.content_type())?;
        if self.depth >= self.whole.config.depth_max {
            return Err(Error::bad_request("multipart: nested too deep"));
        }
        Ok(Multipart::new(&mut self.source, &kind, Rc::clone(&self.whole), self.depth + 1))
    }
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("head", &self.head).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
