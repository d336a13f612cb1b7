//! A jar as JSON, to be kept in a file. It holds credentials: let nobody else read it.
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{CookieJar, StoredCookie};
use crate::proto::cookie::SameSite;

impl CookieJar {
    /// All cookies as JSON: an array of objects, expired ones left out.
    #[must_use]
    pub fn to_json(&self) -> String {
        Value::Array(self.cookies().iter().map(to_value).collect()).to_string()
    }

    /// Adds the cookies that [`to_json`](Self::to_json) has written; those whose time is over by now are left out.
    ///
    /// ```
    /// use ringhttp::client::CookieJar;
    ///
    /// let jar = CookieJar::new();
    /// jar.set("http://a.example/", "id=7").expect("it may be set");
    /// let later = CookieJar::new();
    /// later.add_json(&jar.to_json()).expect("it was written by a jar");
    /// assert_eq!(later.cookies(), jar.cookies());
    /// ```
    ///
    /// # Errors
    /// If it is no JSON, or not of that form: none is added then.
    pub fn add_json(&self, json: &str) -> Result<(), serde_json::Error> {
        let values: Vec<Value> = serde_json::from_str(json)?;
        let cookies: Option<Vec<StoredCookie>> = values.iter().map(of_value).collect();
        let cookies = cookies.ok_or_else(|| {
            use serde::de::Error;
            serde_json::Error::custom("an element is no cookie")
        })?;
        let now = SystemTime::now();
        cookies.into_iter().for_each(|cookie| self.0.borrow_mut().put(cookie, now));
        Ok(())
    }
}

fn to_value(cookie: &StoredCookie) -> Value {
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    json!({
        "name": cookie.name,
        "value": cookie.value,
        "domain": cookie.domain,
        "host_only": cookie.host_only,
        "path": cookie.path,
        "expires": cookie.expires.map(seconds),
        "secure": cookie.secure,
        "http_only": cookie.http_only,
        "same_site": cookie.same_site.map(name_of),
    })
}

fn of_value(value: &Value) -> Option<StoredCookie> {
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    let flag = |name: &str| value.get(name)?.as_bool();
    let expires = match value.get("expires")? {
        Value::Null => None,
        seconds => Some(UNIX_EPOCH.checked_add(Duration::from_secs(seconds.as_u64()?))?),
    };
    let same_site = match value.get("same_site")? {
        Value::Null => None,
        name => Some(ALL.into_iter().find(|same_site| name.as_str() == Some(name_of(*same_site)))?),
    };
    let (name, value_text) = (text("name")?, text("value")?);
    // They go into a field: whoever wrote the file must not write another one.
    let is_harmless =
        |text: &str| !text.contains(|character: char| character.is_ascii_control() || character == ';');
    if !is_harmless(&name) || !is_harmless(&value_text) {
        return None;
    }
    Some(StoredCookie {
        name,
        value: value_text,
        domain: text("domain")?,
        host_only: flag("host_only")?,
        path: text("path")?,
        expires,
        secure: flag("secure")?,
        http_only: flag("http_only")?,
        same_site,
    })
}

const ALL: [SameSite; 3] = [SameSite::Strict, SameSite::Lax, SameSite::None];

fn name_of(same_site: SameSite) -> &'static str {
    match same_site {
        SameSite::Strict => "strict",
        SameSite::Lax => "lax",
        SameSite::None => "none",
    }
}
