//! WebSockets on a wire in memory with a paused clock. The far end is a client: it masks, and reads what a client would.
#![forbid(unsafe_code)]

mod client_role;
mod closing;
#[cfg(feature = "compression")]
mod compressed;
mod openings;
mod silence;
mod slow_readers;

use bytes::{BufMut, BytesMut};

use super::*;
use crate::conn::websocket::{Message, SlowReader, WebSocketError};
use crate::proto::websocket::{
    CloseCode, CloseFrame, Event, FrameHead, Inflaters, Opcode, Reader, ReaderRules, Role, mask,
};
use crate::{WebSocket, WebSocketConfig};

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

/// A connection whose handler makes a socket of every request.
fn bench<H>(config: WebSocketConfig, handler: H) -> Bench
where
    H: AsyncFn(WebSocket) + 'static,
{
    let handler = Rc::new(handler);
    Bench::new(async move |request: Request| {
        let socket = request.websocket(config.clone()).await.expect("a good request");
        let handler = Rc::clone(&handler);
        handler(socket).await;
        Response::empty(http::StatusCode::SWITCHING_PROTOCOLS)
    })
}

/// The same; `behind` comes right behind the handshake.
fn open_with<H>(config: WebSocketConfig, handler: H, behind: &[u8]) -> Bench
where
    H: AsyncFn(WebSocket) + 'static,
{
    let mut bench = bench(config, handler);
    bench.far.send(&[OPENING, behind].concat());
    bench.run();
    let (head, left) = split_head(&bench.far.received());
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    bench.left = left;
    bench
}

/// The head of an answer, and what is behind it.
fn split_head(answer: &[u8]) -> (String, Vec<u8>) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer") + 4;
    (String::from_utf8(answer[..end].to_vec()).expect("text"), answer[end..].to_vec())
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
        self.advance_only(by);
        self.answers()
    }

    /// Lets time pass without looking at what has come.
    fn advance_only(&mut self, by: Duration) {
        self.host.timers.advance(by);
        self.run();
    }

    /// Polls the connection's task so many times, whether it was woken or not.
    fn run_some(&mut self, polls: usize) {
        let waker = Waker::from(Arc::clone(&self.flag));
        for _ in 0..polls {
            let Some(task) = &mut self.task else { return };
            if let Poll::Ready(reason) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.ended = Some(reason);
                self.task = None;
            }
        }
    }
}

/// As [`open`], with a peer that takes nothing behind the handshake.
fn open_closed<H>(config: WebSocketConfig, handler: H) -> Bench
where
    H: AsyncFn(WebSocket) + 'static,
{
    let started = Rc::new(Cell::new(false));
    let starting = Rc::clone(&started);
    let mut bench = open(config, async move |socket: WebSocket| {
        std::future::poll_fn(|_| if starting.get() { Poll::Ready(()) } else { Poll::Pending }).await;
        handler(socket).await;
    });
    bench.far.set_window(0);
    started.set(true);
    bench.run();
    bench
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

#[test]
fn hostile_frames_each_with_the_code_it_gets() {
    let mut config = WebSocketConfig::default();
    config.message_bytes_max = 1000;
    config.fragment_count_max = 3;
    config.accepts = crate::proto::websocket::Accepts::Text;
    let cases: &[(&[u8], u16)] = &[
        (&frame(0xc1, b"a"), 1002),
        (&frame(0x83, b"a"), 1002),
        (b"\x81\x01a", 1002),
        (&frame(0x09, b""), 1002),
        (&frame(0x89, &[0; 126]), 1002),
        (&frame(0x80, b"a"), 1002),
        (&[frame(0x01, b"a"), text("b")].concat(), 1002),
        (&frame(0x88, b"\x03"), 1002),
        (&close(1005), 1002),
        (&frame(0x82, b"a"), 1003),
        (&frame(0x81, b"\xff"), 1007),
        (&frame(0x88, b"\x03\xe8\xff"), 1007),
        (&frame(0x81, &[b'a'; 1001]), 1009),
        (b"\x81\xff\x00\x00\x00\x00\x40\x00\x00\x00mask", 1009),
        (&[frame(0x01, b""), frame(0x00, b""), frame(0x00, b""), frame(0x00, b"")].concat(), 1009),
    ];
    for (bytes, code) in cases {
        for limit in [1, usize::MAX] {
            let mut bench = open(config.clone(), echo);
            bench.far.limit_reads(limit);
            assert_eq!(close_code(&bench.ask(bytes)), Some(*code), "{}", bytes.escape_ascii());
            assert!(bench.far.near_has_ended(), "{}", bytes.escape_ascii());
            bench.later(11 * SECOND);
            assert_eq!(bench.ended, Some(CloseReason::Upgraded), "it does not linger for ever");
        }
    }
}

/// A handler that waits for something else than its socket.
async fn sleeper(_socket: WebSocket) {
    std::future::pending::<()>().await;
}

/// Polls a future so many times, then drops it.
async fn dropped_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await
}

