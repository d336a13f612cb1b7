//! Multipart bodies as they are sent.
#![forbid(unsafe_code)]

use std::hash::{BuildHasher, RandomState};

use bytes::{BufMut, BytesMut};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// Writes a multipart body, part by part. Sans-IO: everything goes to the end of a buffer, the content of a part by whoever
/// has it.
///
/// ```
/// use ringhttp::proto::multipart::Writer;
/// use bytes::BytesMut;
///
/// let mut body = BytesMut::new();
/// let mut writer = Writer::with_boundary("x");
/// writer.field(&mut body, "title", "Holidays");
/// writer.file(&mut body, "photo", "beach.jpg", "image/jpeg");
/// body.extend_from_slice(b"\xff\xd8");          // or send what is there, and then the content in pieces
/// writer.end(&mut body);
///
/// assert_eq!(writer.content_type("form-data"), "multipart/form-data; boundary=x");
/// assert!(body.starts_with(b"--x\r\ncontent-disposition: form-data; name=\"title\"\r\n\r\nHolidays\r\n--x\r\n"));
/// assert!(body.ends_with(b"\r\n--x--\r\n"));
/// ```
#[derive(Debug)]
pub struct Writer {
    boundary: String,
    begun: bool,
}

impl Writer {
    /// A writer with a random boundary, which no content has in it by chance.
    #[must_use]
    pub fn new() -> Self {
        let [first, second] = [0, 1].map(|number: u8| RandomState::new().hash_one(number));
        Self::with_boundary(&format!("ringhttp-{first:016x}{second:016x}"))
    }

    /// A writer with a boundary of one's own, which the content must not have in it.
    ///
    /// # Panics
    /// If `boundary` is none that RFC 2046 §5.1.1 allows.
    #[must_use]
    pub fn with_boundary(boundary: &str) -> Self {
        assert!(super::is_valid(boundary), "not a boundary: {boundary:?}");
        Self { boundary: boundary.to_owned(), begun: false }
    }

    /// The value of the message's `Content-Type`: `multipart/`, `subtype`, and the boundary, in quotes if it needs them.
    ///
    /// # Panics
    /// If `subtype` cannot stand in a field value.
    #[must_use]
    pub fn content_type(&self, subtype: &str) -> HeaderValue {
        let is_token =
            self.boundary.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"'+_-.".contains(&byte));
        let quote = if is_token { "" } else { "\"" };
        let value = format!("multipart/{subtype}; boundary={quote}{}{quote}", self.boundary);
        HeaderValue::try_from(value).expect("a subtype is a token")
    }

    /// Writes a whole text field of a form.
    pub fn field(&mut self, out: &mut BytesMut, name: &str, value: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_DISPOSITION, disposition(name, None));
        self.part(out, &headers);
        out.extend_from_slice(value.as_bytes());
    }

    /// Begins a file of a form: its content is to follow.
    ///
    /// # Panics
    /// If `content_type` cannot stand in a field value.
    pub fn file(&mut self, out: &mut BytesMut, name: &str, file_name: &str, content_type: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_DISPOSITION, disposition(name, Some(file_name)));
        headers
            .insert(CONTENT_TYPE, HeaderValue::try_from(content_type).expect("a media type is plain text"));
        self.part(out, &headers);
    }

    /// Begins a part with these fields: its content is to follow.
    pub fn part(&mut self, out: &mut BytesMut, headers: &HeaderMap) {
        self.delimiter(out);
        out.put_slice(b"\r\n");
        for (name, value) in headers {
            for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.put_slice(piece);
            }
        }
        out.put_slice(b"\r\n");
    }

    /// Ends the body.
    pub fn end(&mut self, out: &mut BytesMut) {
        self.delimiter(out);
        out.put_slice(b"--\r\n");
    }

    fn delimiter(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.begun, true) {
            out.put_slice(b"\r\n");
        }
        out.put_slice(b"--");
        out.put_slice(self.boundary.as_bytes());
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

/// RFC 7578 §4.2, with names in UTF-8 (§5.1).
fn disposition(name: &str, file_name: Option<&str>) -> HeaderValue {
    let mut value = b"form-data; name=".to_vec();
    put_quoted(&mut value, name);
    if let Some(file_name) = file_name {
        value.extend_from_slice(b"; filename=");
        put_quoted(&mut value, file_name);
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).expect("control characters are escaped")
}

/// `Content-Disposition` of a part of a form as browsers write it (WHATWG HTML, multipart/form-data encoding algorithm): quotes
/// and line ends are percent-encoded, backslashes stay, line ends in names of fields become CRLF first. Other control characters,
/// which browsers send as they are and receivers refuse, are percent-encoded, too.
pub(crate) fn form_disposition(name: &str, file_name: Option<&str>) -> HeaderValue {
    let mut value = b"form-data; name=\"".to_vec();
    let mut name = name.as_bytes();
    while let Some(at) = name.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        put_as_browsers(&mut value, &name[..at]);
        put_as_browsers(&mut value, b"\r\n");
        name = &name[at + if name[at..].starts_with(b"\r\n") { 2 } else { 1 }..];
    }
    put_as_browsers(&mut value, name);
    if let Some(file_name) = file_name {
        value.extend_from_slice(b"\"; filename=\"");
        put_as_browsers(&mut value, file_name.as_bytes());
    }
    value.push(b'"');
    HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).expect("control characters are escaped")
}

fn put_as_browsers(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'"' | 0..=0x1f | 0x7f => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => out.push(byte),
        }
    }
}

/// A quoted string: quotes and backslashes are escaped by a backslash (RFC 9110 §5.6.4), control characters, which it cannot
/// have, by percent-encoding (RFC 7578 §2).
fn put_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x1f | 0x7f => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
