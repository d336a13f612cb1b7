//! Rooms with members on wires in memory.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use ringhttp_runtime::{Core, Cores, RuntimeConfig};

use super::*;
use crate::conn::websocket::{FarEnd, Session, SlowReader, WebSocketConfig, in_memory};
use crate::proto::websocket::Role;

/// An open server's socket, and the peer's end of it. Whoever drives it is the test.
fn open(core: &Core, config: WebSocketConfig) -> (WebSocket, Rc<Session>, FarEnd) {
    let (session, far) = in_memory(Role::Server, config, core.timers());
    assert!(session.poll_drive(&mut Context::from_waker(Waker::noop())).is_pending());
    (WebSocket::new(Rc::clone(&session)), session, far)
}

/// A member of the room that holds 10,000 bytes for its peer.
fn join_with(hub: &Hub, core: &Core, policy: SlowReader) -> (Membership, WebSocket, Rc<Session>, FarEnd) {
    let mut config = WebSocketConfig::default();
    config.slow_reader = policy;
    config.send_queue_bytes_max = 10_000;
    let (socket, session, far) = open(core, config);
    let member = hub.join("room", "somebody", &socket).expect("there is room");
    (member, socket, session, far)
}

fn on_cores(count: usize, body: impl AsyncFn(Core) + Send + Sync) {
    let mut config = RuntimeConfig::default();
    (config.cores, config.pin, config.handle_signals) = (Cores::Count(count), false, false);
    let result: Result<()> = ringhttp_runtime::run(config, async |core| {
        body(core).await;
        Ok(())
    });
    result.expect("the run ends well");
}

async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        ringhttp_runtime::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn ten_thousand_members_on_two_cores_are_counted_named_and_told() {
    const MEMBERS: usize = 5_000;
    let hub = Hub::default();
    let told = AtomicUsize::new(0);
    on_cores(2, async |core| {
        let mut sockets = Vec::with_capacity(MEMBERS);
        for n in 0..MEMBERS {
            let (socket, session, far) = open(&core, WebSocketConfig::default());
            let name = format!("{n} of core {}", core.id());
            let member = hub.join("all", &name, &socket).expect("there is room");
            sockets.push((member, socket, session, far));
        }
        until(|| hub.count("all") == 2 * MEMBERS).await;
        let members = hub.members("all", usize::MAX).await.expect("both cores are there");
        assert_eq!(members.len(), 2 * MEMBERS);
        assert!(members.is_sorted_by(|one, other| one.id < other.id), "each once");
        assert_eq!(hub.members("all", 7).await.expect("both cores are there").len(), 7);
        if core.id() == 0 {
            sockets[0].0.say("to all").expect("there is room");
        }
        let is_here = |bytes: Vec<u8>| {
            assert!(bytes.is_empty() || bytes == b"\x81\x06to all", "{}", bytes.escape_ascii());
            !bytes.is_empty()
        };
        let mut left: Vec<_> = sockets.iter().map(|(.., far)| far).collect();
        while !left.is_empty() {
            left.retain(|far| !is_here(far.received()));
            ringhttp_runtime::time::sleep(Duration::from_millis(1)).await;
        }
        told.fetch_add(1, Ordering::SeqCst);
        until(|| told.load(Ordering::SeqCst) == 2).await;
        drop(sockets);
        until(|| hub.count("all") == 0).await;
    });
    assert!(hub.rooms().is_empty(), "a room ends with its last member");
}

#[test]
fn limits_are_kept() {
    let mut config = HubConfig::default();
    (config.rooms_max, config.members_max, config.name_bytes_max, config.queue_max) = (2, 2, 5, 3);
    let hub = Hub::new(config);
    on_cores(1, async |core| {
        let (socket, ..) = open(&core, WebSocketConfig::default());
        let join =
            |room: &str, name: &str| hub.join(room, name, &socket).map_err(|error| error.status().as_u16());
        let first = join("a", "x").expect("the first");
        let _second = join("a", "x").expect("names may be the same");
        assert_eq!(join("a", "x").unwrap_err(), 503);
        assert_eq!(join("longer", "x").unwrap_err(), 400);
        assert_eq!(join("b", "longer").unwrap_err(), 400);
        let _third = join("b", "y").expect("another room");
        assert_eq!(join("c", "z").unwrap_err(), 503);
        drop(first);
        let _fourth = join("a", "x").expect("a place is free again");
        for _ in 0..3 {
            hub.say("a", "hello").expect("they wait");
        }
        assert_eq!(hub.say("a", "one too many").unwrap_err().status(), 503);
        assert_eq!(hub.messages_lost(), 1);
        hub.say("nobody is here", "hello").expect("nobody misses it");
    });
}

