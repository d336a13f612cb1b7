//! Work that begins when its answer has been sent: tasks of the core, which the stop of the server waits for.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use ringhttp_runtime::Core;

use super::background::Background;
use super::close_reason::CloseReason;
use super::connection::Connection;
use super::exchange::{self, Close};
use super::host::Host;
use super::response::Response;
use super::server::Cycle;

/// What is to be done behind one answer.
#[derive(Default)]
pub(super) struct After(Vec<Pin<Box<dyn Future<Output = ()>>>>);

impl After {
    pub(super) fn add(&mut self, work: impl Future<Output = ()> + 'static) {
        self.0.push(Box::pin(work));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("After").field("count", &self.0.len()).finish()
    }
}

/// Sends a response, then starts its work, once the answer is with the kernel or it is certain that it will never be. While
/// too much work of earlier answers goes on, the answer waits for it, and a connection that has failed too.
pub(super) async fn send(
    connection: &Rc<Connection>,
    cycle: &Cycle,
    response: Response,
    work: After,
) -> Result<Close, CloseReason> {
    let host = &connection.host;
    let work = StartOnDrop { work, all: Rc::clone(&host.left_behind) };
    let has_room = || host.left_behind.fewer_than(host.config.after_answer_max);
    let sent: Result<Close, CloseReason> = async {
        exchange::wait_for(connection, has_room()).await?;
        let close = exchange::write_response(connection, cycle, response).end().await?;
        exchange::flush(connection, 0).await?;
        // Others who waited beside this answer may have been faster.
        exchange::wait_for(connection, has_room()).await?;
        Ok(close)
    }
    .await;
    // Who breaks connections off has no more work done at once than who takes the answers.
    if let Err(reason) = sent
        && reason != CloseReason::Cut
    {
        // The peer, if there is one, is told now: it is the work alone that waits.
        connection.end_entry(Some(reason));
        connection.close();
        wait_until_cut(host, has_room()).await;
    }
    drop(work);
    sent
}

/// Waits for something on a connection that has failed: until the cut, for which the connection is woken.
async fn wait_until_cut(host: &Host, something: impl Future<Output = ()>) {
    let mut something = pin!(something);
    poll_fn(|cx| if host.is_cut() { Poll::Ready(()) } else { something.as_mut().poll(cx) }).await;
}

/// Starts the work when the sending is over, in whichever way.
struct StartOnDrop {
    work: After,
    all: Rc<Background>,
}

impl Drop for StartOnDrop {
    fn drop(&mut self) {
        let Some(core) = Core::current() else { return };
        for work in self.work.0.drain(..) {
            let running = self.all.begin();
            drop(core.spawn("after answer", async move {
                work.await;
                drop(running);
            }));
        }
    }
}
