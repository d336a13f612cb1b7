//! Who asks, by a JSON Web Token (RFC 7519) that somebody signed.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::auth::{BearerChallenges, authorization};
use crate::conn::Request;
use crate::error::{Error, Result};
use crate::proto::auth;
use crate::web::Next;

/// Lets only those pass whose bearer token is a JSON Web Token that one of the keys signed and that is valid now. Its
/// claims, read into a type of your own, are put beside the request.
///
/// The token must have `exp`, and `iss` or `aud` if [`JwtConfig`] names any; `nbf` counts if it is there. A token with `aud` where
/// none is named is refused (RFC 7519 §4.1.3), as is one with `crit` (RFC 7515 §4.1.11) or without a signature.
///
/// Without a token the answer is 401; with one that is not valid, or whose claims are not a `C`, 401 with
/// `error="invalid_token"`; what cannot be a token is 400 with `error="invalid_request"` (RFC 6750 §3.1).
///
/// ```
/// use ringhttp::middleware::{JwtConfig, JwtKey, jwt_auth};
/// use ringhttp::{Request, Router};
///
/// #[derive(serde::Deserialize)]
/// struct Claims { sub: String }
///
/// let mut config = JwtConfig::default();
/// config.keys = vec![JwtKey::hs256(&[7; 32])?];
/// config.issuers = vec!["https://id.example.com".to_owned()];
/// let who = async |_: &(), req: Request| {
///     req.extensions().get::<Claims>().map(|claims| claims.sub.clone()).unwrap_or_default()
/// };
/// let router = Router::new().get("/who", who).with(jwt_auth::<_, Claims>(config)?);
/// # assert!(router.into_service(()).is_ok());
/// # Ok::<(), ringhttp::Error>(())
/// ```
///
/// # Errors
/// 500 if the settings cannot work.
pub fn jwt_auth<S, C>(config: JwtConfig) -> Result<impl AsyncFn(&S, Request, Next<'_, S>) -> Result + 'static>
where
    S: 'static,
    C: DeserializeOwned + 'static,
{
    let challenges = BearerChallenges::new(&config.realm)?;
    let verifier = Verifier::new(config)?;
    Ok(async move |_: &S, mut req: Request, next: Next<'_, S>| {
        let token = match auth::bearer(authorization(&req)) {
            Ok(token) => token,
            Err(error) => return Ok(challenges.refuse(error)),
        };
        match verifier.verify::<C>(token) {
            Ok(claims) => {
                req.extensions_mut().insert(claims);
                Ok(next.run(req).await)
            }
            Err(Invalid::Expired) => Ok(challenges.expired()),
            Err(Invalid::Otherwise) => Ok(challenges.unknown()),
        }
    })
}

/// Which tokens [`jwt_auth`] takes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JwtConfig {
    /// Keys that may have signed, at least one. Each is good for its own algorithm only, whatever the token says.
    pub keys: Vec<JwtKey>,
    /// Of these one must have issued it (`iss`). Default: none, which is not checked.
    pub issuers: Vec<String>,
    /// For one of these it must be meant (`aud`). Default: none; then a token that is meant for somebody is refused.
    pub audiences: Vec<String>,
    /// By how much clocks may differ, in whole seconds. Default: 60 s; at most an hour.
    pub leeway: Duration,
    /// Bytes of a token. Default: 8 KiB; a longer one is answered 401.
    pub token_bytes_max: usize,
    /// What the challenge of a 401 names. Default: `api`.
    pub realm: String,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: Duration::from_secs(60),
            token_bytes_max: 8 * 1024,
            realm: "api".to_owned(),
        }
    }
}

/// A key with the one algorithm that it is good for (RFC 8725 §3.1).
#[derive(Clone)]
pub struct JwtKey {
    algorithm: Algorithm,
    verify: DecodingKey,
    sign: Option<EncodingKey>,
    id: Option<String>,
}

impl JwtKey {
    /// HMAC with SHA-256. Whoever can check tokens can make them too.
    ///
    /// # Errors
    /// 500 if the secret is shorter than 32 bytes (RFC 7518 §3.2), or is a key of another kind in PEM.
    pub fn hs256(secret: &[u8]) -> Result<Self> {
        if secret.len() < HS256_SECRET_BYTES_MIN {
            return Err(Error::internal("a secret for HS256 has at least 32 bytes"));
        }
        if secret.starts_with(b"-----BEGIN") {
            return Err(Error::internal("a PEM is no secret for HS256"));
        }
        let verify = DecodingKey::from_secret(secret);
        let sign = Some(EncodingKey::from_secret(secret));
        Ok(Self { algorithm: Algorithm::HS256, verify, sign, id: None })
    }

    /// RSA with SHA-256, by a public key in PEM.
    ///
    /// # Errors
    /// 500 if it is no public RSA key of at least 2048 bits (RFC 7518 §3.3).
    pub fn rs256_pem(pem: &str) -> Result<Self> {
        Self::public(Algorithm::RS256, pem, DecodingKey::from_rsa_pem, |der| der.len() >= RSA_DER_BYTES_MIN)
    }

