//! Rooms of WebSockets across all cores.
//!
//! A message is encoded, and compressed, once. A pointer to it goes to each core that has members in the room, and that core
//! hands the same bytes to its own sockets. [`local`] is one core's part, [`room`] what the cores share.
#![forbid(unsafe_code)]

mod local;
mod room;

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use http::StatusCode;
use ringhttp_runtime::{Core, InvokeError};

use self::local::LocalHub;
use self::room::Rooms;
use super::socket::WebSocket;
use crate::conn::websocket::{Encoded, Message};
use crate::error::{Error, Result};

pub use self::local::Membership;

/// Rooms of WebSockets, across all cores of a run. Make one outside of `run`, and give each core its clone.
///
/// ```no_run
/// use ringhttp::websocket::{Closed, Hub};
/// use ringhttp::{Request, Result, Router, RuntimeConfig, Server, ServerConfig, WebSocketConfig};
///
/// async fn join(hub: &Hub, req: Request) -> Result<Closed> {
///     let mut socket = req.websocket(WebSocketConfig::default()).await?;
///     let member = hub.join("lobby", "ada", &socket)?;             // leaves when it is dropped
///     while let Some(message) = socket.receive().await? {
///         member.say(message)?;                                     // to everybody in the room, on every core
///     }
///     Ok(socket.close().await?)
/// }
///
/// fn main() -> Result<()> {
///     let hub = Hub::default();
///     ringhttp::run(RuntimeConfig::default(), async move |core| {
///         let routes = Router::new().get("/ws", join);
///         Server::bind("127.0.0.1:8080", ServerConfig::default())?.serve(&core, routes, hub.clone()).await
///     })
/// }
/// ```
///
/// A member that reads slowly is treated as its socket's [`slow_reader`](crate::WebSocketConfig::slow_reader) says; with
/// `Wait`, which a hub cannot do, it is closed with 1008. One that is amid a message which it sends in
/// [pieces](Message::Piece) misses what is said meanwhile (`messages_dropped` counts it): nothing fits between them. What one core says arrives everywhere in the order it was said; between
/// cores there is no order.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

/// What the cores share.
struct Shared {
    config: HubConfig,
    rooms: Rooms,
    /// Bytes of messages that wait.
    waiting_bytes: AtomicUsize,
}

/// A message that waits on a core to be handed to its sockets. Its bytes are counted as long as it does.
struct Waiting {
    hub: Hub,
    encoded: Encoded,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.hub.0.waiting_bytes.fetch_sub(self.encoded.len(), Ordering::Relaxed);
    }
}

/// The limits of a [`Hub`].
#[derive(Clone)]
#[non_exhaustive]
pub struct HubConfig {
    /// Rooms that have members. Default 10,000. Beyond: joining another is refused with 503.
    pub rooms_max: usize,
    /// Members of a room. Default 100,000. Beyond: joining it is refused with 503.
    pub members_max: usize,
    /// Bytes of the name of a room, and of a member. Default 128. Beyond: 400.
    pub name_bytes_max: usize,
    /// Messages that wait on one core for being handed to its sockets. Default 1,024. Beyond: they are lost there, and `say`
    /// says so.
    pub queue_max: usize,
    /// Bytes of the messages that wait on all cores, on their way there included, counted once for each core. Default 64 MiB, or
    /// one message. Beyond: as `queue_max`.
    pub queue_bytes_max: usize,
    /// The level, 1 to 9, at which messages of 1 KiB to 64 KiB are compressed, if a member can read that. Longer ones are
    /// not, since that would hold up the core: use [`Encoded::compressed`]. Default 1; 0 compresses none.
    pub level: u8,
    /// Called on the core where somebody joined or left, for what is to happen then: a message to the room, mostly. Default: nothing.
    pub on_event: Option<OnEvent>,
}

/// What is called when somebody joins or leaves.
pub type OnEvent = Arc<dyn Fn(&Hub, &HubEvent<'_>) + Send + Sync>;

/// Somebody has joined a room or left it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HubEvent<'event> {
    /// The room.
    pub room: &'event str,
    /// Who.
    pub member: &'event Member,
    /// Whether they are there now.
    pub is_joined: bool,
    /// Members that the room has now, on all cores.
    pub count: usize,
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// A number that no other member of the hub has or had.
    pub id: u64,
    /// The name that was given with `join`.
    pub name: Arc<str>,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            rooms_max: 10_000,
            members_max: 100_000,
            name_bytes_max: 128,
            queue_max: 1_024,
            queue_bytes_max: 64 << 20,
            level: 1,
            on_event: None,
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new(HubConfig::default())
    }
}

/// Bytes from which on a message is compressed, and up to which it is compressed here and now.
const COMPRESSED_BYTES: std::ops::Range<usize> = 1024..64 * 1024;

impl Hub {
    /// A hub without rooms.
    #[must_use]
    pub fn new(config: HubConfig) -> Self {
        Self(Arc::new(Shared { config, rooms: Rooms::default(), waiting_bytes: AtomicUsize::new(0) }))
    }

