//! The load on WebSocket servers. At `/ws` every connection sends a binary message, waits for its echo, and sends it again; at
//! `/broadcast` one of them says it, and says it again when all have got it.
//!
//! `ws_load --path PATH --port N --cpu N --connections N --bytes N --seconds N` prints `ready` when all connections are open and
//! have been used for a while, then one line: messages received, seconds, and the 50th and 99th percentile of the time to an echo (to
//! the last of all) in microseconds. It ends when its standard input does, and keeps its connections until then. The first message of
//! each connection is compared with what was sent.

use std::cell::{Cell, RefCell};
use std::io::{self, Read as _};
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
    let payload: Rc<[u8]> = (0..arguments.bytes).map(|at| b'a' + (at % 26) as u8).collect();
    let length = Duration::from_secs(arguments.seconds);
    match arguments.path.as_str() {
        "/broadcast" => broadcast(sockets, &payload, length).await,
        _ => echo(sockets, &payload, length).await,
    }
}

/// What is printed last: each time is that of so many messages.
fn report(mut times_us: Vec<u32>, messages_each: usize, length: Duration) {
    times_us.sort_unstable();
    let at = |share: f64| times_us.get((times_us.len() as f64 * share) as usize).copied().unwrap_or(0);
    println!("{} {} {} {}", times_us.len() * messages_each, length.as_secs_f64(), at(0.5), at(0.99));
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

/// Each connection for itself: first to warm up, then for `length`.
async fn echo(sockets: Vec<TcpStream>, payload: &Rc<[u8]>, length: Duration) -> io::Result<()> {
    let sockets = exchange_all(sockets, payload, &Rc::default(), Instant::now() + WARM_UP).await?;
    println!("ready");
    let (start, times_us) = (Instant::now(), Rc::default());
    let _open = exchange_all(sockets, payload, &times_us, start + length).await?;
    report(times_us.take(), 1, start.elapsed());
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Gives the connections back.
async fn exchange_all(
    sockets: Vec<TcpStream>,
    payload: &Rc<[u8]>,
    times_us: &Rc<RefCell<Vec<u32>>>,
    end: Instant,
) -> io::Result<Vec<TcpStream>> {
    let mut tasks = JoinSet::new();
    for socket in sockets {
        let (times_us, payload) = (Rc::clone(times_us), Rc::clone(payload));
        tasks.spawn_local(async move { exchange(socket, &payload, &times_us, end).await });
    }
    let mut sockets = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        sockets.push(ended.map_err(io::Error::other)??);
    }
    Ok(sockets)
}

/// Sends and receives until the end, and notes how long each echo took, in microseconds.
async fn exchange(
    mut socket: TcpStream,
    payload: &[u8],
    times_us: &RefCell<Vec<u32>>,
    end: Instant,
) -> io::Result<TcpStream> {
    let (frame, expected) = (frame(payload, Some(MASK)), frame(payload, None));
    let mut echo = vec![0; expected.len()];
    let (mut reader, mut writer) = socket.split();
    let mut compared = false;
    while Instant::now() < end {
        let sent = Instant::now();
        // A message beyond the sockets' buffers is answered while it is sent.
        tokio::try_join!(writer.write_all(&frame), async { reader.read_exact(&mut echo).await })?;
        times_us.borrow_mut().push(sent.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
        if !compared && echo != expected {
            return Err(io::Error::other("the echo is another message, or not in one frame"));
        }
        compared = true;
    }
    Ok(socket)
}

/// Says a message to all, first to warm up and then for `length`, and notes how long it took until the last one had it, in microseconds.
async fn broadcast(sockets: Vec<TcpStream>, payload: &[u8], length: Duration) -> io::Result<()> {
    let (frame, expected) = (frame(payload, Some(MASK)), Rc::<[u8]>::from(frame(payload, None)));
    let (missing, all) = (Rc::new(Cell::new(0)), Rc::new(Notify::new()));
    let (mut readers, mut writers) = (JoinSet::new(), Vec::new());
    for socket in sockets {
        let (reader, writer) = socket.into_split();
        writers.push(writer);
        let (expected, missing, all) = (Rc::clone(&expected), Rc::clone(&missing), Rc::clone(&all));
        readers.spawn_local(async move { receive(reader, &expected, &missing, &all).await });
    }
    let count = writers.len();
    let mut say_to_all = async || {
        let sent = Instant::now();
        missing.set(count);
        writers[0].write_all(&frame).await?;
        tokio::select! {
            () = all.notified() => Ok(sent.elapsed()),
            // A reader only ends when something is wrong.
            Some(ended) = readers.join_next() => match ended.map_err(io::Error::other)? {
                Err(error) => Err(error),
                Ok(()) => Err(io::Error::other("a connection ended")),
            },
        }
    };
    for _ in 0..MESSAGES_BEFORE {
        say_to_all().await?;
    }
    println!("ready");
    let (start, mut times_us) = (Instant::now(), Vec::new());
    while start.elapsed() < length {
        times_us.push(say_to_all().await?.as_micros().try_into().unwrap_or(u32::MAX));
    }
    report(times_us, count, start.elapsed());
    io::stdin().read_to_end(&mut Vec::new())?;
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

/// Long enough for buffers to have grown.
const WARM_UP: Duration = Duration::from_millis(200);
/// As much for a message to all, of which each takes tens of milliseconds.
const MESSAGES_BEFORE: usize = 3;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const OPENING: &str = "\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
