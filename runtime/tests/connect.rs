//! Connecting: what is reached, what is refused, and that an attempt that is given up leaves nothing behind.

mod common;

use std::fs;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::pin::pin;
use std::process;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::{
    TestResult, child_part, config, driver_named, each_driver, open_fds, run_child_on_each_driver, until,
    within,
};
use ringhttp_runtime::buffer::{Chunks, WriteBatch};
use ringhttp_runtime::connect::ConnectOptions;
use ringhttp_runtime::listener::Socket;
use ringhttp_runtime::stream::Stream;
use ringhttp_runtime::{Core, run};
use socket2::{Domain, SockAddr, Type};

/// Sends `ping` and reads the answer.
async fn exchange(socket: Socket) -> Vec<u8> {
    let mut stream = Stream::from(socket);
    write(&mut stream, WriteBatch::One(BytesMut::from("ping"))).await.expect("the peer reads");
    stream.start_read(BytesMut::with_capacity(64));
    let (read, buffer) = poll_fn(|cx| stream.poll_read(cx)).await;
    read.expect("the peer answers");
    buffer.to_vec()
}

async fn write(stream: &mut Stream, batch: WriteBatch) -> io::Result<()> {
    let (written, _) = match stream.start_write(batch) {
        Poll::Ready(written) => written,
        Poll::Pending => poll_fn(|cx| stream.poll_write(cx)).await,
    };
    written
}

fn answer(mut peer: impl Read + Write) {
    let mut bytes = [0; 4];
    peer.read_exact(&mut bytes).expect("four bytes");
    assert_eq!(&bytes, b"ping");
    peer.write_all(b"pong").expect("the peer reads");
}

/// An address at which connections are neither taken nor refused: a listener whose backlog is full.
struct BlackHole {
    address: SocketAddr,
    _listener: socket2::Socket,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        listener.listen(0).expect("bound");
        let address = listener.local_addr().expect("bound").as_socket().expect("IP");
        let patience = Duration::from_millis(200);
        let waiting: Vec<_> =
            (0..8).map_while(|_| TcpStream::connect_timeout(&address, patience).ok()).collect();
        assert!(waiting.len() < 8, "the backlog is never full");
        Self { address, _listener: listener, _waiting: waiting }
    }
}

struct SocketPath(PathBuf);

impl SocketPath {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringhttp-{name}-{}.sock", process::id()));
        let _ = fs::remove_file(&path);
        Self(path)
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn bytes_go_both_ways_over_tcp_and_unix() {
    each_driver(1, async |core: Core| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let peer = core.spawn_blocking(move || answer(listener.accept().expect("a peer").0));
        let socket = core.connect_tcp(address, &ConnectOptions::default()).await.expect("it listens");
        assert_eq!(exchange(socket).await, b"pong");
        peer.await.expect("no panic");

        let path = SocketPath::new("both-ways");
        let listener = UnixListener::bind(&path.0).expect("a free path");
        let peer = core.spawn_blocking(move || answer(listener.accept().expect("a peer").0));
        let socket = core.connect_unix(&path.0).await.expect("it listens");
        assert_eq!(exchange(socket).await, b"pong");
        peer.await.expect("no panic");
        Ok(())
    });
}

#[test]
fn what_a_socket_has_no_room_for_goes_on_in_order() {
    const PIECES: usize = 200;
    let content: Vec<u8> = (0..8 << 20).map(|n: usize| (n / 1021).to_le_bytes()[0]).collect();
    each_driver(1, async move |core: Core| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (go, may_read) = std::sync::mpsc::channel();
        let peer = core.spawn_blocking(move || {
            let (mut peer, _) = listener.accept().expect("a peer");
            may_read.recv().expect("told");
            let mut all = Vec::new();
            peer.read_to_end(&mut all).expect("it is ended");
            all
        });
        let mut stream =
            Stream::from(core.connect_tcp(address, &ConnectOptions::default()).await.expect("it listens"));
        let (one, many) = content.split_at(content.len() / 2);
        let started = stream.start_write(WriteBatch::One(BytesMut::from(one)));
        assert!(started.is_pending() && stream.is_writing(), "4 MiB that nobody reads");
        let at_once = stream.written();
        assert!(at_once > 0 && at_once < one.len() as u64, "{at_once}");
        stream.rest();
        assert!(stream.is_writing(), "what is under way is not given up");
        go.send(()).expect("the peer waits");
        poll_fn(|cx| stream.poll_write(cx)).await.0.expect("the peer reads");
        stream.rest();
        assert_eq!(stream.written(), one.len() as u64);

        // More pieces than one call takes.
        let mut chunks = Box::new(Chunks::default());
        many.chunks(many.len() / PIECES).for_each(|piece| chunks.push(Bytes::copy_from_slice(piece)));
        write(&mut stream, WriteBatch::Many(chunks)).await.expect("the peer reads");
        assert_eq!(stream.written(), content.len() as u64);
        stream.shutdown_write();
        assert!(peer.await.expect("no panic") == content, "as it was written");
        let late = write(&mut stream, WriteBatch::One(BytesMut::from("late"))).await;
        assert_eq!(late.map_err(|error| error.kind()), Err(io::ErrorKind::BrokenPipe));
        Ok(())
    });
}

#[test]
fn what_was_sent_before_a_write_failed_is_counted() {
    each_driver(1, async |core: Core| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut stream =
            Stream::from(core.connect_tcp(address, &ConnectOptions::default()).await.expect("it listens"));
        drop(listener.accept().expect("a peer"));
        // The first call tells that nobody reads, and those behind it fail.
        let mut chunks = Box::new(Chunks::default());
        (0..200).for_each(|_| chunks.push(Bytes::from_static(&[b'x'; 300])));
        assert!(write(&mut stream, WriteBatch::Many(chunks)).await.is_err());
        assert!(stream.written() > 0);
        Ok(())
    });
}

