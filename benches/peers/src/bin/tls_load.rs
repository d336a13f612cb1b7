//! The load of handshakes: connect, shake hands, one request and its answer, close; then the next, so many at a time.
//!
//! `tls_load --port N --cpu N --connections N --seconds N [--resumed]` prints `ready` after a connection of each, then one line: connections,
//! seconds, and the 50th and 99th percentile of the time from connecting to the answer in microseconds. It ends when its standard
//! input does. With `--resumed` all that are counted resume a session.

use std::cell::RefCell;
use std::io::{self, Read as _};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ringhttp_peers::tls;
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

struct Arguments {
    port: u16,
    cpu: usize,
    connections: usize,
    seconds: u64,
    resumed: bool,
}

fn main() -> io::Result<()> {
    let usage = "usage: tls_load --port N --cpu N --connections N --seconds N [--resumed]";
    let arguments = arguments().ok_or_else(|| io::Error::other(usage))?;
    ringhttp_peers::run_on(arguments.cpu, load(&arguments))
}

fn arguments() -> Option<Arguments> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--port", port, "--cpu", cpu, "--connections", connections, "--seconds", seconds, ref rest @ ..] => {
            Some(Arguments {
                port: port.parse().ok()?,
                cpu: cpu.parse().ok()?,
                connections: connections.parse().ok()?,
                seconds: seconds.parse().ok()?,
                resumed: match rest {
                    [] => false,
                    ["--resumed"] => true,
                    _ => return None,
                },
            })
        }
        _ => None,
    }
}

async fn load(arguments: &Arguments) -> io::Result<()> {
    let expected = if arguments.resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
    let mut connectors = Vec::new();
    for _ in 0..arguments.connections {
        // Each with sessions of its own: a ticket is used once, and those of one are enough for its next connection only.
        let connector = TlsConnector::from(tls::client_config(arguments.resumed)?);
        converse(&connector, arguments.port, HandshakeKind::Full).await?;
        connectors.push(connector);
    }
    let times = Rc::new(RefCell::new(Vec::new()));
    println!("ready");
    let (start, length) = (Instant::now(), Duration::from_secs(arguments.seconds));
    let mut tasks = JoinSet::new();
    for connector in connectors {
        let (times, port) = (Rc::clone(&times), arguments.port);
        tasks.spawn_local(async move {
            while start.elapsed() < length {
                let begun = Instant::now();
                converse(&connector, port, expected).await?;
                times.borrow_mut().push(begun.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
            }
            Ok::<_, io::Error>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(io::Error::other)??;
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut times = times.take();
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(0);
    println!("{} {seconds} {} {}", times.len(), at(0.5), at(0.99));
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// One connection, from its beginning to its end, which the client asks for.
async fn converse(connector: &TlsConnector, port: u16, expected: HandshakeKind) -> io::Result<()> {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").expect("it is one");
    let mut secured = connector.connect(name, socket).await?;
    secured.write_all(REQUEST).await?;
    let (mut answer, mut filled) = ([0; 1024], 0);
    while !answer[..filled].ends_with(b"Hello, World!") {
        match secured.read(&mut answer[filled..]).await? {
            0 => return Err(io::Error::other("the answer is not the expected one")),
            received => filled += received,
        }
    }
    let found = secured.get_ref().1.handshake_kind();
    if found != Some(expected) {
        return Err(io::Error::other(format!("a handshake was {found:?} instead of {expected:?}")));
    }
    secured.shutdown().await?;
    // Some say that they end, too, and some do not; that they have ended is all that counts.
    while !matches!(secured.read(&mut answer).await, Ok(0) | Err(_)) {}
    Ok(())
}

const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n";
