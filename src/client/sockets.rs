//! The WebSockets of one client: each is driven by a task of its own, which holds the connection's place in the pool.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};

use ringhttp_runtime::Core;

use super::pool::Lease;
use crate::conn::websocket::{Session, WebSocketStats};

/// Those that are open, to be told when the client is closed.
#[derive(Default)]
pub(super) struct Sockets {
    pub(super) stats: Rc<WebSocketStats>,
    open: RefCell<HashMap<u64, Weak<Session>>>,
    next: Cell<u64>,
}

impl Sockets {
    /// Starts the task that drives a session until it has ended: Pings are answered and deadlines hold wherever the application
    /// is waiting. `lease` is the connection's place.
    pub(super) fn drive(self: &Rc<Self>, core: &Core, session: &Rc<Session>, lease: Lease) {
        let number = self.next.get();
        self.next.set(number + 1);
        self.open.borrow_mut().insert(number, Rc::downgrade(session));
        let driven = Driven { session: Rc::clone(session), sockets: Rc::clone(self), number, _lease: lease };
        drop(core.spawn("client websocket", drive(core.clone(), driven)));
    }

    /// Closes all of them with 1001.
    pub(super) fn stop(&self) {
        let open: Vec<_> = self.open.borrow().values().filter_map(Weak::upgrade).collect();
        open.iter().for_each(|session| session.stop());
    }
}

/// A session with what goes with it. However its task ends, it ends, its users are told, and its place is free.
struct Driven {
    session: Rc<Session>,
    sockets: Rc<Sockets>,
    number: u64,
    _lease: Lease,
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.session.cut();
        self.sockets.open.borrow_mut().remove(&self.number);
    }
}

async fn drive(core: Core, driven: Driven) {
    let mut stopping = pin!(core.stopping());
    let mut is_told = false;
    poll_fn(|cx| {
        if !is_told && stopping.as_mut().poll(cx).is_ready() {
            is_told = true;
            driven.session.stop();
        }
        driven.session.poll_drive(cx)
    })
    .await;
}
