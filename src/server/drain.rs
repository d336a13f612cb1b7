//! The connections of one core's server, and how they end when it stops: idle ones at once, the others after their
//! answer, all of them when the deadline passes.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ringhttp_runtime::Core;
use ringhttp_runtime::sync::{Either, Notify, race};

use crate::conn::{CloseReason, Connection, Host, count};

/// All connections a core serves for one server.
#[derive(Default)]
pub(crate) struct Connections {
    slots: RefCell<Slots>,
    /// Told whenever a connection has ended.
    ended: Notify,
}

#[derive(Default)]
struct Slots {
    connections: Vec<Option<Rc<Connection>>>,
    free: Vec<usize>,
}

/// A connection's place among the others. Dropping it gives the place back, however the connection ended.
pub(crate) struct Place {
    index: usize,
    connections: Rc<Connections>,
    host: Rc<Host>,
    reason: Cell<CloseReason>,
}

impl Connections {
    /// Adds a connection.
    pub(crate) fn enter(self: &Rc<Self>, connection: Rc<Connection>) -> Place {
        let host = Rc::clone(&connection.host);
        count(&host.stats.accepted);
        count(&host.stats.active);
        let mut slots = self.slots.borrow_mut();
        let index = slots.free.pop().unwrap_or_else(|| {
            slots.connections.push(None);
            slots.connections.len() - 1
        });
        slots.connections[index] = Some(connection);
        Place {
            index,
            connections: Rc::clone(self),
            host,
            reason: Cell::new(CloseReason::Cut),
        }
    }

    /// Connections that are open.
    pub(crate) fn count(&self) -> usize {
        let slots = self.slots.borrow();
        slots.connections.len() - slots.free.len()
    }

    /// Waits until a connection ends.
    pub(crate) async fn one_ended(&self) {
        self.ended.notified().await;
    }

    fn wake_all(&self) {
        let all: Vec<_> = self
            .slots
            .borrow()
            .connections
            .iter()
            .flatten()
            .cloned()
            .collect();
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
        slots.free.push(self.index);
        let connection = slots.connections[self.index].take();
        drop(slots);
        drop(connection);
        let stats = &self.host.stats;
        stats.active.set(stats.active.get() - 1);
        stats.closed.count(self.reason.get());
        self.connections.ended.notify_waiters();
    }
}

/// Ends the connections: those that wait for a request now, those that answer one behind their answer. When the core's
/// stop is cut, the rest ends where it is.
pub(crate) async fn drain(core: &Core, host: &Host, connections: &Connections) {
    host.stop();
    connections.wake_all();
    if let Either::First(()) = race(core.cut(), all_ended(connections)).await {
        host.cut();
        connections.wake_all();
        all_ended(connections).await;
    }
}

async fn all_ended(connections: &Connections) {
    while connections.count() > 0 {
        connections.one_ended().await;
    }
}
