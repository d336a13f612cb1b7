//! Opens keep-alive connections, makes one request on each, prints `ready` and holds them until its input ends. With
//! `--websocket`, the request opens a WebSocket; with `--tls`, all of it is over TLS.
//!
//! `idle_clients --port N --count N [--websocket | --tls]`; part of `benches/compare.rs --idle`.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use ringhttp_peers::tls;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

fn main() -> io::Result<()> {
    let usage = "usage: idle_clients --port N --count N [--websocket | --tls]";
    let (port, count, question) = arguments().ok_or_else(|| io::Error::other(usage))?;
    ringhttp_peers::raise_open_files();
    let mut clients = Vec::with_capacity(count);
    for index in 0..count {
        let client = connect(index, port)?;
        clients.push(if question.is_secured {
            Client::Secured(secure(client)?)
        } else {
            Client::Plain(client)
        });
    }
    for client in &mut clients {
        match client {
            Client::Plain(client) => ask(client, &question)?,
            Client::Secured(client) => ask(client, &question)?,
        }
    }
    println!("ready");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A connection that is held.
enum Client {
    Plain(TcpStream),
    Secured(Box<Secured>),
}

type Secured = StreamOwned<ClientConnection, TcpStream>;

/// Its handshake is made by the first question.
fn secure(client: TcpStream) -> io::Result<Box<Secured>> {
    let name = ServerName::try_from("localhost").expect("it is one");
    let tls = ClientConnection::new(tls::client_config(false)?, name).map_err(io::Error::other)?;
    Ok(Box::new(StreamOwned::new(tls, client)))
}

fn arguments() -> Option<(u16, usize, Question)> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--port", port, "--count", count] => Some((port.parse().ok()?, count.parse().ok()?, PLAINTEXT)),
        ["--port", port, "--count", count, "--websocket"] => {
            Some((port.parse().ok()?, count.parse().ok()?, WEBSOCKET))
        }
        ["--port", port, "--count", count, "--tls"] => {
            Some((port.parse().ok()?, count.parse().ok()?, Question { is_secured: true, ..PLAINTEXT }))
        }
        _ => None,
    }
}

/// Connects from 127.0.0.2 and up, each address for as many clients as it surely has ports.
fn connect(index: usize, port: u16) -> io::Result<TcpStream> {
    let host = u8::try_from(2 + index / CLIENTS_PER_ADDRESS).map_err(io::Error::other)?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    choose_port_at_connect(&socket)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into())?;
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    let client = TcpStream::from(socket);
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(client)
}

/// Otherwise `bind` wants a port that no connection to any server uses, also none that waits out its end.
fn choose_port_at_connect(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: pointer and length describe `on`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What is asked on a connection, and what its answer ends with.
struct Question {
    request: &'static [u8],
    answer_end: &'static [u8],
    is_secured: bool,
}

const PLAINTEXT: Question = Question {
    request: b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n",
    answer_end: b"Hello, World!",
    is_secured: false,
};

const WEBSOCKET: Question = Question {
    request: b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    answer_end: b"\r\n\r\n",
    is_secured: false,
};

/// One question, its answer read to the end.
fn ask(client: &mut (impl Read + Write), question: &Question) -> io::Result<()> {
    client.write_all(question.request)?;
    let (mut answer, mut filled) = ([0; 1024], 0);
    while !answer[..filled].ends_with(question.answer_end) {
        match client.read(&mut answer[filled..])? {
            0 => {
                return Err(io::Error::other(
                    "the server closed a connection, or its answer is not the expected one",
                ));
            }
            received => filled += received,
        }
    }
    Ok(())
}

/// Below the size of the usual range of ephemeral ports, 28,232.
const CLIENTS_PER_ADDRESS: usize = 20_000;
