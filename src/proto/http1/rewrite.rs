//! A request head that is changed after it was read, and what it was before.
#![forbid(unsafe_code)]

use std::mem;

use http::{HeaderMap, Method};

use super::head::RequestHead;
use crate::proto::PeerError;

impl RequestHead {
    /// The fields, to be changed: they are no longer what their lines say, and not kept for another head.
    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        self.note_change();
        &mut self.headers
    }

    /// Gives it another target, as if it had come with it.
    ///
    /// # Errors
    /// [`PeerError::TargetInvalid`]; the target is what it was.
    pub(crate) fn set_target(&mut self, target: &str) -> Result<(), PeerError> {
        self.note_change();
        self.repeats_line = false;
        self.target.read(target, &self.method)
    }

    /// Gives it another method, for who routes it: nothing else follows from it any more.
    pub(crate) fn set_method(&mut self, method: Method) {
        if method == Method::CONNECT {
            // Its target has a form of its own: a head that is kept as one would pass for what cannot be read.
            self.note_change();
        }
        self.repeats_line = false;
        self.method = method;
    }

    fn note_change(&mut self) {
        if !self.field_lines.is_empty() {
            self.changed_lines = mem::take(&mut self.field_lines);
        }
    }

    /// The fields as they were sent: names and values in their order.
    pub(crate) fn raw_fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = if self.field_lines.is_empty() { &self.changed_lines } else { &self.field_lines };
        // The lines were checked: each ends in CRLF, has a colon, and is not folded.
        lines.split(|&byte| byte == b'\n').filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::{Limits, RequestReader};
    use super::*;

    fn head(message: &str) -> RequestHead {
        let mut input = BytesMut::from(message);
        let head = RequestReader::new(Limits::default()).head(&mut input, &mut None);
        head.expect("a good head").expect("a complete head")
    }

    #[test]
    fn the_fields_stay_what_was_sent() {
        let mut head = head("GET / HTTP/1.1\r\nHOST: a\r\nx-B:  1:2 \t\r\nx-a:\r\nX-b: \u{e9}\r\n\r\n");
        let sent: [(&[u8], &[u8]); 4] =
            [(b"HOST", b"a"), (b"x-B", b"1:2"), (b"x-a", b""), (b"X-b", "\u{e9}".as_bytes())];
        assert!(head.raw_fields().eq(sent));
        head.headers_mut().clear();
        head.headers_mut().clear();
        assert!(head.raw_fields().eq(sent) && head.headers.is_empty());
        head.clear();
        assert_eq!(head.raw_fields().count(), 0);
    }

    #[test]
    fn rfc9112_3_2_3_a_path_is_no_target_of_connect_though_one_was_made_of_it() {
        let (mut reader, fields) = (RequestReader::new(Limits::default()), "HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut head = RequestHead::default();
        let mut input = BytesMut::from(&*format!("GET /b {fields}"));
        assert_eq!(reader.head_into(&mut input, &mut head), Ok(true));
        head.set_method(Method::CONNECT);
        assert_eq!(head.raw_fields().count(), 1);
        head.keep_fields();
        assert!(reader.start_next().is_ok());
        input.extend_from_slice(format!("CONNECT /b {fields}").as_bytes());
        assert!(reader.head_into(&mut input, &mut head).is_err());
    }

    #[test]
    fn a_target_is_taken_if_it_could_have_been_sent() {
        let mut head = head("GET http://a/b HTTP/1.1\r\nhost: c\r\n\r\n");
        for bad in ["", "a", "/a b", "/#", "/\r\nx: y", "*"] {
            assert_eq!(head.set_target(bad), Err(PeerError::TargetInvalid), "{bad:?}");
            assert_eq!(head.target.as_str(), "http://a/b");
        }
        assert_eq!(head.set_target("/c%20d?e"), Ok(()));
        assert_eq!((head.target.path(), head.target.query()), ("/c%20d", Some("e")));
        head.keep_fields();
        assert!(head.headers.is_empty(), "fields of another target are not kept");
    }
}