    /// Makes a socket a member of a room, as `name`, until what it gives is dropped. Rooms come with their first member and go
    /// with their last.
    ///
    /// # Errors
    /// 503 if there are too many rooms, or members in this one; 400 if a name is too long; 500 outside of a core.
    pub fn join(&self, room: &str, name: &str, socket: &WebSocket) -> Result<Membership> {
        let bytes_max = self.0.config.name_bytes_max;
        if room.len() > bytes_max || name.len() > bytes_max {
            return Err(Error::bad_request("the name is too long"));
        }
        let core = this_core()?;
        let part = LocalHub::of(self);
        let joined = part.join(core, room, name, socket.sender());
        if joined.is_err() {
            part.end_if_empty();
        }
        joined
    }

    /// Sends a message to everybody in a room, on all cores. It returns at once.
    ///
    /// # Errors
    /// 503 if a core has too many messages waiting: its members do not get this one. 500 if the message cannot be sent, and outside of
    /// a core.
    pub fn say(&self, room: &str, message: impl Into<Message>) -> Result<()> {
        let message = message.into();
        let level = self.0.config.level;
        let packs =
            level > 0 && COMPRESSED_BYTES.contains(&message.len()) && self.0.rooms.reads_compressed(room);
        let encoded = if packs { Encoded::compressed(message, level.min(9)) } else { Encoded::new(message) };
        self.say_encoded(room, &encoded?)
    }

    /// As [`say`](Self::say), for a message that was encoded before.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn say_encoded(&self, room: &str, encoded: &Encoded) -> Result<()> {
        let here = this_core()?;
        let mut result = Ok(());
        for core in self.0.rooms.cores(room) {
            let sent = self.wait_in_line(encoded).and_then(|waiting| {
                if core == here.id() {
                    LocalHub::find(self).map_or(Ok(()), |part| part.deliver(&here, room, waiting))
                } else {
                    self.send_to(&here, core, room, waiting)
                }
            });
            result = result.and(sent);
        }
        result
    }

    /// Counts a message that is to wait on a core.
    fn wait_in_line(&self, encoded: &Encoded) -> Result<Waiting> {
        let before = self.0.waiting_bytes.fetch_add(encoded.len(), Ordering::Relaxed);
        let waiting = Waiting { hub: self.clone(), encoded: encoded.clone() };
        if before > 0 && before.saturating_add(encoded.len()) > self.0.config.queue_bytes_max {
            return Err(self.lose(waiting));
        }
        Ok(waiting)
    }

    /// Gives a message up that a core has no room for.
    fn lose(&self, waiting: Waiting) -> Error {
        drop(waiting);
        self.lost()
    }

    /// Counts a message that was given up.
    fn lost(&self) -> Error {
        self.0.rooms.count_lost();
        Error::new(StatusCode::SERVICE_UNAVAILABLE).with_text("too many messages wait for the room")
    }

    /// Sends a pointer to the message to another core.
    fn send_to(&self, here: &Core, core: usize, room: &str, waiting: Waiting) -> Result<()> {
        let room = Arc::<str>::from(room);
        let sent = here.invoke_on(core, async move |there: Core| {
            // That it is too much over there is known there, and counted.
            let _ = LocalHub::find(&waiting.hub).map(|part| part.deliver(&there, &room, waiting));
        });
        // It is on its way or was refused; nobody waits for the other core.
        match pin!(sent).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(InvokeError::Full)) => Err(self.lost()),
            _ => Ok(()),
        }
    }

    /// Members of a room, on all cores.
    #[must_use]
    pub fn count(&self, room: &str) -> usize {
        self.0.rooms.count(room)
    }

    /// The rooms that have members, with their number, in no order.
    #[must_use]
    pub fn rooms(&self) -> Vec<(Arc<str>, usize)> {
        self.0.rooms.list()
    }

    /// Who is in a room, on all cores, by their numbers: `count_max` of them at the most.
    ///
    /// # Errors
    /// 503 if a core's mailbox is full, 500 outside of a core.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn members(&self, room: &str, count_max: usize) -> Result<Vec<Member>> {
        let here = this_core()?;
        let (hub, room) = (self.clone(), Arc::<str>::from(room));
        let lists = here.gather(async move |_| {
            LocalHub::find(&hub).map(|part| part.members(&room, count_max)).unwrap_or_default()
        });
        let lists = lists.await?;
        let mut members = lists.concat();
        members.sort_unstable_by_key(|member| member.id);
        members.truncate(count_max);
        Ok(members)
    }

    /// Messages that one core did not hand to its sockets because too many waited there, so far, on all cores.
    #[must_use]
    pub fn messages_lost(&self) -> u64 {
        self.0.rooms.lost()
    }

    fn tell(&self, room: &str, member: &Member, is_joined: bool, count: usize) {
        let Some(on_event) = &self.0.config.on_event else { return };
        let telling = || on_event(self, &HubEvent { room, member, is_joined, count });
        if std::thread::panicking() {
            // Another panic on top of the one that has dropped the member would end the process.
            drop(catch_unwind(AssertUnwindSafe(telling)));
        } else {
            telling();
        }
    }
}

fn this_core() -> Result<Core> {
    Core::current()
        .ok_or_else(|| Error::internal("a hub is used on a core: inside the closure given to `run`"))
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubConfig")
            .field("rooms_max", &self.rooms_max)
            .field("members_max", &self.members_max)
            .field("queue_max", &self.queue_max)
            .field("queue_bytes_max", &self.queue_bytes_max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
