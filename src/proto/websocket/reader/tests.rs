//! What readers make of good and of hostile streams, however they are cut.

use super::*;
use crate::proto::websocket::{CloseCode, Deflater, HEAD_BYTES_MAX};
use crate::testing::transcript::at_every_split;

/// What a reader made of a stream, in a form that does not show how it was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    /// Adjacent pieces of a message are one.
    Pieces(bool, Vec<u8>, bool),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Fault(Fault),
}

use Seen::{Binary, Close, Ping, Pong, Text};

fn read_all(pieces: &[&[u8]], rules: ReaderRules) -> Vec<Seen> {
    let (mut reader, mut spare) = (Reader::new(rules), Inflaters::default());
    let mut input = BytesMut::new();
    let mut seen: Vec<Seen> = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match reader.next(&mut input, &mut spare) {
                Ok(Event::NeedMore { .. }) => break,
                Ok(Event::Working) => {}
                Ok(Event::Text(text)) => seen.push(Text(text.as_str().to_owned())),
                Ok(Event::Binary(bytes)) => seen.push(Binary(bytes.to_vec())),
                Ok(Event::Ping(payload)) => seen.push(Ping(payload.to_vec())),
                Ok(Event::Pong(payload)) => seen.push(Pong(payload.to_vec())),
                Ok(Event::Close(frame)) => seen.push(Close(frame.code.as_u16(), frame.reason)),
                Ok(Event::Piece(piece)) => add_piece(&mut seen, &piece),
                Err(fault) => {
                    assert_eq!(reader.next(&mut input, &mut spare), Err(fault), "it is given again");
                    seen.push(Seen::Fault(fault));
                    return seen;
                }
            }
        }
    }
    seen
}

fn add_piece(seen: &mut Vec<Seen>, piece: &Piece) {
    if piece.is_first {
        seen.push(Seen::Pieces(piece.is_text, Vec::new(), false));
    }
    let open = seen.iter_mut().rev().find_map(|seen| match seen {
        Seen::Pieces(is_text, data, is_last @ false) if *is_text == piece.is_text => Some((data, is_last)),
        _ => None,
    });
    let (data, is_last) = open.expect("a piece belongs to a message that has begun");
    assert!(piece.is_last || !piece.data.is_empty(), "an empty piece says nothing");
    data.extend_from_slice(&piece.data);
    *is_last = piece.is_last;
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as a client sends it: FIN, RSV1 and opcode in `first`.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_from(Role::Client, first, payload)
}

fn frame_from(sender: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = (sender == Role::Client).then_some(MASK);
    let head = FrameHead { mask, ..FrameHead::whole(Opcode::Text, payload.len()) };
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES_MAX + payload.len());
    head.encode(&mut bytes);
    bytes[0] = first;
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    if let Some(key) = mask {
        mask::apply(key, 0, &mut bytes[start..]);
    }
    bytes.to_vec()
}

fn client() -> ReaderRules {
    ReaderRules::new(Role::Client)
}

fn small_limits() -> ReaderRules {
    let mut rules = client();
    rules.limits = Limits { message_bytes_max: 20, frame_bytes_max: 15, fragment_count_max: 3 };
    rules
}

fn text(text: &str) -> Seen {
    Text(text.to_owned())
}

