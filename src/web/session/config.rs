//! The settings of sessions.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::proto::cookie::{SameSite, SetCookie};

/// How long sessions last, and what their cookie says. The cookie is always hidden from scripts (`HttpOnly`).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionConfig {
    /// The cookie's name. Default: `__Host-session`, with which browsers let no other host set it.
    pub name: Cow<'static, str>,
    /// The path below which the cookie is sent back. Default: `/`.
    pub path: Cow<'static, str>,
    /// The host that it is sent back to, with all hosts below. Default: none, only the host itself.
    pub domain: Option<Cow<'static, str>>,
    /// Sent back over TLS only. Default: true. [`insecure`](Self::insecure) turns it off.
    pub secure: bool,
    /// Whether it is sent back with requests that other sites cause. Default: [`SameSite::Lax`].
    pub same_site: SameSite,
    /// How long a session lasts without a request, in whole seconds. Default: 14 days; after that it is empty. Requests
    /// prolong it once half of it is over, so that most of them set no cookie. One that is kept in its cookie is prolonged only
    /// by requests for which it was used: a copy of before that is sent back would undo what another request changed meanwhile.
    pub idle_timeout: Duration,
    /// How long it lasts at most, from its beginning or from [`renew`](super::Session::renew), in whole seconds. Default:
    /// 90 days. `None`: as long as it is used.
    pub lifetime_max: Option<Duration>,
    /// Bytes of a session, as JSON. Default: 64 KiB; a longer one is answered 500. In a cookie it also has to fit into
    /// 4096 bytes encrypted, which is about 3000 bytes of JSON.
    pub bytes_max: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            name: Cow::Borrowed("__Host-session"),
            path: Cow::Borrowed("/"),
            domain: None,
            secure: true,
            same_site: SameSite::Lax,
            idle_timeout: Duration::from_secs(14 * DAY),
            lifetime_max: Some(Duration::from_secs(90 * DAY)),
            bytes_max: 64 * 1024,
        }
    }
}

impl SessionConfig {
    /// For plain HTTP, as in tests: the cookie is called `session` and may go over the wire unprotected.
    #[must_use]
    pub fn insecure() -> Self {
        Self { name: Cow::Borrowed("session"), secure: false, ..Self::default() }
    }

    /// The cookie with this value, kept for `age`.
    pub(in crate::web) fn cookie(&self, value: String, age: Duration) -> SetCookie {
        let mut cookie = SetCookie::new(self.name.clone(), value);
        cookie.max_age = Some(age);
        self.finish(cookie)
    }

    /// What removes the cookie.
    pub(in crate::web) fn removal(&self) -> SetCookie {
        self.finish(SetCookie::removal(self.name.clone()))
    }

    fn finish(&self, cookie: SetCookie) -> SetCookie {
        SetCookie {
            path: Some(self.path.clone()),
            domain: self.domain.clone(),
            secure: self.secure,
            http_only: true,
            same_site: Some(self.same_site),
            ..cookie
        }
    }

    /// Says what cannot work, before there is a request.
    pub(in crate::web) fn check(&self) -> Result<()> {
        if self.idle_timeout.as_secs() == 0 {
            return Err(Error::internal("SessionConfig::idle_timeout must be at least a second"));
        }
        if self.lifetime_max.is_some_and(|most| most.as_secs() == 0) {
            return Err(Error::internal("SessionConfig::lifetime_max must be at least a second"));
        }
        let encoded = self.removal().encode();
        encoded.map(drop).map_err(|error| Error::internal(format!("SessionConfig: {error}")))
    }
}

const DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused() {
        type Case = (fn(&mut SessionConfig), bool);
        let cases: [Case; 8] = [
            (|_| {}, true),
            (|config| *config = SessionConfig::insecure(), true),
            (|config| config.secure = false, false),
            (|config| config.domain = Some("example.com".into()), false),
            (|config| (config.name, config.domain) = ("sid".into(), Some("example.com".into())), true),
            (|config| config.path = "/\r\n".into(), false),
            (|config| config.idle_timeout = Duration::from_millis(999), false),
            (|config| config.lifetime_max = Some(Duration::ZERO), false),
        ];
        for (change, works) in cases {
            let mut config = SessionConfig::default();
            change(&mut config);
            assert_eq!(config.check().is_ok(), works, "{config:?}");
        }
    }
}
