//! Digest authentication (RFC 7616), as far as it can be shown without keeping anything: what a server would remember of a
//! nonce is in cookies.

use std::borrow::Cow;

use md5::Md5;
use ringhttp::middleware::same_secret;
use ringhttp::proto::auth;
use ringhttp::{Error, HeaderValue, Request, Response, Result, Router, SetCookie, StatusCode, header};
use serde_json::json;
use sha2::{Digest, Sha256, Sha512};

use super::auth::{authenticated, authorization};
use super::{Httpbin, args, json};

const REALM: &str = "httpbin";

pub(crate) fn add(router: Router<Httpbin>) -> Router<Httpbin> {
    router
        .get("/digest-auth/{qop}/{user}/{password}", digest)
        .get("/digest-auth/{qop}/{user}/{password}/{algorithm}", digest)
        .get("/digest-auth/{qop}/{user}/{password}/{algorithm}/{stale_after}", digest)
}

async fn digest(state: &Httpbin, mut req: Request) -> Result {
    let wanted = Wanted::of(&req)?;
    let body = req.bytes().await?;
    let credentials =
        Credentials::of(&req).filter(|_| !wanted.cookies || req.headers().contains_key(header::COOKIE));
    let Some(credentials) = credentials else {
        return wanted.challenge(state, false, None);
    };
    if wanted.cookies && req.cookie("fake") != Some("fake_value") {
        let refusal = json(&json!({ "errors": ["missing cookie set on challenge"] }));
        return refusal.with_status(StatusCode::FORBIDDEN).with_cookie(&fake());
    }
    let nonce = credentials.get("nonce").to_owned();
    let answers_left = req.cookie("stale_after").map(str::to_owned);
    if req.cookie("last_nonce") == Some(&nonce) || answers_left.as_deref() == Some("0") {
        return wanted.challenge(state, true, Some(&nonce));
    }
    if !wanted.is_met_by(&credentials, &req, &body) {
        return wanted.challenge(state, false, Some(&nonce));
    }
    let response = authenticated(&wanted.user).with_cookie(&fake())?;
    match answers_left {
        Some(left) => response.with_cookie(&SetCookie::new("stale_after", one_less(&left))),
        None => Ok(response),
    }
}

fn fake() -> SetCookie {
    SetCookie::new("fake", "fake_value")
}

fn one_less(count: &str) -> String {
    count.parse::<i64>().map_or_else(|_| "never".to_owned(), |count| count.saturating_sub(1).to_string())
}

/// What the path and the query ask for.
struct Wanted {
    /// `None`: the client may choose.
    qop: Option<&'static str>,
    user: String,
    password: String,
    algorithm: Algorithm,
    /// After how many answers the nonce is stale; a number or `never`.
    stale_after: String,
    /// Whether the client has to send the cookies of the challenge back.
    cookies: bool,
}

impl Wanted {
    fn of(req: &Request) -> Result<Self> {
        let qops = ["auth", "auth-int"];
        let qop = req.param_str("qop")?;
        // The shorter routes do not have the last two.
        let optional = |name: &str| req.param_str(name).map(Cow::into_owned).ok();
        let cookies = args::find(req, "require-cookie")?.unwrap_or_default().to_lowercase();
        Ok(Self {
            qop: qops.into_iter().find(|known| *known == qop),
            user: req.param_str("user")?.into_owned(),
            password: req.param_str("password")?.into_owned(),
            algorithm: Algorithm::of(&optional("algorithm").unwrap_or_default()),
            stale_after: optional("stale_after").unwrap_or_else(|| "never".to_owned()),
            cookies: ["1", "t", "true"].contains(&cookies.as_str()),
        })
    }

    /// 401 with a new nonce (RFC 7616 §3.3).
    fn challenge(&self, state: &Httpbin, stale: bool, last_nonce: Option<&str>) -> Result {
        let opaque = self.algorithm.hash(&[&state.random.uuid()]);
        let nonce = self.algorithm.hash(&[&state.random.uuid()]);
        let parameters = [
            ("realm", REALM),
            ("nonce", &nonce),
            ("opaque", &opaque),
            ("qop", self.qop.unwrap_or("auth, auth-int")),
        ];
        let quoted = auth::challenge("Digest", &parameters).ok_or_else(|| Error::internal("not ASCII"))?;
        // RFC 7616 §3.4: these two are not quoted.
        let challenge = format!("{}, algorithm={}, stale={stale}", quoted.to_str()?, self.algorithm.name());
        let mut response = Response::empty(StatusCode::UNAUTHORIZED)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::try_from(challenge)?)
            .with_cookie(&SetCookie::encoded("stale_after", &self.stale_after))?;
        if let Some(nonce) = last_nonce {
            response = response.with_cookie(&SetCookie::encoded("last_nonce", nonce))?;
        }
        response.with_cookie(&fake())
    }

    /// Whether the client knows the password: RFC 7616 §3.4.1.
    fn is_met_by(&self, credentials: &Credentials<'_>, req: &Request, body: &[u8]) -> bool {
        let algorithm = self.algorithm;
        let get = |name| credentials.get(name);
        let secret = algorithm.hash(&[&self.user, get("realm"), &self.password]);
        let (method, target) = (req.method().as_str(), req.target().as_str());
        let response = match get("qop") {
            // RFC 2069 knew no `qop`.
            "" => algorithm.hash(&[&secret, get("nonce"), &algorithm.hash(&[method, target])]),
            qop => {
                let request = match qop {
                    "auth-int" => algorithm.hash(&[method, target, &algorithm.hash_bytes(body)]),
                    _ => algorithm.hash(&[method, target]),
                };
                algorithm.hash(&[&secret, get("nonce"), get("nc"), get("cnonce"), qop, &request])
            }
        };
        let qop_is_known = ["", "auth", "auth-int"].contains(&get("qop"));
        qop_is_known && get("username") == self.user && same_secret(get("response"), response)
    }
}

/// What `Authorization` says.
struct Credentials<'a>(Vec<(&'a str, Cow<'a, str>)>);

impl<'a> Credentials<'a> {
    fn of(req: &'a Request) -> Option<Self> {
        auth::parameters(authorization(req), "Digest").ok().map(Self)
    }

    /// A parameter; empty if there is none of the name.
    fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

#[derive(Clone, Copy)]
enum Algorithm {
    Md5,
    Sha256,
    Sha512,
}

impl Algorithm {
    fn of(name: &str) -> Self {
        match name {
            "SHA-256" => Self::Sha256,
            "SHA-512" => Self::Sha512,
            _ => Self::Md5,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
        }
    }

    /// The hash of the parts with colons between them, in hexadecimal digits.
    fn hash(self, parts: &[&str]) -> String {
        self.hash_bytes(parts.join(":").as_bytes())
    }

    fn hash_bytes(self, bytes: &[u8]) -> String {
        match self {
            Self::Md5 => format!("{:x}", Md5::digest(bytes)),
            Self::Sha256 => format!("{:x}", Sha256::digest(bytes)),
            Self::Sha512 => format!("{:x}", Sha512::digest(bytes)),
        }
    }
}
