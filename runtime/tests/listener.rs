//! Listeners: what can be bound, who shares what, closing without losing or leaking a connection, running out of
//! descriptors.

mod common;

use std::cell::RefCell;
use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use common::{
    TestResult, child_part, config, driver_named, drivers, each_driver, open_fds, run_child_on_each_driver,
    until, within,
};
use monoio::io::AsyncReadRent;
use ringhttp_runtime::listener::{Accepted, BindAddress, Listener, ListenerOptions};
use ringhttp_runtime::{Core, DriverKind, JoinHandle, run};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn every_address_of_a_name_is_bound_with_the_port_read_back() {
    each_driver(1, async |core: Core| {
        let mut addresses = vec!["127.0.0.1:0", "localhost:0"];
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            addresses.push("[::1]:0");
        } else {
            println!("[::1] is left out: this machine has no IPv6 loopback");
        }
        for address in addresses {
            let listeners = bind(&core, address).expect("free");
            assert!(!listeners.is_empty());
            for listener in listeners {
                let bound = port_of(&listener);
                assert_ne!(bound.port(), 0);
                let client = TcpStream::connect(bound).expect("it listens");
                let accepted = listener.accept().await.expect("open");
                assert_eq!(accepted.peer, Some(client.local_addr().expect("connected")));
            }
        }
        Ok(())
    });
}

#[test]
fn cores_share_a_port_that_the_kernel_chose() {
    let meeting = Arc::new(Meeting::new(2));
    each_driver(2, async move |core: Core| {
        let first = Rc::new(bind(&core, "127.0.0.1:0").expect("free").remove(0));
        let second = bind(&core, "127.0.0.1:0").expect("free").remove(0);
        let ports = (port_of(&first), port_of(&second));
        assert_ne!(ports.0, ports.1, "each bind of one core is its own");
        assert_eq!(meeting.gather(core.id(), ports), [ports, ports], "the cores' binds pair up");
        let clients: Vec<_> = match core.id() {
            0 => (0..CLIENTS).map(|_| TcpStream::connect(ports.0).expect("it listens")).collect(),
            _ => Vec::new(),
        };
        let closed = count_accepts(&core, &first, &meeting.accepted);
        until("all clients on one core or the other", || meeting.accepted() == CLIENTS).await;
        first.close();
        closed.await.expect("ended");
        drop(clients);
        Ok(())
    });
}

#[test]
fn a_unix_socket_is_shared_and_its_file_goes_with_the_last_listener() {
    let meeting = Arc::new(Meeting::new(2));
    let path = temporary("shared");
    let address = unix(&path);
    each_driver(2, async move |core: Core| {
        let mut options = ListenerOptions::default();
        options.unix_mode = Some(0o600);
        let listener = Rc::new(core.bind(&address, &options).expect("free").remove(0));
        assert_eq!(listener.local_addr().to_string(), format!("unix:{}", path.display()));
        let mode = fs::metadata(&path).expect("bound").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        meeting.gather(core.id(), ());
        let clients: Vec<_> = match core.id() {
            0 => (0..CLIENTS).map(|_| UnixStream::connect(&path).expect("it listens")).collect(),
            _ => Vec::new(),
        };
        let closed = count_accepts(&core, &listener, &meeting.accepted);
        until("all clients on one core or the other", || meeting.accepted() == CLIENTS).await;
        assert!(path.exists());
        meeting.barrier.wait();
        listener.close();
        closed.await.expect("ended");
        drop((listener, clients));
        until("the file to go", || !path.exists()).await;
        Ok(())
    });
}

#[test]
fn a_live_unix_socket_is_not_stolen_and_a_stale_one_is_replaced() {
    each_driver(1, async |core: Core| {
        let path = temporary("stale");
        let address = unix(&path);
        let options = ListenerOptions::default();

        let other = UnixListener::bind(&path).expect("free");
        let error = core.bind(&address, &options).expect_err("somebody listens");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(UnixStream::connect(&path).is_ok(), "left alone");

        // Its file outlives it.
        drop(other);
        assert!(path.exists());
        let listener = core.bind(&address, &options).expect("stale").remove(0);
        let _client = UnixStream::connect(&path).expect("it listens");
        assert!(listener.accept().await.is_some());
        drop(listener);

        fs::write(&path, "data").expect("writable");
        assert!(core.bind(&address, &options).is_err());
        assert_eq!(fs::read(&path).expect("left alone"), b"data");
        fs::remove_file(&path).expect("ours");
        Ok(())
    });
}

