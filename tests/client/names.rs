//! Names and addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ringhttp::ClientConfig;
use ringhttp::client::{AddressFilter, ErrorKind, LookUp, Resolve};
use socket2::{Domain, Socket, Type};

use super::{answering, field, mirror, ok, text, with_config};

/// A resolver that gives what it was told, and counts.
struct Told {
    addresses: Mutex<io::Result<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Told {
    fn new(addresses: &[&str]) -> Arc<Self> {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        Arc::new(Self { addresses: Mutex::new(Ok(addresses)), asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Told {
    fn resolve<'a>(&'a self, _: &'a str) -> LookUp<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            match &*self.addresses.lock().expect("no panic") {
                Ok(addresses) => Ok(addresses.clone()),
                Err(error) => Err(error.kind().into()),
            }
        })
    }
}

fn with_resolver(resolver: &Arc<Told>) -> ClientConfig {
    let mut config = ClientConfig::default();
    config.resolver = Some(Arc::clone(resolver) as Arc<dyn Resolve>);
    config
}

#[test]
fn the_system_knows_this_machine() {
    with_config(&ClientConfig::default(), async |_, client| {
        let server = mirror();
        let port = server.address().port();
        let answer = client.get(format!("http://localhost:{port}/")).send().await.expect("an answer");
        assert!(answer.timings().dns.is_some());
        assert_eq!(field(&text(Ok(answer)).await, "host"), Some(&*format!("localhost:{port}")));
        assert_eq!((client.stats().dns_lookups, client.stats().dns_hits), (1, 0));
    });
}

#[test]
fn names_are_looked_up_once_in_a_while() {
    let server =
        answering(|_| "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned());
    let port = server.address().port();
    let resolver = Told::new(&["127.0.0.1"]);
    let mut config = with_resolver(&resolver);
    config.dns_ttl = Duration::from_millis(900);
    with_config(&config, async |_, client| {
        let before = resolver.asked.load(Ordering::SeqCst);
        for _ in 0..5 {
            text(client.get(format!("http://some.example:{port}/")).send().await).await;
        }
        assert_eq!(resolver.asked.load(Ordering::SeqCst), before + 1);
        assert_eq!((client.stats().dns_lookups, client.stats().dns_hits), (1, 4));
        ringhttp::time::sleep(Duration::from_millis(1000)).await;
        text(client.get(format!("http://some.example:{port}/")).send().await).await;
        assert_eq!(resolver.asked.load(Ordering::SeqCst), before + 2);
    });
}

#[test]
fn failures_are_remembered_for_a_while_too() {
    let resolver = Told::new(&[]);
    let mut config = with_resolver(&resolver);
    config.dns_failure_ttl = Duration::from_millis(900);
    with_config(&config, async |_, client| {
        let before = resolver.asked.load(Ordering::SeqCst);
        for _ in 0..5 {
            let error = client.get("http://none.example/").send().await.expect_err("no address");
            assert_eq!(error.kind(), ErrorKind::Resolve);
            assert!(error.is_connect());
        }
        assert_eq!(resolver.asked.load(Ordering::SeqCst), before + 1);
        ringhttp::time::sleep(Duration::from_millis(1000)).await;
        client.get("http://none.example/").send().await.expect_err("no address");
        assert_eq!(resolver.asked.load(Ordering::SeqCst), before + 2);
        assert_eq!((client.stats().in_use, client.stats().errors), (0, 6));
    });
}

#[test]
fn addresses_take_turns() {
    let server =
        answering(|_| "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned());
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let listener = TcpListener::bind(address).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    drop(server);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a peer");
            record.lock().expect("no panic").push(socket.local_addr().expect("connected").ip().to_string());
            let _ = io::Read::read(&mut socket, &mut [0; 4096]);
            let _ = io::Write::write_all(
                &mut socket,
                b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            );
        }
    });
    let config = with_resolver(&Told::new(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]));
    with_config(&config, async |_, client| {
        for _ in 0..6 {
            text(client.get(format!("http://many.example:{port}/")).send().await).await;
        }
        let seen: Vec<_> = seen.lock().expect("no panic").drain(..).collect();
        let turn = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
        assert_eq!(seen, [turn, turn].concat());
    });
}

