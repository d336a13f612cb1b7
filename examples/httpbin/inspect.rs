//! Requests shown to those who sent them: `/get`, `/post`, `/anything`, `/headers` and their like.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringhttp::{HeaderMap, HeaderName, HeaderValue, Request, Response, Result, Router, header};
use serde_json::{Map, Value, json};

use super::{Httpbin, json, on_all_methods};

/// What is shown of a request without a body.
pub(crate) const HEAD: &[&str] = &["args", "headers", "origin", "url"];
const WHOLE: &[&str] = &["args", "data", "files", "form", "headers", "json", "origin", "url"];
const ANYTHING: &[&str] = &["args", "data", "files", "form", "headers", "json", "method", "origin", "url"];

/// Fields that proxies add. They are shown only if the query has `show_env`.
const OF_PROXIES: [&str; 15] = [
    "connect-time",
    "total-route-time",
    "via",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-ssl",
    "x-heroku-dynos-in-use",
    "x-heroku-queue-depth",
    "x-heroku-queue-wait-time",
    "x-real-ip",
    "x-request-id",
    "x-request-start",
    "x-varnish",
];

pub(crate) fn add(router: Router<Httpbin>) -> Router<Httpbin> {
    let router = router
        .get("/headers", async |_: &Httpbin, req| show(req, &["headers"]).await)
        .get("/ip", async |_: &Httpbin, req| show(req, &["origin"]).await)
        .get("/user-agent", user_agent)
        .get("/get", async |_: &Httpbin, req| show(req, HEAD).await)
        .name("get")
        .post("/post", whole)
        .put("/put", whole)
        .patch("/patch", whole)
        .delete("/delete", whole);
    let router = on_all_methods(router, "/anything", anything);
    on_all_methods(router, "/anything/{*rest}", anything)
}

async fn whole(_: &Httpbin, req: Request) -> Result {
    show(req, WHOLE).await
}

async fn anything(_: &Httpbin, req: Request) -> Result {
    show(req, ANYTHING).await
}

async fn user_agent(_: &Httpbin, req: Request) -> Response {
    json(&json!({ "user-agent": req.header(header::USER_AGENT).map(text) }))
}

async fn show(mut req: Request, keys: &[&str]) -> Result {
    Ok(json(&describe(&mut req, keys).await?.into()))
}

/// What a request looks like from here: those of its aspects that `keys` names.
pub(crate) async fn describe(req: &mut Request, keys: &[&str]) -> Result<Map<String, Value>> {
    let mut all = head(req)?;
    if keys.contains(&"data") {
        all.extend(body(req).await?);
    }
    all.retain(|key, _| keys.contains(&key.as_str()));
    Ok(all)
}

fn head(req: &Request) -> Result<Map<String, Value>> {
    let args: Vec<(String, String)> = req
        .query_pairs()
        .map(|pair| pair.map(|(name, value)| (name.into_owned(), value.into_owned())))
        .collect::<Result<_>>()?;
    let shows_all = args.iter().any(|(name, _)| name == "show_env");
    let origin = req.client_addr().map(|address| address.to_string());
    Ok(Map::from_iter([
        ("args".to_owned(), joined(args)),
        ("headers".to_owned(), headers(req.headers(), shows_all)),
        ("method".to_owned(), req.method().as_str().into()),
        ("origin".to_owned(), origin.into()),
        ("url".to_owned(), url(req).into()),
    ]))
}

/// The address that the client asked for, with path and query as they were sent.
fn url(req: &Request) -> String {
    let query = req.query_string().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}://{}{}{query}", req.scheme(), req.host().unwrap_or_default(), req.path())
}

fn headers(fields: &HeaderMap, shows_all: bool) -> Value {
    let shown = fields.keys().filter(|name| shows_all || !OF_PROXIES.contains(&name.as_str()));
    let join = |name| fields.get_all(name).iter().map(text).collect::<Vec<_>>().join(",");
    shown.map(|name| (title(name), join(name))).collect()
}

/// A field name as httpbin writes it: `user-agent` is `User-Agent`.
fn title(name: &HeaderName) -> String {
    let mut after_letter = false;
    let cased = name.as_str().chars().map(|character| {
        let starts = !std::mem::replace(&mut after_letter, character.is_ascii_alphabetic());
        if starts { character.to_ascii_uppercase() } else { character }
    });
    cased.collect()
}

/// A field value as text: bytes beyond ASCII have no meaning there, and are shown as Latin-1.
fn text(value: &HeaderValue) -> String {
    value.as_bytes().iter().copied().map(char::from).collect()
}

/// The body in the four ways that it can be looked at: as data, files, form and JSON.
async fn body(req: &mut Request) -> Result<Map<String, Value>> {
    let (mut data, mut files, mut form, mut json) = (String::new(), Vec::new(), Vec::new(), Value::Null);
    let is_a = |media_type| req.content_type().is_some_and(|content_type| content_type.is(media_type));
    if is_a("application/x-www-form-urlencoded") {
        form = req.form().await?;
    } else if is_a("multipart/form-data") {
        let mut parts = req.multipart()?;
        while let Some(mut part) = parts.next_part().await? {
            let name = part.name().to_owned();
            if part.file_name().is_none() {
                form.push((name, part.text().await?));
                continue;
            }
            let bytes = part.bytes().await?;
            let media_type = part.content_type().map(|content_type| content_type.essence().to_owned());
            files.push((name, text_or_data_url(&bytes, media_type.as_deref())));
        }
    } else {
        let bytes = req.bytes().await?;
        data = text_or_data_url(&bytes, None);
        json = serde_json::from_slice(&bytes).unwrap_or_default();
    }
    Ok(Map::from_iter([
        ("data".to_owned(), data.into()),
        ("files".to_owned(), joined(files)),
        ("form".to_owned(), joined(form)),
        ("json".to_owned(), json),
    ]))
}

/// Bytes as JSON can have them: text if they are, else a `data:` URL (RFC 2397).
fn text_or_data_url(bytes: &[u8], media_type: Option<&str>) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let media_type = media_type.unwrap_or("application/octet-stream");
            format!("data:{media_type};base64,{}", STANDARD.encode(bytes))
        }
    }
}

/// An object of the pairs; the values of a name that comes again are in an array.
fn joined(pairs: Vec<(String, String)>) -> Value {
    let mut object = Map::new();
    for (name, value) in pairs {
        match object.get_mut(&name) {
            None => drop(object.insert(name, value.into())),
            Some(Value::Array(values)) => values.push(value.into()),
            Some(first) => *first = Value::Array(vec![first.take(), value.into()]),
        }
    }
    object.into()
}
