//! All behaviours of clients at once, good and bad, on a thousand connections: afterwards nothing is left behind.
//!
//! `RINGHTTP_SOAK_SECONDS` says for how long, all drivers together; 4 s if it is not set.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ringhttp::{
    Cores, Driver, Request, Response, Result, Router, RuntimeConfig, Server, ServerConfig, testing,
};

const CONNECTIONS: usize = 1000;
const THREADS: usize = 20;

#[test]
fn a_soak_of_all_behaviours_leaves_nothing_behind() {
    let seconds = std::env::var("RINGHTTP_SOAK_SECONDS").map_or(4, |text| text.parse().expect("a number"));
    let drivers = testing::drivers();
    let time = Duration::from_secs(seconds) / u32::try_from(drivers.len()).expect("one or two");
    for driver in drivers {
        soak(driver, time);
    }
}

fn soak(driver: Driver, time: Duration) {
    let before = (open_fds(), resident_kib());
    let (address_sender, addresses) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let server = thread::spawn({
        let stop = Arc::clone(&stop);
        move || serve(driver, &stop, &address_sender)
    });
    let address: SocketAddr = addresses.recv().expect("the server is bound");

    // Once around warms everything up that is kept for good.
    let exchanges = Arc::new(AtomicU64::new(0));
    load(address, Duration::from_millis(200), &exchanges);
    let warm = (open_fds(), resident_kib());
    load(address, time, &exchanges);
    thread::sleep(Duration::from_millis(500));
    let after = (open_fds(), resident_kib());
    let exchanges = exchanges.load(Ordering::Relaxed);
    assert!(exchanges > 1000, "{driver:?}: {exchanges} exchanges");
    assert!(
        after.0 <= warm.0 + 4,
        "{driver:?}, {exchanges} exchanges: descriptors are left: {warm:?} {after:?}"
    );
    assert!(
        after.1 <= warm.1 + 32 * 1024,
        "{driver:?}, {exchanges} exchanges: memory is left: {warm:?} {after:?}"
    );

    stop.store(true, Ordering::Relaxed);
    server.join().expect("no panic").expect("no error");
    assert!(open_fds() <= before.0 + 2, "the run left descriptors: {before:?} {}", open_fds());
}

fn serve(driver: Driver, stop: &AtomicBool, address: &mpsc::Sender<SocketAddr>) -> Result<()> {
    let mut runtime = RuntimeConfig::default();
    runtime.cores = Cores::Count(1);
    runtime.driver = driver;
    runtime.handle_signals = false;
    runtime.shutdown_timeout = Duration::from_secs(2);
    ringhttp::run(runtime, async |core| {
        let mut config = ServerConfig::default();
        config.head_timeout = Duration::from_millis(300);
        config.body_timeout = Duration::from_millis(300);
        config.linger_timeout = Duration::from_millis(300);
        let routes =
            Router::new().get("/hello", async |_: &(), _| "hello").post("/echo", echo).get("/large", large);
        let server = Server::bind("127.0.0.1:0", config)?;
        address.send(server.local_addrs()[0].as_socket().expect("TCP")).expect("somebody waits");
        let watched = core.clone();
        let watch = async {
            while !stop.load(Ordering::Relaxed) {
                ringhttp::time::sleep(Duration::from_millis(50)).await;
            }
            watched.shutdown();
            std::future::pending::<()>().await;
        };
        ringhttp::runtime::sync::race(server.serve(&core, routes, ()), watch).await;
        Ok(())
    })
}

async fn echo(_: &(), request: Request) -> Response {
    Response::new(request.into_body())
}

async fn large(_: &(), _: Request) -> Response {
    Response::stream(async |mut out| {
        for _ in 0..100 {
            out.write(&[b'x'; 10_000][..]).await?;
        }
        Ok(())
    })
}

/// Keeps a thousand connections busy, each of which is opened again when its part has ended it.
fn load(address: SocketAddr, time: Duration, exchanges: &Arc<AtomicU64>) {
    let end = Instant::now() + time;
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let exchanges = Arc::clone(exchanges);
            thread::spawn(move || {
                let mut connections: Vec<_> = (0..CONNECTIONS / THREADS).map(|_| None).collect();
                let mut turn = thread;
                while Instant::now() < end {
                    for connection in &mut connections {
                        turn = turn.wrapping_mul(31).wrapping_add(7);
                        let stream = connection.take().unwrap_or_else(|| open(address));
                        *connection = play(turn % 11, stream);
                        exchanges.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("every good request was answered"));
}

fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("accepted");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream.set_nodelay(true).expect("set");
    stream
}

/// Plays one part on a connection, and gives it back if it can be used again.
fn play(part: usize, mut stream: TcpStream) -> Option<TcpStream> {
    let get = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    match part {
        // Plain, pipelined and posted requests must be answered.
        0..=2 => expect(&mut stream, get, b"hello").then_some(stream),
        3 => {
            let written = stream.write_all(&get.repeat(8)).is_ok();
            (written && (0..8).all(|_| expect(&mut stream, b"", b"hello"))).then_some(stream)
        }
        4 => {
            let body = [b'b'; 3000];
            let head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n";
            expect(&mut stream, &[&head[..], &body].concat(), &body[..100]).then_some(stream)
        }
        5 => {
            let head = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            expect(&mut stream, &[&head[..], b"3\r\nabc\r\n0\r\n\r\n"].concat(), b"0\r\n\r\n")
                .then_some(stream)
        }
        // The others end the connection, each in its way.
        6 => {
            let _ = stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
            let mut some = [0; 5000];
            let _ = stream.read(&mut some);
            None
        }
        7 => {
            let _ = stream.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
            reset(stream);
            None
        }
        8 => {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
            None
        }
        9 => {
            let _ = stream.write_all(&get[..10]);
            None
        }
        _ => {
            let _ = stream.write_all(get);
            let _ = stream.shutdown(Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            assert!(answer.ends_with(b"hello"), "{:?}", String::from_utf8_lossy(&answer));
            None
        }
    }
}

/// Sends a request and reads until its answer ends as it should. False if the server had closed the idle connection.
fn expect(stream: &mut TcpStream, request: &[u8], end: &[u8]) -> bool {
    if stream.write_all(request).is_err() {
        return false;
    }
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(end) {
        match stream.read(&mut byte) {
            Ok(1) => answer.push(byte[0]),
            Ok(_) if answer.is_empty() => return false,
            other => panic!("{other:?} behind {:?}", String::from_utf8_lossy(&answer)),
        }
    }
    let rest = if end.iter().all(|&byte| byte == b'b') { 2900 } else { 0 };
    stream.read_exact(&mut vec![0; rest]).expect("the rest of the body");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&answer));
    true
}

/// Closes with a reset.
fn reset(stream: TcpStream) {
    let socket = socket2::Socket::from(OwnedFd::from(stream));
    let _ = socket.set_linger(Some(Duration::ZERO));
}

/// Descriptors that are open in this process.
fn open_fds() -> usize {
    fs::read_dir("/proc/self/fd").expect("procfs").count()
}

/// Anonymous memory of this process that is resident.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a line of it");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}
