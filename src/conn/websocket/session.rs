//! The state of one WebSocket, and who waits on it.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringhttp_runtime::YieldNow;
use ringhttp_runtime::time::{Deadline, Instant, Timers};

use super::clock::Clock;
use super::closing::Closing;
use super::codec::Packer;
use super::config::WebSocketConfig;
use super::error::WebSocketError;
use super::inbound::Inbox;
use super::outbound::Outbox;
use super::stats::{WebSocketStats, add};
use crate::conn::waker_cell::{WakerCell, wakes_the_same};
use crate::io::wire::Wire;
use crate::proto::websocket::{DeflateParams, Reader, ReaderRules, Role, Sequence, State};

/// A WebSocket. Shared by its user, by those who send on it, and by the task that drives it.
pub(crate) struct Session {
    pub(super) inner: RefCell<Inner>,
    pub(super) config: Rc<WebSocketConfig>,
    pub(super) role: Role,
    pub(super) deadline: Deadline,
    pub(super) stats: Rc<WebSocketStats>,
    /// The subprotocol, by its place in the configuration.
    protocol: Option<u16>,
    is_compressed: bool,
    opened: Instant,
    /// The driving task runs now, and will drive before it waits: nobody has to wake it.
    in_turn: Cell<bool>,
    /// And there is nothing left for it to do this time.
    driven: Cell<bool>,
    /// The task that drives the session.
    driver: WakerCell,
    /// Who receives, or waits for the closing handshake.
    receiver: WakerCell,
    /// Who waits for room in the outbox, or for the end, if anybody does.
    #[expect(
        clippy::box_collection,
        reason = "nobody mostly: that takes a word, where a vector takes three"
    )]
    others: Cell<Option<Box<Vec<Waker>>>>,
}

/// What is behind one borrow: the wire, and the protocol state that goes with its bytes.
pub(super) struct Inner {
    /// Gone once the session has ended.
    pub(super) wire: Option<Box<Wire>>,
    pub(super) talk: Box<Talk>,
    pub(super) state: State,
    /// Messages and control frames that were seen to since the session last had to wait.
    pub(super) streak: u8,
    /// Where the pieces of messages that are sent stand.
    pub(super) sending: Sequence,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    /// Compresses what is sent, if that was agreed on.
    pub(super) packer: Option<Box<Packer>>,
    /// Gives others their turn behind many messages, and while a large one is unpacked.
    pub(super) pause: Option<Box<YieldNow>>,
}

/// Where the conversation stands. Apart from the rest it fits into the memory that HTTP has just given up, of which nothing larger could
/// be made.
pub(super) struct Talk {
    pub(super) reader: Reader,
    pub(super) clock: Clock,
    pub(super) closing: Closing,
}

const _: () = assert!(size_of::<Talk>() <= 136 && size_of::<Session>() <= 200);

/// What an opening handshake has agreed on.
#[derive(Debug, Default)]
pub(crate) struct Agreed {
    pub(crate) protocol: Option<String>,
    pub(crate) deflate: Option<DeflateParams>,
}

impl Session {
    /// A session on a wire that has left HTTP.
    pub(crate) fn new(
        wire: Box<Wire>,
        role: Role,
        config: Rc<WebSocketConfig>,
        agreed: Agreed,
        timers: &Timers,
        stats: Rc<WebSocketStats>,
    ) -> Rc<Self> {
        add(&stats.total, 1);
        add(&stats.active, 1);
        let mut rules = ReaderRules::new(role.other());
        rules.limits = config.limits();
        rules.accepts = config.accepts;
        rules.pieces = config.pieces;
        rules.inflate = agreed.deflate.as_ref().map(|agreed| agreed.of(role.other()).0);
        let packer = agreed.deflate.as_ref().map(|agreed| Box::new(Packer::new(agreed, role, &stats)));
        let opened = timers.now();
        let inner = Inner {
            wire: Some(wire),
            talk: Box::new(Talk {
                reader: Reader::new(rules),
                clock: Clock::new(opened),
                closing: Closing::default(),
            }),
            state: State::Open,
            streak: 0,
            sending: Sequence::Between,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            packer,
            pause: None,
        };
        let session = Rc::new(Self {
            inner: RefCell::new(inner),
            role,
            deadline: timers.deadline(),
            stats,
            protocol: agreed.protocol.and_then(|agreed| place_of(&agreed, &config.protocols)),
            is_compressed: agreed.deflate.is_some(),
            opened,
            in_turn: Cell::new(false),
            driven: Cell::new(false),
            driver: WakerCell::default(),
            receiver: WakerCell::default(),
            others: Cell::default(),
            config,
        });
        session.start_clock();
        session
    }

