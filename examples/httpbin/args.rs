//! Values of the query that a handler may get or not. Their names are compared without regard to case, as httpbin does.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use ringhttp::{Error, Request, Result};

/// The longest wait that a client can ask for.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The first value of a name.
pub(crate) fn find(req: &Request, name: &str) -> Result<Option<String>> {
    for pair in req.query_pairs() {
        let (other, value) = pair?;
        if other.eq_ignore_ascii_case(name) {
            return Ok(Some(value.into_owned()));
        }
    }
    Ok(None)
}

/// The first value of a name, parsed. One that is there and cannot be is a 400.
pub(crate) fn parsed<T: FromStr<Err: Display>>(req: &Request, name: &str) -> Result<Option<T>> {
    let value = find(req, name)?;
    value
        .map(|text| text.parse().map_err(|error| Error::bad_request(format!("query: `{name}`: {error}"))))
        .transpose()
}

/// A time in seconds, at most [`WAIT_MAX`].
pub(crate) fn wait(seconds: f64) -> Result<Duration> {
    let seconds = seconds.clamp(0.0, WAIT_MAX.as_secs_f64());
    Duration::try_from_secs_f64(seconds).map_err(|error| Error::bad_request(error.to_string()))
}
