//! One core's part of a hub: its own members, and the messages that are on their way to them.
//!
//! One task hands the messages to the sockets, some sockets at a time, so that a large room does not hold up the core. Each gets
//! all that waits for the room into its queue and is flushed then: what was said in one moment leaves in one write.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use http::StatusCode;
use ringhttp_runtime::Core;

use super::room::Room;
use super::{Hub, Member, Shared, Waiting};
use crate::conn::websocket::Message;
use crate::error::{Error, Result};
use crate::websocket::sender::Sender;

thread_local! {
    /// The parts of the hubs that are used on this core, by the hub's address: a hub lives as long as its part.
    static PARTS: RefCell<HashMap<usize, Rc<LocalHub>>> = RefCell::default();
}

/// The part of a hub that belongs to one core.
pub(super) struct LocalHub {
    hub: Hub,
    rooms: RefCell<HashMap<Arc<str>, Rc<LocalRoom>>>,
    waiting: RefCell<VecDeque<(Rc<LocalRoom>, Waiting)>>,
    /// The task that hands out what waits is there.
    is_handing_out: Cell<bool>,
}

/// The members that a room has on this core.
struct LocalRoom {
    room: Arc<Room>,
    places: RefCell<Places>,
}

#[derive(Default)]
struct Places {
    members: Vec<Option<(Member, Sender)>>,
    free: Vec<usize>,
}

/// Messages that are handed to sockets before the core turns to others, in whichever rooms: some tenths of a millisecond.
const MESSAGES_PER_TURN: usize = 128;

impl LocalHub {
    /// This core's part of a hub, if it has members here.
    pub(super) fn find(hub: &Hub) -> Option<Rc<Self>> {
        PARTS.with_borrow(|parts| parts.get(&key(hub)).cloned())
    }

    /// This core's part of a hub, for a member to come.
    pub(super) fn of(hub: &Hub) -> Rc<Self> {
        PARTS.with_borrow_mut(|parts| {
            let part = parts.entry(key(hub)).or_insert_with(|| {
                Rc::new(Self {
                    hub: hub.clone(),
                    rooms: RefCell::default(),
                    waiting: RefCell::default(),
                    is_handing_out: Cell::new(false),
                })
            });
            Rc::clone(part)
        })
    }

    pub(super) fn join(
        self: &Rc<Self>,
        core: Core,
        room: &str,
        name: &str,
        sender: Sender,
    ) -> Result<Membership> {
        let config = &self.hub.0.config;
        let full = || Error::new(StatusCode::SERVICE_UNAVAILABLE).with_text("the room is full");
        let is_compressed = sender.session.is_compressed();
        let known = self.rooms.borrow().get(room).cloned();
        let local = match known {
            Some(local) if local.room.count() >= config.members_max => return Err(full()),
            Some(local) => {
                local.room.enter(core.id(), is_compressed);
                local
            }
            None => {
                if self.hub.count(room) >= config.members_max {
                    return Err(full());
                }
                let place = (core.id(), core.count());
                let shared = self.hub.0.rooms.enter_first(room, place, is_compressed, config.rooms_max);
                let shared = shared.ok_or_else(|| {
                    Error::new(StatusCode::SERVICE_UNAVAILABLE).with_text("there are too many rooms")
                })?;
                let local = Rc::new(LocalRoom { room: shared, places: RefCell::default() });
                self.rooms.borrow_mut().insert(Arc::clone(&local.room.name), Rc::clone(&local));
                local
            }
        };
        let member = Member { id: self.hub.0.rooms.next_id(), name: name.into() };
        let index = local.places.borrow_mut().enter(member.clone(), sender);
        let joined = Membership { part: Rc::clone(self), room: local, member, index, core, is_compressed };
        self.hub.tell(&joined.room.room.name, &joined.member, true, joined.room.room.count());
        Ok(joined)
    }

    fn leave(&self, left: &Membership) {
        let places = &left.room.places;
        let member = places.borrow_mut().leave(left.index);
        drop(member);
        let shared = &left.room.room;
        if places.borrow().is_empty() {
            self.rooms.borrow_mut().remove(&shared.name);
            self.hub.0.rooms.leave_last(shared, left.core.id(), left.is_compressed);
            self.end_if_empty();
        } else {
            shared.leave(left.core.id(), left.is_compressed);
        }
        self.hub.tell(&shared.name, &left.member, false, shared.count());
    }

    /// Forgets this part once nobody is in it.
    pub(super) fn end_if_empty(&self) {
        if self.rooms.borrow().is_empty() {
            let part = PARTS.try_with(|parts| parts.borrow_mut().remove(&key(&self.hub)));
            drop(part);
        }
    }

