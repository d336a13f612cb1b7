//! A plain client for tests: blocking sockets of the standard library on threads of the core's pool, so that it shares
//! neither driver nor parser with what is tested. Whatever fails panics: that is what a test wants.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use ringhttp_runtime::Core;

use crate::client::{Client, ClientConfig, FormData, WebSocketRequest};
use crate::conn::Part;

/// Sends requests to the server under test.
#[derive(Clone, Debug)]
pub struct TestClient {
    core: Core,
    address: SocketAddr,
}

impl TestClient {
    /// A client of the server at `address`.
    #[must_use]
    pub fn new(core: &Core, address: SocketAddr) -> Self {
        Self { core: core.clone(), address }
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a GET on a connection of its own.
    ///
    /// # Panics
    /// As [`TestRequest::send`].
    ///
    /// # Cancellation
    /// As [`TestRequest::send`].
    pub async fn get(&self, path: &str) -> TestResponse {
        self.request(Method::GET, path).send().await
    }

    /// A request to be filled in and sent.
    #[must_use]
    pub fn request(&self, method: Method, path: &str) -> TestRequest {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        TestRequest { client: self.clone(), method, head, body: Vec::new() }
    }

    /// A WebSocket to be opened at a path of the server, by a client of its own.
    ///
    /// ```no_run
    /// # async fn example(client: ringhttp::testing::TestClient) -> ringhttp::Result<()> {
    /// let mut socket = client.websocket("/ws").bearer_auth("token").connect().await?;
    /// socket.send("hello").await?;
    /// assert_eq!(socket.receive().await?, Some("HELLO".into()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Never: the default configuration of a client can work.
    pub fn websocket(&self, path: &str) -> WebSocketRequest {
        let client = Client::new(&self.core, ClientConfig::default()).expect("the default can work");
        client.websocket(format!("ws://{}{path}", self.address))
    }

    /// A connection on which `bytes` have been sent as they are.
    ///
    /// # Panics
    /// If the server does not listen, or takes none of the bytes for 10 s.
    ///
    /// # Cancellation
    /// The bytes are sent all the same, then the connection is closed.
    pub async fn raw(&self, bytes: impl Into<Vec<u8>>) -> RawConnection {
        let address = self.address;
        let connect = self.core.spawn_blocking(move || {
            let socket = TcpStream::connect(address).expect("the server listens");
            socket.set_nodelay(true).expect("an open socket");
            socket.set_read_timeout(Some(PATIENCE)).expect("an open socket");
            socket.set_write_timeout(Some(PATIENCE)).expect("an open socket");
            socket
        });
        let socket = Arc::new(connect.await.expect(POOL));
        let mut connection = RawConnection { core: self.core.clone(), socket, unread: Vec::new() };
        connection.send(bytes).await;
        connection
    }
}

/// A request of a [`TestClient`].
#[derive(Clone, Debug)]
pub struct TestRequest {
    client: TestClient,
    method: Method,
    head: String,
    body: Vec<u8>,
}

impl TestRequest {
    /// Adds a field, whatever it is.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.head, "{name}: {value}\r\n");
        self
    }

    /// Sets the body, sent with its `Content-Length`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to `value` as JSON, and `Content-Type` to match.
    ///
    /// # Panics
    /// If `value` cannot be written as JSON.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn json(self, value: &impl serde::Serialize) -> Self {
        let text = serde_json::to_vec(value).expect("the value can be written as JSON");
        self.header("content-type", "application/json").body(text)
    }

    /// Sets the body to a form with files, and `Content-Type` to match. Its files are read now, on this thread.
    ///
    /// ```no_run
    /// # async fn example(client: ringhttp::testing::TestClient) {
    /// use ringhttp::Method;
    /// use ringhttp::client::{FormData, FormPart};
    ///
    /// let form = FormData::new().text("title", "Holidays").part("file", FormPart::new("1,2").file_name("a.csv"));
    /// let response = client.request(Method::POST, "/upload").multipart(form).send().await;
    /// assert_eq!(response.status, 201);
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the form cannot be sent, has a stream in it, or a file that cannot be read.
    #[must_use]
    pub fn multipart(self, form: FormData) -> Self {
        let (content_type, body) = form.into_body().expect("the form can be sent");
        let length = body.length();
        let mut bytes = Vec::new();
        for part in body.into_parts() {
            match part {
                Part::Bytes(piece) => bytes.extend_from_slice(&piece),
                Part::File(slice) => bytes.extend(slice.read_blocking().expect("the file can be read")),
            }
        }
        assert_eq!(length, Some(bytes.len() as u64), "a test client sends no streams");
        self.header("content-type", content_type.to_str().expect("a boundary is ASCII")).body(bytes)
    }

    /// Sends it on a connection of its own, and reads the response while the body is still leaving. A server that does not
    /// take all of the body is no failure, if it answers.
    ///
    /// # Panics
    /// If the answer is no HTTP, or 10 s pass without a byte of it.
    ///
    /// # Cancellation
    /// Once polled, the request is sent all the same; its answer is lost.
    pub async fn send(mut self) -> TestResponse {
        if !self.body.is_empty() || self.method == Method::POST || self.method == Method::PUT {
            let _ = write!(self.head, "content-length: {}\r\n", self.body.len());
        }
        let message = [self.head.as_bytes(), b"\r\n", &self.body].concat();
        let mut connection = self.client.raw("").await;
        let socket = Arc::clone(&connection.socket);
        let sending = connection.core.spawn_blocking(move || (&*socket).write_all(&message));
        let response = connection.response(&self.method).await;
        let _ = sending.await;
        response
    }
}

/// A response to a [`TestClient`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestResponse {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The body, its chunks joined.
    pub body: Bytes,
}

