//! What is kept of a session between requests: its values, and how old it is; and the ids of those in a store.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::config::SessionConfig;
use crate::error::{Error, Result};

/// A session at rest. Times are whole seconds since 1970; names are short because cookies are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::web) struct Record {
    pub(in crate::web) created: u64,
    pub(in crate::web) expires: u64,
    pub(in crate::web) values: BTreeMap<String, Value>,
}

impl Record {
    /// A record whose time begins now.
    pub(in crate::web) fn new(
        values: BTreeMap<String, Value>,
        created: u64,
        now: u64,
        config: &SessionConfig,
    ) -> Self {
        let idle = now.saturating_add(config.idle_timeout.as_secs());
        let last = config.lifetime_max.map_or(u64::MAX, |most| created.saturating_add(most.as_secs()));
        Self { created, expires: idle.min(last), values }
    }

    /// Reads what [`write`](Self::write) wrote. `None`: it is over, or it is something else.
    pub(in crate::web) fn read(text: &str, now: u64) -> Option<Self> {
        let (created, expires, values) = serde_json::from_str(text).ok()?;
        (now < expires).then_some(Self { created, expires, values })
    }

    pub(in crate::web) fn write(&self, bytes_max: usize) -> Result<String> {
        let text = serde_json::to_string(&(self.created, self.expires, &self.values))?;
        if text.len() > bytes_max {
            let text =
                format!("the session has {} bytes, of SessionConfig::bytes_max = {bytes_max}", text.len());
            return Err(Error::internal(text));
        }
        Ok(text)
    }

    /// Whether more than half of the time without a request is over, and more can be had.
    pub(in crate::web) fn is_due(&self, now: u64, config: &SessionConfig) -> bool {
        let prolonged = Self::new(BTreeMap::new(), self.created, now, config).expires;
        self.expires.saturating_sub(now) < config.idle_timeout.as_secs().div_ceil(2)
            && prolonged > self.expires
    }

    pub(in crate::web) fn age_left(&self, now: u64) -> Duration {
        Duration::from_secs(self.expires.saturating_sub(now))
    }
}

/// Seconds since 1970.
pub(in crate::web) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A new id: 192 random bits, in base64.
pub(in crate::web) fn new_id() -> String {
    // A key is nothing but bytes of the generator that keys deserve.
    URL_SAFE_NO_PAD.encode(&cookie::Key::generate().master()[..ID_RANDOM_BYTES])
}

/// Whether a client's cookie can be an id at all: nothing else is shown to a store.
pub(in crate::web) fn is_id(text: &str) -> bool {
    text.len() == ID_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Too many to be guessed (OWASP asks for 8).
const ID_RANDOM_BYTES: usize = 24;
const ID_BYTES: usize = ID_RANDOM_BYTES / 3 * 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(idle: u64, most: Option<u64>) -> SessionConfig {
        let mut config = SessionConfig::default();
        config.idle_timeout = Duration::from_secs(idle);
        config.lifetime_max = most.map(Duration::from_secs);
        config
    }

    #[test]
    fn records_come_back_until_they_are_over() {
        let values = BTreeMap::from([("ä".to_owned(), Value::from("\"x\""))]);
        let record = Record::new(values, 100, 100, &config(10, None));
        let text = record.write(1000).unwrap();
        assert_eq!(Record::read(&text, 100), Some(record.clone()));
        assert_eq!(Record::read(&text, 109), Some(record.clone()));
        assert_eq!(Record::read(&text, 110), None);
        assert!(record.write(text.len()).is_ok() && record.write(text.len() - 1).is_err());
        for broken in ["", "null", "[]", "[1,2]", "[1,999,[]]", "[-1,999,{}]", "[1,999,{}", "[1,1e999,{}]"] {
            assert_eq!(Record::read(broken, 0), None, "{broken}");
        }
    }

    #[test]
    fn sessions_are_prolonged_when_half_of_their_time_is_over_but_not_for_ever() {
        let record = |created, now, most| Record::new(BTreeMap::new(), created, now, &config(10, most));
        assert_eq!(record(0, 50, None).expires, 60);
        assert_eq!(record(0, 50, Some(55)).expires, 55);
        assert_eq!(record(u64::MAX, u64::MAX, Some(55)).expires, u64::MAX);
        let cases =
            [(0, None, false), (5, None, false), (6, None, true), (9, None, true), (9, Some(10), false)];
        for (now, most, due) in cases {
            assert_eq!(record(0, 0, most).is_due(now, &config(10, most)), due, "{now} {most:?}");
        }
        assert_eq!(record(0, 0, None).age_left(4), Duration::from_secs(6));
    }

    #[test]
    fn ids_are_random_and_nothing_else_is_one() {
        let ids: std::collections::BTreeSet<String> = (0..1000).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| is_id(id)));
        let id = new_id();
        for other in
            [String::new(), id[1..].to_owned(), format!("{id}A"), format!("{}*", &id[1..]), "ä".repeat(16)]
        {
            assert!(!is_id(&other), "{other}");
        }
    }
}