#[test]
fn a_slow_reader_is_treated_as_its_socket_says_and_the_others_do_not_notice() {
    let hub = Hub::default();
    on_cores(1, async |core| {
        let join = |policy| join_with(&hub, &core, policy);
        let policies = [SlowReader::Wait, SlowReader::Close, SlowReader::DropNewest, SlowReader::DropOldest];
        let slow = policies.map(join);
        let quick = join(SlowReader::Wait);
        slow.iter().for_each(|(.., far)| far.set_window(0));
        let mut got = Vec::new();
        for n in 0..200 {
            hub.say("room", format!("{n:01000}")).expect("it is taken");
            until(|| {
                got.extend(quick.3.received());
                let _ = quick.2.poll_drive(&mut Context::from_waker(Waker::noop()));
                got.len() == (n + 1) * 1004
            })
            .await;
        }
        let is_open: Vec<bool> = slow.iter().map(|(_, socket, ..)| socket.sender().is_open()).collect();
        assert_eq!(is_open, [false, false, true, true], "who waits for nobody is closed");
        assert!(quick.1.sender().is_open());
    });
}

#[test]
fn a_ping_for_which_there_is_no_room_is_dropped_where_messages_are() {
    let hub = Hub::default();
    on_cores(1, async |core| {
        let join = |policy| join_with(&hub, &core, policy);
        let slow = [SlowReader::DropNewest, SlowReader::DropOldest].map(join);
        slow.iter().for_each(|(.., far)| far.set_window(0));
        let quick = join(SlowReader::Wait);
        for _ in 0..20 {
            // Ten with their heads fill a queue to the last byte.
            hub.say("room", vec![0; 996]).expect("it is taken");
        }
        hub.say("room", Message::Ping("there?".into())).expect("it is taken");
        let mut got = Vec::new();
        until(|| {
            got.extend(quick.3.received());
            got.ends_with(b"\x89\x06there?")
        })
        .await;
        assert!(slow.iter().all(|(_, socket, ..)| socket.sender().is_open()));
        assert!(slow.iter().all(|(.., far)| far.received().is_empty()), "they took nothing");
    });
}

#[test]
fn comings_and_goings_are_told_where_they_happen() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seeing = Arc::clone(&seen);
    let mut config = HubConfig::default();
    config.on_event = Some(Arc::new(move |hub, event| {
        let what = (event.member.name.to_string(), event.is_joined, event.count);
        seeing.lock().expect("whole").push(what);
        hub.say(event.room, "something happened").expect("it may be said from here");
    }));
    let hub = Hub::new(config);
    on_cores(1, async |core| {
        let (socket, ..) = open(&core, WebSocketConfig::default());
        let ada = hub.join("a", "ada", &socket).expect("there is room");
        let brian = hub.join("a", "brian", &socket).expect("there is room");
        assert_eq!((ada.count(), ada.room(), &*brian.member().name), (2, "a", "brian"));
        drop(ada);
        drop(brian);
    });
    let expected = [("ada", true, 1), ("brian", true, 2), ("ada", false, 1), ("brian", false, 0)];
    let seen = seen.lock().expect("whole");
    assert!(seen.iter().map(|(name, joined, count)| (&**name, *joined, *count)).eq(expected), "{seen:?}");
}

#[test]
fn a_member_that_reads_well_gets_all_that_is_said_at_once() {
    let hub = Hub::default();
    on_cores(1, async |core| {
        let (socket, _session, far) = open(&core, WebSocketConfig::default());
        let member = hub.join("room", "ada", &socket).expect("there is room");
        for _ in 0..3 {
            hub.say("room", vec![0; 100 * 1024]).expect("it is taken");
        }
        let mut got = 0;
        until(|| {
            got += far.received().len();
            got >= 3 * 100 * 1024 || !socket.sender().is_open()
        })
        .await;
        assert!(socket.sender().is_open());
        assert_eq!((got, member.count()), (3 * (100 * 1024 + 10), 1));
    });
}

