//! Cookies: those that came, and some to be set and removed.

use std::collections::HashSet;

use ringhttp::{Error, IntoResponse, Redirect, Request, Response, Result, Router, SetCookie};
use serde_json::{Map, json};

use super::{Httpbin, json};

pub(crate) fn add(router: Router<Httpbin>) -> Router<Httpbin> {
    router
        .get("/cookies", show)
        .name("cookies")
        .get("/cookies/set", set)
        .get("/cookies/set/{name}/{value}", set_one)
        .get("/cookies/delete", delete)
}

async fn show(_: &Httpbin, req: Request) -> Response {
    let mut cookies = Map::new();
    for (name, value) in req.cookies() {
        // Browsers send the one with the longest path first.
        cookies.entry(name).or_insert_with(|| value.into());
    }
    json(&json!({ "cookies": cookies }))
}

async fn set(_: &Httpbin, req: Request) -> Result {
    let mut response = back(&req)?;
    let mut seen = HashSet::new();
    for pair in req.query_pairs() {
        let (name, value) = pair?;
        // RFC 6265 §4.1.1: an answer sets a cookie once.
        if seen.insert(name.to_string()) {
            response = with_cookie(response, &cookie(&name, &value, &req))?;
        }
    }
    Ok(response)
}

async fn set_one(_: &Httpbin, req: Request) -> Result {
    let cookie = cookie(&req.param_str("name")?, &req.param_str("value")?, &req);
    with_cookie(back(&req)?, &cookie)
}

async fn delete(_: &Httpbin, req: Request) -> Result {
    let mut response = back(&req)?;
    for pair in req.query_pairs() {
        response = with_cookie(response, &SetCookie::removal(pair?.0.into_owned()))?;
    }
    Ok(response)
}

fn back(req: &Request) -> Result {
    Ok(Redirect::found(req.url_for("cookies", &[])?).into_response())
}

/// A cookie with the value as it is, or percent-encoded if a cookie cannot have it.
fn cookie(name: &str, value: &str, req: &Request) -> SetCookie {
    let plain = SetCookie::new(name.to_owned(), value.to_owned());
    let mut cookie = if plain.encode().is_ok() { plain } else { SetCookie::encoded(name.to_owned(), value) };
    cookie.secure = req.scheme() == "https";
    cookie
}

/// Here it is the client who says what is to be set, so what cannot be is its mistake.
fn with_cookie(response: Response, cookie: &SetCookie) -> Result {
    cookie.encode().map_err(|error| Error::bad_request(format!("cookie: {error}")))?;
    response.with_cookie(cookie)
}
