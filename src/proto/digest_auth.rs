//! Digest authentication (RFC 7616), the client's half: a challenge is read, and answered without showing the password.
#![forbid(unsafe_code)]

use std::fmt::Write as _;

use http::HeaderValue;
use md5::Md5;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256, Sha512_256};

use super::auth::parameters;
use super::http1::syntax;

/// What a server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// The algorithm as it was sent; it is sent back, if it was.
    algorithm_name: Option<String>,
    /// The password is hashed with the nonce once more (`-sess`).
    is_session: bool,
    /// What the answer vouches for. RFC 2069, which is older, knew no `qop`.
    protection: Option<Protection>,
    /// The nonce was too old, the credentials may be good.
    pub(crate) is_stale: bool,
    is_utf8: bool,
    hashes_user: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Md5,
    Sha256,
    Sha512_256,
}

/// `qop`: quality of protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protection {
    /// `auth`: who asks for what.
    Request,
    /// `auth-int`: the body, too.
    RequestAndBody,
}

impl Protection {
    /// The first of a list that can be given: the weaker one, which needs no body in memory, if both are there.
    fn choose(list: &str, has_body: bool) -> Option<Self> {
        let has = |name: &str| list.split(',').any(|one| one.trim().eq_ignore_ascii_case(name));
        if has(Self::Request.name()) {
            return Some(Self::Request);
        }
        (has_body && has(Self::RequestAndBody.name())).then_some(Self::RequestAndBody)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Request => "auth",
            Self::RequestAndBody => "auth-int",
        }
    }
}

/// What an answer is made for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) method: &'a str,
    /// The target as it is sent.
    pub(crate) uri: &'a str,
    /// Random, and the same for all that is asked by one nonce.
    pub(crate) cnonce: &'a str,
    /// Which request by this nonce it is, from 1.
    pub(crate) count: u32,
    /// The body as it is sent, but for its transfer coding, if that is in memory.
    pub(crate) body: Option<&'a [u8]>,
}

impl Challenge {
    /// The first challenge of the values of `WWW-Authenticate` that can be answered (RFC 7616 §3.7): one that wants the body vouched for only
    /// if that is in memory (`has_body`).
    pub(crate) fn find<'a>(values: impl IntoIterator<Item = &'a [u8]>, has_body: bool) -> Option<Self> {
        values.into_iter().filter_map(|value| str::from_utf8(value).ok()).find_map(|value| {
            let mut challenges = challenges(value).into_iter();
            challenges.find_map(|challenge| Self::parse(challenge, has_body))
        })
    }

    /// Takes the nonce that a server wants to see next, if `Authentication-Info` names one (RFC 7616 §3.5). The secret of a session is made of its first
    /// one, so that one stays.
    pub(crate) fn renew(&mut self, authentication_info: &[u8]) -> bool {
        let field = [b"Digest ", authentication_info].concat();
        let Ok(parameters) = parameters(Some(&field), "Digest") else { return false };
        let next = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case("nextnonce"));
        let Some((_, next)) = next.filter(|(_, next)| !self.is_session && *next != self.nonce) else {
            return false;
        };
        self.nonce = next.to_string();
        true
    }

    fn parse(text: &str, has_body: bool) -> Option<Self> {
        let parameters = parameters(Some(text.as_bytes()), "Digest").ok()?;
        let get = |name: &str| {
            let mut all = parameters.iter();
            all.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_string())
        };
        let is = |name: &str, text: &str| get(name).is_some_and(|value| value.eq_ignore_ascii_case(text));
        let algorithm_name = get("algorithm");
        let (algorithm, is_session) = Algorithm::of_name(algorithm_name.as_deref().unwrap_or("MD5"))?;
        let protection = match get("qop") {
            Some(list) => Some(Protection::choose(&list, has_body)?),
            None => None,
        };
        Some(Self {
            realm: get("realm")?,
            nonce: get("nonce")?,
            opaque: get("opaque"),
            algorithm,
            algorithm_name,
            is_session,
            protection,
            is_stale: is("stale", "true"),
            is_utf8: is("charset", "UTF-8"),
            hashes_user: is("userhash", "true"),
        })
    }

    /// Whether its answer vouches for the body, so that it is answered only with that in memory.
    pub(crate) fn wants_body(&self) -> bool {
        self.protection == Some(Protection::RequestAndBody)
    }

    /// The value of `Authorization` (RFC 7616 §3.4); `None` if a part of it cannot stand in a field, or without the body that it
    /// [wants](Self::wants_body).
    pub(crate) fn answer(&self, asked: &Asked<'_>) -> Option<HeaderValue> {
        let hash = |parts: &[&str]| self.algorithm.hash(parts);
        let Self { realm, nonce, .. } = self;
        let mut secret = hash(&[asked.user, realm, asked.password]);
        if self.is_session {
            secret = hash(&[&secret, nonce, asked.cnonce]);
        }
        let request = if self.wants_body() {
            hash(&[asked.method, asked.uri, &self.algorithm.hash_bytes(asked.body?)])
        } else {
            hash(&[asked.method, asked.uri])
        };
        let count = format!("{:08x}", asked.count);
        let response = match self.protection {
            Some(qop) => hash(&[&secret, nonce, &count, asked.cnonce, qop.name(), &request]),
            None => hash(&[&secret, nonce, &request]),
        };
        let mut text = format!("Digest {}", self.user(asked.user));
        for (name, value) in [("realm", realm), ("nonce", nonce)] {
            put_quoted(&mut text, name, value);
        }
        put_quoted(&mut text, "uri", asked.uri);
        put_quoted(&mut text, "response", &response);
        if let Some(opaque) = &self.opaque {
            put_quoted(&mut text, "opaque", opaque);
        }
        if let Some(name) = &self.algorithm_name {
            let _ = write!(text, ", algorithm={name}");
        }
        if let Some(qop) = self.protection {
            let _ = write!(text, ", qop={}, nc={count}", qop.name());
        }
        if self.protection.is_some() || self.is_session {
            put_quoted(&mut text, "cnonce", asked.cnonce);
        }
        if self.hashes_user {
            text.push_str(", userhash=true");
        }
        let mut value = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// RFC 7616 §3.4: in quotes, or as RFC 8187 has it if it is not ASCII and the server reads UTF-8.
    fn user(&self, user: &str) -> String {
        if !self.hashes_user && self.is_utf8 && !user.is_ascii() {
            return format!("username*=UTF-8''{}", utf8_percent_encode(user, NON_ALPHANUMERIC));
        }
        let hashed = self.hashes_user.then(|| self.algorithm.hash(&[user, &self.realm]));
        let mut text = String::from("username=");
        put_quotes(&mut text, hashed.as_deref().unwrap_or(user));
        text
    }
}