    pub(super) fn members(&self, room: &str, count_max: usize) -> Vec<Member> {
        let rooms = self.rooms.borrow();
        let Some(local) = rooms.get(room) else { return Vec::new() };
        let places = local.places.borrow();
        places.members.iter().flatten().map(|(member, _)| member.clone()).take(count_max).collect()
    }

    /// Has a message handed to the members of a room on this core.
    pub(super) fn deliver(self: &Rc<Self>, core: &Core, room: &str, message: Waiting) -> Result<()> {
        let Some(local) = self.rooms.borrow().get(room).cloned() else { return Ok(()) };
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= self.hub.0.config.queue_max {
            return Err(self.hub.lose(message));
        }
        waiting.push_back((local, message));
        if !self.is_handing_out.replace(true) {
            let (part, core_there) = (Rc::clone(self), core.clone());
            drop(core.spawn("hub", async move { part.hand_out(&core_there).await }));
        }
        Ok(())
    }

    /// Hands out what waits, until nothing does.
    async fn hand_out(&self, core: &Core) {
        let _end = EndOnDrop(&self.is_handing_out);
        let mut left = MESSAGES_PER_TURN;
        loop {
            let batch = std::mem::take(&mut *self.waiting.borrow_mut());
            if batch.is_empty() {
                return;
            }
            for (room, messages) in by_room(batch) {
                let act = |sender: &Sender| {
                    messages.iter().for_each(|waiting| sender.session.queue_shared(&waiting.encoded));
                    sender.session.flush_from_outside();
                };
                room.for_each(core, messages.len(), &mut left, act).await;
            }
        }
    }
}

/// What waits for each room, in order.
fn by_room(batch: VecDeque<(Rc<LocalRoom>, Waiting)>) -> Vec<(Rc<LocalRoom>, Vec<Waiting>)> {
    let mut rooms: Vec<(Rc<LocalRoom>, Vec<Waiting>)> = Vec::new();
    for (room, message) in batch {
        match rooms.iter_mut().find(|(known, _)| Rc::ptr_eq(known, &room)) {
            Some((_, messages)) => messages.push(message),
            None => rooms.push((room, vec![message])),
        }
    }
    rooms
}

fn key(hub: &Hub) -> usize {
    Arc::<Shared>::as_ptr(&hub.0).addr()
}

/// However the task ends, the next message starts another.
struct EndOnDrop<'flag>(&'flag Cell<bool>);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl LocalRoom {
    /// Does something that takes so many messages' time with every socket, and lets others have their turn whenever there is no
    /// time `left`. Who joins meanwhile may be among them.
    async fn for_each(&self, core: &Core, messages: usize, left: &mut usize, mut act: impl FnMut(&Sender)) {
        let mut next = 0;
        loop {
            {
                let places = self.places.borrow();
                while *left > 0 {
                    let Some(place) = places.members.get(next) else { return };
                    if let Some((_, sender)) = place {
                        act(sender);
                        *left = left.saturating_sub(messages);
                    }
                    next += 1;
                }
            }
            core.yield_now().await;
            *left = MESSAGES_PER_TURN;
        }
    }
}

impl Places {
    fn enter(&mut self, member: Member, sender: Sender) -> usize {
        let index = self.free.pop().unwrap_or_else(|| {
            self.members.push(None);
            self.members.len() - 1
        });
        self.members[index] = Some((member, sender));
        index
    }

    fn leave(&mut self, index: usize) -> Option<(Member, Sender)> {
        self.free.push(index);
        self.members[index].take()
    }

    fn is_empty(&self) -> bool {
        self.free.len() == self.members.len()
    }
}

/// A place in a room. Dropping it leaves the room.
pub struct Membership {
    part: Rc<LocalHub>,
    room: Rc<LocalRoom>,
    member: Member,
    index: usize,
    core: Core,
    is_compressed: bool,
}

impl Membership {
    /// Sends a message to everybody in the room, oneself included: see [`Hub::say`].
    ///
    /// # Errors
    /// As [`Hub::say`].
    pub fn say(&self, message: impl Into<Message>) -> Result<()> {
        self.part.hub.say(&self.room.room.name, message)
    }

    /// Who this is.
    #[must_use]
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// The room.
    #[must_use]
    pub fn room(&self) -> &str {
        &self.room.room.name
    }

    /// Members of the room, on all cores.
    #[must_use]
    pub fn count(&self) -> usize {
        self.room.room.count()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let part = Rc::clone(&self.part);
        part.leave(self);
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").field("room", &self.room()).field("member", &self.member).finish()
    }
}
