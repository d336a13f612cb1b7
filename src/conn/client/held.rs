//! A request's body that waits for the server's word, because the request says `Expect: 100-continue` (RFC 9110 §10.1.1).
#![forbid(unsafe_code)]

use std::task::{Context, Poll};
use std::time::Duration;

use ringhttp_runtime::time::{Deadline, Timers};

use crate::conn::body::Kind;
use crate::proto::http1::Framing;

/// A body that is held back. Nothing of it has begun: no stream is started, no file is read.
pub(super) struct HeldBody {
    /// `None` once it was taken away.
    body: Option<(Kind, Framing)>,
    deadline: Deadline,
}

impl HeldBody {
    /// Holds `kind` back until it is taken, for `wait` at the longest.
    pub(super) fn new(kind: Kind, framing: Framing, wait: Duration, timers: &Timers) -> Self {
        let deadline = timers.deadline();
        deadline.set(wait);
        Self { body: Some((kind, framing)), deadline }
    }

    /// Ready, once, when it was held back for long enough.
    pub(super) fn poll_late(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll_expired(cx)
    }

    pub(super) fn take(&mut self) -> Option<(Kind, Framing)> {
        self.body.take()
    }
}
