//! The client's side of a WebSocket.
#![forbid(unsafe_code)]

use super::*;
use crate::conn::websocket::{Session, in_memory};

fn open_client() -> (Rc<Session>, FarEnd, Timers) {
    let timers = Timers::new();
    timers.pause();
    let (session, far) = in_memory(Role::Client, WebSocketConfig::default(), &timers);
    (session, far, timers)
}

fn drive(session: &Session) -> Poll<()> {
    session.poll_drive(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_client_masks_what_it_sends_and_takes_no_masks() {
    let (session, far, _) = open_client();
    let socket = WebSocket::new(Rc::clone(&session));
    assert_eq!(socket.sender().queue("hello"), Ok(()));
    let long = vec![7; 5000];
    assert_eq!(socket.sender().queue(long.clone()), Ok(()));
    assert!(drive(&session).is_pending());
    let mut input = BytesMut::from(&far.received()[..]);
    assert_ne!(input[6..11], *b"hello");
    let mut reader = Reader::new(ReaderRules::new(Role::Client));
    let mut next = || reader.next(&mut input, &mut Inflaters::default()).unwrap();
    assert_eq!((next(), next()), (a_text("hello"), Event::Binary(long.into())));
    far.send(&text("masked"));
    assert!(drive(&session).is_pending());
    assert_eq!(socket.close_code(), Some(CloseCode::PROTOCOL));
}

#[test]
fn a_client_waits_for_the_server_to_end_the_transport() {
    let (session, far, timers) = open_client();
    let socket = WebSocket::new(Rc::clone(&session));
    far.send(b"\x88\x02\x03\xe8");
    assert!(drive(&session).is_pending());
    assert_eq!(socket.close_code(), Some(CloseCode::NORMAL));
    assert!(far.near_has_ended());
    assert!(drive(&session).is_pending(), "RFC 6455 §7.1.1");
    timers.advance(11 * SECOND);
    assert!(drive(&session).is_ready(), "for the close timeout");
}
