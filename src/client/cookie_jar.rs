//! Cookies that servers have set, and which of them go back with a request (RFC 6265bis §5.7, §5.8).
//!
//! A client is no browser: it shows nothing of one site within another, so `SameSite` is kept and decides nothing. Without
//! the feature `psl` only domains without a dot are known to be nobody's own; with it those of the Public Suffix List are.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::SystemTime;

use http::HeaderMap;
use http::header::SET_COOKIE;

use super::location::Location;
use crate::proto::cookie::{ReceivedCookie, SameSite};

#[cfg(feature = "json")]
mod json;

/// The cookies of a client. Cloning gives another handle to the same.
///
/// At most 50 cookies of a domain are kept, and 3000 in all; then those go that were not sent for longest, expired ones
/// first and `Secure` ones last. No cookie is kept for longer than 400 days.
///
/// ```
/// use ringhttp::client::CookieJar;
///
/// let jar = CookieJar::new();
/// jar.set("http://a.example/docs/x", "theme=dark; Max-Age=60").expect("it may be set");
/// assert_eq!(jar.field_for("http://a.example/docs/y").as_deref(), Some("theme=dark"));
/// assert_eq!(jar.field_for("http://b.example/"), None);
/// ```
#[derive(Clone, Default)]
pub struct CookieJar(Rc<RefCell<Jar>>);

/// A cookie that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredCookie {
    /// Its name; empty for one that was set without.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host that set it, or the domain whose hosts it goes to.
    pub domain: String,
    /// It goes to that very host only, and to none below.
    pub host_only: bool,
    /// It goes to this path and what is below.
    pub path: String,
    /// Until when it is kept; `None`: as long as the jar.
    pub expires: Option<SystemTime>,
    /// It goes over https only.
    pub secure: bool,
    /// It is hidden from scripts.
    pub http_only: bool,
    /// Whether it goes along with what other sites cause.
    pub same_site: Option<SameSite>,
}

/// Why a cookie was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CookieRefused {
    /// The domain is not the host's own, or is nobody's own.
    Domain,
    /// It is no cookie.
    Malformed,
    /// Its attributes do not keep what the prefix of its name promises.
    Prefix,
    /// It is `Secure` and did not come over https, or would take the place of one that is and did.
    Secure,
    /// The URL is none that cookies can come from.
    Url,
}

impl fmt::Display for CookieRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Domain => "the cookie is for a domain that is not the server's own",
            Self::Malformed => "the field is no cookie",
            Self::Prefix => "the cookie does not keep what the prefix of its name promises",
            Self::Secure => "the cookie needs https",
            Self::Url => "the URL is none that cookies come from",
        })
    }
}

impl std::error::Error for CookieRefused {}

#[derive(Default)]
struct Jar {
    /// By domain.
    cookies: HashMap<Box<str>, Vec<Entry>>,
    count: usize,
    /// Orders what was made and used.
    clock: u64,
}

struct Entry {
    cookie: StoredCookie,
    made: u64,
    used: u64,
}

impl CookieJar {
    /// An empty jar.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what one `Set-Cookie` field of an answer from `url` says. A cookie whose time is over removes the one it names.
    ///
    /// # Errors
    /// [`CookieRefused`].
    pub fn set(&self, url: &str, field: &str) -> Result<(), CookieRefused> {
        let location = locate(url)?;
        let received = ReceivedCookie::parse(field.as_bytes()).ok_or(CookieRefused::Malformed)?;
        self.0.borrow_mut().take(&location, received, SystemTime::now())
    }

    /// The `Cookie` field of a request for `url`; `None` if there is none.
    #[must_use]
    pub fn field_for(&self, url: &str) -> Option<String> {
        self.field_at(&locate(url).ok()?)
    }

    /// The cookies that are kept, expired ones left out, in the order in which they were made.
    #[must_use]
    pub fn cookies(&self) -> Vec<StoredCookie> {
        let (jar, now) = (self.0.borrow(), SystemTime::now());
        let mut entries: Vec<_> =
            jar.cookies.values().flatten().filter(|entry| entry.is_alive(now)).collect();
        entries.sort_by_key(|entry| entry.made);
        entries.into_iter().map(|entry| entry.cookie.clone()).collect()
    }

    /// Forgets all cookies.
    pub fn clear(&self) {
        self.0.take();
    }

    pub(super) fn field_at(&self, location: &Location) -> Option<String> {
        self.0.borrow_mut().field(location, SystemTime::now())
    }