#[test]
fn a_read_at_once_takes_what_is_there_waits_for_more_and_tells_of_a_reset() {
    each_driver(1, async move |core: Core| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (go, may_go) = std::sync::mpsc::channel();
        let peer = core.spawn_blocking(move || {
            let (mut peer, _) = listener.accept().expect("a peer");
            peer.write_all(&[1; 100]).expect("it is read");
            may_go.recv().expect("told");
            peer.write_all(&[2; 60]).expect("it is read");
            may_go.recv().expect("told");
            ringhttp_runtime::connect::reset_on_close(&peer).expect("a socket");
        });
        let mut stream =
            Stream::from(core.connect_tcp(address, &ConnectOptions::default()).await.expect("it listens"));
        let first = read_at_once(&mut stream, 40).await.expect("it is there");
        assert_eq!(first, [1; 40]);
        assert_eq!(read_at_once(&mut stream, 60).await.expect("it is there"), [1; 60]);

        // Nothing is there: the read goes on, and nobody who stops waiting loses it.
        stream.start_read_at_once(BytesMut::with_capacity(60));
        let waits = poll_fn(|cx| Poll::Ready(stream.poll_read(cx).is_pending())).await;
        assert!(waits && stream.is_reading());
        go.send(()).expect("the peer waits");
        let (read, buffer) = poll_fn(|cx| stream.poll_read(cx)).await;
        assert_eq!((read.expect("it has come"), &buffer[..]), (60, &[2; 60][..]));

        go.send(()).expect("the peer waits");
        peer.await.expect("no panic");
        let error = read_at_once(&mut stream, 60).await.expect_err("it is no end");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        Ok(())
    });
}

async fn read_at_once(stream: &mut Stream, room: usize) -> io::Result<Vec<u8>> {
    stream.start_read_at_once(BytesMut::with_capacity(room));
    let (read, buffer) = poll_fn(|cx| stream.poll_read(cx)).await;
    read.map(|_| buffer.to_vec())
}

#[test]
fn who_does_not_listen_is_an_error() {
    each_driver(1, async |core: Core| {
        let closed = TcpListener::bind("127.0.0.1:0").expect("free").local_addr().expect("bound");
        let refused = core.connect_tcp(closed, &ConnectOptions::default()).await;
        assert_eq!(refused.map(drop).map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionRefused));
        let path = SocketPath::new("nobody");
        let refused = core.connect_unix(&path.0).await;
        assert_eq!(refused.map(drop).map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
        Ok(())
    });
}

#[test]
fn the_local_address_can_be_chosen() {
    each_driver(1, async |core: Core| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut options = ConnectOptions::default();
        options.local_address = Some(IpAddr::from([127, 0, 0, 2]));
        let socket = core.connect_tcp(address, &options).await.expect("it listens");
        let (_, from) = listener.accept().expect("a peer");
        assert_eq!(from.ip(), IpAddr::from([127, 0, 0, 2]));
        drop(socket);
        options.local_address = Some("::1".parse().expect("an address"));
        let refused = core.connect_tcp(address, &options).await;
        assert_eq!(refused.map(drop).map_err(|error| error.kind()), Err(io::ErrorKind::AddrNotAvailable));
        options.local_address = None;
        options.device = Some("no-such-device0".to_owned());
        assert!(core.connect_tcp(address, &options).await.is_err());
        Ok(())
    });
}

#[test]
fn a_full_backlog_of_a_unix_socket_is_waited_for() {
    each_driver(1, async |core: Core| {
        let path = SocketPath::new("backlog");
        let listener = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        listener.bind(&SockAddr::unix(&path.0).expect("a path")).expect("a free path");
        listener.listen(0).expect("bound");
        let first = core.connect_unix(&path.0).await.expect("there is room");
        let mut second = pin!(core.connect_unix(&path.0));
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        listener.accept().expect("the first");
        drop(first);
        second.await.expect("there is room again");
        Ok(())
    });
}

/// In processes of their own, because descriptors are counted.
#[test]
fn an_attempt_that_is_given_up_leaves_no_descriptor() {
    const NAME: &str = "an_attempt_that_is_given_up_leaves_no_descriptor";
    let Some(driver) = child_part() else {
        return run_child_on_each_driver(NAME);
    };
    let result = within(Duration::from_secs(20), move || {
        run(config(driver_named(&driver), 1), async |core: Core| -> TestResult {
            let hole = BlackHole::new();
            let closed = TcpListener::bind("127.0.0.1:0").expect("free").local_addr().expect("bound");
            let listener = TcpListener::bind("127.0.0.1:0").expect("free");
            let open = listener.local_addr().expect("bound");
            let options = ConnectOptions::default();
            core.timers().sleep(Duration::from_millis(20)).await;
            let before = open_fds();
            for address in [hole.address, closed, open] {
                for turns in 0..4 {
                    let mut attempt = Box::pin(core.connect_tcp(address, &options));
                    let mut ended = false;
                    for _ in 0..=turns {
                        ended = ended
                            || attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
                        core.yield_now().await;
                    }
                    drop(attempt);
                }
            }
            listener.set_nonblocking(true).expect("open");
            while listener.accept().is_ok() {}
            until("descriptors to be closed", || open_fds() <= before).await;
            Ok(())
        })
    });
    assert!(result.is_ok(), "{result:?}");
}
