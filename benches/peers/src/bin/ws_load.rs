//! The load on WebSocket servers: every connection sends a binary message, waits for its echo, and sends it again.
//!
//! `ws_load --port N --cpu N --connections N --bytes N --seconds N` prints one line: messages, seconds, and the 50th and 99th
//! percentile of the time to an echo in microseconds. The first echo of each connection is compared with what was sent.

use std::cell::RefCell;
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

struct Arguments {
    port: u16,
    cpu: usize,
    connections: usize,
    bytes: usize,
    seconds: u64,
}

fn main() -> io::Result<()> {
    let usage = "usage: ws_load --port N --cpu N --connections N --bytes N --seconds N";
    let arguments = arguments().ok_or_else(|| io::Error::other(usage))?;
    ringhttp_peers::pin(arguments.cpu)?;
    ringhttp_peers::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, load(&arguments))
}

fn arguments() -> Option<Arguments> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [
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
        sockets.push(open(arguments.port).await?);
    }
    let times = Rc::new(RefCell::new(Vec::new()));
    let payload: Rc<[u8]> = (0..arguments.bytes).map(|at| b'a' + (at % 26) as u8).collect();
    let (start, length) = (Instant::now(), Duration::from_secs(arguments.seconds));
    let mut tasks = JoinSet::new();
    for socket in sockets {
        let (times, payload) = (Rc::clone(&times), Rc::clone(&payload));
        tasks.spawn_local(async move { exchange(socket, &payload, &times, start + length).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(io::Error::other)??;
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut times = times.take();
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(0);
    println!("{} {seconds} {} {}", times.len(), at(0.5), at(0.99));
    Ok(())
}

async fn open(port: u16) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    socket.set_nodelay(true)?;
    socket.write_all(OPENING).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await?);
    }
    match answer.starts_with(b"HTTP/1.1 101 ") {
        true => Ok(socket),
        false => Err(io::Error::other("the server opens no WebSocket at /ws")),
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
const OPENING: &[u8] =
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