    /// Takes the cookies of an answer; those that may not be set are passed over.
    pub(super) fn take_from(&self, location: &Location, headers: &HeaderMap) {
        if !headers.contains_key(SET_COOKIE) {
            return;
        }
        let now = SystemTime::now();
        for field in headers.get_all(SET_COOKIE) {
            if let Some(received) = ReceivedCookie::parse(field.as_bytes()) {
                let _ = self.0.borrow_mut().take(location, received, now);
            }
        }
    }
}

fn locate(url: &str) -> Result<Location, CookieRefused> {
    Location::parse(url, None).map(|(location, _)| location).map_err(|_| CookieRefused::Url)
}

impl Jar {
    /// RFC 6265bis §5.7.
    fn take(
        &mut self,
        location: &Location,
        received: ReceivedCookie,
        now: SystemTime,
    ) -> Result<(), CookieRefused> {
        if received.secure && !location.is_https() {
            return Err(CookieRefused::Secure);
        }
        if !received.keeps_prefix() {
            return Err(CookieRefused::Prefix);
        }
        let (domain, host_only) = domain_of(location, received.domain.as_deref())?;
        let path = received.path.unwrap_or_else(|| default_path(location.path()).to_owned());
        let expires = match received.max_age {
            Some(age) => Some(now + age),
            None => received.expires,
        };
        let cookie = StoredCookie {
            name: received.name,
            value: received.value,
            domain,
            host_only,
            path,
            expires: expires.map(|at| at.min(now + LIFETIME_MAX)),
            secure: received.secure,
            http_only: received.http_only,
            same_site: received.same_site,
        };
        if !location.is_https() && self.shadows_secure(&cookie, now) {
            return Err(CookieRefused::Secure);
        }
        self.put(cookie, now);
        Ok(())
    }

    /// RFC 6265bis §5.7, "leave secure cookies alone": whether one that came over http would be sent beside or in place of
    /// one that is `Secure`.
    fn shadows_secure(&self, cookie: &StoredCookie, now: SystemTime) -> bool {
        let is_related =
            |domain: &str| domain_matches(domain, &cookie.domain) || domain_matches(&cookie.domain, domain);
        let of_domains = self.cookies.iter().filter(|(domain, _)| is_related(domain));
        let mut alive = of_domains.flat_map(|(_, entries)| entries).filter(|entry| entry.is_alive(now));
        alive.any(|entry| {
            let other = &entry.cookie;
            other.secure && other.name == cookie.name && path_matches(&cookie.path, &other.path)
        })
    }

    fn put(&mut self, cookie: StoredCookie, now: SystemTime) {
        let number = self.tick();
        let entries = self.cookies.entry(cookie.domain.as_str().into()).or_default();
        let is_same = |entry: &Entry| {
            let other = &entry.cookie;
            (&other.name, &other.path, other.host_only) == (&cookie.name, &cookie.path, cookie.host_only)
        };
        let before = entries.iter().position(is_same).map(|at| entries.swap_remove(at));
        self.count -= usize::from(before.is_some());
        // In place of one whose time is over it is a new one.
        let before = before.filter(|before| before.is_alive(now));
        let entry = Entry { made: before.map_or(number, |before| before.made), used: number, cookie };
        if entry.is_alive(now) {
            entries.push(entry);
            self.count += 1;
            if entries.len() > DOMAIN_COOKIES_MAX {
                self.count -= shrink(entries, now, DOMAIN_COOKIES_MAX);
            }
        } else if entries.is_empty() {
            let domain = entry.cookie.domain;
            self.cookies.remove(domain.as_str());
        }
        if self.count > COOKIES_MAX {
            self.shrink_all(now);
        }
    }

    /// Makes room for a tenth: done rarely, it may look at everything.
    fn shrink_all(&mut self, now: SystemTime) {
        self.cookies.values_mut().for_each(|entries| entries.retain(|entry| entry.is_alive(now)));
        let mut worths: Vec<_> = self.cookies.values().flatten().map(Entry::worth).collect();
        worths.sort_unstable();
        let surplus = worths.len().saturating_sub(COOKIES_MAX - COOKIES_MAX / 10);
        if let Some(least_kept) = worths.get(surplus).filter(|_| surplus > 0) {
            let least_kept = *least_kept;
            self.cookies.values_mut().for_each(|entries| entries.retain(|entry| entry.worth() >= least_kept));
        }
        self.cookies.retain(|_, entries| !entries.is_empty());
        self.count = self.cookies.values().map(Vec::len).sum();
    }

