//! Numbers that nobody expects, and those that come again with the same seed. None of them is a secret.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// The source of one core.
#[derive(Default)]
pub(crate) struct Random {
    keys: RandomState,
    count: Cell<u64>,
}

impl Random {
    pub(crate) fn next(&self) -> u64 {
        let count = self.count.get();
        self.count.set(count.wrapping_add(1));
        self.keys.hash_one(count)
    }

    /// From 0 up to, but without, 1.
    pub(crate) fn fraction(&self) -> f64 {
        // 53 bits are what a float can tell apart.
        #[expect(clippy::cast_precision_loss, reason = "shifted so that it fits")]
        let high_bits = (self.next() >> 11) as f64;
        high_bits / (1_u64 << 53) as f64
    }

    /// A version 4 UUID (RFC 9562 §5.4).
    pub(crate) fn uuid(&self) -> String {
        let (high, low) = (self.next() & !0xf000 | 0x4000, self.next() >> 2 | 1 << 63);
        let (time, node) = (format!("{high:016x}"), format!("{low:016x}"));
        format!("{}-{}-{}-{}-{}", &time[..8], &time[8..12], &time[12..], &node[..4], &node[4..])
    }

    /// `count` bytes; the same for the same seed.
    pub(crate) fn bytes(&self, count: usize, seed: Option<i64>) -> Vec<u8> {
        let mut state = seed.map_or_else(|| self.next(), i64::cast_unsigned);
        let words = std::iter::repeat_with(|| split_mix(&mut state).to_le_bytes());
        words.flatten().take(count).collect()
    }
}

/// The next number of the generator SplitMix64.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