/// Its own wire lets others have their turn, between two reads, when the room speaks.
#[test]
fn a_member_that_sends_much_itself_is_not_taken_for_slow() {
    on_cores(1, async |core| {
        let (socket, session, far) = open(&core, WebSocketConfig::default());
        far.limit_reads(10);
        far.send(&[&b"\x82\xfe\x03\xe8\0\0\0\0"[..], &[0; 1000]].concat());
        assert!(session.poll_drive(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(far.unread() > 0, "it has paused");
        // As the task of a hub does, before the core's next turn.
        let message = Encoded::new(Message::from(vec![0; 100 * 1024])).expect("it can be sent");
        for _ in 0..3 {
            session.queue_shared(&message);
        }
        session.flush_from_outside();
        assert!(socket.sender().is_open());
        assert_eq!(far.received().len(), 3 * (100 * 1024 + 10));
        until(|| {
            let _ = session.poll_drive(&mut Context::from_waker(Waker::noop()));
            far.unread() == 0
        })
        .await;
    });
}

#[test]
fn many_small_rooms_do_not_hold_up_the_core_either() {
    const ROOMS: usize = 300;
    let hub = Hub::default();
    on_cores(1, async |core| {
        let members: Vec<_> = (0..ROOMS)
            .map(|n| {
                let (socket, session, far) = open(&core, WebSocketConfig::default());
                let member = hub.join(&n.to_string(), "somebody", &socket).expect("there is room");
                (member, socket, session, far)
            })
            .collect();
        for (member, ..) in &members {
            member.say("hello").expect("it is taken");
        }
        let (mut told, mut others_had_turns) = (0, false);
        while told < ROOMS {
            core.yield_now().await;
            told += members.iter().filter(|(.., far)| !far.received().is_empty()).count();
            others_had_turns |= (1..ROOMS).contains(&told);
        }
        assert!(others_had_turns);
    });
}

#[test]
fn a_join_that_fails_leaves_nothing_behind() {
    let mut config = HubConfig::default();
    config.rooms_max = 0;
    let hub = Hub::new(config);
    on_cores(1, async |core| {
        let (socket, ..) = open(&core, WebSocketConfig::default());
        assert_eq!(hub.join("a", "x", &socket).unwrap_err().status(), 503);
        assert!(LocalHub::find(&hub).is_none());
    });
}

#[test]
fn a_panic_when_somebody_joins_does_not_end_the_process() {
    let mut config = HubConfig::default();
    config.on_event = Some(Arc::new(|_, _| panic!("on purpose")));
    let hub = Hub::new(config);
    on_cores(1, async |core| {
        let (socket, ..) = open(&core, WebSocketConfig::default());
        let joining = AssertUnwindSafe(|| hub.join("a", "x", &socket));
        assert!(catch_unwind(joining).is_err());
        assert_eq!(hub.count("a"), 0);
    });
}

#[test]
fn what_is_said_amid_a_members_own_pieces_passes_that_member_by() {
    let hub = Hub::default();
    on_cores(1, async |core| {
        let (socket, session, far) = open(&core, WebSocketConfig::default());
        let (other, other_session, other_far) = open(&core, WebSocketConfig::default());
        let _member = hub.join("room", "ada", &socket).expect("there is room");
        let _listener = hub.join("room", "brian", &other).expect("there is room");
        let piece = |data: &'static str, is_first, is_last| {
            let data = bytes::Bytes::from_static(data.as_bytes());
            Message::Piece(crate::websocket::Piece { is_text: true, data, is_first, is_last })
        };
        let received = async |far: &FarEnd, session: &Session, bytes: usize| {
            let mut got = Vec::new();
            until(|| {
                let _ = session.poll_drive(&mut Context::from_waker(Waker::noop()));
                got.extend(far.received());
                got.len() >= bytes
            })
            .await;
            got
        };
        socket.send(piece("one ", true, false)).await.expect("it is taken");
        hub.say("room", "between").expect("it is taken");
        assert_eq!(received(&other_far, &other_session, 9).await, b"\x81\x07between");
        socket.send(piece("message", false, true)).await.expect("it is taken");
        hub.say("room", "behind").expect("it is taken");
        let expected = b"\x01\x04one \x80\x07message\x81\x06behind";
        assert_eq!(
            received(&far, &session, expected.len()).await.escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
    });
}

#[test]
fn a_core_whose_mailbox_is_full_misses_what_is_said_and_the_speaker_is_told() {
    let hub = Hub::default();
    let (is_busy, may_go_on) = (AtomicUsize::new(0), std::sync::Barrier::new(2));
    let mut config = RuntimeConfig::default();
    (config.cores, config.pin, config.handle_signals) = (Cores::Count(2), false, false);
    (config.mailbox_messages_max, config.watchdog) = (1, None);
    let result: Result<()> = ringhttp_runtime::run(config, async |core| {
        if core.id() == 1 {
            let (socket, _session, far) = open(&core, WebSocketConfig::default());
            let _member = hub.join("room", "ada", &socket).expect("there is room");
            is_busy.store(1, Ordering::SeqCst);
            may_go_on.wait();
            let mut got = Vec::new();
            until(|| {
                got.extend(far.received());
                got.len() >= 7
            })
            .await;
            assert_eq!(got, b"\x81\x05first");
            return Ok(());
        }
        until(|| is_busy.load(Ordering::SeqCst) == 1).await;
        hub.say("room", "first").expect("there is a place");
        assert_eq!(hub.say("room", "second").unwrap_err().status(), 503);
        assert_eq!(hub.messages_lost(), 1);
        may_go_on.wait();
        Ok(())
    });
    result.expect("the run ends well");
    assert_eq!(hub.0.waiting_bytes.load(Ordering::SeqCst), 0, "nothing waits");
}
