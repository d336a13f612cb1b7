//! Why a client's connection ended: one list, counted by the pool.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;

/// Why a connection of a client ended, or could not be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The request said `Connection: close`, or the client keeps no connections.
    AskedByClient,
    /// The answer said `Connection: close`, was HTTP/1.0 without keep-alive, or ended with the connection.
    AskedByServer,
    /// The body of the answer was not read to its end.
    BodyUnread,
    /// The server sent more than its answer.
    ExtraBytes,
    /// The exchange failed: a deadline, a reset, a breach of the protocol, or a future that was dropped.
    Failed,
    /// No request came within `ClientConfig::keep_alive_timeout`, or within what the server had named.
    IdleExpired,
    /// It was older than `ClientConfig::connection_age_max`.
    Old,
    /// The client was closed.
    PoolClosed,
    /// It made room for a connection to another server, or more were idle than `ClientConfig::idle_max`.
    Replaced,
    /// The answer was complete before the request was sent.
    RequestUnsent,
    /// The server closed it while it was idle.
    ServerClosed,
    /// It speaks another protocol now.
    Upgraded,
}

impl CloseReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 12] = [
        Self::AskedByClient,
        Self::AskedByServer,
        Self::BodyUnread,
        Self::ExtraBytes,
        Self::Failed,
        Self::IdleExpired,
        Self::Old,
        Self::PoolClosed,
        Self::Replaced,
        Self::RequestUnsent,
        Self::ServerClosed,
        Self::Upgraded,
    ];

    /// The reason's name as a counter label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AskedByClient => "asked_by_client",
            Self::AskedByServer => "asked_by_server",
            Self::BodyUnread => "body_unread",
            Self::ExtraBytes => "extra_bytes",
            Self::Failed => "failed",
            Self::IdleExpired => "idle_expired",
            Self::Old => "old",
            Self::PoolClosed => "pool_closed",
            Self::Replaced => "replaced",
            Self::RequestUnsent => "request_unsent",
            Self::ServerClosed => "server_closed",
            Self::Upgraded => "upgraded",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many connections of a client ended for each reason.
#[derive(Clone, Debug, Default)]
pub struct CloseCounts([Cell<u64>; CloseReason::ALL.len()]);

impl CloseCounts {
    pub(crate) fn count(&self, reason: CloseReason) {
        self.add(reason, 1);
    }

    pub(crate) fn add(&self, reason: CloseReason, count: u64) {
        let cell = &self.0[reason as usize];
        cell.set(cell.get() + count);
    }

    /// Connections that ended for `reason`.
    #[must_use]
    pub fn get(&self, reason: CloseReason) -> u64 {
        self.0[reason as usize].get()
    }

    /// The reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (CloseReason, u64)> + '_ {
        CloseReason::ALL.into_iter().map(|reason| (reason, self.get(reason))).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_name() {
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
        let mut names: Vec<_> = CloseReason::ALL.map(CloseReason::as_str).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CloseReason::ALL.len());
    }
}
