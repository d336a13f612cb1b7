//! A form with files as it is sent (`multipart/form-data`, RFC 7578).
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::path::PathBuf;

use bytes::BytesMut;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue};
use mime_guess::MimeGuess;
use ringhttp_runtime::file::OpenFile;

use super::error::{Error, ErrorKind, Result};
use crate::conn::Body;
use crate::proto::multipart::{Writer, form_disposition};

/// A form of texts, files and streams, for [`RequestBuilder::multipart`](super::RequestBuilder::multipart) and
/// [`TestRequest::multipart`](crate::testing::TestRequest::multipart).
///
/// Its length is known if that of every part is: then it leaves with a `Content-Length`, else chunked. Without a stream in it it can
/// be sent again, by a redirect say; files are read while they are sent, and never as a whole.
///
/// ```no_run
/// # async fn example(client: ringhttp::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use ringhttp::client::{FormData, FormPart};
///
/// let form = FormData::new()
///     .text("title", "Holidays")
///     .part("photo", FormPart::file("/home/ada/beach.jpg").await?)
///     .part("note", FormPart::new("sunny").file_name("note.txt").content_type("text/plain"));
/// client.post("http://127.0.0.1:8080/upload").multipart(form).send().await?.error_for_status()?;
/// # Ok(())
/// # }
/// ```
pub struct FormData {
    writer: Writer,
    parts: Vec<(HeaderMap, Body)>,
    /// What is wrong with the first part that cannot be sent.
    mistake: Option<Error>,
}

impl FormData {
    /// A form without parts, with a random boundary.
    #[must_use]
    pub fn new() -> Self {
        Self { writer: Writer::new(), parts: Vec::new(), mistake: None }
    }

    /// Adds a field that is text. The value is sent as it is; for names see [`part`](Self::part).
    #[must_use]
    pub fn text(self, name: &str, value: impl Into<String>) -> Self {
        self.part(name, FormPart::new(value.into()))
    }

    /// Adds a part: a file, or whatever else has more to say than a name. Several may have the same name.
    ///
    /// Names of fields and of files are written as browsers do it (WHATWG HTML, multipart/form-data encoding algorithm): in
    /// UTF-8, with `%22`, `%0D` and `%0A` in place of quotes and line ends, other control characters likewise.
    #[must_use]
    pub fn part(mut self, name: &str, part: FormPart) -> Self {
        let FormPart { content, file_name, headers: own, mistake } = part;
        if self.mistake.is_none() {
            self.mistake = mistake;
        }
        let disposition = form_disposition(name, file_name.as_deref());
        let mut headers = HeaderMap::from_iter([(CONTENT_DISPOSITION, disposition.clone())]);
        headers.extend(own);
        headers.insert(CONTENT_DISPOSITION, disposition);
        self.parts.push((headers, content));
        self
    }

    /// The form's `Content-Type`, which names the boundary, and its body.
    ///
    /// # Errors
    /// [`ErrorKind::Request`] if a part has a field that is none.
    pub fn into_body(self) -> Result<(HeaderValue, Body)> {
        let Self { mut writer, parts, mistake } = self;
        if let Some(mistake) = mistake {
            return Err(mistake);
        }
        let mut bodies = Vec::with_capacity(2 * parts.len() + 1);
        for (headers, content) in parts {
            let mut head = BytesMut::new();
            writer.part(&mut head, &headers);
            bodies.extend([Body::from(head.freeze()), content]);
        }
        let mut end = BytesMut::new();
        writer.end(&mut end);
        bodies.push(end.freeze().into());
        Ok((writer.content_type("form-data"), Body::join(bodies)))
    }
}

impl Default for FormData {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FormData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormData").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}

/// A part of a [`FormData`]: its content, its file name, its fields.
#[derive(Debug)]
pub struct FormPart {
    content: Body,
    file_name: Option<String>,
    headers: HeaderMap,
    mistake: Option<Error>,
}

impl FormPart {
    /// A part of text, bytes, a file that is open, a stream ([`Body::stream`], [`Body::stream_of`]), or the body of a request that is
    /// passed on. It has no file name and no type of its own.
    pub fn new(content: impl Into<Body>) -> Self {
        Self { content: content.into(), file_name: None, headers: HeaderMap::new(), mistake: None }
    }

