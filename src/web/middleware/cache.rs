//! Answers to GET that are kept for the next who asks, and made once for all who ask at the same time.
#![forbid(unsafe_code)]

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    AGE, AUTHORIZATION, CONNECTION, CONTENT_RANGE, COOKIE, EXPIRES, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, SET_COOKIE, TRAILER, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use ringhttp_runtime::cache::{Cache, CacheConfig, CacheStats};
use ringhttp_runtime::time::{Instant, Timers};

use crate::conn::{Request, Response};
use crate::proto::cache_control::CacheControl;
use crate::proto::conditional::date;
use crate::proto::http1::elements;
use crate::web::Next;
#[cfg(feature = "sessions")]
use crate::web::session::Session;

/// What a [`ResponseCache`] keeps, on one core.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResponseCacheConfig {
    /// Answers that are kept, and notes about what answers depend on. Default 1000. Beyond: the one that was used longest
    /// ago goes.
    pub entries_max: usize,
    /// Bytes of all of them, with their keys and fields. Default 64 MiB. Beyond: as `entries_max`.
    pub bytes_max: usize,
    /// Bytes of the body of an answer that is kept. Default 1 MiB. A longer one is not kept.
    pub body_bytes_max: usize,
    /// How long an answer is given that does not say so itself by `Cache-Control` or `Expires`. Default 300 s. Zero keeps
    /// only those that do.
    pub ttl: Duration,
    /// How long it is remembered that an answer may not be kept: until then, those who ask at the same time do not wait for
    /// each other. Default 1 s.
    pub pass_ttl: Duration,
    /// Whether requests with cookies are served from the cache, and fill it. Default: they pass, since what they are answered
    /// may be theirs alone.
    pub with_cookies: bool,
}

impl Default for ResponseCacheConfig {
    fn default() -> Self {
        Self {
            entries_max: 1000,
            bytes_max: 64 * 1024 * 1024,
            body_bytes_max: 1024 * 1024,
            ttl: Duration::from_secs(300),
            pass_ttl: Duration::from_secs(1),
            with_cookies: false,
        }
    }
}

/// Keeps the answers of the handlers behind it, as a shared cache (RFC 9111) of one core.
///
/// Kept are answers of 200 to GET whose body is in memory, by scheme and host ([`Request::scheme`], [`Request::host`]), path
/// and query, and by the request fields that their `Vary` names. They are given to GET and HEAD, with an `Age`. Several who miss the same answer wait for one
/// handler; when that one goes away, the next in line takes its place.
///
/// `Cache-Control` of the answer is obeyed (`no-store`, `private`, `no-cache`, `s-maxage`, `max-age`), or else its `Expires`;
/// `Cache-Control` of the request is not: clients cannot make the server work. Never kept are answers with `Set-Cookie` or `Vary: *`,
/// and those that a session was used for whose middleware stands outside. Requests with
/// `Authorization`, a range, or a body pass by, those with cookies unless the configuration says otherwise; conditional
/// ones are given what is kept in full, and otherwise pass: put what answers 304 outside. A stale answer is never given.
/// A successful request of an unsafe method takes out what is kept of its target (RFC 9111 §4.4).
///
/// What handlers put into [`Response::extensions`] is not kept.
///
/// Takes a [`ResponseCacheConfig`], or a [`ResponseCache`] to take answers out by.
///
/// ```
/// use ringhttp::middleware::{ResponseCache, ResponseCacheConfig, cache};
/// use ringhttp::{Request, Router};
///
/// async fn front_page(_: &(), _: Request) -> &'static str { "made with much effort\n" }
///
/// let pages = ResponseCache::new(ResponseCacheConfig::default());
/// let router = Router::new().get("/", front_page).with(cache(pages.clone()));
/// pages.remove("example.org", "/");
/// # assert!(router.into_service(()).is_ok());
/// ```
pub fn cache<S: 'static>(
    answers: impl Into<ResponseCache>,
) -> impl AsyncFn(&S, Request, Next<'_, S>) -> Response + 'static {
    let answers = answers.into();
    async move |_: &S, request: Request, next: Next<'_, S>| answers.answer(request, next).await
}

/// The answers that a [`cache`] of one core keeps. Cloning gives another handle to the same.
///
/// Each core has its own: to take an answer out everywhere, tell all cores ([`Core::broadcast`](crate::Core::broadcast)).
#[derive(Clone)]
pub struct ResponseCache(Rc<Inner>);

struct Inner {
    config: ResponseCacheConfig,
    /// Made with the first request, on its core's clock.
    kept: OnceCell<Kept>,
    /// The number of the next note about fields.
    next_note: Cell<u64>,
}

type Kept = Cache<Key, Entry, CannotKeep>;

/// Scheme, host, path and query; for one of several variants the number of their note and the values of its fields as well.
type Key = Rc<[u8]>;

#[derive(Clone)]
enum Entry {
    Answer(Rc<Answer>),
    /// The answers depend on fields of the request.
    Varies(Rc<Note>),
}

struct Answer {
    headers: HeaderMap,
    body: Bytes,
    since: Instant,
    /// How old it was when it came.
    age: u64,
}

/// Which fields select a variant. A new note has a new number, so that variants of an old one are never found by it.
struct Note {
    number: u64,
    fields: Box<[HeaderName]>,
}

/// The answer is for one request only.
struct CannotKeep;

/// A handler that may still be asked, and what it has answered to this request.
struct Origin<'a, S> {
    call: Option<(Request, Next<'a, S>)>,
    response: Option<Response>,
}

impl<S> Origin<'_, S> {
    fn request(&self) -> Option<&Request> {
        self.call.as_ref().map(|(request, _)| request)
    }

    async fn ask(&mut self) -> Option<&mut Response> {
        let (request, next) = self.call.take()?;
        self.response = Some(next.run(request).await);
        self.response.as_mut()
    }

    /// The answer that came, or that comes now.
    async fn answer(mut self) -> Response {
        if self.response.is_none() {
            self.ask().await;
        }
        self.response.expect("a handler that was not asked before was asked now")
    }
}