/// An address at which connections are neither taken nor refused: a listener whose backlog is full.
fn black_hole(port: u16) -> (Socket, Vec<TcpStream>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 66), port));
    listener.bind(&address.into()).expect("the port is free there");
    listener.listen(0).expect("bound");
    let patience = Duration::from_millis(200);
    let waiting: Vec<_> = (0..8).map_while(|_| TcpStream::connect_timeout(&address, patience).ok()).collect();
    assert!(waiting.len() < 8, "the backlog is never full");
    (listener, waiting)
}

#[test]
fn rfc8305_5_the_next_address_is_tried_beside_one_that_does_not_answer() {
    let server = answering(|_| ok("hello"));
    let port = server.address().port();
    let _hole = black_hole(port);
    // Refused at once, silent, good.
    let config = with_resolver(&Told::new(&["127.0.0.77", "127.0.0.66", "127.0.0.1"]));
    with_config(&config, async |_, client| {
        let started = Instant::now();
        let sent = text(client.get(format!("http://mixed.example:{port}/")).send().await).await;
        assert_eq!(sent, "hello");
        assert!(started.elapsed() >= Duration::from_millis(240), "{:?}", started.elapsed());
        assert_eq!(server.open(), 1);
    });
    let config = with_resolver(&Told::new(&["127.0.0.77", "127.0.0.78"]));
    with_config(&config, async |_, client| {
        let error = client.get(format!("http://gone.example:{port}/")).send().await.expect_err("all refuse");
        assert_eq!(error.kind(), ErrorKind::Connect);
    });
}

#[test]
fn both_families_are_tried() {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        println!("left out: this machine has no IPv6 loopback");
        return;
    };
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a peer");
            let _ = io::Read::read(&mut socket, &mut [0; 4096]);
            let _ = io::Write::write_all(&mut socket, ok("six").as_bytes());
        }
    });
    let config = with_resolver(&Told::new(&["127.0.0.1", "::1"]));
    with_config(&config, async |_, client| {
        let url = format!("http://both.example:{port}/");
        assert_eq!(text(client.get(url).send().await).await, "six");
        assert_eq!(text(client.get(format!("http://[::1]:{port}/")).send().await).await, "six");
    });
}

#[test]
fn hosts_can_be_sent_elsewhere() {
    let server = mirror();
    let mut config = ClientConfig::default();
    config.host_overrides.insert("api.example".to_owned(), vec![server.address()]);
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.host_overrides.insert("same-port.example".to_owned(), vec![here]);
    with_config(&config, async |_, client| {
        let sent = text(client.get("http://api.example/x").send().await).await;
        assert_eq!(field(&sent, "host"), Some("api.example"));
        let url = format!("http://same-port.example:{}/", server.address().port());
        assert!(text(client.get(url).send().await).await.starts_with("GET / "));
    });
}

#[test]
fn what_a_name_leads_to_is_filtered() {
    let server = answering(|_| ok("hello"));
    let port = server.address().port();
    for (addresses, is_allowed) in [
        (&["127.0.0.1"][..], false),
        (&["10.0.0.1", "::1", "169.254.169.254"], false),
        (&["10.0.0.1", "127.0.0.42"], true),
    ] {
        let mut config = with_resolver(&Told::new(addresses));
        config.addresses = AddressFilter::public().allow("127.0.0.42/32".parse().expect("a network"));
        with_config(&config, async |_, client| {
            let result = client.get(format!("http://rebound.example:{port}/")).send().await;
            match result {
                // The server listens on 127.0.0.1 only: that the address was tried is what counts.
                Err(error) if is_allowed => assert_eq!(error.kind(), ErrorKind::Connect),
                Err(error) => assert_eq!(error.kind(), ErrorKind::AddressRefused),
                Ok(_) => panic!("it went to where it may not"),
            }
        });
    }
}
