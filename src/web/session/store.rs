//! Where sessions are kept that are not in their cookie.
#![forbid(unsafe_code)]

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use crate::error::Result;

/// Keeps sessions by id. Implement it with `async fn`s over what holds your data; nothing needs to be `Send`.
///
/// Ids are 32 characters of base64, and each is made by the server: what a client sends is only looked up. A record is a text,
/// as long as `SessionConfig::bytes_max` at most.
///
/// ```
/// use std::cell::RefCell;
/// use std::collections::HashMap;
/// use std::time::Duration;
/// use ringhttp::Result;
/// use ringhttp::session::Store;
///
/// #[derive(Default)]
/// struct Forever(RefCell<HashMap<String, String>>);
///
/// impl Store for Forever {
///     async fn load(&self, id: &str) -> Result<Option<String>> {
///         Ok(self.0.borrow().get(id).cloned())
///     }
///     async fn insert(&self, id: &str, record: String, _: Duration) -> Result<()> {
///         self.0.borrow_mut().insert(id.to_owned(), record);
///         Ok(())
///     }
///     async fn replace(&self, id: &str, record: String, _: Duration) -> Result<bool> {
///         Ok(self.0.borrow_mut().get_mut(id).map(|place| *place = record).is_some())
///     }
///     async fn remove(&self, id: &str) -> Result<()> {
///         self.0.borrow_mut().remove(id);
///         Ok(())
///     }
/// }
/// # let sessions = ringhttp::middleware::stored_sessions(Forever::default(), Default::default())?;
/// # ringhttp::Router::<()>::new().with(sessions);
/// # Ok::<(), ringhttp::Error>(())
/// ```
pub trait Store: 'static {
    /// The record of a session, if it is there and not over.
    ///
    /// # Errors
    /// What the client is answered with.
    fn load(&self, id: &str) -> impl Future<Output = Result<Option<String>>>;

    /// Keeps a new session for `lifetime`.
    ///
    /// # Errors
    /// What the client is answered with, in place of the handler's answer.
    fn insert(&self, id: &str, record: String, lifetime: Duration) -> impl Future<Output = Result<()>>;

    /// Keeps a session for `lifetime` from now on if it is still there, and says whether it was: one that was ended
    /// meanwhile must not come back.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    fn replace(&self, id: &str, record: String, lifetime: Duration) -> impl Future<Output = Result<bool>>;

    /// As [`replace`](Self::replace), if the record is still `kept`, as [`load`](Self::load) gave it; says whether it was: what
    /// another request changed meanwhile is not to be undone. A store that can should compare and replace in one step. By
    /// default it is loaded before, and a change in between is lost.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    fn replace_unchanged(
        &self,
        id: &str,
        kept: &str,
        record: String,
        lifetime: Duration,
    ) -> impl Future<Output = Result<bool>> {
        load_and_replace(self, id, kept, record, lifetime)
    }

    /// Forgets a session, if it is there.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    fn remove(&self, id: &str) -> impl Future<Output = Result<()>>;
}

async fn load_and_replace(
    store: &(impl Store + ?Sized),
    id: &str,
    kept: &str,
    record: String,
    lifetime: Duration,
) -> Result<bool> {
    if store.load(id).await?.as_deref() != Some(kept) {
        return Ok(false);
    }
    store.replace(id, record, lifetime).await
}

/// One store for several routers.
impl<T: Store> Store for Rc<T> {
    async fn load(&self, id: &str) -> Result<Option<String>> {
        (**self).load(id).await
    }

    async fn insert(&self, id: &str, record: String, lifetime: Duration) -> Result<()> {
        (**self).insert(id, record, lifetime).await
    }

    async fn replace(&self, id: &str, record: String, lifetime: Duration) -> Result<bool> {
        (**self).replace(id, record, lifetime).await
    }

    async fn replace_unchanged(
        &self,
        id: &str,
        kept: &str,
        record: String,
        lifetime: Duration,
    ) -> Result<bool> {
        (**self).replace_unchanged(id, kept, record, lifetime).await
    }

    async fn remove(&self, id: &str) -> Result<()> {
        (**self).remove(id).await
    }
}