impl ResponseCache {
    /// A cache with nothing in it.
    #[must_use]
    pub fn new(config: ResponseCacheConfig) -> Self {
        Self(Rc::new(Inner { config, kept: OnceCell::new(), next_note: Cell::new(0) }))
    }

    /// Takes out what is kept of a host's path and query, in all variants and for both schemes. Both are as clients send them,
    /// so `host` with a port if there is one: `"localhost:8080"`, `"/users?page=2"`.
    /// What a handler is making right now is not kept either.
    pub fn remove(&self, host: &str, target: &str) {
        if let Some(kept) = self.0.kept.get() {
            let (path, query) =
                target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
            take_out(kept, host, path, query);
        }
    }

    /// Takes everything out.
    pub fn clear(&self) {
        if let Some(kept) = self.0.kept.get() {
            kept.clear();
        }
    }

    /// Answers and notes that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.kept.get().map_or(0, Cache::len)
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of what is kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.kept.get().map_or(0, Cache::weight)
    }

    /// What was counted; `None` before the first request. An answer with variants counts twice: its note is looked up first.
    #[must_use]
    pub fn stats(&self) -> Option<&CacheStats> {
        self.0.kept.get().map(Cache::stats)
    }

    fn kept(&self, timers: &Timers) -> &Kept {
        self.0.kept.get_or_init(|| {
            let mut config = CacheConfig::default();
            config.entries_max = self.0.config.entries_max;
            config.weight_max = Some(self.0.config.bytes_max);
            config.ttl = self.0.config.ttl;
            config.failure_ttl = self.0.config.pass_ttl;
            Cache::with_weigher(timers, config, |key: &Key, entry: Option<&Entry>| {
                key.len() + entry.map_or(0, Entry::bytes)
            })
        })
    }

    async fn answer<S>(&self, request: Request, next: Next<'_, S>) -> Response {
        let kept = self.kept(request.timers());
        let timers = request.timers().clone();
        let way = self.way_of(&request);
        let host = request.host().unwrap_or_default();
        let key = key_of(request.scheme(), &host, request.path(), request.query_string());
        match way {
            Way::Through => next.run(request).await,
            Way::Invalidating => {
                let (host, target) = (host.into_owned(), request.target().clone());
                let response = next.run(request).await;
                if response.status().is_success() || response.status().is_redirection() {
                    take_out(kept, &host, target.path(), target.query());
                }
                response
            }
            Way::LookingOnly => match look_up(kept, &key, &request) {
                Some(answer) => answer.give(&timers),
                None => next.run(request).await,
            },
            Way::Filling => {
                let mut origin = Origin { call: Some((request, next)), response: None };
                match self.find_or_make(kept, key, &timers, &mut origin).await {
                    Some(answer) if origin.response.is_none() => answer.give(&timers),
                    _ => origin.answer().await,
                }
            }
        }
    }

    /// What is kept, or is made now: by this request, in which case its answer is in `origin`, or by another one. `None` if
    /// it cannot be shared.
    async fn find_or_make<S>(
        &self,
        kept: &Kept,
        key: Key,
        timers: &Timers,
        origin: &mut Origin<'_, S>,
    ) -> Option<Rc<Answer>> {
        let (found, selected) = {
            let first = kept.get_or_fill_for(Rc::clone(&key), async || {
                let selecting = Selecting { key: &key, note: None };
                self.make(kept, selecting, timers, origin).await
            });
            match first.await.ok()? {
                Entry::Answer(answer) => return Some(answer),
                Entry::Varies(note) => {
                    // Who made the note has its answer already.
                    let selected = note.select(&key, origin.request()?);
                    (note, selected)
                }
            }
        };
        let second = kept.get_or_fill_for(selected, async || {
            let selecting = Selecting { key: &key, note: Some(&found) };
            self.make(kept, selecting, timers, origin).await
        });
        match second.await.ok()? {
            Entry::Answer(answer) => Some(answer),
            Entry::Varies(_) => None,
        }
    }

    /// Asks the handler, and says what of its answer is to be kept where it was looked for.
    async fn make<S>(
        &self,
        kept: &Kept,
        selecting: Selecting<'_>,
        timers: &Timers,
        origin: &mut Origin<'_, S>,
    ) -> Result<(Entry, Duration), CannotKeep> {
        // The request is gone when its answer tells which of its fields matter.
        let fields = origin.request().ok_or(CannotKeep)?.headers().clone();
        #[cfg(feature = "sessions")]
        let session = origin.request().and_then(|request| request.extensions().get::<Session>().cloned());
        let response = origin.ask().await.ok_or(CannotKeep)?;
        #[cfg(feature = "sessions")]
        if session.is_some_and(|session| session.was_seen()) {
            // The middleware that would say so in the answer stands outside.
            return Err(CannotKeep);
        }
        let ttl = self.ttl_of(response).ok_or(CannotKeep)?;
        let varies = varying_fields(response.headers()).ok_or(CannotKeep)?;
        let answer = Entry::Answer(Rc::new(Answer::copy_of(response, timers.now()).ok_or(CannotKeep)?));
        match selecting.note {
            Some(note) if *note.fields == *varies => return Ok((answer, ttl)),
            None if varies.is_empty() => return Ok((answer, ttl)),
            _ => {}
        }
        // What the answers depend on is new, or is not what it was: a new note, and this answer as its first variant.
        let number = self.0.next_note.replace(self.0.next_note.get() + 1);
        let note = Rc::new(Note { number, fields: varies });
        kept.insert_for(note.select_by(selecting.key, &fields), answer, ttl);
        if let Some(old) = selecting.note {
            // Unless it was taken out meanwhile: what was made before is out of date then.
            if matches!(kept.get(&selecting.key[..]), Some(Entry::Varies(now)) if now.number == old.number) {
                kept.insert_for(Rc::clone(selecting.key), Entry::Varies(note), ttl);
            }
            return Err(CannotKeep);
        }
        Ok((Entry::Varies(note), ttl))
    }

    /// How long an answer may be given to others; `None` if it may not.
    fn ttl_of(&self, response: &Response) -> Option<Duration> {
        let headers = response.headers();
        let said = CacheControl::of(headers);
        let is_whole = response.status() == StatusCode::OK && !headers.contains_key(CONTENT_RANGE);
        let is_theirs = headers.contains_key(SET_COOKIE) || said.forbids;
        let fits = response.body().as_bytes().is_some_and(|body| body.len() <= self.0.config.body_bytes_max);
        let is_of_connection = headers.contains_key(CONNECTION) || headers.contains_key(TRAILER);
        if !is_whole || is_theirs || !fits || is_of_connection {
            return None;
        }
        let fresh = match (said.fresh_seconds, headers.get(EXPIRES)) {
            (Some(seconds), _) => Duration::from_secs(seconds.into()),
            // RFC 9111 §5.3: what is no date has passed.
            (None, Some(expires)) => date(expires).map_or(Duration::ZERO, from_now),
            (None, None) => self.0.config.ttl,
        };
        let left = fresh.saturating_sub(Duration::from_secs(age_of(headers)));
        (!left.is_zero()).then_some(left)
    }

    fn way_of(&self, request: &Request) -> Way {
        let headers = request.headers();
        let has = |names: &[HeaderName]| names.iter().any(|name| headers.contains_key(name));
        let method = request.method();
        if !method.is_safe() {
            return Way::Invalidating;
        }
        let is_read = *method == Method::GET || *method == Method::HEAD;
        let is_special =
            has(&[AUTHORIZATION, RANGE, IF_RANGE]) || request.has_body() || request.wants_upgrade();
        if !is_read || is_special || (has(&[COOKIE]) && !self.0.config.with_cookies) {
            return Way::Through;
        }
        let is_conditional = has(&[IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE]);
        if *method == Method::HEAD || is_conditional { Way::LookingOnly } else { Way::Filling }
    }
}

