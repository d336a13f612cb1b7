//! What does a buffer cost a request? Taking one from the pool and giving it back, with and without a view split off,
//! beside a fresh allocation of the same size.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, criterion_group, criterion_main};
use ringhttp_runtime::buffer::{BufferPool, POOLED_BYTES};

/// A request head as wrk sends it, which is the view that a connection splits off.
const HEAD: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

fn take_and_give(c: &mut Criterion) {
    let mut group = c.benchmark_group("buffer");
    group.bench_function("allocate and free", |b| {
        b.iter(|| drop(black_box(BytesMut::with_capacity(POOLED_BYTES))));
    });
    group.bench_function("take and give", |b| {
        let pool = BufferPool::new();
        b.iter(|| pool.give(black_box(pool.take())));
        assert_eq!(pool.free_count(), 1, "the buffer comes back");
    });
    // As several connections that read at once.
    group.bench_function("take 16, give 16", |b| {
        let pool = BufferPool::new();
        b.iter(|| {
            let taken: [BytesMut; 16] = std::array::from_fn(|_| pool.take());
            black_box(taken).into_iter().for_each(|buffer| pool.give(buffer));
        });
        assert_eq!(pool.free_count(), 16, "the buffers come back");
    });
    group.finish();
}

fn views(c: &mut Criterion) {
    let mut group = c.benchmark_group("view");
    group.bench_function("take, fill, give", |b| {
        let pool = BufferPool::new();
        b.iter(|| pool.give(black_box(filled(&pool))));
    });
    // The first view makes the buffer a counted one; giving it back takes the whole again.
    group.bench_function("take, fill, split, drop the view, give", |b| {
        let pool = BufferPool::new();
        b.iter(|| {
            let (buffer, view) = split(&pool);
            drop(black_box(view));
            pool.give(buffer);
        });
        assert_eq!(pool.free_count(), 1, "the buffer comes back");
    });
    // The pool can not keep it, so that each turn allocates.
    group.bench_function("take, fill, split, give, drop the view", |b| {
        let pool = BufferPool::new();
        b.iter(|| {
            let (buffer, view) = split(&pool);
            pool.give(buffer);
            drop(black_box(view));
        });
        assert_eq!(pool.free_count(), 0, "a viewed buffer is not kept");
    });
    group.finish();
}

fn filled(pool: &BufferPool) -> BytesMut {
    let mut buffer = pool.take();
    buffer.extend_from_slice(black_box(HEAD));
    buffer
}

fn split(pool: &BufferPool) -> (BytesMut, Bytes) {
    let mut buffer = filled(pool);
    let view = buffer.split_to(HEAD.len()).freeze();
    (buffer, view)
}

criterion_group!(benches, take_and_give, views);
criterion_main!(benches);
