//! Sessions around a handler: found by a cookie before it, saved behind it.
#![forbid(unsafe_code)]

use std::future::Future;
use std::time::Duration;

use http::HeaderValue;
use http::header::{CACHE_CONTROL, VARY};

use crate::conn::{Request, Response};
use crate::error::{Error, Result};
use crate::proto::cache_control::CacheControl;
use crate::proto::cookie::PAIR_BYTES_MAX;
use crate::web::Next;
use crate::web::caches::remove_targeted;
use crate::web::session::{CookieKey, Record, Session, SessionConfig, Store, is_id, new_id, unix_now};

/// Sessions that are kept in their cookie, encrypted with `key`: see [`session`](crate::session).
///
/// A cookie that was tampered with, that is over or that another key sealed is an empty session, no error. An answer for which
/// the session was used says `Vary: cookie`. One that sets the cookie says `Cache-Control: private` in place of what its handler
/// said, but for `no-store`, `no-cache` and a `private` of its own; fields for caches that clients share (`CDN-Cache-Control`) are
/// taken out of it.
///
/// # Errors
/// 500 if the settings cannot work. A session that does not fit into a cookie is answered 500, and is not saved.
pub fn cookie_sessions<S: 'static>(
    key: CookieKey,
    config: SessionConfig,
) -> Result<impl AsyncFn(&S, Request, Next<'_, S>) -> Result + 'static> {
    let sessions = Sessions::new(InCookie(key), config)?;
    Ok(async move |_: &S, req: Request, next: Next<'_, S>| sessions.around(req, next).await)
}

/// Sessions that are kept in `store`, by a random id in their cookie: see [`session`](crate::session).
///
/// An id that the store does not know is an empty session with a new id. If the store fails, the answer is its error. Headers
/// are as with [`cookie_sessions`].
///
/// # Errors
/// 500 if the settings cannot work.
pub fn stored_sessions<S: 'static>(
    store: impl Store,
    config: SessionConfig,
) -> Result<impl AsyncFn(&S, Request, Next<'_, S>) -> Result + 'static> {
    let sessions = Sessions::new(InStore(store), config)?;
    Ok(async move |_: &S, req: Request, next: Next<'_, S>| sessions.around(req, next).await)
}

struct Sessions<P> {
    place: P,
    config: SessionConfig,
}

impl<P: Place> Sessions<P> {
    fn new(place: P, config: SessionConfig) -> Result<Self> {
        config.check()?;
        Ok(Self { place, config })
    }

    async fn around<S>(&self, mut req: Request, next: Next<'_, S>) -> Result {
        let known = self.find(&req).await?;
        let values = known.as_ref().map(|(_, record)| record.values.clone()).unwrap_or_default();
        let session = Session::new(values);
        req.extensions_mut().insert(session.clone());
        let mut response = next.run(req).await;
        let is_set = self.keep(known, &session, &mut response).await?;
        // A session that is only prolonged makes the answer one for its client too.
        if session.was_seen() || is_set {
            response.headers_mut().append(VARY, HeaderValue::from_static("cookie"));
        }
        Ok(response)
    }

    /// The session that the request's cookie names, with the cookie.
    async fn find(&self, req: &Request) -> Result<Option<(String, Record)>> {
        let Some(cookie) = req.cookie(&self.config.name) else {
            return Ok(None);
        };
        let record = self.load(cookie).await?;
        Ok(record.map(|record| (cookie.to_owned(), record)))
    }

    async fn load(&self, cookie: &str) -> Result<Option<Record>> {
        let text = self.place.load(&self.config.name, cookie).await?;
        Ok(text.and_then(|text| Record::read(&text, unix_now())))
    }

    async fn keep(
        &self,
        known: Option<(String, Record)>,
        session: &Session,
        response: &mut Response,
    ) -> Result<bool> {
        if !session.was_changed() {
            return self.prolong(known, session, response).await;
        }
        let (values, now) = (session.take_values(), unix_now());
        let (old, created) = known.map(|(cookie, record)| (cookie, record.created)).unzip();
        if values.is_empty() {
            let Some(old) = old else { return Ok(false) };
            self.place.remove(&old).await?;
            return set(response, &self.config.removal()).map(|()| true);
        }
        let created = created.filter(|_| !session.was_renewed()).unwrap_or(now);
        let record = Record::new(values, created, now, &self.config);
        let text = record.write(self.config.bytes_max)?;
        let age = record.age_left(now);
        let save = Save { old, renewed: session.was_renewed(), text, age };
        match self.place.save(&self.config.name, save).await? {
            Some(value) => set(response, &self.config.cookie(value, age)).map(|()| true),
            None => Ok(false),
        }
    }

    /// Prolongs a session that the handler left as it was, if it is time for it.
    async fn prolong(
        &self,
        known: Option<(String, Record)>,
        session: &Session,
        response: &mut Response,
    ) -> Result<bool> {
        let now = unix_now();
        let Some((cookie, _)) = known.filter(|(_, record)| record.is_due(now, &self.config)) else {
            return Ok(false);
        };
        // A logo that was asked for before somebody signed out is not to sign them in again.
        if !P::SEES_CHANGES && !session.was_seen() {
            return Ok(false);
        }
        // Another request may have changed it meanwhile: what is prolonged is what there is now.
        let Some(kept) = self.place.load(&self.config.name, &cookie).await? else { return Ok(false) };
        let Some(Record { created, values, .. }) = Record::read(&kept, now) else { return Ok(false) };
        let record = Record::new(values, created, now, &self.config);
        let (text, age) = (record.write(self.config.bytes_max)?, record.age_left(now));
        match self.place.prolong(&self.config.name, cookie, &kept, text, age).await? {
            Some(value) => set(response, &self.config.cookie(value, age)).map(|()| true),
            None => Ok(false),
        }
    }
}

fn set(response: &mut Response, cookie: &crate::proto::cookie::SetCookie) -> Result<()> {
    response.append_cookie(cookie)?;
    // RFC 9111 §7.3: what is set for one client is not for a cache that others share, whatever the handler says of its answer
    // without the cookie, and to whomever.
    let headers = response.headers_mut();
    remove_targeted(headers);
    let said = CacheControl::of(headers);
    if !said.is_private {
        // With `no-cache` alone a cache would keep it, and give it to others whenever a 304 says that it is as it was.
        let value = if said.forbids { "private, no-cache" } else { "private" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
    }
    Ok(())
}

/// A session to be saved.
struct Save {
    /// The cookie by which it was found, if it is not new.
    old: Option<String>,
    renewed: bool,
    text: String,
    age: Duration,
}

/// Where sessions are between requests.
trait Place {
    /// Whether what another request changes is seen here, though this one came with the cookie of before.
    const SEES_CHANGES: bool;

    /// The record that a cookie stands for.
    fn load(&self, name: &str, cookie: &str) -> impl Future<Output = Result<Option<String>>>;

    /// The cookie that stands for the record from now on. `None`: the session has been ended meanwhile.
    fn save(&self, name: &str, save: Save) -> impl Future<Output = Result<Option<String>>>;

    /// Keeps `text` for longer in place of `kept`, if that is what there still is. Gives the cookie that stands for it.
    fn prolong(
        &self,
        name: &str,
        cookie: String,
        kept: &str,
        text: String,
        age: Duration,
    ) -> impl Future<Output = Result<Option<String>>>;

    fn remove(&self, cookie: &str) -> impl Future<Output = Result<()>>;
}

struct InCookie(CookieKey);

impl Place for InCookie {
    const SEES_CHANGES: bool = false;

    async fn load(&self, name: &str, cookie: &str) -> Result<Option<String>> {
        Ok(self.0.open(name, cookie))
    }

    async fn save(&self, name: &str, save: Save) -> Result<Option<String>> {
        let value = self.0.seal(name, &save.text);
        let bytes = name.len() + value.len();
        if bytes > PAIR_BYTES_MAX {
            let text = format!(
                "the session has {} bytes, {bytes} as a cookie: browsers take {PAIR_BYTES_MAX}; a longer one needs a store",
                save.text.len(),
            );
            return Err(Error::internal(text));
        }
        Ok(Some(value))
    }

    async fn prolong(
        &self,
        name: &str,
        cookie: String,
        _: &str,
        text: String,
        age: Duration,
    ) -> Result<Option<String>> {
        self.save(name, Save { old: Some(cookie), renewed: false, text, age }).await
    }

    async fn remove(&self, _: &str) -> Result<()> {
        Ok(())
    }
}

struct InStore<T>(T);

impl<T: Store> Place for InStore<T> {
    const SEES_CHANGES: bool = true;

    async fn load(&self, _: &str, cookie: &str) -> Result<Option<String>> {
        if is_id(cookie) { self.0.load(cookie).await } else { Ok(None) }
    }

    async fn save(&self, _: &str, save: Save) -> Result<Option<String>> {
        if let (Some(old), false) = (&save.old, save.renewed) {
            let kept = self.0.replace(old, save.text, save.age).await?;
            return Ok(if kept { save.old } else { None });
        }
        let id = new_id();
        self.0.insert(&id, save.text, save.age).await?;
        let Some(old) = save.old else { return Ok(Some(id)) };
        // Behind the new one, so that a store that fails loses nothing. Replaced by what is over before it is removed, because
        // that says whether it was still there: what was ended meanwhile does not come back by another name.
        if !self.0.replace(&old, Record::default().write(usize::MAX)?, save.age).await? {
            self.0.remove(&id).await?;
            return Ok(None);
        }
        self.0.remove(&old).await?;
        Ok(Some(id))
    }

    async fn prolong(
        &self,
        _: &str,
        cookie: String,
        kept: &str,
        text: String,
        age: Duration,
    ) -> Result<Option<String>> {
        let is_kept = self.0.replace_unchanged(&cookie, kept, text, age).await?;
        Ok(is_kept.then_some(cookie))
    }

    async fn remove(&self, cookie: &str) -> Result<()> {
        self.0.remove(cookie).await
    }
}
