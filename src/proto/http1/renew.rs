//! A response head whose fields have the names of the last one, in its order, as those of one server mostly have: the map is
//! kept, and only values are put into it.
//!
//! Nothing is decided here: whatever is not as expected is left to the parser, which reads the head from its beginning.
#![forbid(unsafe_code)]

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Version};

use super::Limits;
use super::fields::{Notes, repeated_in_response_lower};
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
    let mut line_ends = memchr::memchr_iter(b'\n', head);
    let mut at = status_line(&head[..=line_ends.next()?], head, into)?;
    let mut notes = Notes::default();
    let mut before = None;
    for (name, value) in &mut into.headers {
        // The map gives the values of one name one behind the other.
        let is_repeated = before.replace(name).is_some_and(|before| std::ptr::eq(before, name));
        if is_repeated && repeated_in_response_lower(name.as_str()).is_some() {
            return None;
        }
        let end = line_ends.next()?;
        let line = head[at..end].strip_suffix(b"\r")?;
        at = end + 1;
        let (sent_name, rest) = line.split_at_checked(name.as_str().len())?;
        if !is_name(sent_name, name.as_str().as_bytes()) {
            return None;
        }
        let sent_value = trim(rest.strip_prefix(b":")?);
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
fn status_line(line: &[u8], head: &Bytes, into: &mut ResponseHead) -> Option<usize> {
    if line == OK {
        into.status = StatusCode::OK;
        into.reason = Bytes::from_static(b"OK");
        return Some(line.len());
    }
    let (code, rest) = line.strip_prefix(b"HTTP/1.1 ")?.split_at_checked(3)?;
    let reason = rest.strip_prefix(b" ")?.strip_suffix(b"\r\n")?;
    if !reason.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    into.status = StatusCode::from_bytes(code).ok()?;
    into.reason = head.slice_ref(reason);
    Some(line.len())
}

/// Whether a field's name is `name`, which is in lower case; that is most of the time how it is sent, or with capitals.
fn is_name(sent: &[u8], name: &[u8]) -> bool {
    let is_same =
        |(sent, name): (&u8, &u8)| sent == name || (name.is_ascii_lowercase() && sent | 0x20 == *name);
    sent == name || sent.iter().zip(name).fold(true, |all_same, pair| all_same & is_same(pair))
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
