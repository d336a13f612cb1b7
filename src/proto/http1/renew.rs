//! A response head whose fields have the names of the last one, in its order, as those of one server mostly have: the map is
//! kept, and only values are put into it.
//!
//! Nothing is decided here: whatever is not as expected is left to the parser, which reads the head from its beginning.
#![forbid(unsafe_code)]

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Version};

use super::Limits;
use super::fields::Notes;
use super::framing;
use super::head::ResponseHead;

/// Puts the values of `head`, which is complete, into the fields of `into`. `None`: it has others, or is unusual; what `into`
/// holds then has no meaning.
pub(super) fn renew(
    head: &Bytes,
    limits: &Limits,
    request_method: &Method,
    into: &mut ResponseHead,
) -> Option<()> {
    let count = into.headers.len();
    if count == 0 || count > limits.header_count_max {
        return None;
    }
    let mut at = status_line(head, into)?;
    let mut notes = Notes::default();
    for (name, value) in &mut into.headers {
        let length = memchr::memchr(b'\n', &head[at..])?;
        let line = head[at..at + length].strip_suffix(b"\r")?;
        at += length + 1;
        let (sent_name, rest) = line.split_at_checked(name.as_str().len())?;
        let rest =
            rest.strip_prefix(b":").filter(|_| sent_name.eq_ignore_ascii_case(name.as_str().as_bytes()))?;
        let sent_value = trim(rest);
        notes.take(name.as_str(), sent_value);
        *value = HeaderValue::from_maybe_shared(head.slice_ref(sent_value)).ok()?;
    }
    if &head[at..] != b"\r\n" {
        return None;
    }
    into.version = Version::HTTP_11;
    into.framing = framing::of_response(&notes, into.version, into.status, request_method).ok()?;
    into.end(&notes);
    Some(())
}

/// Reads the status line; gives its length.
fn status_line(head: &Bytes, into: &mut ResponseHead) -> Option<usize> {
    if head.starts_with(OK) {
        into.status = StatusCode::OK;
        into.reason = Bytes::from_static(b"OK");
        return Some(OK.len());
    }
    let end = memchr::memchr(b'\n', head)?;
    let line = head[..end].strip_prefix(b"HTTP/1.1 ")?.strip_suffix(b"\r")?;
    let (code, rest) = line.split_at_checked(3)?;
    let reason = rest.strip_prefix(b" ")?;
    if !reason.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    into.status = StatusCode::from_bytes(code).ok()?;
    into.reason = head.slice_ref(reason);
    Some(end + 1)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
