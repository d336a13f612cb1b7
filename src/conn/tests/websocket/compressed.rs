//! Compressed messages, both ways.
#![forbid(unsafe_code)]

use super::*;
use crate::conn::websocket::{Compression, CompressionConfig, Encoded};
use crate::proto::websocket::{Deflater, Takeover};

fn opening(offer: &str) -> Vec<u8> {
    let opening = String::from_utf8(OPENING.to_vec()).unwrap();
    opening.replace("Host: a", &format!("Host: a\r\nSec-WebSocket-Extensions: {offer}")).into_bytes()
}

/// Opens a socket with an offer; gives what the server made of it, too.
fn open_offering<H>(offer: &str, config: WebSocketConfig, handler: H) -> (Bench, String)
where
    H: AsyncFn(WebSocket) + 'static,
{
    let mut bench = bench(config, handler);
    bench.far.send(&opening(offer));
    bench.run();
    let (answer, left) = split_head(&bench.far.received());
    bench.left = left;
    let line = answer.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
    (bench, line.unwrap_or_default().to_owned())
}

fn with(change: impl Fn(&mut CompressionConfig)) -> WebSocketConfig {
    let mut compression = CompressionConfig::default();
    change(&mut compression);
    let mut config = WebSocketConfig::default();
    config.compression = Some(compression);
    config
}

/// What a client that takes compressed messages sees.
fn unpacked(bytes: &[u8], takeover: Takeover) -> Vec<Event> {
    let mut rules = ReaderRules::new(Role::Server);
    rules.inflate = Some(takeover);
    let (mut reader, mut spare) = (Reader::new(rules), Inflaters::default());
    let mut input = BytesMut::from(bytes);
    let mut events = Vec::new();
    while !input.is_empty() {
        events.push(reader.next(&mut input, &mut spare).expect("valid"));
    }
    events
}

#[test]
fn long_texts_are_compressed_both_ways_and_short_ones_are_not() {
    let (mut bench, agreed) = open_offering("permessage-deflate", WebSocketConfig::default(), echo);
    assert_eq!(agreed, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    let long = "the same ".repeat(1000);
    let mut packed = Vec::new();
    Deflater::new(6, 15).compress(long.as_bytes(), 6, &mut packed);
    for _ in 0..3 {
        bench.far.send(&[frame(0xc1, &packed), text("short"), frame(0x82, &[0; 5000])].concat());
        bench.run();
        let answer = bench.far.received();
        assert!(answer[0] == 0xc1 && answer.len() < 5200, "{} bytes", answer.len());
        let events = unpacked(&answer, Takeover::Reset);
        assert_eq!(events, [a_text(&long), a_text("short"), Event::Binary(vec![0; 5000].into())]);
    }
}

#[test]
fn a_message_may_be_compressed_otherwise_than_the_others() {
    let (bench, _) =
        open_offering("permessage-deflate", WebSocketConfig::default(), async |socket: WebSocket| {
            socket.send_with("x".repeat(5000), Compression::Off).await.expect("open");
            socket.send_with(vec![0; 100], Compression::Level(9)).await.expect("open");
            sleeper(socket).await;
        });
    let answer = &bench.left;
    assert_eq!((answer[0], answer[5004]), (0x81, 0xc2));
}

#[test]
fn a_bomb_is_closed_with_1009() {
    let (mut bench, _) = open_offering("permessage-deflate", WebSocketConfig::default(), echo);
    let mut bomb = Vec::new();
    Deflater::new(1, 15).compress(&vec![0; 8 << 20], 1, &mut bomb);
    assert_eq!(close_code(&bench.ask(&frame(0xc2, &bomb))), Some(1009));
}

#[test]
fn windows_are_taken_over_within_the_budget_of_the_core_and_given_back() {
    let config = with(|compression| {
        compression.context_takeover = true;
        compression.takeover_bytes_max = 900 * 1024;
    });
    let mut benches = Vec::new();
    for keeps in [true, true, false] {
        let (bench, agreed) = open_offering("permessage-deflate", config.clone(), echo);
        assert_eq!(!agreed.contains("no_context_takeover"), keeps, "{agreed}");
        benches.push(bench);
    }
    assert!(benches[0].host.stats.websockets.takeover_bytes.get() > 400_000);
    benches[0].ask(&close(1000));
    assert_eq!(benches[0].host.stats.websockets.takeover_bytes.get(), 0);
    let (_, agreed) = open_offering("permessage-deflate", config, echo);
    assert_eq!(agreed, "permessage-deflate");
}

#[test]
fn shared_messages_go_between_those_that_refer_to_each_other() {
    let config = with(|compression| compression.context_takeover = true);
    let (bench, _) = open_offering("permessage-deflate", config, async |socket: WebSocket| {
        let shared = Message::text("what everybody gets, everybody ".repeat(100));
        let shared = Encoded::compressed(shared, 6).expect("a text");
        for _ in 0..3 {
            socket.send("what only you get, only you ".repeat(100)).await.expect("open");
            socket.send_encoded(&shared).await.expect("open");
        }
        sleeper(socket).await;
    });
    let answer = &bench.left;
    assert!(answer.len() < 1000, "{} bytes", answer.len());
    let events = unpacked(answer, Takeover::Kept);
    let one = a_text(&"what only you get, only you ".repeat(100));
    let all = a_text(&"what everybody gets, everybody ".repeat(100));
    assert_eq!(events, [one.clone(), all.clone(), one.clone(), all.clone(), one, all]);
}

#[test]
fn a_peer_with_a_small_window_gets_shared_messages_plain() {
    let offer = "permessage-deflate; server_max_window_bits=10";
    let (bench, _) = open_offering(offer, WebSocketConfig::default(), async |socket: WebSocket| {
        let shared = Encoded::compressed(Message::text("x".repeat(5000)), 6).expect("a text");
        socket.send_encoded(&shared).await.expect("open");
        sleeper(socket).await;
    });
    assert_eq!(bench.left[0], 0x81);
}
