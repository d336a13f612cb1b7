//! What does time cost a request? Setting and clearing a deadline among ten thousand others, a deadline that fires, the
//! coarse clock and the date.

use std::hint::black_box;
use std::task::{Context, Waker};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ringhttp_runtime::time::Timers;

/// Deadlines of connections that just wait.
const OTHERS: u64 = 10_000;

fn wheel(c: &mut Criterion) {
    let timers = Timers::new();
    timers.pause();
    let others: Vec<_> = (0..OTHERS)
        .map(|n| {
            let deadline = timers.deadline();
            deadline.set(Duration::from_secs(1_000_000_000) + Duration::from_millis(n));
            deadline
        })
        .collect();
    let deadline = timers.deadline();
    deadline.set(Duration::from_secs(75));
    let mut group = c.benchmark_group("wheel");
    // As a connection does at each request: the entry stays where it is.
    group.bench_function("set later", |b| {
        b.iter(|| {
            deadline.set(black_box(Duration::from_secs(80)));
        });
    });
    group.bench_function("set and clear", |b| {
        b.iter(|| {
            deadline.set(black_box(Duration::from_secs(80)));
            deadline.clear();
        });
    });
    // The entry moves.
    group.bench_function("set far, set near", |b| {
        b.iter(|| {
            let moved = timers.deadline();
            moved.set(black_box(Duration::from_secs(80)));
            moved.set(black_box(Duration::from_millis(10)));
        });
    });
    group.bench_function("fire after 10 ms", |b| {
        let mut cx = Context::from_waker(Waker::noop());
        b.iter(|| {
            deadline.set(Duration::from_millis(10));
            timers.advance(Duration::from_millis(10));
            assert!(deadline.poll_expired(&mut cx).is_ready());
        });
    });
    group.finish();
    drop(others);
}

fn clock(c: &mut Criterion) {
    let timers = Timers::new();
    let mut group = c.benchmark_group("clock");
    group.bench_function("now", |b| b.iter(|| timers.now()));
    group.bench_function("date", |b| b.iter(|| timers.date()));
    group.finish();
}

criterion_group!(benches, wheel, clock);
criterion_main!(benches);
