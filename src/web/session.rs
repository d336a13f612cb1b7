//! Sessions: values that belong to a client and outlive its requests, in an encrypted cookie or in a store.
//!
//! [`middleware::cookie_sessions`](crate::middleware::cookie_sessions) keeps all of a session in its cookie;
//! [`middleware::stored_sessions`](crate::middleware::stored_sessions) keeps only a random id there, and the rest in a
//! [`Store`]. Handlers see the same [`Session`].
//!
//! | | cookie | store |
//! |---|---|---|
//! | room | 4096 bytes, encrypted | `SessionConfig::bytes_max` |
//! | on every core and machine | with the same key | as far as the store reaches |
//! | can be ended by the server | no: a copy of the cookie is good until it expires | yes |
//!
//! ```
//! use ringhttp::session::{CookieKey, SessionConfig};
//! use ringhttp::{Request, Result, Router, middleware};
//!
//! async fn visits(_: &(), req: Request) -> Result<String> {
//!     let session = req.session()?;
//!     let visits = session.get::<u32>("visits")?.unwrap_or(0) + 1;
//!     session.insert("visits", &visits)?;
//!     Ok(format!("visit {visits}\n"))
//! }
//!
//! let sessions = middleware::cookie_sessions(CookieKey::generate(), SessionConfig::default())?;
//! let router = Router::new().get("/", visits).with(sessions);
//! # assert!(router.into_service(()).is_ok());
//! # Ok::<(), ringhttp::Error>(())
//! ```
#![forbid(unsafe_code)]

mod config;
mod key;
mod memory;
mod record;
mod spread;
mod store;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use config::SessionConfig;
pub use key::CookieKey;
pub use memory::{MemoryConfig, MemoryStore};
pub use spread::SpreadStore;
pub use store::Store;

pub(super) use record::{Record, is_id, new_id, unix_now};

use crate::conn::Request;
use crate::error::{Error, Result};

/// The values of one client, by name. Clones are the same session.
///
/// It is saved when the handler has answered, if it was changed, and the cookie is set only if it has to be. Changes after that
/// (in a streamed body, say) are lost. Of two requests that change it at the same time, the later one to answer wins. In a
/// cookie that is also true of one that only reads it when it is time to prolong it: what must not come back, as a sign-in that
/// was ended, belongs in a store.
#[derive(Clone)]
pub struct Session(Rc<Inner>);

#[derive(Default)]
struct Inner {
    values: RefCell<BTreeMap<String, Value>>,
    seen: Cell<bool>,
    changed: Cell<bool>,
    renewed: Cell<bool>,
}

impl Session {
    pub(super) fn new(values: BTreeMap<String, Value>) -> Self {
        Self(Rc::new(Inner { values: RefCell::new(values), ..Inner::default() }))
    }

    /// A value.
    ///
    /// # Errors
    /// 500 if it is no `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.0.seen.set(true);
        let values = self.0.values.borrow();
        values.get(name).map(|value| T::deserialize(value)).transpose().map_err(Error::internal)
    }

    /// Sets a value.
    ///
    /// # Errors
    /// 500 if it cannot be written as JSON.
    pub fn insert(&self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        let value = serde_json::to_value(value)?;
        self.change().insert(name.to_owned(), value);
        Ok(())
    }

    /// Removes a value; says whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        self.change().remove(name).is_some()
    }

    /// Ends the session: all values are gone, and so are the cookie and what the store has.
    pub fn clear(&self) {
        self.change().clear();
    }

    /// Gives the session a new id, and its longest lifetime begins anew. To be called when somebody signs in, so that an id
    /// that was known before is worth nothing after (session fixation). A session that is kept in its cookie has no id.
    ///
    /// Of two requests that renew one session of a store at once, as of a form that was sent twice, the first to answer wins. The
    /// other finds that its session has been ended: its answer has no cookie, and what it changed is lost. (In a store that takes
    /// its time both may get through, each with a new id.) A browser that heeds only the last answer is not signed in then, and
    /// has to be asked again.
    pub fn renew(&self) {
        self.0.renewed.set(true);
        drop(self.change());
    }

    /// Whether it has no values, as a new one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.seen.set(true);
        self.0.values.borrow().is_empty()
    }

    fn change(&self) -> std::cell::RefMut<'_, BTreeMap<String, Value>> {
        self.0.seen.set(true);
        self.0.changed.set(true);
        self.0.values.borrow_mut()
    }

    pub(super) fn was_seen(&self) -> bool {
        self.0.seen.get()
    }

    pub(super) fn was_changed(&self) -> bool {
        self.0.changed.get()
    }

    pub(super) fn was_renewed(&self) -> bool {
        self.0.renewed.get()
    }

    pub(super) fn take_values(&self) -> BTreeMap<String, Value> {
        self.0.values.take()
    }
}

/// Without the values.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("changed", &self.0.changed).finish_non_exhaustive()
    }
}

impl Request {
    /// The session of the client.
    ///
    /// # Errors
    /// 500 if no session middleware is around the route.
    pub fn session(&self) -> Result<Session> {
        let session = self.extensions().get::<Session>().cloned();
        session.ok_or_else(|| Error::internal(format!("no session middleware around `{}`", self.route())))
    }
}