/// How a request goes by the cache.
enum Way {
    Through,
    /// What is kept is out of date behind it.
    Invalidating,
    /// Its answer would not be one for others.
    LookingOnly,
    Filling,
}

/// Where an answer was looked for.
struct Selecting<'a> {
    key: &'a Key,
    note: Option<&'a Note>,
}

fn look_up(kept: &Kept, key: &Key, request: &Request) -> Option<Rc<Answer>> {
    let entry = match kept.get(key)? {
        Entry::Varies(note) => kept.get(&note.select(key, request))?,
        answer @ Entry::Answer(_) => answer,
    };
    match entry {
        Entry::Answer(answer) => Some(answer),
        Entry::Varies(_) => None,
    }
}

/// A line break separates the parts: none of them can have one. Host and scheme are those that handlers see and make links
/// of, so that what a proxy says in place of a client never gets into another host's answers.
fn key_of(scheme: &str, host: &str, path: &str, query: Option<&str>) -> Key {
    let (mark, query) = query.map_or(("", ""), |query| ("?", query));
    [scheme, "\n", &host.to_ascii_lowercase(), "\n", path, mark, query].concat().into_bytes().into()
}

fn take_out(kept: &Kept, host: &str, path: &str, query: Option<&str>) {
    for scheme in ["http", "https"] {
        kept.remove(&key_of(scheme, host, path, query)[..]);
    }
}

