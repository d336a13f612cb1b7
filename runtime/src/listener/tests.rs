//! What can only be seen from inside: the flags of accepted sockets. The rest is in `tests/listener.rs`.

use std::net::TcpStream as Client;
use std::os::unix::net::UnixStream as UnixClient;

use socket2::SockRef;

use super::*;
use crate::config::{Cores, Driver, RuntimeConfig};
use crate::error::RunError;
use crate::run::run;
use crate::test_drivers;

fn each_driver(body: impl AsyncFn(Core) + Send + Sync) {
    for name in test_drivers::names() {
        let driver = name.parse::<Driver>().expect("it names drivers");
        let config = RuntimeConfig {
            driver,
            cores: Cores::Count(1),
            handle_signals: false,
            ..RuntimeConfig::default()
        };
        let result = run(config, async |core| {
            body(core).await;
            Ok::<(), RunError>(())
        });
        assert!(result.is_ok(), "{driver:?}: {result:?}");
    }
}

fn check_flags(core: &Core, accepted: &Accepted, way: &str) {
    let fd = socket_fd(&accepted.socket);
    let flags = rustix::io::fcntl_getfd(fd).expect("open");
    assert!(flags.contains(FdFlags::CLOEXEC), "{way}: children get no copy");
    let blocks = !rustix::fs::fcntl_getfl(fd).expect("open").contains(rustix::fs::OFlags::NONBLOCK);
    assert_eq!(blocks, core.driver() == DriverKind::IoUring, "{way}");
}

#[test]
fn accepted_sockets_inherit_the_options_of_the_listener() {
    each_driver(async |core| {
        for (nodelay, keepalive) in [(true, Some(Duration::from_secs(77))), (false, None)] {
            let options = ListenerOptions { nodelay, tcp_keepalive: keepalive, ..ListenerOptions::default() };
            let address = "127.0.0.1:0".parse().expect("valid");
            let listener = core.bind(&address, &options).expect("free").remove(0);
            let bound = listener.local_addr().as_socket().expect("TCP");
            let (_by_ring, _from_backlog) =
                (Client::connect(bound).expect("it listens"), Client::connect(bound).expect("it listens"));
            for way in ["by the ring", "from the backlog"] {
                let accepted = listener.accept().await.expect("waits");
                check_flags(&core, &accepted, way);
                let fd = socket_fd(&accepted.socket);
                let socket = SockRef::from(&fd);
                assert_eq!(socket.nodelay().expect("open"), nodelay, "{way}");
                assert_eq!(socket.keepalive().expect("open"), keepalive.is_some(), "{way}");
                if let Some(idle) = keepalive {
                    assert_eq!(socket.keepalive_time().expect("open"), idle, "{way}");
                }
                listener.close();
            }
        }
    });
}

#[test]
fn accepted_unix_sockets_have_the_right_flags() {
    each_driver(async |core| {
        let path = std::env::temp_dir().join(format!("ringhttp-{}-flags.sock", std::process::id()));
        let address = BindAddress::Unix(path.clone());
        let listener = core.bind(&address, &ListenerOptions::default()).expect("free").remove(0);
        let _clients = [(); 2].map(|()| UnixClient::connect(&path).expect("it listens"));
        check_flags(&core, &listener.accept().await.expect("waits"), "by the ring");
        listener.close();
        check_flags(&core, &listener.accept().await.expect("waits"), "from the backlog");
    });
}

#[test]
fn behind_its_close_a_listener_gives_out_as_many_as_fit_into_its_backlog() {
    each_driver(async |core| {
        let options = ListenerOptions { backlog: 2, ..ListenerOptions::default() };
        let address = "127.0.0.1:0".parse().expect("valid");
        let listener = core.bind(&address, &options).expect("free").remove(0);
        let bound = listener.local_addr().as_socket().expect("TCP");
        let mut clients = vec![Client::connect(bound).expect("it listens")];
        listener.close();
        for _ in 0..3 {
            assert!(listener.accept().await.is_some());
            clients.push(Client::connect(bound).expect("the socket is open still"));
        }
        assert!(listener.accept().await.is_none(), "one waits, and comes too late");
    });
}
