//! What does WebSocket cost, without a socket? Frames in and out, masking, UTF-8, deflate.
//!
//! The read buffer is refilled by copying, as the kernel does it, and its memory is reclaimed as a connection's is; an `input/*`
//! row gives what that refill costs alone and is to be subtracted.

use std::hint::black_box;

use bytes::{BufMut, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringhttp::proto::websocket::{
    Deflater, Event, FrameHead, Inflaters, Opcode, Reader, ReaderRules, Role, Takeover, mask,
};

const SIZES: [(&str, usize); 4] =
    [("16 B", 16), ("1 KiB", 1024), ("64 KiB", 64 * 1024), ("1 MiB", 1024 * 1024)];

const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A frame as a client sends it.
fn frame(head: FrameHead, payload: &[u8]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    FrameHead { mask: Some(KEY), ..head }.encode(&mut bytes);
    let start = bytes.len();
    bytes.put_slice(payload);
    mask::apply(KEY, 0, &mut bytes[start..]);
    bytes.to_vec()
}

fn words(bytes: usize) -> Vec<u8> {
    "user 17 moved to 4711,0815 at 12:34:56; ".bytes().cycle().take(bytes).collect()
}

/// How long does a message take from bytes to a view of them, unmasked and, if it is a text, checked?
fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("websocket_read");
    for (name, bytes) in SIZES {
        group.throughput(Throughput::Bytes(bytes as u64));
        let mut input = BytesMut::with_capacity(bytes + 14);
        drop(input.split());
        let wire = frame(FrameHead::whole(Opcode::Binary, bytes), &words(bytes));
        group.bench_function(format!("input/{name}"), |b| {
            b.iter(|| {
                refill(&mut input, &wire);
                drop(black_box(input.split().freeze()));
            });
        });
        for (kind, opcode) in [("binary", Opcode::Binary), ("text", Opcode::Text)] {
            let wire = frame(FrameHead::whole(opcode, bytes), &words(bytes));
            let mut reader = Reader::new(ReaderRules::new(Role::Client));
            let mut inflaters = Inflaters::default();
            group.bench_function(format!("{kind}/{name}"), |b| {
                b.iter(|| {
                    refill(&mut input, &wire);
                    black_box(reader.next(&mut input, &mut inflaters).expect("valid"));
                });
            });
        }
    }
    group.finish();
}

/// How long does the head of a frame take?
fn heads(c: &mut Criterion) {
    let mut group = c.benchmark_group("websocket_head");
    for (name, bytes) in SIZES {
        let head = FrameHead { mask: Some(KEY), ..FrameHead::whole(Opcode::Binary, bytes) };
        let mut wire = BytesMut::new();
        head.encode(&mut wire);
        group.bench_function(format!("encode/{name}"), |b| b.iter(|| black_box(black_box(&head).to_bytes())));
        group.bench_function(format!("parse/{name}"), |b| {
            b.iter(|| black_box(FrameHead::parse(black_box(&wire), Role::Client, false)));
        });
    }
    group.finish();
}

/// How fast is masking, in place?
fn masking(c: &mut Criterion) {
    let mut group = c.benchmark_group("websocket_mask");
    for (name, bytes) in SIZES {
        let mut payload = words(bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(name, |b| b.iter(|| mask::apply(KEY, 0, black_box(&mut payload))));
    }
    group.finish();
}

/// What do compressing and unpacking cost, with a window for each message and with one that is taken over?
fn deflate(c: &mut Criterion) {
    let mut group = c.benchmark_group("websocket_deflate");
    for (name, bytes) in &SIZES[1..] {
        let message = words(*bytes);
        group.throughput(Throughput::Bytes(*bytes as u64));
        for (how, takeover) in [("reset", Takeover::Reset), ("takeover", Takeover::Kept)] {
            for level in [1, 6] {
                let mut deflater = Deflater::new(level, 15);
                let mut packed = Vec::new();
                group.bench_function(format!("pack {level} {how}/{name}"), |b| {
                    b.iter(|| {
                        packed.clear();
                        deflater.compress(&message, level, &mut packed);
                        if takeover == Takeover::Reset {
                            deflater.reset();
                        }
                        black_box(&packed);
                    });
                });
            }
        }
        let mut packed = Vec::new();
        Deflater::new(6, 15).compress(&message, 6, &mut packed);
        let head = FrameHead { is_compressed: true, ..FrameHead::whole(Opcode::Text, packed.len()) };
        let wire = frame(head, &packed);
        let mut rules = ReaderRules::new(Role::Client);
        rules.inflate = Some(Takeover::Reset);
        let (mut reader, mut inflaters) = (Reader::new(rules), Inflaters::default());
        let mut input = BytesMut::with_capacity(bytes + 14);
        group.bench_function(format!("unpack/{name}"), |b| {
            b.iter(|| {
                refill(&mut input, &wire);
                while let Event::Working = reader.next(&mut input, &mut inflaters).expect("valid") {}
            });
        });
    }
    group.finish();
}

/// Puts bytes into the buffer as a read does, into the memory that views have left.
fn refill(input: &mut BytesMut, bytes: &[u8]) {
    input.reserve(bytes.len());
    input.extend_from_slice(bytes);
}

criterion_group!(benches, read, heads, masking, deflate);
criterion_main!(benches);
