//! What must hold of WebSocket frames and messages for all inputs.
#![forbid(unsafe_code)]

use bytes::{Bytes, BytesMut};

use super::Source;
use crate::proto::websocket::{
    CloseCode, CloseFrame, Event, Fault, FrameHead, Inflaters, Opcode, Reader, ReaderRules, Role, Takeover,
    mask,
};

/// What a reader made of a stream; adjacent pieces of a message are one.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(CloseFrame),
    Fault(Fault),
}

/// No bytes make the reader panic, and how they were cut does not show. A reader of pieces finds the same messages.
pub fn any_websocket_bytes(data: &[u8]) {
    let mut source = Source(data);
    let mut stream = Vec::new();
    for _ in 0..source.below(4) {
        write_message(&mut source, &mut stream);
    }
    source.mutate(&mut stream);
    for stream in [data, &stream] {
        for (sender, inflate) in
            [(Role::Client, None), (Role::Server, None), (Role::Client, Some(Takeover::Kept))]
        {
            let mut rules = ReaderRules::new(sender);
            rules.inflate = inflate;
            rules.limits.message_bytes_max = 1 << 16;
            let whole = read(&[stream], rules);
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            assert_eq!(read(&bytes, rules), whole, "b\"{}\"", stream.escape_ascii());
            assert_eq!(read(&source.cut(stream), rules), whole, "b\"{}\"", stream.escape_ascii());
            rules.pieces = true;
            let _ = read(&bytes, rules);
        }
    }
}

/// `parse(encode(x)) = x` for messages in any fragments with control frames between them, from either side.
pub fn websocket_round_trip(data: &[u8]) {
    let mut source = Source(data);
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..source.below(5) {
        expected.extend(write_message(&mut source, &mut stream));
    }
    let code = CloseCode::new([1000, 1001, 1008, 3000, 4999][source.below(5)]);
    let close = CloseFrame::new(code, &source.text(b"a\x20.", 20)).expect("generated to be valid");
    let mut payload = BytesMut::new();
    close.encode(&mut payload);
    write_frame(&mut stream, FrameHead::whole(Opcode::Close, payload.len()), &payload);
    expected.push(Seen::Close(close));
    assert_eq!(
        read(&source.cut(&stream), ReaderRules::new(Role::Client)),
        expected,
        "b\"{}\"",
        stream.escape_ascii()
    );
}

/// What is compressed, with any window and level, unpacks to the same, cut in any way.
#[cfg(feature = "compression")]
pub fn deflate_round_trip(data: &[u8]) {
    use crate::proto::websocket::Deflater;
    let mut source = Source(data);
    let takeover = [Takeover::Kept, Takeover::Reset][source.below(2)];
    let mut deflater = Deflater::new(1, [9, 11, 15][source.below(3)]);
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..=source.below(4) {
        let message = source.text(b"abc \xff", 200).repeat(1 + source.below(20)).into_bytes();
        let mut packed = Vec::new();
        deflater.compress(&message, [1, 6, 9][source.below(3)], &mut packed);
        if takeover == Takeover::Reset {
            deflater.reset();
        }
        let at = source.below(packed.len() + 1);
        let head = FrameHead { is_final: false, is_compressed: true, ..FrameHead::whole(Opcode::Binary, at) };
        write_frame(&mut stream, head, &packed[..at]);
        write_frame(&mut stream, FrameHead::whole(Opcode::Continuation, packed.len() - at), &packed[at..]);
        expected.push(Seen::Binary(message));
    }
    let mut rules = ReaderRules::new(Role::Client);
    rules.inflate = Some(takeover);
    assert_eq!(read(&source.cut(&stream), rules), expected);
    rules.pieces = true;
    assert_eq!(read(&source.cut(&stream), rules), expected);
}

/// Writes a message in some fragments, with control frames between them; what a reader is to see of it.
fn write_message(source: &mut Source<'_>, stream: &mut Vec<u8>) -> Vec<Seen> {
    let is_text = source.byte().is_multiple_of(2);
    let content = source.text("aé水🎈 ".as_bytes(), 300).into_bytes();
    let mut expected = Vec::new();
    let mut rest = &content[..];
    let mut opcode = if is_text { Opcode::Text } else { Opcode::Binary };
    loop {
        let is_final = source.byte().is_multiple_of(3);
        let (front, back) = rest.split_at(if is_final { rest.len() } else { source.below(rest.len() + 1) });
        let head = FrameHead { is_final, ..FrameHead::whole(opcode, front.len()) };
        write_frame(stream, head, front);
        if is_final {
            break;
        }
        (rest, opcode) = (back, Opcode::Continuation);
        if source.byte().is_multiple_of(2) {
            let payload = source.text(b"ping", 125).into_bytes();
            write_frame(stream, FrameHead::whole(Opcode::Ping, payload.len()), &payload);
            expected.push(Seen::Ping(payload));
        }
    }
    expected.push(if is_text { Seen::Text(content) } else { Seen::Binary(content) });
    expected
}

fn write_frame(stream: &mut Vec<u8>, mut head: FrameHead, payload: &[u8]) {
    let key = [0x11, 0x80, 0xff, 0x3c];
    head.mask = Some(key);
    let mut bytes = BytesMut::new();
    head.encode(&mut bytes);
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    mask::apply(key, 0, &mut bytes[start..]);
    stream.extend_from_slice(&bytes);
}

fn read(pieces: &[&[u8]], rules: ReaderRules) -> Vec<Seen> {
    let (mut reader, mut spare) = (Reader::new(rules), Inflaters::default());
    let mut input = BytesMut::new();
    let (mut seen, mut begun) = (Vec::new(), Vec::new());
    let vec = |bytes: Bytes| bytes.to_vec();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match reader.next(&mut input, &mut spare) {
                Ok(Event::NeedMore { .. }) => break,
                Ok(Event::Working) => {}
                Ok(Event::Text(text)) => seen.push(Seen::Text(vec(text.into_bytes()))),
                Ok(Event::Binary(bytes)) => seen.push(Seen::Binary(vec(bytes))),
                Ok(Event::Ping(bytes)) => seen.push(Seen::Ping(vec(bytes))),
                Ok(Event::Pong(bytes)) => seen.push(Seen::Pong(vec(bytes))),
                Ok(Event::Close(frame)) => seen.push(Seen::Close(frame)),
                Ok(Event::Piece(piece)) => {
                    begun.extend_from_slice(&piece.data);
                    if piece.is_last {
                        let content = std::mem::take(&mut begun);
                        seen.push(if piece.is_text { Seen::Text(content) } else { Seen::Binary(content) });
                    }
                }
                Err(fault) => {
                    seen.push(Seen::Fault(fault));
                    return seen;
                }
            }
        }
    }
    seen
}
