//! What stands before the content of a part: its fields, and the names in `Content-Disposition` (RFC 7578 §4.2, RFC 6266 §4).
#![forbid(unsafe_code)]

use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::MultipartError;
use crate::proto::{ContentDisposition, ContentType};

/// The head of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    headers: HeaderMap,
    name: Option<String>,
    file_name: Option<String>,
}

impl PartHead {
    /// The name of the form's field, as its sender wrote it: browsers write `%22` for a quote in it, and it stays so.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The name of the file, as its sender wrote it: it may be empty, and it may be a path. See [`safe_file_name`].
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.file_name.as_deref()
    }

    /// The media type, if it has a valid one; without, a part is `text/plain` (RFC 7578 §4.4).
    #[must_use]
    pub fn content_type(&self) -> Option<ContentType<'_>> {
        ContentType::parse(self.headers.get(CONTENT_TYPE)?.as_bytes())
    }

    /// All fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

/// The last component of a file name that a client has sent, made fit for a directory of one's own: no separators of any
/// system, no control or direction-changing characters, no dot at the front, at most 255 bytes. `None` if nothing is left.
///
/// It says nothing about whether such a file exists, or what the client means by its extension.
///
/// ```
/// use ringhttp::proto::multipart::safe_file_name;
///
/// assert_eq!(safe_file_name("C:\\photos\\me.jpg").as_deref(), Some("me.jpg"));
/// assert_eq!(safe_file_name("../../etc/passwd").as_deref(), Some("passwd"));
/// assert_eq!(safe_file_name(".."), None);
/// ```
#[must_use]
pub fn safe_file_name(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\', ':']).next().unwrap_or_default();
    let mut safe: String =
        last.chars().filter(|&char| !char.is_control() && !changes_direction(char)).collect();
    safe = safe.trim_matches(|char: char| char == '.' || char.is_whitespace()).to_owned();
    while safe.len() > FILE_NAME_BYTES_MAX {
        safe.pop();
    }
    (!safe.is_empty()).then_some(safe)
}

/// What most file systems take (NAME_MAX).
const FILE_NAME_BYTES_MAX: usize = 255;

/// Characters that let `gpj.exe` be shown as `exe.jpg` (Unicode's bidirectional controls).
fn changes_direction(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Reads the lines of a head, its empty line included.
pub(super) fn parse(lines: &Bytes, count_max: usize) -> Result<PartHead, MultipartError> {
    let headers = parse_fields(lines, count_max)?;
    let mut head = PartHead { headers, name: None, file_name: None };
    let mut dispositions = head.headers.get_all(CONTENT_DISPOSITION).iter();
    if let Some(disposition) = dispositions.next() {
        let is_repeated = dispositions.next().is_some();
        let found = ContentDisposition::parse(disposition.as_bytes()).filter(|_| !is_repeated);
        let found = found.ok_or(MultipartError::DispositionInvalid)?;
        (head.name, head.file_name) = (found.name, found.file_name);
    }
    if head.headers.get_all(CONTENT_TYPE).iter().count() > 1 {
        return Err(MultipartError::HeadInvalid);
    }
    Ok(head)
}

fn parse_fields(lines: &Bytes, count_max: usize) -> Result<HeaderMap, MultipartError> {
    // The parser would take a line feed alone for a line end.
    let is_bare = |at: usize| at == 0 || lines[at - 1] != b'\r';
    if memchr::memchr_iter(b'\n', lines).any(is_bare) {
        return Err(MultipartError::HeadInvalid);
    }
    let mut slots = vec![httparse::EMPTY_HEADER; count_max];
    let parsed = match httparse::parse_headers(lines, &mut slots) {
        Ok(httparse::Status::Complete((_, parsed))) => parsed,
        Err(httparse::Error::TooManyHeaders) => return Err(MultipartError::HeadTooLarge),
        _ => return Err(MultipartError::HeadInvalid),
    };
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(lines.slice_ref(field.value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(MultipartError::HeadInvalid);
        };
        headers.try_append(name, value).map_err(|_| MultipartError::HeadTooLarge)?;
    }
    Ok(headers)
}