impl Algorithm {
    /// And whether it is that of a session.
    fn of_name(name: &str) -> Option<(Self, bool)> {
        let name = name.to_ascii_uppercase();
        let plain = name.strip_suffix("-SESS");
        let algorithm = match plain.unwrap_or(&name) {
            "MD5" => Self::Md5,
            "SHA-256" => Self::Sha256,
            "SHA-512-256" => Self::Sha512_256,
            _ => return None,
        };
        Some((algorithm, plain.is_some()))
    }

    /// The hash of the parts with colons between them, in hexadecimal digits.
    fn hash(self, parts: &[&str]) -> String {
        self.hash_bytes(parts.join(":").as_bytes())
    }

    fn hash_bytes(self, bytes: &[u8]) -> String {
        match self {
            Self::Md5 => format!("{:x}", Md5::digest(bytes)),
            Self::Sha256 => format!("{:x}", Sha256::digest(bytes)),
            Self::Sha512_256 => format!("{:x}", Sha512_256::digest(bytes)),
        }
    }
}

fn put_quoted(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, ", {name}=");
    put_quotes(out, value);
}

fn put_quotes(out: &mut String, value: &str) {
    out.push('"');
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

/// The challenges of one value (RFC 9110 §11.6.1), whose parameters are separated by commas as they are themselves: an element that is
/// no parameter begins the next one.
fn challenges(value: &str) -> Vec<&str> {
    let mut starts = Vec::new();
    let mut at = 0;
    for element in elements(value) {
        let start = at + (element.len() - element.trim_start().len());
        if !is_parameter(&value[start..at + element.len()]) {
            starts.push(start);
        }
        at += element.len() + 1;
    }
    let ends = starts.iter().skip(1).copied().chain([value.len()]);
    let trim = |(&start, end): (&usize, usize)| value[start..end].trim_end_matches([' ', '\t', ',']);
    starts.iter().zip(ends).map(trim).collect()
}

/// What stands between commas that are not in quotes.
fn elements(value: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    value.split(move |character| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match character {
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            '"' if !was_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        character == ',' && !is_quoted
    })
}

/// Whether an element is `name = value` (or empty), and not `scheme`, `scheme token68` or `scheme name = value`.
fn is_parameter(element: &str) -> bool {
    let name = syntax::run(element.as_bytes(), syntax::TOKEN);
    let rest = element[name..].trim_start_matches([' ', '\t']);
    element.is_empty() || rest.starts_with('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA_256: &str = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256, \
        nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
    const MD5: &str = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=MD5, \
        nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";

    fn answer(challenge: &str, asked: &Asked<'_>) -> String {
        let challenge = Challenge::find([challenge.as_bytes()], true).expect("a challenge");
        String::from_utf8(challenge.answer(asked).expect("a field").as_bytes().to_vec()).expect("UTF-8")
    }

    /// The examples of RFC 7616 §3.9.1.
    #[test]
    fn rfc7616_3_9_1_one_user_two_algorithms() {
        let asked = Asked {
            user: "Mufasa",
            password: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            count: 1,
            body: None,
        };
        assert!(answer(MD5, &asked).contains("response=\"8ca523f5e9506fed4657c9700eebdbec\""));
        assert_eq!(
            answer(SHA_256, &asked),
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", uri=\"/dir/index.html\", \
             response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\", algorithm=SHA-256, qop=auth, nc=00000001, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\""
        );
        let both = format!("{SHA_256}, {MD5}");
        let found = Challenge::find([both.as_bytes()], true).map(|found| found.algorithm);
        assert_eq!(found, Some(Algorithm::Sha256), "the first one that is known");
    }

    /// The challenge of RFC 7616 §3.9.2.
    #[test]
    fn rfc7616_3_9_2_names_are_hashed_if_asked() {
        let challenge = "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
            nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
            opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDssOS\", charset=UTF-8, userhash=true";
        let asked = Asked {
            user: "J\u{e4}s\u{f8}n Doe",
            password: "Secret, or not?",
            method: "GET",
            uri: "/doe.json",
            cnonce: "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm",
            count: 1,
            body: None,
        };
        let text = answer(challenge, &asked);
        let user = Sha512_256::digest("J\u{e4}s\u{f8}n Doe:api@example.org");
        assert!(text.starts_with(&format!("Digest username=\"{user:x}\", ")), "{text}");
        assert!(text.ends_with(", userhash=true"), "{text}");
        let plain = challenge.replace(", userhash=true", "");
        assert!(answer(&plain, &asked).starts_with("Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, "));
        let old = plain.replace(", charset=UTF-8", "");
        assert!(answer(&old, &asked).starts_with("Digest username=\"J\u{e4}s\u{f8}n Doe\", "));
    }

    /// The example of RFC 2617 §3.5 without its `qop`, as RFC 2069 would have it, and that of a session.
    #[test]
    fn without_qop_and_by_session() {
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let challenge = format!("Digest realm=\"testrealm@host.com\", nonce=\"{nonce}\"");
        let asked = Asked {
            user: "Mufasa",
            password: "Circle Of Life",
            method: "GET",
            uri: "/dir/index.html",
            cnonce: "0a4f113b",
            count: 0x1f,
            body: None,
        };
        let text = answer(&challenge, &asked);
        assert!(text.contains("response=\"670fd8c2df070c60b045671b8b24ff02\""), "{text}");
        assert!(!text.contains("qop") && !text.contains("cnonce") && !text.contains("algorithm"), "{text}");

        let text = answer(&format!("{challenge}, qop=auth, algorithm=md5-sess"), &asked);
        let md5 = |parts: &[&str]| Algorithm::Md5.hash(parts);
        let secret = md5(&[&md5(&["Mufasa", "testrealm@host.com", "Circle Of Life"]), nonce, "0a4f113b"]);
        let request = md5(&["GET", "/dir/index.html"]);
        let response = md5(&[&secret, nonce, "0000001f", "0a4f113b", "auth", &request]);
        assert!(text.contains(&format!("response=\"{response}\"")), "{text}");
        assert!(text.contains(", algorithm=md5-sess, qop=auth, nc=0000001f"), "{text}");
    }

    /// RFC 7616 §3.4.3: the request of §3.9.1 with a body, where the server wants that vouched for.
    #[test]
    fn rfc7616_3_4_3_the_body_is_vouched_for_if_nothing_less_is_offered() {
        const BOTH: &str = "Digest realm=r, nonce=n, qop=\"auth-int, auth\", algorithm=SHA-256";
        const BODY: &str = "Digest realm=r, nonce=n, qop=\"auth-int\", algorithm=SHA-256";
        let asked = Asked {
            user: "ada",
            password: "open sesame",
            method: "POST",
            uri: "/",
            cnonce: "c",
            count: 2,
            body: Some(b"\xff two apples"),
        };
        let text = answer(BOTH, &asked);
        assert!(text.contains(", qop=auth, nc=00000002"), "{text}");
        let sha = |text: &[u8]| format!("{:x}", Sha256::digest(text));
        let request = sha(format!("POST:/:{}", sha(b"\xff two apples")).as_bytes());
        let secret = sha(b"ada:r:open sesame");
        let response = sha(format!("{secret}:n:00000002:c:auth-int:{request}").as_bytes());
        let text = answer(BODY, &asked);
        assert!(text.contains(", qop=auth-int, nc=00000002"), "{text}");
        assert!(text.contains(&format!("response=\"{response}\"")), "{text}");

        // One whose body is not in memory answers another challenge, or none.
        assert_eq!(Challenge::find([BODY.as_bytes()], false), None);
        let found = Challenge::find([BODY.as_bytes(), BOTH.as_bytes()], false).expect("the other");
        assert!(!found.wants_body());
        let found = Challenge::find([BODY.as_bytes()], true).expect("a challenge");
        assert_eq!(found.answer(&Asked { body: None, ..asked }), None);
        assert!(found.answer(&Asked { body: Some(b""), ..asked }).is_some());
    }

    #[test]
    fn rfc9110_11_6_1_challenges_are_told_apart() {
        const CASES: &[(&str, &[&str])] = &[
            ("", &[]),
            (", ,", &[]),
            ("Basic", &["Basic"]),
            ("Basic realm=\"a, b\"", &["Basic realm=\"a, b\""]),
            ("Negotiate, NTLM", &["Negotiate", "NTLM"]),
            ("Negotiate YWJj==, Basic realm=x", &["Negotiate YWJj==", "Basic realm=x"]),
            (
                "Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\", now\", Basic realm=\"simple\"",
                &[
                    "Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\", now\"",
                    "Basic realm=\"simple\"",
                ],
            ),
            ("Digest a = b , c =\"\",, d=e, Basic a=b", &["Digest a = b , c =\"\",, d=e", "Basic a=b"]),
        ];
        for (value, expected) in CASES {
            assert_eq!(challenges(value), *expected, "{value}");
        }
    }

    #[test]
    fn rfc7616_3_5_the_next_nonce() {
        let mut challenge = Challenge::find([&b"Digest realm=a, nonce=b"[..]], true).expect("a challenge");
        for (info, renews) in [
            ("qop=auth, nextnonce=\"c\"", true),
            ("nextnonce=c", false),
            ("rspauth=\"x\"", false),
            ("nextnonce=\"c", false),
            ("NextNonce=d", true),
        ] {
            assert_eq!(challenge.renew(info.as_bytes()), renews, "{info}");
        }
        assert_eq!(challenge.nonce, "d");
        let mut session = Challenge { is_session: true, ..challenge };
        assert!(!session.renew(b"nextnonce=e"));
    }

    #[test]
    fn what_cannot_be_answered_is_passed_over() {
        for value in [
            "Basic realm=\"a\"",
            "Digest",
            "Digest realm=\"a\"",
            "Digest nonce=\"a\"",
            "Digest realm=a, nonce=b, qop=\"auth-conf\"",
            "Digest realm=a, nonce=b, qop=\"\"",
            "Digest realm=a, nonce=b, algorithm=SHA-1",
            "Digest realm=a, nonce=b, nonce=c",
            "Digest realm=\"a, nonce=b",
        ] {
            assert_eq!(Challenge::find([value.as_bytes()], true), None, "{value}");
        }
        let values: [&[u8]; 3] =
            [b"\xff", b"Basic realm=a, Digest realm=a, nonce=\"\\\"\", stale=TRUE", b"Digest"];
        let found = Challenge::find(values, true).expect("it is among others");
        assert!(found.is_stale && found.nonce == "\"");
        let asked =
            Asked { user: "a\"b", password: "", method: "GET", uri: "/", cnonce: "", count: 1, body: None };
        let text = found.answer(&asked).expect("a field");
        assert!(text.to_str().expect("ASCII").contains("username=\"a\\\"b\", realm=\"a\", nonce=\"\\\"\","));
        let asked = Asked { user: "a\r\nx: y", ..asked };
        assert_eq!(found.answer(&asked), None);
    }
}
