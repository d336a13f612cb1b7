//! The load on WebSocket servers. At `/ws` every connection sends a binary message, waits for its echo, and sends it again; at
//! `/broadcast` one of them says it, and says it again when all have got it.
//!
//! `ws_load --path PATH --port N --cpu N --connections N --bytes N --seconds N` prints one line: messages received, seconds, and the
//! 50th and 99th percentile of the time to an echo (to the last of all) in microseconds. The first message of each connection is
//! compared with what was sent.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Notify;
use tokio::task::JoinSet;

struct Arguments {
    path: String,
    port: u16,
    cpu: usize,
    connections: usize,
    bytes: usize,
    seconds: u64,
}

fn main() -> io::Result<()> {
    let usage = "usage: ws_load --path PATH --port N --cpu N --connections N --bytes N --seconds N";
    let arguments = arguments().ok_or_else(|| io::Error::other(usage))?;
    ringhttp_peers::run_on(arguments.cpu, load(&arguments))
}

fn arguments() -> Option<Arguments> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [
            "--path",
            path,
            "--port",
            port,
            "--cpu",
            cpu,
            "--connections",
            connections,
            "--bytes",
            bytes,
            "--seconds",
            seconds,
        ] => Some(Arguments {
            path: path.to_owned(),
            port: port.parse().ok()?,
            cpu: cpu.parse().ok()?,
            connections: connections.parse().ok()?,
            bytes: bytes.parse().ok()?,
            seconds: seconds.parse().ok()?,
        }),
        _ => None,
    }
}

async fn load(arguments: &Arguments) -> io::Result<()> {
    let mut sockets = Vec::new();
    for _ in 0..arguments.connections {
        sockets.push(open(arguments).await?);
    }
    let times = Rc::new(RefCell::new(Vec::new()));
    let payload: Rc<[u8]> = (0..arguments.bytes).map(|at| b'a' + (at % 26) as u8).collect();
    let (start, length) = (Instant::now(), Duration::from_secs(arguments.seconds));
    let count = sockets.len();
    let is_broadcast = arguments.path == "/broadcast";
    if is_broadcast {
        broadcast(sockets, &payload, &times, start + length).await?;
    } else {
        let mut tasks = JoinSet::new();
        for socket in sockets {
            let (times, payload) = (Rc::clone(&times), Rc::clone(&payload));
            tasks.spawn_local(async move { exchange(socket, &payload, &times, start + length).await });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(io::Error::other)??;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut times = times.take();
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(0);
    let messages = if is_broadcast { times.len() * count } else { times.len() };
    println!("{messages} {seconds} {} {}", at(0.5), at(0.99));
    Ok(())
}

async fn open(arguments: &Arguments) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, arguments.port)).await?;
    socket.set_nodelay(true)?;
    socket.write_all(format!("GET {} HTTP/1.1{OPENING}", arguments.path).as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await?);
    }
    match answer.starts_with(b"HTTP/1.1 101 ") {
        true => Ok(socket),
        false => Err(io::Error::other("the server opens no WebSocket at that path")),
    }
}

/// Sends and receives until the end, and notes how long each echo took, in microseconds.
async fn exchange(
    mut socket: TcpStream,
    payload: &[u8],
    times: &RefCell<Vec<u32>>,
    end: Instant,
) -> io::Result<()> {
    let (frame, expected) = (frame(payload, Some(MASK)), frame(payload, None));
    let mut echo = vec![0; expected.len()];
    let (mut reader, mut writer) = socket.split();
    let mut compared = false;
    while Instant::now() < end {
        let sent = Instant::now();
        // A message beyond the sockets' buffers is answered while it is sent.
        tokio::try_join!(writer.write_all(&frame), async { reader.read_exact(&mut echo).await })?;
        times.borrow_mut().push(sent.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
        if !compared && echo != expected {
            return Err(io::Error::other("the echo is another message, or not in one frame"));
        }
        compared = true;
    }
    Ok(())
}

/// Says a message to all until the end, and notes how long it took until the last one had it, in microseconds.
async fn broadcast(
    sockets: Vec<TcpStream>,
    payload: &[u8],
    times: &RefCell<Vec<u32>>,
    end: Instant,
) -> io::Result<()> {
    let (frame, expected) = (frame(payload, Some(MASK)), Rc::<[u8]>::from(frame(payload, None)));
    let (missing, all) = (Rc::new(Cell::new(0)), Rc::new(Notify::new()));
    let (mut readers, mut writers) = (JoinSet::new(), Vec::new());
    for socket in sockets {
        let (reader, writer) = socket.into_split();
        writers.push(writer);
        let (expected, missing, all) = (Rc::clone(&expected), Rc::clone(&missing), Rc::clone(&all));
        readers.spawn_local(async move { receive(reader, &expected, &missing, &all).await });
    }
    while Instant::now() < end {
        let sent = Instant::now();
        missing.set(writers.len());
        writers[0].write_all(&frame).await?;
        tokio::select! {
            () = all.notified() => {}
            // A reader only ends when something is wrong.
            Some(ended) = readers.join_next() => return ended.map_err(io::Error::other)?,
        }
        times.borrow_mut().push(sent.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
    }
    Ok(())
}

/// Reads one message after the other, and says when it is the last one to have it.
async fn receive(
    mut socket: OwnedReadHalf,
    expected: &[u8],
    missing: &Cell<usize>,
    all: &Notify,
) -> io::Result<()> {
    let (mut message, mut compared) = (vec![0; expected.len()], false);
    loop {
        socket.read_exact(&mut message).await?;
        if !compared && message != expected {
            return Err(io::Error::other("what came is another message, or not in one frame"));
        }
        compared = true;
        missing.set(missing.get() - 1);
        if missing.get() == 0 {
            all.notify_one();
        }
    }
}

/// A binary message in one frame (RFC 6455 section 5.2).
fn frame(payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = vec![0x82];
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..126 => frame.push(masked | length as u8),
        length @ 126..0x1_0000 => {
            frame.push(masked | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(masked | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let key = mask.unwrap_or_default();
    frame.extend_from_slice(&key[..if mask.is_some() { 4 } else { 0 }]);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const OPENING: &str = "\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