#[test]
fn dropping_receive_at_every_await_loses_nothing() {
    let stream =
        [text("one"), frame(0x01, b"t"), frame(0x89, b""), frame(0x80, b"wo"), text("three"), close(1000)];
    let stream = stream.concat();
    for polls in 1..4 {
        for step in 1..stream.len() {
            let started = Rc::new(Cell::new(false));
            let starting = Rc::clone(&started);
            let mut bench = open(WebSocketConfig::default(), async move |mut socket: WebSocket| {
                std::future::poll_fn(|_| if starting.get() { Poll::Ready(()) } else { Poll::Pending }).await;
                loop {
                    match dropped_after(polls, socket.receive()).await {
                        None => yield_once().await,
                        Some(Ok(Some(message))) => socket.send(message).await.expect("open"),
                        Some(end) => {
                            assert_eq!(end, Ok(None));
                            break;
                        }
                    }
                }
            });
            started.set(true);
            for piece in stream.chunks(step) {
                bench.far.send(piece);
                bench.run_some(8);
            }
            bench.run_some(50);
            let answers = bench.answers();
            let expected =
                [a_text("one"), Event::Pong("".into()), a_text("two"), a_text("three"), a_close(1000)];
            assert_eq!(answers, expected, "{polls} polls, {step} bytes at a time");
        }
    }
}

async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn pieces_go_through_as_they_come() {
    let mut config = WebSocketConfig::default();
    config.pieces = true;
    let mut bench = open(config, echo);
    bench.far.send(&frame(0x01, b"ab"));
    bench.run();
    bench.left = bench.far.received();
    assert_eq!(bench.left, b"\x01\x02ab");
    assert_eq!(bench.ask(&[frame(0x80, b"c"), text("d")].concat()), [a_text("abc"), a_text("d")]);
}

#[test]
fn what_cannot_be_sent_is_refused_and_the_socket_goes_on() {
    use crate::proto::Misuse;
    let mut bench = open(WebSocketConfig::default(), async |mut socket: WebSocket| {
        let ping = Message::Ping(vec![0; 126].into());
        assert_eq!(socket.send(ping).await, Err(WebSocketError::Misuse(Misuse::ControlTooLong)));
        assert_eq!(socket.send(Message::Ping("hi".into())).await, Ok(()));
        let _ = socket.receive().await;
        let result = socket.close_with(CloseCode::ABNORMAL, "").await;
        assert_eq!(result, Err(WebSocketError::Misuse(Misuse::CloseInvalid)));
    });
    assert_eq!(bench.answers(), [Event::Ping("hi".into())]);
    assert_eq!(bench.ask(&text("go on")), [a_close(1011)]);
}

#[test]
fn an_idle_socket_holds_no_buffer_but_the_landing_one() {
    let mut bench = open(WebSocketConfig::default(), echo);
    bench.ask(&frame(0x82, &vec![1; 1 << 20]));
    bench.later(SECOND);
    bench.later(SECOND);
    // What the pool has given out has come back, except for the buffer that the kernel would hold.
    let (taken, _) = bench.host.buffers.taken_and_reused();
    assert!(taken > 0 && bench.host.buffers.free_count() > 0);
    assert_eq!(bench.ask(&text("and goes on")), [a_text("and goes on")]);
}
