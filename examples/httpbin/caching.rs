//! Answers that may be kept: conditions, lifetimes, and fields of the client's choice.

use std::time::{Duration, SystemTime};

use ringhttp::proto::Etag;
use ringhttp::proto::conditional::Validators;
use ringhttp::{Error, HeaderName, HeaderValue, Request, Response, Result, Router, StatusCode, header};
use serde_json::{Map, Value};

use super::inspect::{HEAD, describe};
use super::{Httpbin, json};

pub(crate) fn add(router: Router<Httpbin>) -> Router<Httpbin> {
    router
        .get("/cache", cache)
        .get("/cache/{seconds:uint}", cache_for)
        .get("/etag/{etag}", etag)
        .get("/response-headers", response_headers)
        .post("/response-headers", response_headers)
}

/// 304 to whoever has anything already.
async fn cache(state: &Httpbin, mut req: Request) -> Result {
    let is_conditional = [header::IF_MODIFIED_SINCE, header::IF_NONE_MATCH];
    if is_conditional.iter().any(|name| req.headers().contains_key(name)) {
        return Ok(Response::empty(StatusCode::NOT_MODIFIED));
    }
    // A second that is not over is not said.
    let modified = SystemTime::now() - Duration::from_secs(1);
    let validators = Validators { etag: Etag::strong(&state.random.uuid()).ok(), modified: Some(modified) };
    Ok(json(&describe(&mut req, HEAD).await?.into()).with_validators(&validators))
}

async fn cache_for(_: &Httpbin, mut req: Request) -> Result {
    let seconds: u64 = req.param("seconds")?;
    let lifetime = HeaderValue::try_from(format!("public, max-age={seconds}"))?;
    Ok(json(&describe(&mut req, HEAD).await?.into()).with_header(header::CACHE_CONTROL, lifetime))
}

async fn etag(_: &Httpbin, mut req: Request) -> Result {
    let etag = Etag::strong(&req.param_str("etag")?);
    let etag = etag.map_err(|_| Error::bad_request("path parameter `etag`: no tag can be made of it"))?;
    let current = Validators { etag: Some(etag), modified: None };
    if let Some(answer) = req.check_conditional(Some(&current)) {
        return Ok(answer);
    }
    Ok(json(&describe(&mut req, HEAD).await?.into()).with_validators(&current))
}

/// Fields that say where the answer ends. The server alone knows.
const FRAMING: [HeaderName; 3] = [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// Adds the query to the fields of the answer, and shows what they are then.
async fn response_headers(_: &Httpbin, req: Request) -> Result {
    let mut shown = Map::from_iter([("Content-Type".to_owned(), Value::from("application/json"))]);
    let mut response = json(&Value::Null);
    for pair in req.query_pairs() {
        let (name, value) = pair?;
        let bad = |why: String| Error::bad_request(format!("query: `{name}`: {why}"));
        let field = HeaderName::try_from(&*name).map_err(|error| bad(error.to_string()))?;
        let field_value = HeaderValue::try_from(&*value).map_err(|error| bad(error.to_string()))?;
        if FRAMING.contains(&field) {
            return Err(bad("the server sets it".to_owned()));
        }
        if field == header::CONTENT_TYPE {
            response.headers_mut().remove(&field);
            shown.remove("Content-Type");
        }
        response.headers_mut().append(field, field_value);
        match shown.get_mut(&*name) {
            None => drop(shown.insert(name.into_owned(), value.into())),
            Some(Value::Array(values)) => values.push(value.into()),
            Some(first) => *first = Value::Array(vec![first.take(), value.into()]),
        }
    }
    Ok(response.with_body(with_own_length(shown)))
}

/// The text of `shown` with the length of that very text in it.
fn with_own_length(mut shown: Map<String, Value>) -> String {
    let mut length = 0_usize;
    loop {
        shown.insert("Content-Length".to_owned(), length.to_string().into());
        let text = format!("{:#}\n", Value::from(shown.clone()));
        // More digits can only make it longer, so it ends.
        if text.len() == length {
            return text;
        }
        length = text.len();
    }
}
