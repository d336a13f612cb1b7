//! The answers of the two floor responders: bytes in, bytes out, no HTTP parser.
//!
//! It finds the end of each head, tells the routes apart by prefix and appends prepared answers. Nothing is
//! checked that the bench does not need; it shows what the kernel costs, it is not a server.

use std::time::{Duration, SystemTime};

use memchr::memmem::Finder;

use crate::{ECHO_BYTES_MAX, HELLO, INDEX, JSON, static_bytes};

/// What one pass over the received bytes leaves to the caller.
#[derive(Debug)]
pub struct Pass {
    /// Bytes of the input that are done with; the rest is an incomplete head, or waits behind `body`.
    pub consumed: usize,
    /// To be sent after the output, without a copy. When it is not empty the pass ended early.
    pub body: &'static [u8],
    /// The connection can not be followed further: send the output, then close.
    pub close: bool,
}

/// Prepared answers; one for all connections of a responder.
#[derive(Debug)]
pub struct Answers {
    head_end: Finder<'static>,
    /// As wrk and the bench's own check write it: no other spelling is looked for.
    close: Finder<'static>,
    second: u64,
    /// `Server` and `Date` fields of the current second.
    common: String,
    plaintext: Vec<u8>,
    json: Vec<u8>,
    index: Vec<u8>,
    fields: Vec<u8>,
    not_found: Vec<u8>,
    not_allowed: Vec<u8>,
}

impl Answers {
    pub fn new() -> Self {
        let mut answers = Self {
            head_end: Finder::new(b"\r\n\r\n"),
            close: Finder::new(b"\r\nConnection: close\r\n"),
            second: 0,
            common: String::new(),
            plaintext: Vec::new(),
            json: Vec::new(),
            index: Vec::new(),
            fields: Vec::new(),
            not_found: Vec::new(),
            not_allowed: Vec::new(),
        };
        answers.refresh();
        answers
    }