impl TestResponse {
    /// The body as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body, read from JSON.
    ///
    /// # Panics
    /// If it is not the JSON of a `T`; the message has the body.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("the body is no such JSON: {error}: {}", self.body.escape_ascii()))
    }

    /// The first field of a name, as text.
    ///
    /// # Panics
    /// If its value is not ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("the field is text"))
    }
}

/// A connection whose bytes are the test's own.
#[derive(Debug)]
pub struct RawConnection {
    core: Core,
    socket: Arc<TcpStream>,
    unread: Vec<u8>,
}

impl RawConnection {
    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the server takes none for 10 s, or has closed the connection.
    ///
    /// # Cancellation
    /// The bytes are sent all the same.
    pub async fn send(&mut self, bytes: impl Into<Vec<u8>>) {
        let (socket, bytes) = (Arc::clone(&self.socket), bytes.into());
        let sent = self.core.spawn_blocking(move || (&*socket).write_all(&bytes)).await;
        sent.expect(POOL).expect("the server reads");
    }

    /// The next bytes, as many as there are; none when the server has ended the connection or reset it.
    ///
    /// # Panics
    /// If none come for 10 s.
    ///
    /// # Cancellation
    /// Bytes may be lost.
    pub async fn receive(&mut self) -> Vec<u8> {
        if self.unread.is_empty() {
            self.fill().await;
        }
        std::mem::take(&mut self.unread)
    }

    /// All bytes up to the end of the connection.
    ///
    /// # Panics
    /// As [`receive`](Self::receive).
    ///
    /// # Cancellation
    /// Bytes may be lost.
    pub async fn receive_all(&mut self) -> Vec<u8> {
        while self.fill().await > 0 {}
        std::mem::take(&mut self.unread)
    }

    /// The next response; what comes behind it stays to be read. `method` is that of its request: answers to HEAD have
    /// no body. An interim answer (1xx) is given like any other.
    ///
    /// # Panics
    /// If the answer is no HTTP or ends early, and as [`receive`](Self::receive).
    ///
    /// # Cancellation
    /// Bytes may be lost.
    pub async fn response(&mut self, method: &Method) -> TestResponse {
        let head = self.take_through(b"\r\n\r\n").await;
        let (status, headers) = parse_head(&head);
        let bodiless =
            *method == Method::HEAD || status.is_informational() || matches!(status.as_u16(), 204 | 304);
        let length = headers.get(http::header::CONTENT_LENGTH);
        let body = if bodiless {
            Vec::new()
        } else if headers.contains_key(http::header::TRANSFER_ENCODING) {
            self.take_chunks().await
        } else if let Some(length) = length {
            let length = length.to_str().ok().and_then(|length| length.parse().ok());
            self.take(length.expect("a length is a number")).await
        } else {
            self.receive_all().await
        };
        TestResponse { status, headers, body: body.into() }
    }

    /// Ends our side: the server reads an end of stream.
    pub fn end(&mut self) {
        // If the server has closed the connection already, its end is known.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Reads once, and says how many bytes came; a connection that was reset has ended.
    async fn fill(&mut self) -> usize {
        let socket = Arc::clone(&self.socket);
        let read = self.core.spawn_blocking(move || {
            let mut bytes = vec![0; READ_BYTES];
            let read = (&*socket).read(&mut bytes);
            read.map(|count| {
                bytes.truncate(count);
                bytes
            })
        });
        match read.await.expect(POOL) {
            Ok(bytes) => {
                self.unread.extend_from_slice(&bytes);
                assert!(self.unread.len() < RECEIVED_BYTES_MAX, "the server does not stop sending");
                bytes.len()
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("nothing came: {error}; unread: {}", self.unread.escape_ascii()),
        }
    }

    async fn fill_more(&mut self) {
        let count = self.fill().await;
        assert!(count > 0, "the connection ended early, behind: {}", self.unread.escape_ascii());
    }

    async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            self.fill_more().await;
        }
        let rest = self.unread.split_off(count);
        std::mem::replace(&mut self.unread, rest)
    }

    async fn take_through(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return self.take(at + end.len()).await;
            }
            self.fill_more().await;
        }
    }

    /// A chunked body (RFC 9112 §7.1); trailers are read over.
    async fn take_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.take_through(b"\r\n").await;
            let size =
                str::from_utf8(&line).ok().and_then(|line| usize::from_str_radix(line.trim_end(), 16).ok());
            let size = size.expect("a chunk begins with its size");
            if size == 0 {
                break;
            }
            body.extend_from_slice(&self.take(size).await);
            assert_eq!(self.take(2).await, b"\r\n", "a chunk ends with a line end");
        }
        while self.take_through(b"\r\n").await != b"\r\n" {}
        body
    }
}

/// How long the client waits for a byte.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes asked for at a time.
const READ_BYTES: usize = 64 * 1024;

/// Unread bytes beyond which something is wrong with the server: twice the largest body that our tests exchange.
const RECEIVED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Fields of a response that are read.
const FIELDS_MAX: usize = 128;

const POOL: &str = "the core's pool takes the client's calls";

fn parse_head(head: &[u8]) -> (StatusCode, HeaderMap) {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut fields);
    let complete = parsed.parse(head).is_ok_and(|status| status.is_complete());
    assert!(complete, "no response head: {}", head.escape_ascii());
    let status =
        StatusCode::from_u16(parsed.code.expect("a complete head")).expect("a status has three digits");
    let mut headers = HeaderMap::new();
    for field in parsed.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).expect("httparse checks names");
        headers.append(name, HeaderValue::from_bytes(field.value).expect("httparse checks values"));
    }
    (status, headers)
}