    /// ECDSA on P-256 with SHA-256, by a public key in PEM.
    ///
    /// # Errors
    /// 500 if it is no public key on P-256.
    pub fn es256_pem(pem: &str) -> Result<Self> {
        Self::public(Algorithm::ES256, pem, DecodingKey::from_ec_pem, |point| point.len() == P256_POINT_BYTES)
    }

    /// Names the key: a token that names one (`kid`) is checked with that key, and with those that have no name.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// A token with these claims. They should have `exp`, in seconds since 1970.
    ///
    /// # Errors
    /// 500 if the claims cannot be written as JSON, or the key is a public one.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String> {
        let key = self.sign.as_ref().ok_or_else(|| Error::internal("a public key signs nothing"))?;
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&self.id);
        jsonwebtoken::encode(&header, claims, key).map_err(Error::internal)
    }

    fn public(
        algorithm: Algorithm,
        pem: &str,
        read: fn(&[u8]) -> jsonwebtoken::errors::Result<DecodingKey>,
        fits: fn(&[u8]) -> bool,
    ) -> Result<Self> {
        // A private key and a certificate would be read too, and then verify nothing.
        if !["-----BEGIN PUBLIC KEY-----", "-----BEGIN RSA PUBLIC KEY-----"]
            .iter()
            .any(|tag| pem.contains(tag))
        {
            return Err(Error::internal(format!("a key for {algorithm:?} is a public key in PEM")));
        }
        let verify = read(pem.as_bytes()).map_err(Error::internal)?;
        if !verify.try_get_as_bytes().is_ok_and(fits) {
            return Err(Error::internal(format!(
                "this key is too short or of the wrong kind for {algorithm:?}"
            )));
        }
        Ok(Self { algorithm, verify, sign: None, id: None })
    }
}

/// Without the key.
impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtKey")
            .field("algorithm", &self.algorithm)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why a token is refused, as far as its bearer is told.
#[derive(Debug, PartialEq, Eq)]
enum Invalid {
    Expired,
    Otherwise,
}

struct Verifier {
    keys: Vec<(JwtKey, Validation)>,
    token_bytes_max: usize,
}

impl Verifier {
    fn new(config: JwtConfig) -> Result<Self> {
        if config.keys.is_empty() {
            return Err(Error::internal("JwtConfig::keys must not be empty"));
        }
        if config.leeway > LEEWAY_MAX {
            return Err(Error::internal("JwtConfig::leeway must be at most an hour"));
        }
        let template = validation(&config);
        let keys = config.keys.into_iter().map(|key| {
            let algorithms = vec![key.algorithm];
            (key, Validation { algorithms, ..template.clone() })
        });
        Ok(Self { keys: keys.collect(), token_bytes_max: config.token_bytes_max })
    }

    fn verify<C: DeserializeOwned>(&self, token: &str) -> Result<C, Invalid> {
        if token.len() > self.token_bytes_max {
            return Err(Invalid::Otherwise);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Invalid::Otherwise)?;
        // RFC 7515 §4.1.11: extensions that must be understood, and none is.
        if header.crit.is_some() {
            return Err(Invalid::Otherwise);
        }
        let mut refused = Invalid::Otherwise;
        for (key, validation) in self.keys.iter().filter(|(key, _)| may_have_signed(key, &header)) {
            match jsonwebtoken::decode::<C>(token, &key.verify, validation) {
                Ok(data) => return Ok(data.claims),
                // The signature was good, so no other key has made it.
                Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
                    refused = Invalid::Expired;
                }
                Err(_) => {}
            }
        }
        Err(refused)
    }
}

fn may_have_signed(key: &JwtKey, header: &Header) -> bool {
    let named = key.id.is_none() || header.kid.is_none() || key.id == header.kid;
    key.algorithm == header.alg && named
}

/// What every token is checked for, but for its algorithm.
fn validation(config: &JwtConfig) -> Validation {
    let mut validation = Validation::default();
    validation.leeway = config.leeway.as_secs();
    validation.validate_nbf = true;
    let set = |names: &[String]| (!names.is_empty()).then(|| names.iter().cloned().collect::<HashSet<_>>());
    validation.iss = set(&config.issuers);
    validation.aud = set(&config.audiences);
    let required = [("iss", validation.iss.is_some()), ("aud", validation.aud.is_some())];
    let required = required.into_iter().filter(|(_, required)| *required);
    validation.required_spec_claims.extend(required.map(|(name, _)| name.to_owned()));
    validation
}

/// RFC 7518 §3.2: as long as the hash.
const HS256_SECRET_BYTES_MIN: usize = 32;

/// The modulus alone of a key of 2048 bits; one of 1024 has half of it in all.
const RSA_DER_BYTES_MIN: usize = 256;

/// Uncompressed: a tag and two coordinates.
const P256_POINT_BYTES: usize = 65;

/// More is no difference of clocks any more.
const LEEWAY_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
