//! What is asked of the servers, and of the clients.

/// What a server speaks, or that it is a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    /// HTTP over TLS.
    Https,
    WebSocket,
    /// HTTP, by servers of files.
    Files,
    /// The other side of HTTP: clients are measured, and a server is their load.
    Client,
}

/// One kind of load.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) connections: u32,
    pub(crate) path: &'static str,
    pub(crate) shape: Shape,
    /// What it is over, where its shape does not say it.
    over: Protocol,
}

/// How requests are made: by wrk, by `ws_load`, by `tls_load` or by this program; or what a client does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// One GET after the other.
    Get,
    /// This many GETs in one write; the answers are awaited together.
    Pipelined(u32),
    /// So many GETs a second, whether those before them were answered or not.
    Paced(u32),
    /// A GET, after which the server closes the connection; then the next one.
    Once,
    /// One GET after the other, beside clients that send or read a byte now and then: so many of each.
    BesideSlow(u32),
    /// POST with a body of this many bytes.
    Post(u32),
    /// WebSocket: a binary message of this many bytes and its echo, one after the other.
    Echo(u32),
    /// WebSocket: a binary message of this many bytes that one says to all, one after the other.
    Broadcast(u32),
    /// A connection over TLS for each request.
    Handshakes { resumed: bool },
    /// A client that is measured makes one GET after the other.
    Ask,
}

impl Scenario {
    pub(crate) fn by_name(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self.shape {
            Shape::Echo(_) | Shape::Broadcast(_) => Protocol::WebSocket,
            Shape::Ask => Protocol::Client,
            _ => self.over,
        }
    }

    /// GETs over plain connections that are kept.
    pub(crate) fn is_plain_get(&self) -> bool {
        self.shape == Shape::Get && self.over == Protocol::Http
    }

    /// The load in words.
    pub(crate) fn title(&self) -> String {
        let (path, connections) = (self.path, self.connections);
        match self.shape {
            Shape::Get if self.over == Protocol::Https => {
                format!("GET {path} over TLS, {connections} connections")
            }
            Shape::Get if self.over == Protocol::Files => {
                format!("GET of a file of {} bytes, {connections} connections", crate::content::FILE_BYTES)
            }
            Shape::BesideSlow(slow) => format!(
                "GET {path}, {connections} connections, beside {slow} that send and {slow} that read a byte each 100 ms"
            ),
            Shape::Get => format!("GET {path}, {connections} connections"),
            Shape::Handshakes { resumed } => format!(
                "{} handshake, GET {path} and end of a TLS connection, {connections} at a time",
                if resumed { "resumed" } else { "full" }
            ),
            Shape::Paced(rate) => {
                format!("GET {path}, {rate} a second over up to {connections} connections")
            }
            Shape::Once => format!("GET {path}, {connections} at a time, each on a new connection"),
            Shape::Ask => format!("client: GET {path}, {connections} at a time over kept connections"),
            Shape::Pipelined(depth) => format!("GET {path}, {connections} connections, pipelined {depth}"),
            Shape::Post(bytes) => format!("POST {path} with {bytes} bytes, {connections} connections"),
            Shape::Echo(bytes) => format!("WebSocket messages of {bytes} bytes, {connections} connections"),
            Shape::Broadcast(bytes) => {
                format!(
                    "WebSocket messages of {bytes} bytes to {connections} connections at a time, each counted"
                )
            }
        }
    }

    /// wrk's script for the shape; `None`: wrk needs none.
    pub(crate) fn script(&self) -> Option<String> {
        match self.shape {
            Shape::Get
            | Shape::BesideSlow(_)
            | Shape::Paced(_)
            | Shape::Echo(_)
            | Shape::Broadcast(_)
            | Shape::Handshakes { .. }
            | Shape::Ask => None,
            Shape::Once => Some("wrk.headers[\"Connection\"] = \"close\"\n".to_owned()),
            // wrk counts answers, so that the script's one string is still 16 requests in its report.
            Shape::Pipelined(depth) => Some(format!(
                "local batch\n\
                 init = function() batch = string.rep(wrk.format(), {depth}) end\n\
                 request = function() return batch end\n"
            )),
            Shape::Post(bytes) => Some(format!(
                "wrk.method = \"POST\"\n\
                 wrk.body = string.rep(\"x\", {bytes})\n\
                 wrk.headers[\"Content-Type\"] = \"application/octet-stream\"\n"
            )),
        }
    }
}

