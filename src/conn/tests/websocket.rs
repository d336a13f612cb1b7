//! WebSockets on a wire in memory with a paused clock. The far end is a client: it masks, and reads what a client would.

use bytes::{BufMut, BytesMut};

use super::*;
use crate::proto::websocket::{
    CloseCode, CloseFrame, Event, FrameHead, Inflaters, Opcode, Reader, ReaderRules, Role, mask,
};
use crate::websocket::{Message, SlowReader, WebSocket, WebSocketConfig, WebSocketError};

const OPENING: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A frame as a client sends it: FIN, RSV1 and opcode in `first`.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [1, 2, 3, 4];
    let head = FrameHead { mask: Some(key), ..FrameHead::whole(Opcode::Text, payload.len()) };
    let mut bytes = BytesMut::new();
    head.encode(&mut bytes);
    bytes[0] = first;
    let start = bytes.len();
    bytes.put_slice(payload);
    mask::apply(key, 0, &mut bytes[start..]);
    bytes.to_vec()
}

fn text(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

fn close(code: u16) -> Vec<u8> {
    frame(0x88, &code.to_be_bytes())
}

/// What a client sees of what the server sent.
fn seen(bytes: &[u8]) -> Vec<Event> {
    let mut input = BytesMut::from(bytes);
    let mut rules = ReaderRules::new(Role::Server);
    rules.limits.message_bytes_max = 64 << 20;
    rules.limits.frame_bytes_max = 64 << 20;
    let mut reader = Reader::new(rules);
    let mut events = Vec::new();
    loop {
        match reader.next(&mut input, &mut Inflaters::default()).expect("a server keeps to the protocol") {
            Event::NeedMore { .. } => {
                assert!(input.is_empty(), "half a frame: {}", input.escape_ascii());
                return events;
            }
            event => events.push(event),
        }
    }
}

fn a_text(text: &str) -> Event {
    Event::Text(text.to_owned().into())
}

fn a_close(code: u16) -> Event {
    Event::Close(CloseFrame { code: CloseCode::new(code), reason: String::new() })
}

/// The code of the Close frame at the end.
fn close_code(events: &[Event]) -> Option<u16> {
    match events.last() {
        Some(Event::Close(frame)) => Some(frame.code.as_u16()),
        _ => None,
    }
}

/// An open socket whose handler is `handler`.
fn open<H>(config: WebSocketConfig, handler: H) -> Bench
where
    H: AsyncFn(WebSocket) + 'static,
{
    open_with(config, handler, b"")
}

/// The same; `behind` comes right behind the handshake.
fn open_with<H>(config: WebSocketConfig, handler: H, behind: &[u8]) -> Bench
where
    H: AsyncFn(WebSocket) + 'static,
{
    let handler = Rc::new(handler);
    let mut bench = Bench::new(async move |request: Request| {
        let socket = request.websocket(config.clone()).await.expect("a good request");
        let handler = Rc::clone(&handler);
        handler(socket).await;
        Response::empty(http::StatusCode::SWITCHING_PROTOCOLS)
    });
    bench.far.send(&[OPENING, behind].concat());
    bench.run();
    let answer = bench.far.received();
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer") + 4;
    assert!(answer.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"), "{}", answer.escape_ascii());
    bench.left = answer[head..].to_vec();
    bench
}

async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.receive().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
    let _ = socket.close().await;
}

impl Bench {
    /// Sends bytes and gives what the server answers.
    fn ask(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.far.send(bytes);
        self.run();
        self.answers()
    }

    fn answers(&mut self) -> Vec<Event> {
        let mut bytes = std::mem::take(&mut self.left);
        bytes.extend(self.far.received());
        seen(&bytes)
    }

    fn later(&mut self, by: Duration) -> Vec<Event> {
        self.host.timers.advance(by);
        self.run();
        self.answers()
    }
}

#[test]
fn messages_are_echoed_and_the_peer_closes() {
    let mut bench = open(WebSocketConfig::default(), echo);
    assert_eq!(bench.ask(&text("hello")), [a_text("hello")]);
    assert_eq!(bench.ask(&frame(0x82, &[7; 100])), [Event::Binary(vec![7; 100].into())]);
    assert_eq!(bench.ask(&[text("a"), text("b")].concat()), [a_text("a"), a_text("b")]);
    assert_eq!(bench.ask(&close(1001)), [a_close(1001)]);
    assert!(bench.far.near_has_ended());
    assert_eq!(bench.ended, Some(CloseReason::Upgraded));
    let stats = &bench.host.stats.websockets;
    assert_eq!((stats.total.get(), stats.active.get()), (1, 0));
    assert_eq!((stats.messages_in.get(), stats.messages_out.get()), (4, 4));
    assert_eq!((stats.bytes_in.get(), stats.bytes_out.get()), (107, 107 + 4 * 2 + 4));
}

#[test]
fn bytes_right_behind_the_handshake_are_not_lost() {
    let mut bench = open_with(WebSocketConfig::default(), echo, &[text("early"), text("bird")].concat());
    assert_eq!(bench.answers(), [a_text("early"), a_text("bird")]);
}

#[test]
fn streams_split_at_every_byte_get_the_same_answers() {
    let stream =
        [text("grün"), frame(0x89, b"p"), frame(0x01, b"a"), frame(0x80, b"b"), close(1000)].concat();
    let expected = [a_text("grün"), Event::Pong("p".into()), a_text("ab"), a_close(1000)];
    for limit in 1..stream.len() {
        let mut bench = open(WebSocketConfig::default(), echo);
        bench.far.limit_reads(limit);
        assert_eq!(bench.ask(&stream), expected, "{limit} bytes at a time");
    }
}

#[test]
fn what_came_before_a_fault_is_answered_before_it_is_closed() {
    let mut bench = open(WebSocketConfig::default(), echo);
    let answers = bench.ask(&[text("fine"), frame(0xa1, b"bad"), frame(0x89, b"")].concat());
    assert_eq!(answers[0], a_text("fine"));
    assert_eq!(close_code(&answers), Some(1002));
    assert_eq!(answers.len(), 2, "nothing behind the fault is read");
    assert!(bench.far.near_has_ended());
    assert_eq!(bench.ended, None, "it lingers, so that the Close frame arrives");
    bench.far.end();
    bench.run();
    assert_eq!(bench.ended, Some(CloseReason::Upgraded));
}