    /// Renews the `Date` when the second has changed. Call it once per wake-up.
    pub fn refresh(&mut self) {
        let since_epoch = Duration::from_secs(coarse_seconds());
        if since_epoch.as_secs() == self.second {
            return;
        }
        self.second = since_epoch.as_secs();
        let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since_epoch);
        self.common = format!("Server: floor\r\nDate: {date}\r\n");
        self.plaintext = self.whole("200 OK", TEXT, HELLO);
        self.json = self.whole("200 OK", "Content-Type: application/json\r\n", JSON);
        self.index = self.whole("200 OK", TEXT, INDEX);
        self.fields = self.whole("200 OK", &format!("{TEXT}{MORE_FIELDS}"), HELLO);
        self.not_found = self.whole("404 Not Found", TEXT, "");
        self.not_allowed = self.whole("405 Method Not Allowed", "Allow: GET, HEAD\r\n", "");
    }

    /// Appends the answers to all complete requests in `input` to `output`.
    ///
    /// `echo_left` belongs to the connection: the body bytes of a `POST /echo` that have not come yet.
    pub fn answer(&self, input: &[u8], echo_left: &mut u64, output: &mut Vec<u8>) -> Pass {
        let mut consumed = 0;
        loop {
            if *echo_left > 0 {
                let ready = (input.len() - consumed).min(usize::try_from(*echo_left).unwrap_or(usize::MAX));
                output.extend_from_slice(&input[consumed..consumed + ready]);
                consumed += ready;
                *echo_left -= ready as u64;
            }
            let Some(end) = self.head_end.find(&input[consumed..]) else {
                let close = input.len() - consumed > HEAD_BYTES_MAX;
                return Pass { consumed, body: &[], close };
            };
            let head = &input[consumed..consumed + end + 2];
            consumed += end + 4;
            let close = self.close.find(head).is_some();
            let answer_start = output.len();
            let next = self.route(head, output);
            // An echo is not over yet: it does not end its connection, and no load asks for that.
            if close && !matches!(next, Next::Echo(_)) {
                say_close(output, answer_start);
            }
            match next {
                Next::Request if close => return Pass { consumed, body: &[], close },
                Next::Request => {}
                Next::Echo(length) => *echo_left = length,
                Next::Static(body) => return Pass { consumed, body, close },
                Next::Close => {
                    return Pass { consumed, body: &[], close: true };
                }
            }
        }
    }

    fn route(&self, head: &[u8], output: &mut Vec<u8>) -> Next {
        if head.starts_with(b"GET /plaintext ") {
            output.extend_from_slice(&self.plaintext);
        } else if head.starts_with(b"GET /json ") {
            output.extend_from_slice(&self.json);
        } else if head.starts_with(b"GET / ") {
            output.extend_from_slice(&self.index);
        } else if head.starts_with(b"GET /fields ") {
            output.extend_from_slice(&self.fields);
        } else if let Some(rest) = head.strip_prefix(b"GET /users/") {
            let id = until_space(rest);
            self.head(output, TEXT, id.len() as u64);
            output.extend_from_slice(id.as_bytes());
        } else if let Some(body) =
            head.strip_prefix(b"GET /bytes/").and_then(|n| static_bytes(until_space(n)))
        {
            self.head(output, OCTETS, body.len() as u64);
            return Next::Static(body);
        } else if head.starts_with(b"POST /echo ") {
            return self.echo(head, output);
        } else {
            let known = [" / ", " /plaintext ", " /json ", " /users/", " /bytes/", " /echo "];
            let path = head.iter().position(|&byte| byte == b' ').map_or(&[][..], |space| &head[space..]);
            let other_method =
                !head.starts_with(b"GET ") && known.iter().any(|known| path.starts_with(known.as_bytes()));
            output.extend_from_slice(if other_method { &self.not_allowed } else { &self.not_found });
            // A body of unknown length may follow.
            return if content_length(head) == Some(0) { Next::Request } else { Next::Close };
        }
        Next::Request
    }

    fn echo(&self, head: &[u8], output: &mut Vec<u8>) -> Next {
        match content_length(head) {
            Some(length) if length <= ECHO_BYTES_MAX => {
                self.head(output, OCTETS, length);
                Next::Echo(length)
            }
            _ => {
                output.extend_from_slice(&self.whole("413 Content Too Large", TEXT, ""));
                Next::Close
            }
        }
    }

    fn head(&self, output: &mut Vec<u8>, content_type: &str, length: u64) {
        for part in ["HTTP/1.1 200 OK\r\n", &self.common, content_type, "Content-Length: "] {
            output.extend_from_slice(part.as_bytes());
        }
        output.extend_from_slice(length.to_string().as_bytes());
        output.extend_from_slice(b"\r\n\r\n");
    }

    fn whole(&self, status: &str, fields: &str, body: &str) -> Vec<u8> {
        let (common, length) = (&self.common, body.len());
        format!("HTTP/1.1 {status}\r\n{common}{fields}Content-Length: {length}\r\n\r\n{body}").into_bytes()
    }
}

impl Default for Answers {
    fn default() -> Self {
        Self::new()
    }
}

/// Puts the field behind the status line of the answer that begins there.
fn say_close(output: &mut Vec<u8>, answer_start: usize) {
    let status_line = memchr::memchr(b'\n', &output[answer_start..]).map_or(0, |end| end + 1);
    let at = answer_start + status_line;
    output.splice(at..at, *b"Connection: close\r\n");
}

/// What follows a request's head on the connection.
enum Next {
    Request,
    Echo(u64),
    Static(&'static [u8]),
    Close,
}

/// The value of Content-Length, 0 without the field, `None` when it is unusable or the body is chunked.
fn content_length(head: &[u8]) -> Option<u64> {
    let mut length = Some(0);
    for line in head.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        if line[..colon].eq_ignore_ascii_case(b"content-length") {
            length = std::str::from_utf8(&line[colon + 1..]).ok().and_then(|value| value.trim().parse().ok());
        } else if line[..colon].eq_ignore_ascii_case(b"transfer-encoding") {
            return None;
        }
    }
    length
}

fn until_space(text: &[u8]) -> &str {
    let end = text.iter().position(|&byte| byte == b' ').unwrap_or(0);
    std::str::from_utf8(&text[..end]).unwrap_or("")
}

fn coarse_seconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live `timespec`.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut now) };
    u64::try_from(now.tv_sec).unwrap_or(0)
}

const TEXT: &str = "Content-Type: text/plain\r\n";
/// With those of every answer, the eight fields of `GET /fields`, which clients are measured by.
const MORE_FIELDS: &str = "ETag: \"a\"\r\nCache-Control: no-store\r\nVary: Accept\r\n\
    Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
const OCTETS: &str = "Content-Type: application/octet-stream\r\n";
/// An unfinished head may grow to 8 KiB, far above what the bench sends.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
