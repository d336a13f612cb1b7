//! Tokens: of three algorithms, forged in every way that is known, over and not yet begun. Those of public keys were made by
//! OpenSSL, with keys that exist no more.
#![forbid(unsafe_code)]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

const RSA: &str = include_str!("../../../../tests/data/jwt/rsa_2048.pem");
const RSA_PKCS1: &str = include_str!("../../../../tests/data/jwt/rsa_2048_pkcs1.pem");
const RSA_SHORT: &str = include_str!("../../../../tests/data/jwt/rsa_1024.pem");
const P256: &str = include_str!("../../../../tests/data/jwt/p256.pem");
const P384: &str = include_str!("../../../../tests/data/jwt/p384.pem");
const RS256_TOKEN: &str = include_str!("../../../../tests/data/jwt/rs256.txt");
const ES256_TOKEN: &str = include_str!("../../../../tests/data/jwt/es256.txt");

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Far beyond the lifetime of this test, and a second in 1970.
const LATER: u64 = 4_102_444_800;
const LONG_AGO: u64 = 1;

#[derive(Debug, Deserialize, PartialEq)]
struct Claims {
    sub: String,
}

fn verifier(keys: Vec<JwtKey>, change: impl FnOnce(&mut JwtConfig)) -> Verifier {
    let mut config = JwtConfig { keys, ..JwtConfig::default() };
    change(&mut config);
    Verifier::new(config).unwrap()
}

fn secret() -> JwtKey {
    JwtKey::hs256(SECRET).unwrap()
}

fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A token whose head is `header`, signed with the secret whatever it says.
fn signed(header: &str, claims: &Value) -> String {
    let message = format!("{}.{}", encode(header), encode(&claims.to_string()));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn sub(result: Result<Claims, Invalid>) -> Result<String, Invalid> {
    result.map(|claims| claims.sub)
}

#[test]
fn tokens_of_each_algorithm_are_taken() {
    let hs256 = secret().sign(&json!({"sub": "ada", "exp": LATER})).unwrap();
    let cases = [
        (secret(), hs256.as_str()),
        (JwtKey::rs256_pem(RSA).unwrap(), RS256_TOKEN.trim()),
        (JwtKey::rs256_pem(RSA_PKCS1).unwrap(), RS256_TOKEN.trim()),
        (JwtKey::es256_pem(P256).unwrap(), ES256_TOKEN.trim()),
    ];
    for (key, token) in &cases {
        let verifier = verifier(vec![key.clone()], |_| {});
        assert_eq!(sub(verifier.verify(token)), Ok("ada".to_owned()), "{key:?}");
        for (other, _) in cases.iter().filter(|(other, _)| other.algorithm != key.algorithm) {
            let verifier = self::verifier(vec![other.clone()], |_| {});
            assert_eq!(sub(verifier.verify(token)), Err(Invalid::Otherwise), "{other:?} for {key:?}");
        }
    }
    let all = verifier(cases.iter().map(|(key, _)| key.clone()).collect(), |_| {});
    for (key, token) in &cases {
        assert_eq!(sub(all.verify(token)), Ok("ada".to_owned()), "{key:?} among others");
    }
}

#[test]
fn forged_tokens_are_refused() {
    let claims = json!({"sub": "ada", "exp": LATER});
    let good = secret().sign(&claims).unwrap();
    let [head, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let admin = encode(&json!({"sub": "root", "exp": LATER}).to_string());
    // The public key, which everybody has, used as if it were a secret.
    let confused = EncodingKey::from_secret(RSA.as_bytes());
    let confused = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &confused).unwrap();
    let none = |name: &str| encode(&format!(r#"{{"alg":"{name}","typ":"JWT"}}"#));
    let mut cases = vec![
        confused,
        format!("{}.{body}.", none("none")),
        format!("{}.{body}.", none("None")),
        format!("{}.{body}", none("none")),
        format!("{}.{body}.{signature}", none("none")),
        format!("{}.{body}.{signature}", none("HS384")),
        format!("{}.{body}.{signature}", none("RS256")),
        format!("{}.{body}.{signature}", none("ES256")),
        format!("{}.{body}.{signature}", encode("{}")),
        format!("{}.{body}.{signature}", encode("[")),
        format!("{}.{body}.{signature}", encode(&"[".repeat(3000))),
        format!("{head}.{admin}.{signature}"),
        format!("{head}.{body}."),
        format!("{head}.{body}"),
        format!("{good}.{signature}"),
        format!("{good}="),
        "..".to_owned(),
        ".".repeat(1000),
        String::new(),
        JwtKey::hs256(&[7; 32]).unwrap().sign(&claims).unwrap(),
        signed(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, &claims),
        secret().sign(&json!({"sub": "x".repeat(9000), "exp": LATER})).unwrap(),
    ];
    cases.extend((0..good.len()).map(|end| good[..end].to_owned()));
    for keys in
        [vec![secret()], vec![JwtKey::rs256_pem(RSA).unwrap(), secret(), JwtKey::es256_pem(P256).unwrap()]]
    {
        let verifier = verifier(keys, |_| {});
        assert_eq!(sub(verifier.verify(&good)), Ok("ada".to_owned()));
        assert_eq!(sub(verifier.verify(&signed(r#"{"alg":"HS256"}"#, &claims))), Ok("ada".to_owned()));
        for token in &cases {
            assert_eq!(sub(verifier.verify(token)), Err(Invalid::Otherwise), "{token}");
        }
    }
}

#[test]
fn claims_are_checked() {
    let now = now();
    let cases = [
        (json!({"sub": "ada"}), Err(Invalid::Otherwise)),
        (json!({"sub": "ada", "exp": LONG_AGO}), Err(Invalid::Expired)),
        (json!({"sub": "ada", "exp": now - 30}), Ok(())),
        (json!({"sub": "ada", "exp": now - 90}), Err(Invalid::Expired)),
        (json!({"sub": "ada", "exp": -1}), Err(Invalid::Otherwise)),
        (json!({"sub": "ada", "exp": "4102444800"}), Err(Invalid::Otherwise)),
        (json!({"sub": "ada", "exp": null}), Err(Invalid::Otherwise)),
        (json!({"sub": "ada", "exp": LATER, "nbf": now + 30}), Ok(())),
        (json!({"sub": "ada", "exp": LATER, "nbf": LATER}), Err(Invalid::Otherwise)),
        (json!({"sub": "ada", "exp": LATER, "nbf": "x"}), Err(Invalid::Otherwise)),
        (json!({"sub": "ada", "exp": u64::MAX, "nbf": 0}), Ok(())),
        (json!({"sub": "ada", "exp": LATER, "aud": "me"}), Err(Invalid::Otherwise)),
        (json!({"sub": 7, "exp": LATER}), Err(Invalid::Otherwise)),
        (json!({"exp": LATER}), Err(Invalid::Otherwise)),
        (json!([]), Err(Invalid::Otherwise)),
    ];
    let plain = verifier(vec![secret()], |_| {});
    for (claims, expected) in cases {
        let token = secret().sign(&claims).unwrap();
        assert_eq!(sub(plain.verify(&token)).map(drop), expected, "{claims}");
    }
    let meant = verifier(vec![secret()], |config| {
        config.issuers = vec!["a".to_owned(), "b".to_owned()];
        config.audiences = vec!["me".to_owned()];
    });
    let cases = [
        (json!({"iss": "a", "aud": "me"}), true),
        (json!({"iss": "b", "aud": ["you", "me"]}), true),
        (json!({"iss": "c", "aud": "me"}), false),
        (json!({"iss": "a", "aud": "you"}), false),
        (json!({"iss": "a", "aud": []}), false),
        (json!({"iss": "a"}), false),
        (json!({"aud": "me"}), false),
        (json!({"iss": 7, "aud": "me"}), false),
    ];
    for (mut claims, taken) in cases {
        claims["sub"] = "ada".into();
        claims["exp"] = LATER.into();
        let token = secret().sign(&claims).unwrap();
        assert_eq!(sub(meant.verify(&token)).is_ok(), taken, "{claims}");
    }
}

#[test]
fn a_named_key_is_for_tokens_that_name_it() {
    let (old, new) = (JwtKey::hs256(&[1; 32]).unwrap(), JwtKey::hs256(&[2; 32]).unwrap());
    let both = verifier(vec![old.clone().with_id("old"), new.clone().with_id("new")], |_| {});
    let claims = json!({"sub": "ada", "exp": LATER});
    let cases = [
        (old.clone().with_id("old"), true),
        (new.clone().with_id("new"), true),
        (new.clone(), true),
        (new.clone().with_id("old"), false),
        (new.with_id("other"), false),
    ];
    for (key, taken) in cases {
        assert_eq!(sub(both.verify(&key.sign(&claims).unwrap())).is_ok(), taken, "{key:?}");
    }
    let unnamed = verifier(vec![old.clone()], |_| {});
    assert!(unnamed.verify::<Claims>(&old.with_id("any").sign(&claims).unwrap()).is_ok());
}

#[test]
fn keys_of_the_wrong_kind_are_refused() {
    let private = RSA.replace("PUBLIC", "PRIVATE");
    let certificate = RSA.replace("PUBLIC KEY", "CERTIFICATE");
    assert!(JwtKey::hs256(&[7; 31]).is_err());
    assert!(JwtKey::hs256(RSA.as_bytes()).is_err());
    for pem in [
        RSA_SHORT,
        P256,
        P384,
        &private,
        &certificate,
        "",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    ] {
        assert!(JwtKey::rs256_pem(pem).is_err(), "{pem}");
    }
    for pem in [RSA, RSA_PKCS1, P384, &private, &P256[..80], ""] {
        assert!(JwtKey::es256_pem(pem).is_err(), "{pem}");
    }
    assert!(JwtKey::es256_pem(P256).unwrap().sign(&json!({})).is_err(), "a public key signs nothing");
    assert!(!format!("{:?}", secret()).contains("0123"), "the key is not shown");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let fits = |config: JwtConfig| Verifier::new(config).is_ok();
    assert!(!fits(JwtConfig::default()));
    let leeway = |seconds| JwtConfig {
        keys: vec![secret()],
        leeway: Duration::from_secs(seconds),
        ..JwtConfig::default()
    };
    assert!(fits(leeway(3600)) && !fits(leeway(3601)));
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}