    /// The subprotocol that was agreed on.
    pub(crate) fn protocol(&self) -> Option<&str> {
        self.protocol.map(|place| self.config.protocols[usize::from(place)].as_str())
    }

    /// Whether messages may be compressed.
    pub(crate) fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    pub(crate) fn config(&self) -> &WebSocketConfig {
        &self.config
    }

    pub(crate) fn timers(&self) -> &Timers {
        self.deadline.timers()
    }

    /// Whether messages can be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.inner.borrow().state.may_send()
    }

    /// Names the task that drives the session from now on.
    pub(crate) fn driven_by(&self, driver: &Waker) {
        self.driver.keep(driver);
    }

    /// Drives the session: what is queued leaves, what comes is read ahead, deadlines hold. Ready when it has ended.
    pub(crate) fn poll_drive(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.in_turn.set(false);
        if self.driven.take() {
            return Poll::Pending;
        }
        let mut inner = self.inner.borrow_mut();
        if inner.wire.is_none() {
            return Poll::Ready(());
        }
        self.driven_by(cx.waker());
        self.read_ahead(&mut inner, cx);
        // What has come is read before anybody is judged by it.
        if self.poll_clock(&mut inner, cx).is_ready() {
            self.flush(&mut inner, cx);
        }
        self.poll_finish(&mut inner, cx);
        if inner.wire.is_none() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The driving task runs the application now, and drives the session behind that.
    pub(crate) fn begin_turn(&self) {
        self.in_turn.set(true);
    }

    pub(super) fn is_in_turn(&self) -> bool {
        self.in_turn.get()
    }

    /// There is nothing left to do in this turn, unless something is queued yet: all was polled with the driving task's own
    /// waker. (Another waker of the same task may be gone when it is needed.)
    pub(super) fn end_turn(&self, cx: &Context<'_>) {
        self.driven.set(self.driver.will_wake(cx.waker()));
    }

    /// The application asks for more: what was left for it to do is to be seen again.
    pub(super) fn go_on_with_turn(&self) {
        self.driven.set(false);
    }

    pub(super) fn driver(&self) -> Option<Waker> {
        self.driver.get()
    }

    /// Has the driving task look after the session.
    pub(super) fn wake_driver(&self) {
        self.driven.set(false);
        if !self.in_turn.get()
            && let Some(driver) = self.driver()
        {
            driver.wake();
        }
    }

    pub(super) fn remember_receiver(&self, cx: &Context<'_>) {
        self.receiver.keep(cx.waker());
    }

    pub(super) fn wake_receiver(&self) {
        if let Some(receiver) = self.receiver.take() {
            receiver.wake();
        }
    }

    pub(super) fn remember_other(&self, cx: &Context<'_>) {
        let mut others = self.others.take().unwrap_or_default();
        if !others.iter().any(|known| wakes_the_same(known, cx.waker())) {
            others.push(cx.waker().clone());
        }
        self.others.set(Some(others));
    }

    pub(super) fn wake_others(&self) {
        if let Some(others) = self.others.take() {
            others.into_iter().for_each(Waker::wake);
        }
    }

    /// Gives the transport up and tells everybody. `error` is why, if it is somebody's fault.
    pub(super) fn end(&self, inner: &mut Inner, error: Option<WebSocketError>) {
        let Some(wire) = inner.wire.take() else { return };
        drop(wire);
        inner.state = State::Ended;
        inner.talk.closing.error = inner.talk.closing.error.or(error);
        // What has come complete may still be received; all else is given up.
        inner.talk.reader = Reader::new(ReaderRules::new(self.role.other()));
        inner.outbox = Outbox::default();
        inner.packer = None;
        inner.pause = None;
        self.deadline.clear();
        self.stats.active.set(self.stats.active.get() - 1);
        self.stats.durations.add(self.timers().now() - self.opened);
        self.wake_receiver();
        self.wake_others();
        self.wake_driver();
        // Whoever keeps a sender does not keep the task.
        let driver = self.driver.take();
        drop(driver);
    }

    /// Ends the session where it is.
    pub(crate) fn cut(&self) {
        self.end(&mut self.inner.borrow_mut(), None);
    }
}

fn place_of(agreed: &str, protocols: &[String]) -> Option<u16> {
    protocols.iter().position(|known| known == agreed).and_then(|place| u16::try_from(place).ok())
}

impl Drop for Session {
    fn drop(&mut self) {
        self.cut();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.try_borrow().map(|inner| inner.state).ok();
        f.debug_struct("Session").field("role", &self.role).field("state", &state).finish_non_exhaustive()
    }
}
