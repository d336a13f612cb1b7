//! Who asks: HTTP Basic (RFC 7617) and bearer tokens (RFC 6750).
#![forbid(unsafe_code)]

use std::hint::black_box;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use crate::conn::{Request, Response};
use crate::error::{Error, Result};
use crate::proto::auth::{self, Basic, CredentialsError};
use crate::web::Next;

/// Lets only those pass whose name and password `check` knows (RFC 7617). What it gives for them, of your own type, is put beside the
/// request. Passwords travel unprotected: use it over TLS only.
///
/// Credentials that are missing, unreadable (bad base64, no colon, no UTF-8) or unknown are answered 401 with a challenge that
/// names the realm. An error of `check` is the answer.
///
/// ```
/// use ringhttp::{Request, Router, middleware};
///
/// struct User(String);
///
/// let check = async |_: &(), user: &str, password: &str| {
///     Ok(middleware::same_secret(password, "open sesame").then(|| User(user.to_owned())))
/// };
/// let hello = async |_: &(), req: Request| {
///     let user = req.extensions().get::<User>().map_or("nobody", |user| &user.0);
///     format!("hello {user}\n")
/// };
/// let router = Router::new().get("/", hello).with(middleware::basic_auth("the lab", check)?);
/// # assert!(router.into_service(()).is_ok());
/// # Ok::<(), ringhttp::Error>(())
/// ```
///
/// # Errors
/// 500 if the realm is not printable ASCII.
pub fn basic_auth<S, U, F>(
    realm: &str,
    check: F,
) -> Result<impl AsyncFn(&S, Request, Next<'_, S>) -> Result + use<S, U, F>>
where
    S: 'static,
    U: 'static,
    F: AsyncFn(&S, &str, &str) -> Result<Option<U>> + 'static,
{
    // RFC 7617 §2.1: `charset` tells clients in which encoding to send names.
    let challenge = challenge("Basic", &[("realm", realm), ("charset", "UTF-8")])?;
    Ok(async move |state: &S, mut req: Request, next: Next<'_, S>| {
        let user = match Basic::parse(authorization(&req)) {
            Ok(basic) => check(state, basic.user(), basic.password()).await?,
            Err(_) => None,
        };
        let Some(user) = user else {
            return Ok(refuse(StatusCode::UNAUTHORIZED, &challenge));
        };
        req.extensions_mut().insert(user);
        Ok(next.run(req).await)
    })
}

/// Lets only those pass whose bearer token `check` knows (RFC 6750). What it gives for them, of your own type, is put beside the
/// request.
///
/// Without a token the answer is 401 with a challenge that names the realm; an unknown one is 401 with
/// `error="invalid_token"`, and what cannot be a token is 400 with `error="invalid_request"`. An error of `check` is the answer.
///
/// ```
/// use ringhttp::{Router, middleware};
///
/// struct Client(u32);
///
/// let check = async |_: &(), token: &str| Ok(middleware::same_secret(token, "c2VjcmV0").then_some(Client(7)));
/// let router = Router::new().get("/", async |_: &(), _| "secret\n").with(middleware::bearer_auth("api", check)?);
/// # assert!(router.into_service(()).is_ok());
/// # Ok::<(), ringhttp::Error>(())
/// ```
///
/// # Errors
/// 500 if the realm is not printable ASCII.
pub fn bearer_auth<S, U, F>(
    realm: &str,
    check: F,
) -> Result<impl AsyncFn(&S, Request, Next<'_, S>) -> Result + use<S, U, F>>
where
    S: 'static,
    U: 'static,
    F: AsyncFn(&S, &str) -> Result<Option<U>> + 'static,
{
    let challenges = BearerChallenges::new(realm)?;
    Ok(async move |state: &S, mut req: Request, next: Next<'_, S>| {
        let token = match auth::bearer(authorization(&req)) {
            Ok(token) => token,
            Err(error) => return Ok(challenges.refuse(error)),
        };
        let Some(client) = check(state, token).await? else {
            return Ok(challenges.unknown());
        };
        req.extensions_mut().insert(client);
        Ok(next.run(req).await)
    })
}

/// Whether two secrets are the same, in a time that does not depend on where they differ. It does depend on their length.
///
/// ```
/// use ringhttp::middleware::same_secret;
///
/// assert!(same_secret("open sesame", "open sesame"));
/// assert!(!same_secret("open sesame", "open sesamf"));
/// ```
#[must_use]
pub fn same_secret(one: impl AsRef<[u8]>, other: impl AsRef<[u8]>) -> bool {
    let (one, other) = (one.as_ref(), other.as_ref());
    let different = one.iter().zip(other).fold(0_u8, |bits, (a, b)| black_box(bits | (a ^ b)));
    one.len() == other.len() && black_box(different) == 0
}

pub(super) fn authorization(req: &Request) -> Option<&[u8]> {
    req.header(AUTHORIZATION).map(HeaderValue::as_bytes)
}

/// The challenges of RFC 6750 §3.
pub(super) struct BearerChallenges {
    missing: HeaderValue,
    malformed: HeaderValue,
    unknown: HeaderValue,
    #[cfg(feature = "jwt")]
    expired: HeaderValue,
}

impl BearerChallenges {
    pub(super) fn new(realm: &str) -> Result<Self> {
        let with = |error, text| {
            challenge("Bearer", &[("realm", realm), ("error", error), ("error_description", text)])
        };
        Ok(Self {
            missing: challenge("Bearer", &[("realm", realm)])?,
            malformed: with("invalid_request", "the field is malformed")?,
            unknown: with("invalid_token", "the token is not valid")?,
            #[cfg(feature = "jwt")]
            expired: with("invalid_token", "the token has expired")?,
        })
    }

    /// To credentials that are none.
    pub(super) fn refuse(&self, error: CredentialsError) -> Response {
        match error {
            CredentialsError::Malformed => refuse(StatusCode::BAD_REQUEST, &self.malformed),
            CredentialsError::Missing => refuse(StatusCode::UNAUTHORIZED, &self.missing),
        }
    }

    pub(super) fn unknown(&self) -> Response {
        refuse(StatusCode::UNAUTHORIZED, &self.unknown)
    }

    #[cfg(feature = "jwt")]
    pub(super) fn expired(&self) -> Response {
        refuse(StatusCode::UNAUTHORIZED, &self.expired)
    }
}

fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> Result<HeaderValue> {
    let encoded = auth::challenge(scheme, parameters);
    encoded.ok_or_else(|| Error::internal("a realm must be printable ASCII"))
}

fn refuse(status: StatusCode, challenge: &HeaderValue) -> Response {
    Response::from(Error::new(status)).with_header(WWW_AUTHENTICATE, challenge.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_compared_whole() {
        let cases =
            [("", "", true), ("a", "a", true), ("a", "b", false), ("a", "", false), ("ab", "a", false)];
        for (one, other, same) in cases {
            assert_eq!(same_secret(one, other), same, "{one} {other}");
            assert_eq!(same_secret(other, one), same, "{other} {one}");
        }
        for at in 0..32 {
            let mut other = [7; 32];
            other[at] ^= 0x80;
            assert!(!same_secret([7; 32], other), "{at}");
        }
    }

    #[test]
    fn a_realm_cannot_smuggle_a_field() {
        for (realm, fits) in [("a \"b\"", true), ("a\r\nset-cookie: b", false), ("ä", false)] {
            assert_eq!(BearerChallenges::new(realm).is_ok(), fits, "{realm}");
            let check = async |_: &(), _: &str, _: &str| Ok(None::<()>);
            assert_eq!(basic_auth(realm, check).is_ok(), fits, "{realm}");
        }
    }
}
