//! From a listening socket to connections. One task per listener owns its accept loop for good: a connection that is
//! half accepted must not be dropped. A full server does not accept, so that the kernel's backlog holds newcomers back.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::rc::Rc;

use ringhttp_runtime::Core;
use ringhttp_runtime::listener::{Accepted, Listener};
use ringhttp_runtime::sync::race;

use super::Bound;
use super::drain::{Connections, cut, drain};
use crate::conn::{Acceptor, Connection, Host, Service, serve_connection};
use crate::error::Result;

/// Serves what the listeners bring until the core stops, then drains.
pub(super) async fn serve(
    core: &Core,
    listeners: Vec<Bound>,
    host: Rc<Host>,
    service: Rc<impl Service>,
) -> Result<()> {
    let connections = Rc::new(Connections::new(core));
    let _cut = CutOnDrop { host: Rc::clone(&host), connections: Rc::clone(&connections) };
    let (listeners, acceptors): (Vec<_>, Vec<_>) =
        listeners.into_iter().map(|bound| (Rc::new(bound.listener), bound.acceptor)).unzip();
    let open = OpenListeners(listeners);
    let mut loops = Vec::new();
    for (listener, acceptor) in open.0.iter().zip(acceptors) {
        let shared = Shared {
            core: core.clone(),
            host: Rc::clone(&host),
            service: Rc::clone(&service),
            connections: Rc::clone(&connections),
            acceptor,
        };
        loops.push(core.spawn("accept", accept_loop(shared, Rc::clone(listener))));
    }
    core.stopping().await;
    drop(open);
    for accept in loops {
        // A loop that panicked has been counted and logged; the others are drained all the same.
        let _ = accept.await;
    }
    drain(core, &host, &connections).await;
    if let Some(log) = &host.access_log {
        race(core.cut(), log.flush()).await;
    }
    Ok(())
}

/// Closes the listeners when serving ends, in whichever way.
struct OpenListeners(Vec<Rc<Listener>>);

impl Drop for OpenListeners {
    fn drop(&mut self) {
        self.0.iter().for_each(|listener| listener.close());
    }
}

/// Ends the connections where they are when serving is dropped. When it has drained, there are none.
struct CutOnDrop {
    host: Rc<Host>,
    connections: Rc<Connections>,
}

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        cut(&self.host, &self.connections);
    }
}

/// What each accepted connection needs.
struct Shared<S> {
    core: Core,
    host: Rc<Host>,
    service: Rc<S>,
    connections: Rc<Connections>,
    /// What makes TLS of it.
    acceptor: Option<Rc<Acceptor>>,
}

async fn accept_loop<S: Service>(shared: Shared<S>, listener: Rc<Listener>) {
    let local = listener.local_addr().as_socket().map(Rc::new);
    loop {
        shared.wait_for_room().await;
        let Some(accepted) = listener.accept().await else {
            return;
        };
        shared.start(accepted, local.clone());
    }
}

impl<S: Service> Shared<S> {
    fn start(&self, accepted: Accepted, local: Option<Rc<SocketAddr>>) {
        let peer = accepted.peer;
        let connection = Connection::over_socket(Rc::clone(&self.host), accepted.socket, peer, local);
        let place = self.connections.enter(Rc::clone(&connection));
        let (service, acceptor) = (Rc::clone(&self.service), self.acceptor.clone());
        let serving = serve_connection(connection, acceptor, service, move |reason| place.ended(reason));
        let task = self.core.spawn("connection", serving);
        drop(task);
    }

    async fn wait_for_room(&self) {
        while !self.connections.have_room(&self.host.config) && !self.core.is_stopping() {
            self.connections.may_have_room(&self.core).await;
        }
    }
}