    /// A file of this machine, opened now and read while it is sent. Its name over there is its name here, without directories,
    /// and its type what that name says (`application/octet-stream` if it says nothing).
    ///
    /// # Errors
    /// As [`OpenFile::open`].
    ///
    /// # Cancellation
    /// As [`OpenFile::open`].
    pub async fn file(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let file = OpenFile::open(path).await?;
        let guessed = MimeGuess::from_path(&name).first_or_octet_stream();
        Ok(Self::new(file).file_name(name).content_type(guessed.essence_str()))
    }

    /// Sets the name of the file that the part is; most servers take a part with one for a file, whatever is in it.
    #[must_use]
    pub fn file_name(mut self, name: impl Into<String>) -> Self {
        self.file_name = Some(name.into());
        self
    }

    /// Sets the media type. What is wrong with it is told when the form is sent.
    #[must_use]
    pub fn content_type(self, content_type: &str) -> Self {
        self.header(CONTENT_TYPE, content_type)
    }

    /// Sets a field of the part. What is wrong with it is told when the form is sent. `Content-Disposition` is the form's own business.
    #[must_use]
    pub fn header(
        mut self,
        name: impl TryInto<HeaderName, Error: Into<http::Error>>,
        value: impl TryInto<HeaderValue, Error: Into<http::Error>>,
    ) -> Self {
        match (name.try_into().map_err(Into::into), value.try_into().map_err(Into::into)) {
            (Ok(name), Ok(value)) => {
                self.headers.insert(name, value);
            }
            (Err(error), _) | (_, Err(error)) => {
                let mistake =
                    || Error::new(ErrorKind::Request).with_text("a part of a form has no such field");
                self.mistake.get_or_insert_with(|| mistake().with_source(error));
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(form: FormData) -> String {
        let (content_type, body) = form.into_body().expect("a good form");
        let boundary =
            content_type.to_str().expect("ASCII").rsplit_once('=').expect("it names one").1.to_owned();
        let mut text = String::new();
        for part in body.into_parts() {
            let crate::conn::Part::Bytes(bytes) = part else { panic!("all of it is in memory") };
            text.push_str(str::from_utf8(&bytes).expect("text"));
        }
        text.replace(&boundary, "x")
    }

    #[test]
    fn a_form_by_the_letter() {
        let form = FormData::new()
            .text("a", "1\n2")
            .part("b", FormPart::new("x").file_name("c.txt").content_type("text/plain").header("x-y", "z"))
            .text("a", "");
        assert_eq!(
            text(form),
            "--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\n2\r\n\
             --x\r\ncontent-disposition: form-data; name=\"b\"; filename=\"c.txt\"\r\ncontent-type: text/plain\r\nx-y: z\r\n\r\nx\r\n\
             --x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n\r\n--x--\r\n"
        );
        assert_eq!(text(FormData::new()), "--x--\r\n");
    }

    #[test]
    fn what_cannot_be_sent_is_told_at_the_end() {
        for part in [FormPart::new("").content_type("a\r\nb"), FormPart::new("").header("no name", "")] {
            let error = FormData::new().part("a", part).text("b", "").into_body().expect_err("no field");
            assert_eq!(error.kind(), ErrorKind::Request);
        }
    }

    #[test]
    fn a_length_is_known_if_all_are_and_without_streams_it_can_be_sent_again() {
        let stream = || Body::stream_of(2, async |_| Ok(()));
        let length = |content: Body| {
            let body = FormData::new().part("a", FormPart::new(content)).into_body().expect("a good form").1;
            (body.length().is_some(), body.try_clone().is_some())
        };
        assert_eq!(length("ab".into()), (true, true));
        assert_eq!(length(stream()), (true, false));
        assert_eq!(length(Body::stream(async |_| Ok(()))), (false, false));
    }
}