/// In the order in which they are measured.
pub(crate) static SCENARIOS: [Scenario; 34] = [
    Scenario::get("plaintext", 64, "/plaintext"),
    Scenario { shape: Shape::Pipelined(16), ..Scenario::get("pipelined", 64, "/plaintext") },
    Scenario::get("plaintext-1", 1, "/plaintext"),
    Scenario::get("plaintext-8", 8, "/plaintext"),
    Scenario::get("plaintext-512", 512, "/plaintext"),
    Scenario::get("plaintext-4096", 4096, "/plaintext"),
    Scenario::get("plaintext-10000", 10_000, "/plaintext"),
    Scenario { shape: Shape::Paced(5000), ..Scenario::get("paced", 64, "/plaintext") },
    Scenario { shape: Shape::Once, ..Scenario::get("close", 64, "/plaintext") },
    Scenario { shape: Shape::BesideSlow(100), ..Scenario::get("slow-clients", 64, "/plaintext") },
    Scenario::get("json", 64, "/json"),
    Scenario::get("users", 64, "/users/42"),
    Scenario { shape: Shape::Post(1024), ..Scenario::get("echo-1k", 64, "/echo") },
    Scenario { shape: Shape::Post(64 << 10), ..Scenario::get("echo-64k", 64, "/echo") },
    Scenario::get("bytes-1k", 64, "/bytes/1024"),
    Scenario::get("bytes-16k", 64, "/bytes/16384"),
    Scenario::get("bytes-64k", 64, "/bytes/65536"),
    Scenario::get("bytes-1m", 64, "/bytes/1048576"),
    Scenario { over: Protocol::Files, ..Scenario::get("file-1m", 64, "/file.bin") },
    Scenario::echo("ws-16", 64, 16),
    Scenario::echo("ws-1k", 64, 1024),
    Scenario::echo("ws-64k", 16, 64 << 10),
    Scenario::echo("ws-1m", 4, 1 << 20),
    Scenario {
        path: "/broadcast",
        shape: Shape::Broadcast(1024),
        ..Scenario::echo("ws-broadcast", 5000, 1024)
    },
    Scenario::secured("tls-plaintext", "/plaintext"),
    Scenario::secured("tls-bytes-64k", "/bytes/65536"),
    Scenario::secured("tls-bytes-1m", "/bytes/1048576"),
    Scenario::handshakes("tls-full", false),
    Scenario::handshakes("tls-resumed", true),
    Scenario::client("client-1", 1),
    Scenario::client("client-10", 10),
    Scenario::client("client-25", 25),
    Scenario::client("client-50", 50),
    Scenario::client("client-100", 100),
];

impl Scenario {
    const fn get(name: &'static str, connections: u32, path: &'static str) -> Self {
        Self { name, connections, path, shape: Shape::Get, over: Protocol::Http }
    }

    const fn echo(name: &'static str, connections: u32, bytes: u32) -> Self {
        Self { name, connections, path: "/ws", shape: Shape::Echo(bytes), over: Protocol::WebSocket }
    }

    const fn secured(name: &'static str, path: &'static str) -> Self {
        Self { over: Protocol::Https, ..Self::get(name, 64, path) }
    }

    /// Of a server that answers with eight fields.
    const fn client(name: &'static str, connections: u32) -> Self {
        Self { shape: Shape::Ask, ..Self::get(name, connections, "/fields") }
    }

    const fn handshakes(name: &'static str, resumed: bool) -> Self {
        Self { connections: 16, shape: Shape::Handshakes { resumed }, ..Self::secured(name, "/plaintext") }
    }
}
