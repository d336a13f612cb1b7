//! Rooms across two cores.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhttp::proto::websocket::Event;
use ringhttp::testing::{drivers, each_driver};
use ringhttp::websocket::{Closed, Hub, HubConfig};
use ringhttp::{
    Cores, Driver, Request, Result, Router, RuntimeConfig, Server, ServerConfig, WebSocketConfig,
};

use crate::frame::frame;
use crate::peer::Peer;
use crate::with_peer;

const PEERS: usize = 16;

async fn join(hub: &Hub, req: Request) -> Result<Closed> {
    let name = req.query_string().unwrap_or("nobody").to_owned();
    let mut socket = req.websocket(WebSocketConfig::default()).await?;
    let member = hub.join("room", &name, &socket)?;
    socket.send(format!("core {}", ringhttp::Core::current().expect("on a core").id())).await?;
    while let Some(message) = socket.receive().await? {
        match message.as_text().map(|text| text.as_str()) {
            Some("who") => {
                let members = hub.members("room", 1000).await?;
                let names: Vec<&str> = members.iter().map(|member| &*member.name).collect();
                socket.send(format!("{}: {}", member.count(), names.len())).await?;
            }
            _ => member.say(message)?,
        }
    }
    Ok(socket.close().await?)
}

/// Runs `peers` against a server on two cores with a hub.
fn two_cores(driver: Driver, peers: impl FnOnce(SocketAddr, Hub) + Send + Sync + 'static) {
    let mut config = RuntimeConfig::default();
    (config.cores, config.driver) = (Cores::Count(2), driver);
    (config.pin, config.handle_signals) = (false, false);
    let mut hub_config = HubConfig::default();
    let (joined, left) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (joins, leaves) = (Arc::clone(&joined), Arc::clone(&left));
    hub_config.on_event = Some(Arc::new(move |_, event| {
        let counter = if event.is_joined { &joins } else { &leaves };
        counter.fetch_add(1, Ordering::SeqCst);
        assert_eq!(event.room, "room");
    }));
    let hub = Hub::new(hub_config);
    let (bound, peers, after) = (AtomicUsize::new(0), Mutex::new(Some(peers)), hub.clone());
    let result: Result<()> = ringhttp::run(config, async move |core| {
        let server = Server::bind("127.0.0.1:0", ServerConfig::default())?;
        let address = server.local_addrs()[0].as_socket().expect("bound over IP");
        bound.fetch_add(1, Ordering::SeqCst);
        if core.id() == 0 {
            while bound.load(Ordering::SeqCst) < core.count() {
                ringhttp::time::sleep(Duration::from_millis(1)).await;
            }
            let (stop, hub) = (core.clone(), hub.clone());
            let peers = peers.lock().expect("no panic").take().expect("taken once");
            let asking = core.spawn_blocking(move || peers(address, hub));
            drop(core.spawn("peers", async move {
                let asked = asking.await;
                stop.shutdown();
                asked.expect("the peers do not panic");
            }));
        }
        server.serve(&core, Router::new().get("/ws", join), hub.clone()).await
    });
    result.expect("the run ends well");
    assert_eq!((joined.load(Ordering::SeqCst), left.load(Ordering::SeqCst)), (PEERS, PEERS));
    assert_eq!((after.count("room"), after.rooms().len(), after.messages_lost()), (0, 0, 0));
}

#[test]
fn everybody_in_a_room_gets_every_message_in_order_on_both_cores() {
    for driver in drivers() {
        two_cores(driver, |address, hub| {
            // The kernel spreads connections by their ports: some of so many are on either core.
            let mut peers: Vec<Peer> = (0..PEERS).map(|_| Peer::open(address, b"")).collect();
            let cores: Vec<String> = peers.iter_mut().map(Peer::text).collect();
            assert!(cores.iter().any(|core| core == "core 0") && cores.iter().any(|core| core == "core 1"));
            assert_eq!(hub.count("room"), PEERS);
            peers[0].send_text("who");
            assert_eq!(peers[0].text(), format!("{PEERS}: {PEERS}"));
            let long = "a message that is worth compressing ".repeat(100);
            for n in 0..200 {
                peers[n % 3].send_text(&format!("{n} {long}"));
                for peer in &mut peers {
                    let text = peer.text();
                    assert_eq!(text.split(' ').next(), Some(&*n.to_string()));
                    assert!(text.ends_with(&long));
                }
            }
            // All that one says arrives in the order it was said.
            for n in 0..300 {
                peers[5].send_text(&n.to_string());
            }
            for peer in &mut peers {
                for n in 0..300 {
                    assert_eq!(peer.text(), n.to_string());
                }
            }
            let mut gone = peers.pop().expect("sixteen");
            gone.send(&frame(0x88, b"\x03\xe8"));
            assert_eq!(gone.closed(), 1000);
            while hub.count("room") == PEERS {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(hub.count("room"), PEERS - 1);
            for mut peer in peers {
                peer.send(&frame(0x88, b"\x03\xe8"));
                assert_eq!(peer.closed(), 1000);
            }
        });
    }
}

/// More views than one call takes, and more bytes than the queue holds: all is with the kernel before anybody is judged.
#[test]
fn who_reads_gets_many_messages_that_are_said_at_once() {
    const MESSAGES: usize = 900;
    each_driver(async |core| {
        let chatty = async |hub: &Hub, req: Request| -> Result<Closed> {
            let mut socket = req.websocket(WebSocketConfig::default()).await?;
            let member = hub.join("room", "eve", &socket)?;
            while socket.receive().await?.is_some() {
                for n in 0..MESSAGES {
                    member.say(format!("{n:0300}"))?;
                }
            }
            Ok(socket.close().await?)
        };
        with_peer(&core, Router::new().get("/ws", chatty), Hub::default(), |address| {
            let mut peer = Peer::open(address, b"");
            peer.send_text("go");
            for n in 0..MESSAGES {
                assert_eq!(peer.text(), format!("{n:0300}"));
            }
            peer.send(&frame(0x88, b"\x03\xe8"));
            assert_eq!(peer.closed(), 1000);
        })
        .await;
    });
}

/// Long messages that are said faster than they can be handed out: what waits is bounded by its bytes, too.
#[test]
fn what_waits_for_a_room_has_a_limit_in_bytes() {
    const MIB: usize = 1 << 20;
    each_driver(async |core| {
        let mut config = HubConfig::default();
        config.queue_bytes_max = 4 * MIB;
        let hub = Hub::new(config);
        let flood = async |hub: &Hub, req: Request| -> Result<Closed> {
            let mut config = WebSocketConfig::default();
            config.send_queue_bytes_max = 64 * MIB;
            let mut socket = req.websocket(config).await?;
            let member = hub.join("room", "eve", &socket)?;
            while socket.receive().await?.is_some() {
                let taken = (0..20).filter(|_| member.say(vec![0; MIB]).is_ok()).count();
                assert_eq!((taken, hub.messages_lost() % 16), (4, 0));
            }
            Ok(socket.close().await?)
        };
        with_peer(&core, Router::new().get("/ws", flood), hub, |address| {
            let mut peer = Peer::open(address, b"");
            for _ in 0..3 {
                peer.send_text("flood");
                for _ in 0..4 {
                    assert!(matches!(peer.next(), Some(Event::Binary(bytes)) if bytes.len() == MIB));
                }
            }
            peer.send(&frame(0x88, b"\x03\xe8"));
            assert_eq!(peer.closed(), 1000);
        })
        .await;
    });
}
