//! What the WebSockets of one core have done.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::time::Duration;

/// Counters of the WebSockets of one core's server, or of a client.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct WebSocketStats {
    /// Sockets that were opened.
    pub total: Cell<u64>,
    /// Sockets that are open now.
    pub active: Cell<u64>,
    /// Text and binary messages that were received, pieces counted each.
    pub messages_in: Cell<u64>,
    /// Text and binary messages that were sent: given to the socket's queue and not dropped from it.
    pub messages_out: Cell<u64>,
    /// Bytes of those messages as they were received, unpacked.
    pub bytes_in: Cell<u64>,
    /// Bytes of the frames that were sent, heads and compression included.
    pub bytes_out: Cell<u64>,
    /// Messages that were dropped because their reader was slow, and those of a hub that came amid a message in pieces.
    pub messages_dropped: Cell<u64>,
    /// Bytes that compressors and decompressors of sockets with context takeover hold.
    pub takeover_bytes: Cell<u64>,
    /// How long the sockets were open that have ended.
    pub durations: Durations,
}

/// How long sockets were open.
#[derive(Debug, Default)]
pub struct Durations {
    counts: [Cell<u64>; BOUNDS.len() + 1],
    sum: Cell<Duration>,
}

/// The upper bounds of the buckets, in seconds.
const BOUNDS: [u64; 7] = [1, 10, 60, 600, 3_600, 21_600, 86_400];

impl Durations {
    pub(super) fn add(&self, duration: Duration) {
        let bucket =
            BOUNDS.iter().position(|&bound| duration <= Duration::from_secs(bound)).unwrap_or(BOUNDS.len());
        add(&self.counts[bucket], 1);
        self.sum.set(self.sum.get().saturating_add(duration));
    }

    /// The time of all of them together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum.get()
    }

    /// How many were open no longer than each bound, and longer than the one before: 1 s, 10 s, 1 min, 10 min, 1 h, 6 h, 24 h,
    /// and `None` for longer.
    pub fn iter(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        let bounds = BOUNDS.iter().map(|&bound| Some(Duration::from_secs(bound))).chain([None]);
        bounds.zip(self.counts.iter().map(Cell::get))
    }
}

#[inline]
pub(super) fn add(cell: &Cell<u64>, count: u64) {
    cell.set(cell.get() + count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_stand_in_their_buckets() {
        let durations = Durations::default();
        for seconds in [0, 1, 2, 60, 61, 1_000_000] {
            durations.add(Duration::from_secs(seconds));
        }
        let counts: Vec<u64> = durations.iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 1, 1, 1, 0, 0, 0, 1]);
        assert_eq!(durations.sum(), Duration::from_secs(1_000_124));
    }
}
