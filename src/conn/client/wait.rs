//! How long an exchange may wait for what: one deadline of the connection, set to the earliest of the limits that hold.
#![forbid(unsafe_code)]

use std::task::{Context, Poll, ready};
use std::time::Duration;

use ringhttp_runtime::time::{Deadline, Instant, Timers};

/// The limits of one exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExchangeLimits {
    /// Until when it has to be over.
    pub(crate) until: Option<Instant>,
    /// From the end of the request to the first byte of its answer.
    pub(crate) first_byte: Option<Duration>,
    /// Between two reads of the answer.
    pub(crate) read: Option<Duration>,
    /// Without the server taking any of the request.
    pub(crate) write: Option<Duration>,
    /// Bytes of the request that wait for the kernel before more are asked for.
    pub(crate) queued_max: usize,
}

/// What was waited for when the time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    FirstByte,
    Read,
    Total,
    Write,
}

/// The waits of a connection.
#[derive(Debug)]
pub(super) struct Wait {
    timers: Timers,
    deadline: Deadline,
    /// What the deadline is set to.
    set_to: Option<Instant>,
    /// Since when the answer is waited for.
    since: Option<Instant>,
    /// What the server had taken when last looked at, and when that was new.
    stall: Option<(u64, Instant)>,
}

/// What an exchange waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitsFor {
    /// Bytes that the kernel has taken, if more are to be.
    pub(super) written: Option<u64>,
    /// The request is sent.
    pub(super) is_sent: bool,
    /// A part of the final answer has come.
    pub(super) has_begun: bool,
}

impl Wait {
    pub(super) fn new(timers: &Timers) -> Self {
        Self { timers: timers.clone(), deadline: timers.deadline(), set_to: None, since: None, stall: None }
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Bytes of the answer came: the next wait begins anew.
    pub(super) fn arrived(&mut self) {
        self.since = None;
    }

    /// Nothing is waited for any more.
    pub(super) fn end(&mut self) {
        self.since = None;
        self.stall = None;
        if self.set_to.take().is_some() {
            self.deadline.clear();
        }
    }

    /// Ready when a limit has passed.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        limits: &ExchangeLimits,
        waits_for: WaitsFor,
    ) -> Poll<Waited> {
        let Some((at, what)) = self.next(limits, waits_for) else {
            self.end_deadline();
            return Poll::Pending;
        };
        if self.set_to != Some(at) {
            self.set_to = Some(at);
            self.deadline.set_at(at);
        }
        ready!(self.deadline.poll_expired(cx));
        // It fires once: whoever asks again has it set again.
        self.set_to = None;
        Poll::Ready(what)
    }

    fn end_deadline(&mut self) {
        if self.set_to.take().is_some() {
            self.deadline.clear();
        }
    }

    /// The earliest limit, and what it is about.
    fn next(&mut self, limits: &ExchangeLimits, waits_for: WaitsFor) -> Option<(Instant, Waited)> {
        let total = limits.until.map(|at| (at, Waited::Total));
        let written = self.write_limit(limits, waits_for);
        let answer = self.answer_limit(limits, waits_for);
        total.into_iter().chain(written).chain(answer).min_by_key(|(at, _)| *at)
    }

    fn write_limit(&mut self, limits: &ExchangeLimits, waits_for: WaitsFor) -> Option<(Instant, Waited)> {
        let (Some(limit), Some(written)) = (limits.write, waits_for.written) else {
            self.stall = None;
            return None;
        };
        let stall = self.stall.filter(|(before, _)| *before == written);
        let (_, since) = *self.stall.insert(stall.unwrap_or_else(|| (written, self.timers.now())));
        Some((since + limit, Waited::Write))
    }

    fn answer_limit(&mut self, limits: &ExchangeLimits, waits_for: WaitsFor) -> Option<(Instant, Waited)> {
        let (limit, what) = match waits_for.has_begun {
            false => (limits.first_byte?, Waited::FirstByte),
            true => (limits.read?, Waited::Read),
        };
        if !waits_for.is_sent {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert_with(|| self.timers.now());
        Some((since + limit, what))
    }
}
