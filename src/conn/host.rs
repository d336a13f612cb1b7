//! What the connections of one server on one core share.
#![forbid(unsafe_code)]

use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::rc::Rc;

use http::HeaderMap;
use ringhttp_runtime::buffer::BufferPool;
use ringhttp_runtime::time::Timers;

use super::access_log::LogOutput;
use super::background::Background;
use super::close_reason::CloseCounts;
use super::config::ServerConfig;
use super::connection::Connection;
use super::request::Exchange;
use super::websocket::WebSocketStats;
use crate::proto::http1::{ClosingLines, Limits};

/// Requests in flight whose memory one core keeps for the next ones.
const SPARE_EXCHANGES_MAX: usize = 64;

/// The surroundings of a core's connections: its configuration, buffers, clock and counters.
pub(crate) struct Host {
    pub(crate) config: ServerConfig,
    pub(crate) limits: Limits,
    pub(crate) buffers: BufferPool,
    pub(crate) timers: Timers,
    pub(crate) stats: Rc<ServerStats>,
    pub(crate) access_log: Option<Rc<LogOutput>>,
    /// Work that goes on behind answers.
    pub(crate) left_behind: Rc<Background>,
    /// Work that outlives its clients.
    pub(crate) shielded: Rc<Background>,
    /// The fields of a response that has none.
    pub(crate) no_fields: HeaderMap,
    closing_lines: RefCell<ClosingLines>,
    /// When those lines were put together, in seconds since 1970.
    closing_lines_of: Cell<u64>,
    stopping: Cell<bool>,
    cut: Cell<bool>,
    /// The connection whose task polls what it waits for, by its place in memory; 0 while none does.
    turn_of: Cell<usize>,
    #[expect(clippy::vec_box, reason = "a request moves its box around, not what is in it")]
    spare_exchanges: RefCell<Vec<Box<Exchange>>>,
}

/// What one core's server has counted.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections accepted.
    pub accepted: Cell<u64>,
    /// Connections open now.
    pub active: Cell<u64>,
    /// Requests whose head was read.
    pub requests: Cell<u64>,
    /// Heads that were refused, by a 4xx or 5xx of our own.
    pub refused: Cell<u64>,
    /// Handlers that panicked.
    pub panics: Cell<u64>,
    /// Handlers, and streams of answers, that were dropped because their client was gone: by
    /// [`CancelOnDisconnect`](crate::CancelOnDisconnect).
    pub cancelled: Cell<u64>,
    /// Handlers that were dropped because their [`deadline`](crate::middleware::deadline) passed.
    pub deadlines_passed: Cell<u64>,
    /// Lines of the access log that were lost: its writer was slower than `buffer_bytes_max` allows, or failed.
    pub log_lines_dropped: Cell<u64>,
    /// TLS handshakes that led to a connection, resumed ones included.
    pub tls_handshakes: Cell<u64>,
    /// TLS handshakes that resumed an earlier session.
    pub tls_resumptions: Cell<u64>,
    /// TLS handshakes under way now.
    pub tls_handshaking: Cell<u64>,
    /// TLS handshakes that failed or took too long.
    pub tls_handshakes_failed: Cell<u64>,
    /// TLS connections that clients ended between two requests without saying so (`close_notify`), as many do.
    pub tls_unclean_ends: Cell<u64>,
    /// Why connections ended.
    pub closed: CloseCounts,
    /// What the WebSockets did.
    pub websockets: Rc<WebSocketStats>,
}

pub(crate) fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

impl Host {
    pub(crate) fn new(
        config: ServerConfig,
        stats: Rc<ServerStats>,
        buffers: BufferPool,
        timers: Timers,
    ) -> Self {
        Self {
            limits: config.limits(),
            access_log: config.access_log.as_ref().map(|log| Rc::new(LogOutput::new(log, &stats))),
            closing_lines: RefCell::new(ClosingLines::new(config.server_header.clone(), timers.date())),
            closing_lines_of: Cell::new(timers.second()),
            config,
            buffers,
            timers,
            stats,
            left_behind: Rc::default(),
            shielded: Rc::default(),
            no_fields: HeaderMap::new(),
            stopping: Cell::new(false),
            cut: Cell::new(false),
            turn_of: Cell::new(0),
            spare_exchanges: RefCell::new(Vec::new()),
        }
    }

    /// The lines that end the head of an answer now.
    pub(crate) fn closing_lines(&self) -> Ref<'_, ClosingLines> {
        let second = self.timers.second();
        if self.closing_lines_of.replace(second) != second {
            self.closing_lines.borrow_mut().set_date(self.timers.date());
        }
        self.closing_lines.borrow()
    }

    /// Whether the server stops: answers close their connections, idle connections end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    pub(crate) fn stop(&self) {
        self.stopping.set(true);
    }

    /// Whether the time for stopping is over: connections end where they are.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.get()
    }

    pub(crate) fn cut(&self) {
        self.cut.set(true);
    }

    /// It is the turn of a connection's task, until what this gives is dropped.
    pub(super) fn begin_turn(&self, connection: &Connection) -> TurnOf<'_> {
        TurnOf { host: self, before: self.turn_of.replace(address(connection)) }
    }

    pub(super) fn is_turn_of(&self, connection: &Connection) -> bool {
        self.turn_of.get() == address(connection)
    }

    /// Memory for a request.
    pub(crate) fn take_exchange(&self) -> Box<Exchange> {
        self.spare_exchanges.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes the memory of a request back.
    pub(crate) fn give_exchange(&self, mut exchange: Box<Exchange>) {
        exchange.forget();
        let mut spare = self.spare_exchanges.borrow_mut();
        if spare.len() < SPARE_EXCHANGES_MAX {
            spare.push(exchange);
        }
    }
}

/// The turn of a connection's task.
pub(super) struct TurnOf<'host> {
    host: &'host Host,
    before: usize,
}

impl Drop for TurnOf<'_> {
    fn drop(&mut self) {
        self.host.turn_of.set(self.before);
    }
}

fn address(connection: &Connection) -> usize {
    std::ptr::from_ref(connection).addr()
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("stats", &self.stats).finish_non_exhaustive()
    }
}