#[test]
fn a_unix_socket_whose_backlog_is_full_is_not_waited_for() {
    each_driver(1, async |core: Core| {
        let path = temporary("full");
        let unix_socket = || socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let address = socket2::SockAddr::unix(&path).expect("short enough");
        let other = unix_socket().expect("a socket");
        other.bind(&address).expect("free");
        other.listen(0).expect("bound");
        let mut waiting = Vec::new();
        let full = loop {
            let client = unix_socket().expect("a socket");
            client.set_nonblocking(true).expect("open");
            match client.connect(&address) {
                Ok(()) => waiting.push(client),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let error = core.bind(&unix(&path), &ListenerOptions::default()).expect_err("somebody listens");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        fs::remove_file(&path).expect("ours");
        Ok(())
    });
}

#[test]
fn a_bind_that_is_tried_again_is_shared_with_the_other_cores() {
    each_driver(2, async |core: Core| {
        if core.id() > 0 {
            return Ok(());
        }
        let holder = TcpListener::bind("127.0.0.1:0").expect("free");
        let taken = holder.local_addr().expect("bound").to_string();
        assert_eq!(bind(&core, &taken).expect_err("taken").kind(), io::ErrorKind::AddrInUse);
        drop(holder);
        let _mine = bind(&core, &taken).expect("free again");
        let theirs = core.invoke_on(1, async move |there: Core| bind(&there, &taken).map(drop));
        theirs.await.expect("it is there").expect("the same port");
        Ok(())
    });
}

#[test]
fn a_port_of_somebody_else_is_refused_unless_it_may_be_shared() {
    each_driver(1, async |core: Core| {
        let other =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        other.set_reuse_port(true).expect("supported");
        other.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("free");
        other.listen(1).expect("bound");
        let taken = other.local_addr().ok().and_then(|address| address.as_socket()).expect("an IPv4 address");

        let address: BindAddress = taken.to_string().parse().expect("valid");
        let mut options = ListenerOptions::default();
        let error = core.bind(&address, &options).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        options.exclusive = false;
        assert!(core.bind(&address, &options).is_ok());
        Ok(())
    });
}

#[test]
fn an_open_descriptor_is_adopted_if_it_listens() {
    each_driver(1, async |core: Core| {
        assert_eq!(core.count(), 1);
        let tcp = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = tcp.local_addr().expect("bound");
        let listener = Listener::from_fd(OwnedFd::from(tcp)).expect("listens");
        assert_eq!(port_of(&listener), address);
        let _client = TcpStream::connect(address).expect("it listens");
        assert!(listener.accept().await.is_some_and(|accepted| accepted.peer.is_some()));

        let path = temporary("adopted");
        let unix = UnixListener::bind(&path).expect("free");
        let listener = Listener::from_fd(OwnedFd::from(unix)).expect("listens");
        let _client = UnixStream::connect(&path).expect("it listens");
        assert!(listener.accept().await.is_some_and(|accepted| accepted.peer.is_none()));
        drop(listener);
        assert!(path.exists(), "who bound it removes it");
        fs::remove_file(&path).expect("ours");

        let (connected, _peer) = UnixStream::pair().expect("a pair");
        assert!(Listener::from_fd(OwnedFd::from(connected)).is_err());
        assert!(Listener::from_fd(OwnedFd::from(fs::File::open("/dev/null").expect("there"))).is_err());
        Ok(())
    });
}

/// As systemd does it: the socket is descriptor 3, and the process is told by its environment.
#[test]
fn systemd_passes_tcp_and_unix_sockets() {
    const NAME: &str = "systemd_passes_tcp_and_unix_sockets";
    if let Some(part) = child_part() {
        return serve_passed(&part);
    }
    for driver in &drivers::names() {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = tcp.local_addr().expect("bound");
        let mut child = activated(NAME, driver, OwnedFd::from(tcp)).spawn().expect("it starts");
        let clients = [(); 4].map(|()| TcpStream::connect(address).expect("it listens"));
        assert!(within(Duration::from_secs(20), move || child.wait().expect("ours")).success());
        assert!(clients.into_iter().all(|client| greeting(client) == "hello"));

        let path = temporary("activated");
        let unix = UnixListener::bind(&path).expect("free");
        let mut child = activated(NAME, driver, OwnedFd::from(unix)).spawn().expect("it starts");
        let clients = [(); 4].map(|()| UnixStream::connect(&path).expect("it listens"));
        assert!(within(Duration::from_secs(20), move || child.wait().expect("ours")).success());
        assert!(clients.into_iter().all(|client| greeting(client) == "hello"));
        assert!(path.exists(), "systemd's file stays");
        fs::remove_file(&path).expect("ours");
    }
}

#[test]
fn what_systemd_passes_must_be_a_stream_listener() {
    const NAME: &str = "what_systemd_passes_must_be_a_stream_listener";
    if let Some(part) = child_part() {
        let result: TestResult = run(config(driver_named(&part), 1), async |core: Core| {
            let error = core.bind_systemd().expect_err("not a listener");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            Ok(())
        });
        return result.expect("a good run");
    }
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("free");
    let connected = UnixStream::pair().expect("descriptors").0;
    for passed in [OwnedFd::from(datagrams), OwnedFd::from(connected)] {
        assert!(activated(NAME, "epoll", passed).status().expect("it starts").success());
    }
}

#[test]
fn nothing_passed_is_an_error_of_its_own() {
    each_driver(1, async |core: Core| {
        let error = core.bind_systemd().expect_err("not started by systemd");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        Ok(())
    });
}

fn activated(name: &str, driver: &str, socket: OwnedFd) -> Command {
    let test = common::child(name, driver);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\""])
        .arg(test.get_program())
        .args(test.get_args())
        .envs(test.get_envs().filter_map(|(key, value)| Some((key, value?))))
        .stdin(Stdio::from(socket));
    shell
}