/// How long it is until a time; zero if it has passed.
fn from_now(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::now()).unwrap_or_default()
}

/// The fields that an answer depends on, in order; `None` if on everything (RFC 9110 §12.5.5).
fn varying_fields(headers: &HeaderMap) -> Option<Box<[HeaderName]>> {
    let mut fields = Vec::new();
    for name in elements(headers, VARY) {
        // `*` is a token, and so would be a name.
        fields.push(HeaderName::from_bytes(name).ok().filter(|_| name != b"*")?);
    }
    fields.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    fields.dedup();
    Some(fields.into())
}

fn age_of(headers: &HeaderMap) -> u64 {
    let age = headers.get(AGE).and_then(|age| age.to_str().ok());
    age.map_or(0, |age| age.trim().parse().unwrap_or(u64::MAX))
}

impl Note {
    fn select(&self, key: &Key, request: &Request) -> Key {
        self.select_by(key, request.headers())
    }

    fn select_by(&self, key: &Key, headers: &HeaderMap) -> Key {
        let mut selected = [&key[..], b"\n", &self.number.to_be_bytes()].concat();
        for name in &self.fields {
            for value in headers.get_all(name) {
                // A value may have any byte but this one.
                selected.extend_from_slice(b"\n+");
                selected.extend_from_slice(value.as_bytes());
            }
            selected.extend_from_slice(b"\n.");
        }
        selected.into()
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        match self {
            Self::Answer(answer) => size_of::<Answer>() + answer.body.len() + fields_bytes(&answer.headers),
            Self::Varies(note) => {
                size_of::<Note>() + note.fields.iter().map(|name| name.as_str().len()).sum::<usize>()
            }
        }
    }
}

fn fields_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES).sum()
}

/// What a map takes for a field beside its text, about.
const FIELD_OVERHEAD_BYTES: usize = 100;

impl Answer {
    /// A copy that holds on to no buffer of somebody else: views of a request's bytes would keep all of them.
    fn copy_of(response: &Response, since: Instant) -> Option<Self> {
        let body = Bytes::copy_from_slice(response.body().as_bytes()?);
        let mut headers = HeaderMap::with_capacity(response.headers().len());
        for (name, value) in response.headers() {
            let mut copy = HeaderValue::from_bytes(value.as_bytes()).ok()?;
            copy.set_sensitive(value.is_sensitive());
            headers.append(name.clone(), copy);
        }
        Some(Self { age: age_of(&headers), headers, body, since })
    }

    fn give(&self, timers: &Timers) -> Response {
        let mut response = Response::new(self.body.clone());
        response.headers_mut().clone_from(&self.headers);
        let age = self.age.saturating_add((timers.now() - self.since).as_secs());
        response.with_header(AGE, HeaderValue::from(age))
    }
}

impl From<ResponseCacheConfig> for ResponseCache {
    fn from(config: ResponseCacheConfig) -> Self {
        Self::new(config)
    }
}

impl fmt::Debug for ResponseCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseCache").field("len", &self.len()).field("bytes", &self.bytes()).finish()
    }
}
