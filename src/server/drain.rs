//! The connections of one core's server, and how they end when it stops: idle ones at once, the others after their
//! answer, all of them when the deadline passes.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringhttp_runtime::Core;
use ringhttp_runtime::sync::{Either, Notify, race};

use crate::conn::{CloseReason, Connection, Host, ServerConfig, count};

/// How often a core that is full because of the others looks whether they have room again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// All connections a core serves for one server.
pub(crate) struct Connections {
    slots: RefCell<Slots>,
    /// Told whenever a connection has ended.
    ended: Notify,
    /// The connections of all cores.
    total: Arc<Total>,
}

/// How many connections the servers of a run have on all their cores.
#[derive(Default)]
pub(crate) struct Total(AtomicUsize);

#[derive(Default)]
struct Slots {
    connections: Vec<Option<Rc<Connection>>>,
    free: Vec<usize>,
}

/// A connection's place among the others. Dropping it gives the place back, however the connection ended.
pub(crate) struct Place {
    /// Of half the size of a pointer: there are many places.
    index: u32,
    connections: Rc<Connections>,
    reason: Cell<CloseReason>,
}

impl Connections {
    pub(crate) fn new(core: &Core) -> Self {
        Self { slots: RefCell::default(), ended: Notify::new(), total: core.shared() }
    }

    /// Whether one more connection keeps both caps.
    pub(crate) fn have_room(&self, config: &ServerConfig) -> bool {
        let total = self.total.0.load(Ordering::Relaxed);
        self.count() < config.connections_max && config.connections_total_max.is_none_or(|max| total < max)
    }

    /// Waits until there may be room again. Another core does not tell when one of its connections ends, so that is
    /// looked at again after a while.
    pub(crate) async fn may_have_room(&self, core: &Core) {
        race(self.ended.notified(), core.timers().sleep(LOOK_AGAIN)).await;
    }

    /// Adds a connection.
    pub(crate) fn enter(self: &Rc<Self>, connection: Rc<Connection>) -> Place {
        let stats = &connection.host.stats;
        count(&stats.accepted);
        count(&stats.active);
        self.total.0.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.slots.borrow_mut();
        let index = slots.free.pop().unwrap_or_else(|| {
            slots.connections.push(None);
            slots.connections.len() - 1
        });
        slots.connections[index] = Some(connection);
        let index = u32::try_from(index).expect("fewer than 2^32 connections");
        Place { index, connections: Rc::clone(self), reason: Cell::new(CloseReason::Cut) }
    }

    /// Connections that are open.
    pub(crate) fn count(&self) -> usize {
        let slots = self.slots.borrow();
        slots.connections.len() - slots.free.len()
    }

    fn wake_all(&self) {
        let all: Vec<_> = self.slots.borrow().connections.iter().flatten().cloned().collect();
        all.iter().for_each(|connection| connection.wake());
    }
}

impl Place {
    /// Says why the connection ended; without that, it was cut.
    pub(crate) fn ended(&self, reason: CloseReason) {
        self.reason.set(reason);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut slots = self.connections.slots.borrow_mut();
        let index = self.index as usize;
        slots.free.push(index);
        let connection = slots.connections[index].take();
        drop(slots);
        self.connections.total.0.fetch_sub(1, Ordering::Relaxed);
        if let Some(connection) = connection {
            let stats = Rc::clone(&connection.host.stats);
            drop(connection);
            stats.active.set(stats.active.get() - 1);
            stats.closed.count(self.reason.get());
        }
        self.connections.ended.notify_waiters();
    }
}

/// Ends the connections: those that wait for a request now, those that answer one behind their answer; then waits for
/// the work they have left behind. When the core's stop is cut, the rest ends where it is.
pub(crate) async fn drain(core: &Core, host: &Host, connections: &Connections) {
    host.stop();
    connections.wake_all();
    let all_done = async {
        all_ended(connections).await;
        host.left_behind.all_ended().await;
        host.shielded.all_ended().await;
    };
    if let Either::First(()) = race(core.cut(), all_done).await {
        cut(host, connections);
        all_ended(connections).await;
    }
}

/// Ends the connections where they are.
pub(crate) fn cut(host: &Host, connections: &Connections) {
    host.cut();
    connections.wake_all();
}

async fn all_ended(connections: &Connections) {
    while connections.count() > 0 {
        connections.ended.notified().await;
    }
}