#[test]
fn rfc6455_5_7_the_examples_of_the_rfc() {
    let server = ReaderRules::new(Role::Server);
    let cases: &[(&[u8], ReaderRules, &[Seen])] = &[
        (b"\x81\x05Hello", server, &[text("Hello")]),
        (b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", client(), &[text("Hello")]),
        (b"\x01\x03Hel\x80\x02lo", server, &[text("Hello")]),
        (b"\x89\x05Hello", server, &[Ping(b"Hello".to_vec())]),
        (b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", client(), &[Pong(b"Hello".to_vec())]),
    ];
    for (bytes, rules, seen) in cases {
        assert_eq!(at_every_split(bytes, |pieces| read_all(pieces, *rules)), *seen);
    }
    let large = frame_from(Role::Server, 0x82, &vec![7; 65_536]);
    assert_eq!(large[..10], *b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00");
    assert_eq!(read_all(&[&large], server), [Binary(vec![7; 65_536])]);
}

#[test]
fn streams_that_are_read() {
    let cases: Vec<(Vec<Vec<u8>>, Vec<Seen>)> = vec![
        (vec![frame(0x81, b""), frame(0x82, b"")], vec![text(""), Binary(vec![])]),
        (vec![frame(0x82, b"a"), frame(0x82, b"b")], vec![Binary(b"a".to_vec()), Binary(b"b".to_vec())]),
        // RFC 6455 §5.4: control frames between fragments, also inside of a character.
        (
            vec![
                frame(0x01, b"\xce"),
                frame(0x89, b"p"),
                frame(0x00, b""),
                frame(0x8a, b""),
                frame(0x80, b"\xba!"),
                frame(0x82, b"x"),
            ],
            vec![Ping(b"p".to_vec()), Pong(vec![]), text("κ!"), Binary(b"x".to_vec())],
        ),
        (vec![frame(0x01, b""), frame(0x80, b"")], vec![text("")]),
        // RFC 6455 §5.5.1: nothing behind a Close frame is read.
        (
            vec![frame(0x88, b"\x03\xe8bye"), frame(0x81, b"late"), vec![0xff; 9]],
            vec![Close(1000, "bye".to_owned())],
        ),
        (vec![frame(0x02, b"a"), frame(0x88, b"")], vec![Close(1005, String::new())]),
        (vec![frame(0x89, &[b'x'; 125])], vec![Ping(vec![b'x'; 125])]),
        (vec![frame(0x81, &[b'x'; 126])], vec![text(&"x".repeat(126))]),
    ];
    for (frames, seen) in cases {
        let stream = frames.concat();
        assert_eq!(at_every_split(&stream, |pieces| read_all(pieces, client())), seen);
    }
}

#[test]
fn hostile_streams_each_with_the_code_it_gets() {
    let cases: &[(&[&[u8]], Fault, u16)] = &[
        (&[&frame(0xc1, b"a")], Fault::ReservedBit, 1002),
        (&[&frame(0xa1, b"a")], Fault::ReservedBit, 1002),
        (&[&frame(0x83, b"a")], Fault::OpcodeUnknown, 1002),
        (&[&frame(0x8b, b"")], Fault::OpcodeUnknown, 1002),
        (&[b"\x81\x01a"], Fault::MaskMissing, 1002),
        (&[&frame(0x09, b"")], Fault::ControlFragmented, 1002),
        (&[&frame(0x89, &[0; 126])], Fault::ControlTooLong, 1002),
        (&[&frame(0x80, b"a")], Fault::ContinuationUnexpected, 1002),
        (&[&frame(0x00, b"a")], Fault::ContinuationUnexpected, 1002),
        (&[&frame(0x01, b"a"), &frame(0x81, b"b")], Fault::MessageInterrupted, 1002),
        (&[&frame(0x02, b"a"), &frame(0x02, b"b")], Fault::MessageInterrupted, 1002),
        (&[&frame(0x88, b"\x03")], Fault::CloseTooShort, 1002),
        (&[&frame(0x88, b"\x03\xed")], Fault::CloseCodeInvalid, 1002),
        (&[&frame(0x88, b"\x03\xe8\xc3")], Fault::CloseReasonInvalid, 1007),
        (&[&frame(0x81, b"a\xff")], Fault::TextInvalid, 1007),
        (&[&frame(0x81, b"\xf0\x9f\x8e")], Fault::TextInvalid, 1007),
        (&[&frame(0x01, b"\xf0\x9f"), &frame(0x80, b"\x8e")], Fault::TextInvalid, 1007),
        (&[&frame(0x01, b"\xf0\x9f"), &frame(0x00, b"a")], Fault::TextInvalid, 1007),
        (&[&frame(0x82, &[0; 16])], Fault::FrameTooLarge, 1009),
        // 1 GiB, and 2^62 bytes, are refused by their declaration.
        (&[b"\x82\xff\x00\x00\x00\x00\x40\x00\x00\x00"], Fault::FrameTooLarge, 1009),
        (&[b"\x82\xff\x40\x00\x00\x00\x00\x00\x00\x00"], Fault::FrameTooLarge, 1009),
        (&[&frame(0x02, &[0; 15]), &frame(0x80, &[0; 6])], Fault::MessageTooLarge, 1009),
        (
            &[&frame(0x02, b"a"), &frame(0x00, b""), &frame(0x00, b""), &frame(0x80, b"")],
            Fault::FragmentsTooMany,
            1009,
        ),
    ];
    for (frames, fault, code) in cases {
        let stream = [&frames.concat()[..], &[0; 4]].concat();
        let seen = at_every_split(&stream, |pieces| read_all(pieces, small_limits()));
        assert_eq!(seen, [Seen::Fault(*fault)], "{}", stream.escape_ascii());
        assert_eq!(fault.code(), CloseCode::new(*code), "{fault:?}");
    }
    let seen = read_all(&[b"\x81\x80\x00\x00\x00\x00"], ReaderRules::new(Role::Server));
    assert_eq!(seen, [Seen::Fault(Fault::MaskUnexpected)]);
}

#[test]
fn a_text_is_refused_where_it_is_wrong_long_before_its_end() {
    let start = b"\x81\xfe\x01\x00\x00\x00\x00\x00ab\xff";
    let seen = at_every_split(start, |pieces| read_all(pieces, client()));
    assert_eq!(seen, [Seen::Fault(Fault::TextInvalid)]);
}

#[test]
fn messages_at_the_limits_pass() {
    let stream =
        [frame(0x02, &[1; 15]), frame(0x00, &[2; 5]), frame(0x80, b""), frame(0x82, &[3; 15])].concat();
    let seen = at_every_split(&stream, |pieces| read_all(pieces, small_limits()));
    assert_eq!(seen, [Binary([&[1; 15][..], &[2; 5]].concat()), Binary(vec![3; 15])]);
}

#[test]
fn kinds_that_are_not_taken_are_refused_with_1003() {
    for (accepts, good, bad) in [(Accepts::Text, 0x81, 0x82), (Accepts::Binary, 0x82, 0x01)] {
        let mut rules = client();
        rules.accepts = accepts;
        let stream = [frame(good, b"a"), frame(bad, b"a")].concat();
        let seen = at_every_split(&stream, |pieces| read_all(pieces, rules));
        assert_eq!(seen[1..], [Seen::Fault(Fault::KindRefused)]);
        assert_eq!(Fault::KindRefused.code(), CloseCode::UNSUPPORTED);
    }
}

#[test]
fn pieces_are_given_out_as_they_come() {
    let mut rules = client();
    rules.pieces = true;
    let stream = [
        frame(0x01, "grü".as_bytes()),
        frame(0x89, b"?"),
        frame(0x00, b""),
        frame(0x80, b"n"),
        frame(0x82, b""),
        frame(0x02, b""),
        frame(0x80, b"ab"),
    ]
    .concat();
    let expected = [
        Seen::Pieces(true, "grün".into(), true),
        Ping(b"?".to_vec()),
        Seen::Pieces(false, vec![], true),
        Seen::Pieces(false, b"ab".to_vec(), true),
    ];
    assert_eq!(at_every_split(&stream, |pieces| read_all(pieces, rules)), expected);
    let bad = [frame(0x01, b"a\xc3"), frame(0x80, b"a")].concat();
    let seen = at_every_split(&bad, |pieces| read_all(pieces, rules));
    assert_eq!(seen.last(), Some(&Seen::Fault(Fault::TextInvalid)));
}

/// A message that is not complete yet tells how much of it is missing, and only if it has to be in one buffer.
#[test]
fn what_is_missing_is_told() {
    let mut spare = Inflaters::default();
    let mut reader = Reader::new(client());
    let stream = frame(0x82, &[5; 300]);
    let mut input = BytesMut::from(&stream[..108]);
    assert_eq!(reader.next(&mut input, &mut spare), Ok(Event::NeedMore { missing: 200 }));
    assert!(reader.is_within_message());
    input.extend_from_slice(&stream[108..]);
    assert_eq!(reader.next(&mut input, &mut spare), Ok(Event::Binary(vec![5; 300].into())));
    assert!(!reader.is_within_message());
    let mut input = BytesMut::from(&frame(0x02, &[5; 300])[..108]);
    assert_eq!(reader.next(&mut input, &mut spare), Ok(Event::NeedMore { missing: 0 }));
    assert!(input.is_empty(), "fragments are taken out of the buffer as they come");
}

#[test]
fn a_message_in_one_frame_is_a_view_of_the_buffer_it_came_in() {
    let mut input = BytesMut::from(&frame(0x82, b"the same memory")[..]);
    let place = input.as_ptr().wrapping_add(6);
    let event = Reader::new(client()).next(&mut input, &mut Inflaters::default());
    let Ok(Event::Binary(bytes)) = event else { panic!("{event:?}") };
    assert_eq!((bytes.as_ptr(), &bytes[..]), (place, &b"the same memory"[..]));
}

#[cfg(feature = "compression")]
mod compressed {
    use super::*;

    fn rules(takeover: Takeover) -> ReaderRules {
        let mut rules = client();
        rules.inflate = Some(takeover);
        rules
    }

    fn packed(deflater: &mut Deflater, message: &[u8], takeover: Takeover) -> Vec<u8> {
        let mut out = Vec::new();
        deflater.compress(message, 6, &mut out);
        if takeover == Takeover::Reset {
            deflater.reset();
        }
        out
    }

    #[test]
    fn rfc7692_7_2_messages_in_fragments_beside_plain_ones() {
        for takeover in [Takeover::Kept, Takeover::Reset] {
            let mut deflater = Deflater::new(6, 15);
            let hello = packed(&mut deflater, "grün grün grün".as_bytes(), takeover);
            let again = packed(&mut deflater, "grün grün grün".as_bytes(), takeover);
            let nothing = packed(&mut deflater, b"", takeover);
            assert_eq!(again.len() < hello.len(), takeover == Takeover::Kept);
            let (front, back) = hello.split_at(3);
            let stream = [
                frame(0x41, front),
                frame(0x89, b""),
                frame(0x00, b""),
                frame(0x80, back),
                frame(0x81, b"plain"),
                frame(0xc2, &again),
                frame(0xc1, &nothing),
            ]
            .concat();
            let expected = [
                Ping(vec![]),
                text("grün grün grün"),
                text("plain"),
                Binary("grün grün grün".into()),
                text(""),
            ];
            assert_eq!(at_every_split(&stream, |pieces| read_all(pieces, rules(takeover))), expected);
            let mut pieces_rules = rules(takeover);
            pieces_rules.pieces = true;
            let seen = at_every_split(&stream, |pieces| read_all(pieces, pieces_rules));
            assert_eq!(seen[0], Seen::Pieces(true, "grün grün grün".into(), true));
            assert_eq!(seen[3], Seen::Pieces(false, "grün grün grün".into(), true));
            assert_eq!(seen[4], Seen::Pieces(true, vec![], true));
        }
    }

    #[test]
    fn rfc7692_6_1_the_compressed_bit_is_refused_elsewhere() {
        for first in [0xc8, 0xc9, 0xca] {
            let seen = read_all(&[&frame(first, b"")], rules(Takeover::Reset));
            assert_eq!(seen, [Seen::Fault(Fault::ReservedBit)]);
        }
        let stream = [frame(0x41, b"\xf2\x48"), frame(0xc0, b"\xcd")].concat();
        let seen = at_every_split(&stream, |pieces| read_all(pieces, rules(Takeover::Reset)));
        assert_eq!(seen, [Seen::Fault(Fault::ReservedBit)]);
    }

    #[test]
    fn what_cannot_be_unpacked_and_text_that_is_none_are_refused_with_1007() {
        let latin = packed(&mut Deflater::new(6, 15), b"gr\xfcn", Takeover::Reset);
        for (payload, fault) in
            [(&b"\xff\xff\xff\xff\xff"[..], Fault::DeflateInvalid), (&latin, Fault::TextInvalid)]
        {
            let stream = frame(0xc1, payload);
            let seen = at_every_split(&stream, |pieces| read_all(pieces, rules(Takeover::Reset)));
            assert_eq!(seen, [Seen::Fault(fault)]);
            assert_eq!(fault.code(), CloseCode::INVALID_PAYLOAD);
        }
    }

    /// Some KiB that unpack to 16 MiB of zeros: refused at the limit, without having held more than it and a step.
    #[test]
    fn a_bomb_is_refused_at_the_limit_of_a_message() {
        let bomb = packed(&mut Deflater::new(6, 15), &vec![0; 16 << 20], Takeover::Reset);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        let mut rules = rules(Takeover::Reset);
        rules.limits.message_bytes_max = 1 << 20;
        let (mut reader, mut spare) = (Reader::new(rules), Inflaters::default());
        let mut input = BytesMut::from(&frame(0xc2, &bomb)[..]);
        let mut steps = 0;
        let fault = loop {
            match reader.next(&mut input, &mut spare) {
                Ok(event) => assert_eq!(event, Event::Working),
                Err(fault) => break fault,
            }
            steps += 1;
            let held = reader.begun.as_ref().map_or(0, |begun| begun.message.content.capacity());
            assert!(held <= (1 << 20) + 2 * UNPACK_STEP_BYTES);
        };
        assert_eq!(fault, Fault::MessageTooLarge);
        assert!((4..=8).contains(&steps), "in {steps} steps");
        assert!(reader.begun.is_none(), "the memory is given up");
    }

    /// Each two bytes of it are a last block of nothing, behind which the inflater begins anew.
    #[test]
    fn what_unpacks_to_nothing_is_unpacked_in_steps_too() {
        let (mut reader, mut spare) = (Reader::new(rules(Takeover::Reset)), Inflaters::default());
        let nothing = [3_u8, 0].repeat(32 * 1024);
        let mut input = BytesMut::from(&frame(0x42, &nothing)[..]);
        let mut steps = 0;
        let event = loop {
            match reader.next(&mut input, &mut spare) {
                Ok(Event::Working) => steps += 1,
                event => break event,
            }
        };
        assert_eq!((event, steps), (Ok(Event::NeedMore { missing: 0 }), 64 / 8 - 1));
    }

    #[test]
    fn a_message_at_the_limit_unpacks_and_one_byte_more_does_not() {
        let mut rules = rules(Takeover::Reset);
        rules.limits.message_bytes_max = 300_000;
        for (bytes, fits) in [(300_000, true), (300_001, false)] {
            let payload = packed(&mut Deflater::new(6, 15), &vec![b'x'; bytes], Takeover::Reset);
            let seen = read_all(&[&frame(0xc1, &payload)], rules);
            let expected = if fits { text(&"x".repeat(bytes)) } else { Seen::Fault(Fault::MessageTooLarge) };
            assert_eq!(seen, [expected]);
        }
    }

    #[test]
    fn inflaters_go_round_and_no_more_are_kept_than_are_needed() {
        let payload = packed(&mut Deflater::new(6, 15), b"hello hello hello", Takeover::Reset);
        let stream = frame(0xc1, &payload);
        let mut spare = Inflaters::default();
        let mut readers: Vec<_> = (0..10).map(|_| Reader::new(rules(Takeover::Reset))).collect();
        for reader in &mut readers {
            let mut half = BytesMut::from(&stream[..10]);
            assert_eq!(reader.next(&mut half, &mut spare), Ok(Event::NeedMore { missing: 0 }));
        }
        for reader in &mut readers {
            let mut rest = BytesMut::from(&stream[10..]);
            assert_eq!(reader.next(&mut rest, &mut spare), Ok(Event::Text("hello hello hello".into())));
        }
        assert_eq!(spare.0.len(), SPARE_INFLATERS_MAX);
    }
}

/// A million fragments of one byte: if the work were quadratic, this would not end.
#[test]
fn fragments_of_one_byte_are_joined_without_quadratic_work() {
    let mut rules = client();
    rules.limits.fragment_count_max = 1_000_001;
    let mut stream = frame(0x01, b"x");
    for _ in 0..1_000_000 {
        stream.extend_from_slice(&frame(0x00, b"x"));
    }
    stream.extend_from_slice(&frame(0x80, b""));
    rules.limits.fragment_count_max += 1;
    let pieces: Vec<&[u8]> = stream.chunks(64 * 1024).collect();
    let seen = read_all(&pieces, rules);
    assert_eq!(seen, [text(&"x".repeat(1_000_001))]);
    let seen = read_all(&pieces, client());
    assert_eq!(seen, [Seen::Fault(Fault::FragmentsTooMany)]);
}
