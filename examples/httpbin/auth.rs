//! Routes for those who can say who they are.

use ringhttp::middleware::same_secret;
use ringhttp::proto::auth::{self, Basic};
use ringhttp::{HeaderValue, Request, Response, Result, Router, StatusCode, header};
use serde_json::json;

use super::{Httpbin, digest, json, status};

pub(crate) fn add(router: Router<Httpbin>) -> Router<Httpbin> {
    let basic = |refusal: StatusCode| async move |_: &Httpbin, req: Request| basic(&req, refusal);
    let router = router
        .get("/basic-auth/{user}/{password}", basic(StatusCode::UNAUTHORIZED))
        .get("/hidden-basic-auth/{user}/{password}", basic(StatusCode::NOT_FOUND))
        .get("/bearer", bearer);
    digest::add(router)
}

/// The name and the password are in the path, so a middleware for a whole router cannot know them.
fn basic(req: &Request, refusal: StatusCode) -> Result {
    let (user, password) = (req.param_str("user")?, req.param_str("password")?);
    let known = Basic::parse(authorization(req))
        .is_ok_and(|basic| basic.user() == user && same_secret(basic.password(), &*password));
    Ok(if known { authenticated(&user) } else { status::answer(refusal) })
}

async fn bearer(_: &Httpbin, req: Request) -> Response {
    match auth::bearer(authorization(&req)) {
        Ok(token) => json(&json!({ "authenticated": true, "token": token })),
        Err(_) => Response::empty(StatusCode::UNAUTHORIZED)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
    }
}

pub(crate) fn authenticated(user: &str) -> Response {
    json(&json!({ "authenticated": true, "user": user }))
}

pub(crate) fn authorization(req: &Request) -> Option<&[u8]> {
    req.header(header::AUTHORIZATION).map(HeaderValue::as_bytes)
}