/// Two cores greet four clients between them.
fn serve_passed(driver: &str) {
    let accepted = Arc::new(AtomicUsize::new(0));
    let result: TestResult = run(config(driver_named(driver), 2), async move |core: Core| {
        let listener = Rc::new(core.bind_systemd().expect("passed").remove(0));
        assert!(core.bind_systemd().is_ok(), "as often as one likes");
        let closed = core.spawn("accept", {
            let (listener, accepted) = (Rc::clone(&listener), Arc::clone(&accepted));
            async move {
                while let Some(Accepted { socket, .. }) = listener.accept().await {
                    let mut stream = ringhttp_runtime::stream::Stream::from(socket);
                    let greeting = ringhttp_runtime::buffer::WriteBatch::One("hello".as_bytes().into());
                    let Poll::Ready((written, _)) = stream.start_write(greeting) else {
                        panic!("there is room")
                    };
                    written.expect("the client is there");
                    accepted.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        until("all clients", || accepted.load(Ordering::SeqCst) == 4).await;
        listener.close();
        closed.await.expect("ended");
        Ok(())
    });
    result.expect("a good run");
}

fn greeting(mut client: impl Read) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).expect("readable");
    text
}

#[test]
fn closing_gives_out_who_waits_in_the_backlog() {
    each_driver(1, async |core: Core| {
        let listener = bind(&core, "127.0.0.1:0").expect("free").remove(0);
        let mut clients: Vec<_> =
            (0..5).map(|_| TcpStream::connect(port_of(&listener)).expect("it listens")).collect();
        listener.close();
        let mut accepted = Vec::new();
        while let Some(connection) = listener.accept().await {
            accepted.push(connection);
        }
        assert_eq!(accepted.len(), 5);
        assert!(listener.accept().await.is_none(), "and stays closed");
        clients.iter_mut().for_each(|client| client.write_all(b"x").expect("served"));
        Ok(())
    });
}

#[test]
fn closing_wakes_who_accepts() {
    each_driver(1, async |core: Core| {
        for address in ["127.0.0.1:0".parse().expect("valid"), unix(&temporary("closing"))] {
            let listener = Rc::new(core.bind(&address, &ListenerOptions::default()).expect("free").remove(0));
            let accepting = core.spawn("accept", {
                let listener = Rc::clone(&listener);
                async move { listener.accept().await.is_none() }
            });
            core.timers().sleep(Duration::from_millis(5)).await;
            assert!(!accepting.is_finished());
            listener.close();
            assert_eq!(accepting.await, Ok(true));
        }
        Ok(())
    });
}

/// Duplicates share the flags of the socket; closing one must not change how the others wait.
#[test]
fn closing_one_of_several_listeners_on_a_socket_leaves_the_others_waiting() {
    each_driver(1, async |core: Core| {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("free");
        let address = tcp.local_addr().expect("bound");
        let closed = Listener::from_std_tcp(tcp.try_clone().expect("descriptors")).expect("listens");
        let open = Rc::new(Listener::from_std_tcp(tcp).expect("listens"));
        closed.close();
        assert!(closed.accept().await.is_none());
        let accepted = Arc::default();
        let ended = count_accepts(&core, &open, &accepted);
        core.timers().sleep(Duration::from_millis(50)).await;
        for count in 1..=2 {
            let _client = TcpStream::connect(address).expect("it listens");
            until("the accept under way", || accepted.load(Ordering::SeqCst) == count).await;
        }
        assert_eq!((open.exhausted(), open.aborted()), (0, 0), "it just waited");
        open.close();
        ended.await.expect("ended");
        Ok(())
    });
}

#[test]
fn a_close_in_the_moment_of_a_connect_leaks_no_descriptor() {
    const NAME: &str = "a_close_in_the_moment_of_a_connect_leaks_no_descriptor";
    let Some(driver) = child_part() else {
        return run_child_on_each_driver(NAME);
    };
    let result: TestResult = run(config(driver_named(&driver), 1), async |core: Core| {
        close_and_connect(&core).await;
        let before = open_fds();
        for _ in 0..50 {
            assert_eq!(close_and_connect(&core).await, 1, "who has connected is not lost");
        }
        until("descriptors to be closed", || open_fds() <= before).await;
        Ok(())
    });
    result.expect("a good run");
}

/// Connects and closes at the same time. The driver reports both in one go, the reason to close first: so the accept is
/// done, and nobody has its result yet. Says how many connections were accepted.
async fn close_and_connect(core: &Core) -> usize {
    let listener = Rc::new(bind(core, "127.0.0.1:0").expect("free").remove(0));
    let address = port_of(&listener);
    let (mut reason, ear) = UnixStream::pair().expect("descriptors");
    ear.set_nonblocking(core.driver() == DriverKind::Epoll).expect("open");
    let mut ear = monoio::net::UnixStream::from_std(ear).expect("open");
    let accepted = Arc::new(AtomicUsize::new(0));
    let closed = count_accepts(core, &listener, &accepted);
    let closing = core.spawn("close", async move {
        ear.read(vec![0]).await.0.expect("a byte");
        listener.close();
    });
    // Both wait in the kernel now, and this thread sees neither until it waits as well.
    core.timers().sleep(Duration::from_millis(2)).await;
    reason.write_all(&[1]).expect("open");
    let _client = TcpStream::connect(address).expect("it listens");
    closing.await.expect("no panic");
    closed.await.expect("ended");
    accepted.load(Ordering::SeqCst)
}

#[test]
fn accepting_survives_running_out_of_descriptors() {
    const NAME: &str = "accepting_survives_running_out_of_descriptors";
    let Some(driver) = child_part() else {
        return run_child_on_each_driver(NAME);
    };
    let result: TestResult = run(config(driver_named(&driver), 1), async |core: Core| {
        let listener = Rc::new(bind(&core, "127.0.0.1:0").expect("free").remove(0));
        let clients: Vec<_> =
            (0..10).map(|_| TcpStream::connect(port_of(&listener)).expect("it listens")).collect();
        let scarce = Scarce::leave(3);
        let (held, total) = (Rc::new(RefCell::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let closed = core.spawn("accept", {
            let (listener, held, total) = (Rc::clone(&listener), Rc::clone(&held), Arc::clone(&total));
            async move {
                while let Some(accepted) = listener.accept().await {
                    held.borrow_mut().push(accepted);
                    total.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        until("the limit", || listener.exhausted() > 0).await;
        core.timers().sleep(Duration::from_millis(200)).await;
        assert!(listener.exhausted() < 10, "it pauses: {}", listener.exhausted());
        let first = total.load(Ordering::SeqCst);
        assert!((1..10).contains(&first), "{first}");
        while total.load(Ordering::SeqCst) < clients.len() {
            let served = held.take();
            drop(served);
            core.timers().sleep(Duration::from_millis(5)).await;
        }
        drop(scarce);
        listener.close();
        closed.await.expect("ended");
        Ok(())
    });
    result.expect("a good run");
}

#[test]
fn closing_does_not_wait_for_the_pause_of_a_listener_out_of_descriptors() {
    const NAME: &str = "closing_does_not_wait_for_the_pause_of_a_listener_out_of_descriptors";
    let Some(driver) = child_part() else {
        return run_child_on_each_driver(NAME);
    };
    let result: TestResult = run(config(driver_named(&driver), 1), async |core: Core| {
        let listener = Rc::new(bind(&core, "127.0.0.1:0").expect("free").remove(0));
        let _client = TcpStream::connect(port_of(&listener)).expect("it listens");
        let scarce = Scarce::leave(0);
        let accepted = Arc::new(AtomicUsize::new(0));
        let closed = count_accepts(&core, &listener, &accepted);
        // By then the pauses are of 640 ms and more.
        until("long pauses", || listener.exhausted() >= 8).await;
        drop(scarce);
        let start = Instant::now();
        listener.close();
        closed.await.expect("ended");
        assert!(start.elapsed() < Duration::from_millis(300), "{:?}", start.elapsed());
        assert_eq!(accepted.load(Ordering::SeqCst), 1, "there was room again");
        Ok(())
    });
    result.expect("a good run");
}

/// A process that is out of descriptors but for a few. Dropping it gives them back.
struct Scarce {
    limit: Rlimit,
    fill: Vec<fs::File>,
}

impl Scarce {
    /// Leaves `count` descriptors. The limit is one on their numbers, so the gaps between those in use are filled.
    fn leave(count: usize) -> Self {
        let limit = getrlimit(Resource::Nofile);
        let current = Some(open_fds() as u64 + 50);
        setrlimit(Resource::Nofile, Rlimit { current, ..limit }).expect("lowering is allowed");
        let mut fill: Vec<_> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
        assert!(fill.len() > count);
        fill.truncate(fill.len() - count);
        Self { limit, fill }
    }
}

impl Drop for Scarce {
    fn drop(&mut self) {
        self.fill.clear();
        setrlimit(Resource::Nofile, self.limit).expect("not above the hard limit");
    }
}

fn bind(core: &Core, address: &str) -> io::Result<Vec<Listener>> {
    core.bind(&address.parse().expect("valid"), &ListenerOptions::default())
}

fn port_of(listener: &Listener) -> SocketAddr {
    listener.local_addr().as_socket().expect("TCP")
}

fn unix(path: &std::path::Path) -> BindAddress {
    format!("unix:{}", path.display()).parse().expect("valid")
}

/// A path of this process and test.
fn temporary(name: &str) -> PathBuf {
    let path = env::temp_dir().join(format!("ringhttp-{}-{name}.sock", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

/// Accepts until the listener is closed, and keeps nothing.
fn count_accepts(core: &Core, listener: &Rc<Listener>, accepted: &Arc<AtomicUsize>) -> JoinHandle<()> {
    let (listener, accepted) = (Rc::clone(listener), Arc::clone(accepted));
    core.spawn("accept", async move {
        while let Some(connection) = listener.accept().await {
            drop(connection);
            accepted.fetch_add(1, Ordering::SeqCst);
        }
    })
}

/// Where the cores of a run meet. The threads block, so nothing else may be expected of them meanwhile.
struct Meeting<T> {
    barrier: Barrier,
    brought: Mutex<Vec<Option<T>>>,
    accepted: Arc<AtomicUsize>,
}

impl<T: Clone> Meeting<T> {
    fn new(cores: usize) -> Self {
        Self {
            barrier: Barrier::new(cores),
            brought: Mutex::new(vec![None; cores]),
            accepted: Arc::default(),
        }
    }

    /// What all cores brought. Counting starts anew.
    fn gather(&self, core: usize, brought: T) -> Vec<T> {
        self.brought.lock().expect("no panic")[core] = Some(brought);
        self.accepted.store(0, Ordering::SeqCst);
        self.barrier.wait();
        let all = self.brought.lock().expect("no panic").iter().flatten().cloned().collect();
        self.barrier.wait();
        all
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// Connections that two cores share.
const CLIENTS: usize = 40;
