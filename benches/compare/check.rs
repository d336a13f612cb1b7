//! Asks a server for its whole surface, once, before it is measured: a fast wrong answer is no result.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::Problem;
use crate::content::FILE_BYTES;
use crate::server::Server;

/// Checks status, framing and body of every path, over one keep-alive connection, and that a connection ends when that is asked for.
///
/// Only after a large echo and after a refusal may the server close: those are not measured.
///
/// # Errors
/// The first request whose answer is wrong, and what was expected.
pub(crate) fn surface(server: &Server) -> Result<(), Problem> {
    let mut client = Client::connect(server.port())?;
    let large = vec![b'e'; ECHO_BYTES];
    let hello = client.expect("GET", "/plaintext", b"", 200, 13)?;
    for field in ["date", "server", "content-type"] {
        if hello.field(field).is_none() {
            return Err(format!("GET /plaintext: no {field} field"));
        }
    }
    client.expect("GET", "/plaintext", b"", 200, 13)?.body_is(b"Hello, World!")?;
    client.expect("GET", "/json", b"", 200, 27)?.body_is(br#"{"message":"Hello, World!"}"#)?;
    let user = client.ask("GET", "/users/42", b"")?;
    if user.status != 200 || !user.body.windows(2).any(|two| two == b"42") {
        return Err(format!("GET /users/42: {} without the id", user.status));
    }
    for length in [1, 1024, 65536, 1 << 20] {
        client.expect("GET", &format!("/bytes/{length}"), b"", 200, length)?;
    }
    for body in [&b"x"[..], &large[..1024]] {
        client.expect("POST", "/echo", body, 200, body.len())?.body_is(body)?;
    }
    let index = client.ask("GET", "/", b"")?;
    if index.status != 200 || index.body.is_empty() {
        return Err(format!(
            "GET /: {} and {} bytes, expected 200 and a body",
            index.status,
            index.body.len()
        ));
    }
    client.ask("POST", "/echo", &large)?.body_is(&large)?;
    let missing = Client::connect(server.port())?.ask("GET", "/nowhere", b"")?;
    if missing.status != 404 {
        return Err(format!("GET /nowhere: {}, expected 404", missing.status));
    }
    let refused = Client::connect(server.port())?.ask("DELETE", "/", b"")?;
    match refused.field("allow") {
        Some(allow) if refused.status == 405 && allow.contains("GET") => {}
        allow => {
            return Err(format!("DELETE /: {} with Allow {allow:?}, expected 405 and GET", refused.status));
        }
    }
    closes(server)
}

/// A server that does not close when it is asked to would have `close` measure kept connections.
fn closes(server: &Server) -> Result<(), Problem> {
    let mut client = Client::connect(server.port())?;
    let asked = "GET /plaintext with Connection: close";
    let request = b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.stream.write_all(request).map_err(|error| format!("{asked}: writing: {error}"))?;
    client.read_answer(asked)?.body_is(b"Hello, World!")?;
    match client.stream.read(&mut [0]) {
        Ok(0) if client.pending.is_empty() => Ok(()),
        Ok(_) => Err(format!("{asked}: something follows the answer")),
        Err(error) => Err(format!("{asked}: the connection does not end: {error}")),
    }
}

/// Checks the one file of a server of files.
///
/// # Errors
/// It is not there, or not as long as it is.
pub(crate) fn file(server: &Server) -> Result<(), Problem> {
    let file = Client::connect(server.port())?.expect("GET", "/file.bin", b"", 200, FILE_BYTES)?;
    file.body_is(&vec![b'x'; FILE_BYTES])
}

/// The smallest HTTP client that serves: it knows Content-Length and chunked.
struct Client {
    stream: TcpStream,
    /// Received and not used yet.
    pending: Vec<u8>,
}

/// One answer; field names in lower case.
struct Answer {
    asked: String,
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn body_is(&self, expected: &[u8]) -> Result<(), Problem> {
        if self.body == expected {
            Ok(())
        } else {
            Err(format!("{}: another body than expected", self.asked))
        }
    }
}

impl Client {
    fn connect(port: u16) -> Result<Self, Problem> {
        let text = |error: std::io::Error| format!("connect: {error}");
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(text)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(text)?;
        stream.set_write_timeout(Some(TIMEOUT)).map_err(text)?;
        Ok(Self { stream, pending: Vec::new() })
    }

    fn expect(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
        status: u16,
        length: usize,
    ) -> Result<Answer, Problem> {
        let answer = self.ask(method, path, body)?;
        if answer.status != status || answer.body.len() != length {
            let (found, bytes) = (answer.status, answer.body.len());
            return Err(format!(
                "{method} {path}: {found} and {bytes} bytes, expected {status} and {length}"
            ));
        }
        if answer.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            return Err(format!("{method} {path}: the server closes, so that wrk would measure connects"));
        }
        Ok(answer)
    }

    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Answer, Problem> {
        let asked = format!("{method} {path}");
        let mut request = format!("{asked} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
        if method == "POST" {
            request.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        // Head and body in one write, as wrk does it.
        request.extend_from_slice(body);
        // A body beyond the socket's buffers is answered while it is sent: write beside the reading.
        let mut writer = self.stream.try_clone().map_err(|error| format!("{asked}: {error}"))?;
        std::thread::scope(|scope| {
            let written = scope.spawn(move || writer.write_all(&request));
            let answer = self.read_answer(&asked);
            match written.join() {
                Ok(Ok(())) => answer,
                Ok(Err(error)) => Err(format!("{asked}: writing: {error}")),
                Err(_) => Err(format!("{asked}: the writing thread panicked")),
            }
        })
    }

    fn read_answer(&mut self, asked: &str) -> Result<Answer, Problem> {
        let head = self.read_until(b"\r\n\r\n", asked)?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let (status, fields) =
            parse_head(&head).ok_or_else(|| format!("{asked}: unreadable head {head:?}"))?;
        let mut answer = Answer { asked: asked.to_owned(), status, fields, body: Vec::new() };
        if answer.field("transfer-encoding") == Some("chunked") {
            answer.body = self.read_chunks(asked)?;
        } else {
            let length = answer.field("content-length").and_then(|length| length.parse().ok());
            let length: usize = length.ok_or_else(|| format!("{asked}: neither length nor chunks"))?;
            answer.body = self.read_exactly(length, asked)?;
        }
        Ok(answer)
    }

    fn read_chunks(&mut self, asked: &str) -> Result<Vec<u8>, Problem> {
        let mut body = Vec::new();
        loop {
            let line = self.read_until(b"\r\n", asked)?;
            let size = chunk_size(&line).ok_or_else(|| format!("{asked}: unreadable chunk size {line:?}"))?;
            let chunk = self.read_exactly(size + 2, asked)?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    fn read_until(&mut self, end: &[u8], asked: &str) -> Result<Vec<u8>, Problem> {
        loop {
            if let Some(at) = self.pending.windows(end.len()).position(|bytes| bytes == end) {
                return Ok(self.pending.drain(..at + end.len()).collect());
            }
            if self.pending.len() > LINES_BYTES_MAX {
                return Err(format!("{asked}: no end of the head or line after {LINES_BYTES_MAX} bytes"));
            }
            self.read_more(asked)?;
        }
    }

    fn read_exactly(&mut self, length: usize, asked: &str) -> Result<Vec<u8>, Problem> {
        if length > BODY_BYTES_MAX {
            return Err(format!("{asked}: {length} bytes, more than any answer has"));
        }
        while self.pending.len() < length {
            self.read_more(asked)?;
        }
        Ok(self.pending.drain(..length).collect())
    }

    fn read_more(&mut self, asked: &str) -> Result<(), Problem> {
        let mut buffer = vec![0; 64 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(format!("{asked}: the connection ended in the answer")),
            Ok(received) => {
                self.pending.extend_from_slice(&buffer[..received]);
                Ok(())
            }
            Err(error) => Err(format!("{asked}: reading: {error}")),
        }
    }
}

pub(crate) fn parse_head(head: &str) -> Option<(u16, Vec<(String, String)>)> {
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    Some((status, lines.map(field).collect::<Option<_>>()?))
}

fn chunk_size(line: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(line).ok()?.trim_end().split(';').next()?;
    usize::from_str_radix(digits, 16).ok()
}

/// Several times the servers' buffers, so that streaming is exercised.
const ECHO_BYTES: usize = 3 << 20;
/// Longer than any head or chunk line of the servers checked here.
const LINES_BYTES_MAX: usize = 64 << 10;
/// Above the largest body asked for.
const BODY_BYTES_MAX: usize = 8 << 20;
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Heads and chunk lines, readable and not.
pub(crate) fn self_check() {
    let fields =
        vec![("content-length".to_owned(), "13".to_owned()), ("server".to_owned(), "a:b".to_owned())];
    assert_eq!(
        parse_head("HTTP/1.1 200 OK\r\nContent-Length: 13\r\nServer: a:b\r\n\r\n"),
        Some((200, fields))
    );
    assert_eq!(parse_head("HTTP/1.1 2"), None);
    assert_eq!(parse_head("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), None);
    assert_eq!(chunk_size(b"1f;a=b\r\n"), Some(31));
    assert_eq!(chunk_size(b"\r\n"), None);
}
