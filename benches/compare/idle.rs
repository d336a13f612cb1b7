//! Memory per idle keep-alive connection, over TCP or TLS, or idle WebSocket.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::scenario::Protocol;
use crate::server::{Binaries, Kind};
use crate::{Problem, process};

/// What the connections cost one server.
#[derive(Debug)]
pub(crate) struct Idle {
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    /// Anonymous memory before the connections came, in bytes.
    pub(crate) before: u64,
    /// The same while all of them are idle.
    pub(crate) after: u64,
}

impl Idle {
    /// Growth of the server's own memory per connection, in bytes.
    pub(crate) fn bytes_per_connection(&self) -> f64 {
        (self.after as f64 - self.before as f64) / self.connections as f64
    }
}

/// Opens `connections` to a server of `kind`, makes one request on each, and looks at its memory [`PAUSE`] later.
///
/// # Errors
/// The connections could not all be opened, or the server has closed some of them before the look.
pub(crate) fn measure(binaries: &Binaries, kind: Kind, connections: usize) -> Result<Idle, Problem> {
    let server = binaries.start(kind)?;
    let named = |problem: Problem| format!("{}, idle: {problem}", kind.name());
    // What the first request allocates once for all is not the connections' memory.
    drop(Clients::open(binaries, kind.protocol(), server.port(), 1).map_err(named)?);
    std::thread::sleep(PAUSE);
    let (files_before, before) =
        (process::open_files(server.pid())?, process::anonymous_memory(server.pid())?);

    let clients = Clients::open(binaries, kind.protocol(), server.port(), connections).map_err(named)?;
    std::thread::sleep(PAUSE);
    let after = process::anonymous_memory(server.pid())?;
    let open = process::open_files(server.pid())?.saturating_sub(files_before);
    drop(clients);
    if open < connections {
        return Err(named(format!("only {open} of {connections} connections are open in the server")));
    }
    Ok(Idle { kind, connections, before, after })
}

/// The table of all servers.
pub(crate) fn render(measured: &[Idle]) -> String {
    let mut text = "idle connections: the server's own memory (RssAnon)\n\
        server             connections  before KiB   after KiB  bytes each"
        .to_owned();
    for idle in measured {
        let _infallible = write!(
            text,
            "\n{:<18} {:>11} {:>11} {:>11} {:>11.0}",
            idle.kind.name(),
            idle.connections,
            idle.before / 1024,
            idle.after / 1024,
            idle.bytes_per_connection()
        );
    }
    text
}

/// A process that holds open connections; they close when this is dropped.
struct Clients(Child);

impl Clients {
    fn open(binaries: &Binaries, protocol: Protocol, port: u16, count: usize) -> Result<Self, Problem> {
        let mut command = binaries.helper("idle_clients");
        command.args(["--port", &port.to_string(), "--count", &count.to_string()]);
        match protocol {
            Protocol::Http => {}
            Protocol::Https => _ = command.arg("--tls"),
            Protocol::WebSocket => _ = command.arg("--websocket"),
            Protocol::Files | Protocol::Client => {
                return Err(format!("no idle connections of {protocol:?} are measured"));
            }
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut clients = Self(child.map_err(|error| format!("idle_clients: {error}"))?);
        let mut line = String::new();
        if let Some(output) = clients.0.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(|error| format!("idle_clients: {error}"))?;
        }
        match line.trim() {
            "ready" => Ok(clients),
            // Its own message stands above, on standard error.
            _ => Err(format!("idle_clients could not open {count} connections")),
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ended_before = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Time for a server to give back what it does not need.
const PAUSE: Duration = Duration::from_secs(2);

/// Known figures and their row.
pub(crate) fn self_check() {
    let idle = Idle { kind: Kind::Axum, connections: 100, before: 1 << 20, after: (1 << 20) + 204_800 };
    assert!((idle.bytes_per_connection() - 2048.0).abs() < 1e-9);
    let table = render(&[idle]);
    let cells: Vec<_> = table.lines().last().unwrap_or("").split_whitespace().collect();
    assert_eq!(cells, ["axum", "100", "1024", "1224", "2048"]);
}