    /// RFC 6265bis §5.8.3.
    fn field(&mut self, location: &Location, now: SystemTime) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        let number = self.tick();
        let (host, path) = (location.host(), location.path());
        let mut found: Vec<(usize, u64, String)> = Vec::new();
        for (domain, is_host) in domains_of(host, location.ip().is_some()) {
            let Some(entries) = self.cookies.get_mut(domain) else { continue };
            for entry in entries.iter_mut().filter(|entry| entry.is_alive(now)) {
                let cookie = &entry.cookie;
                let goes = (is_host || !cookie.host_only)
                    && path_matches(path, &cookie.path)
                    && (!cookie.secure || location.is_https());
                if goes {
                    entry.used = number;
                    found.push((usize::MAX - cookie.path.len(), entry.made, cookie.pair()));
                }
            }
        }
        // Longer paths first, then those that were made earlier.
        found.sort();
        let pairs: Vec<String> = found.into_iter().map(|(_, _, pair)| pair).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

impl Entry {
    fn is_alive(&self, now: SystemTime) -> bool {
        self.cookie.expires.is_none_or(|expires| expires > now)
    }

    /// What is worth least goes first: one that is `Secure` never makes room for one that came over http, which could be a
    /// forged one of its name (RFC 6265bis §5.7).
    fn worth(&self) -> (bool, u64) {
        (self.cookie.secure, self.used)
    }
}

impl StoredCookie {
    fn pair(&self) -> String {
        if self.name.is_empty() { self.value.clone() } else { format!("{}={}", self.name, self.value) }
    }
}

/// Drops expired cookies, then the one worth least, until there are `max`; gives how many it were.
fn shrink(entries: &mut Vec<Entry>, now: SystemTime, max: usize) -> usize {
    let before = entries.len();
    entries.retain(|entry| entry.is_alive(now));
    while entries.len() > max {
        let least = entries.iter().enumerate().min_by_key(|(_, entry)| entry.worth()).map(|(at, _)| at);
        entries.swap_remove(least.expect("there are more than `max`"));
    }
    before - entries.len()
}

/// The domain of a cookie, and whether it is for that host only.
fn domain_of(location: &Location, attribute: Option<&str>) -> Result<(String, bool), CookieRefused> {
    let host = location.host();
    let Some(domain) = attribute else { return Ok((host.to_owned(), true)) };
    let is_address = location.ip().is_some();
    if domain == host {
        return Ok((domain.to_owned(), is_address || is_public_suffix(domain)));
    }
    let is_own = !is_address && domain_matches(host, domain) && !is_public_suffix(domain);
    if is_own { Ok((domain.to_owned(), false)) } else { Err(CookieRefused::Domain) }
}

/// RFC 6265bis §5.1.3, of hosts that are no addresses.
fn domain_matches(host: &str, domain: &str) -> bool {
    let below = host.strip_suffix(domain);
    below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

/// A host and the domains that it is in, with whether it is the host itself.
fn domains_of(host: &str, is_address: bool) -> impl Iterator<Item = (&str, bool)> {
    fn above<'host>(domain: &&'host str) -> Option<&'host str> {
        domain.split_once('.').map(|(_, above)| above)
    }
    let all = std::iter::successors(Some(host), above);
    let count = if is_address { 1 } else { usize::MAX };
    all.take(count).map(move |domain| (domain, domain.len() == host.len()))
}

/// RFC 6265bis §5.1.4.
fn path_matches(path: &str, cookie_path: &str) -> bool {
    path.strip_prefix(cookie_path)
        .is_some_and(|rest| rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/'))
}

/// RFC 6265bis §5.1.4: the directory of a path.
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &path[..end],
    }
}

/// Whether anybody may register names below a domain, so that no cookie may be for all of them.
#[cfg(feature = "psl")]
fn is_public_suffix(domain: &str) -> bool {
    let domain = without_root(domain);
    psl::suffix_str(domain).is_none_or(|suffix| suffix.len() == domain.len())
}

/// Whether anybody may register names below a domain, so that no cookie may be for all of them.
#[cfg(not(feature = "psl"))]
fn is_public_suffix(domain: &str) -> bool {
    !without_root(domain).contains('.')
}

/// A domain without the dot of the root: with it, it is the same domain to DNS.
fn without_root(domain: &str) -> &str {
    domain.strip_suffix('.').unwrap_or(domain)
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieJar").field("count", &self.0.borrow().count).finish_non_exhaustive()
    }
}

/// RFC 6265bis §5.5: no cookie lives longer.
const LIFETIME_MAX: std::time::Duration = std::time::Duration::from_secs(400 * 24 * 60 * 60);

/// Cookies of a domain: what browsers keep at least (RFC 6265bis §6.1).
const DOMAIN_COOKIES_MAX: usize = 50;

/// Cookies of a jar: what browsers keep at least (RFC 6265bis §6.1).
const COOKIES_MAX: usize = 3000;

#[cfg(test)]
mod tests;
