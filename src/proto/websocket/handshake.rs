//! The opening handshake, both sides (RFC 6455 §4).
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use sha1::{Digest, Sha1};

use super::extension::{DeflateParams, Offer, answer_value, offer_value, read_answer};
use crate::proto::http1::elements;

/// Why a request opens no WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It is no GET.
    MethodNotGet,
    /// It is HTTP/1.0.
    VersionTooOld,
    /// It asks for no WebSocket: no `Upgrade: websocket`, or no `Connection: upgrade`.
    NotAnUpgrade,
    /// It asks for another version than 13.
    VersionUnsupported,
    /// It has no `Sec-WebSocket-Key`, several, or one that is not 16 bytes in base64.
    KeyInvalid,
    /// `Sec-WebSocket-Protocol` is no list of tokens.
    ProtocolInvalid,
}

impl Refusal {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::MethodNotGet => StatusCode::METHOD_NOT_ALLOWED,
            // RFC 9110 §15.5.22, RFC 6455 §4.4.
            Self::NotAnUpgrade | Self::VersionUnsupported => StatusCode::UPGRADE_REQUIRED,
            Self::VersionTooOld | Self::KeyInvalid | Self::ProtocolInvalid => StatusCode::BAD_REQUEST,
        }
    }

    /// The fields that the answer needs.
    #[must_use]
    pub fn fields(self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            Self::MethodNotGet => vec![(http::header::ALLOW, HeaderValue::from_static("GET"))],
            Self::NotAnUpgrade | Self::VersionUnsupported => vec![
                (UPGRADE, HeaderValue::from_static(PROTOCOL)),
                (CONNECTION, HeaderValue::from_static("upgrade")),
                (SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION)),
            ],
            Self::VersionTooOld | Self::KeyInvalid | Self::ProtocolInvalid => Vec::new(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MethodNotGet => "a WebSocket is opened by GET",
            Self::VersionTooOld => "a WebSocket needs HTTP/1.1",
            Self::NotAnUpgrade => {
                "this is a WebSocket: the request needs `Upgrade: websocket` and `Connection: upgrade`"
            }
            Self::VersionUnsupported => "the version of WebSocket is 13",
            Self::KeyInvalid => "the request needs one `Sec-WebSocket-Key` of 16 bytes in base64",
            Self::ProtocolInvalid => "`Sec-WebSocket-Protocol` is not a list of names",
        })
    }
}

impl Error for Refusal {}

/// Whether a request asks for a WebSocket, well or badly.
#[must_use]
pub fn asks_for_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, UPGRADE, PROTOCOL)
}

/// Server: whether a request opens a WebSocket (RFC 6455 §4.2.1).
///
/// # Errors
/// [`Refusal`], with the status and fields to answer with.
pub fn check_request(method: &Method, version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    if version < Version::HTTP_11 {
        return Err(Refusal::VersionTooOld);
    }
    if *method != Method::GET {
        return Err(Refusal::MethodNotGet);
    }
    if !has_token(headers, UPGRADE, PROTOCOL) || !has_token(headers, CONNECTION, "upgrade") {
        return Err(Refusal::NotAnUpgrade);
    }
    if single(headers, SEC_WEBSOCKET_VERSION) != Some(VERSION.as_bytes()) {
        return Err(Refusal::VersionUnsupported);
    }
    let key = single(headers, SEC_WEBSOCKET_KEY).ok_or(Refusal::KeyInvalid)?;
    if STANDARD.decode(key).map_or(0, |bytes| bytes.len()) != KEY_BYTES {
        return Err(Refusal::KeyInvalid);
    }
    if !elements(headers, SEC_WEBSOCKET_PROTOCOL).all(is_token) {
        return Err(Refusal::ProtocolInvalid);
    }
    Ok(())
}

/// Server: the first protocol of the client's list that is `supported`.
#[must_use]
pub fn choose_protocol<'own>(headers: &HeaderMap, supported: &'own [String]) -> Option<&'own str> {
    let mut wanted = elements(headers, SEC_WEBSOCKET_PROTOCOL);
    wanted.find_map(|wanted| supported.iter().find(|own| own.as_bytes() == wanted)).map(String::as_str)
}

/// Server: the fields of the answer to a request that passed [`check_request`], without `Upgrade` and `Connection`.
#[must_use]
pub fn accepted_fields(
    request: &HeaderMap,
    protocol: Option<&str>,
    deflate: Option<&DeflateParams>,
) -> HeaderMap {
    let mut fields = HeaderMap::new();
    let key = single(request, SEC_WEBSOCKET_KEY).unwrap_or_default();
    fields.insert(SEC_WEBSOCKET_ACCEPT, accept_key(key));
    if let Some(protocol) = protocol.and_then(|protocol| HeaderValue::from_str(protocol).ok()) {
        fields.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    if let Some(agreed) = deflate {
        fields.insert(SEC_WEBSOCKET_EXTENSIONS, answer_value(agreed));
    }
    fields
}

/// What proves that a key was read (RFC 6455 §4.2.2): the SHA-1 of it and of a text that nobody sends by chance.
#[must_use]
pub fn accept_key(key: &[u8]) -> HeaderValue {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    HeaderValue::try_from(STANDARD.encode(hash)).expect("base64 is a field value")
}

/// Whether a text can be the name of a subprotocol: a token (RFC 6455 §4.1).
#[must_use]
pub fn is_protocol_name(name: &str) -> bool {
    is_token(name.as_bytes())
}

/// Client: a key of random bytes, as it stands in the request.
#[must_use]
pub fn key_of(random: [u8; 16]) -> HeaderValue {
    HeaderValue::try_from(STANDARD.encode(random)).expect("base64 is a field value")
}

/// Client: the fields that make a GET open a WebSocket (RFC 6455 §4.1).
///
/// `protocols`: those that fit, the best first; those that are no tokens are left out.
#[must_use]
pub fn opening_fields(key: &HeaderValue, protocols: &[String], offer: Option<&Offer>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    fields.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
    fields.insert(SEC_WEBSOCKET_KEY, key.clone());
    let tokens: Vec<&str> =
        protocols.iter().map(String::as_str).filter(|name| is_token(name.as_bytes())).collect();
    if !tokens.is_empty() {
        fields.insert(SEC_WEBSOCKET_PROTOCOL, tokens.join(", ").try_into().expect("tokens are field values"));
    }
    if let Some(offer) = offer {
        fields.insert(SEC_WEBSOCKET_EXTENSIONS, offer_value(offer));
    }
    fields
}

/// How a server's answer to an opening handshake is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnswerFault {
    /// Another status than 101.
    NotSwitched,
    /// No `Upgrade: websocket`, or no `Connection: upgrade`.
    UpgradeMissing,
    /// `Sec-WebSocket-Accept` is not that of the key: whoever answered does not speak WebSocket.
    AcceptInvalid,
    /// A protocol that was not offered, or several.
    ProtocolUnexpected,
    /// An extension, or a parameter of one, that was not offered.
    ExtensionUnexpected,
}

impl fmt::Display for AnswerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSwitched => "the server did not switch to WebSocket",
            Self::UpgradeMissing => "the answer does not say that it switches to WebSocket",
            Self::AcceptInvalid => "the answer is not one to our key",
            Self::ProtocolUnexpected => "the server chose a protocol that was not offered",
            Self::ExtensionUnexpected => "the server chose an extension that was not offered",
        })
    }
}

impl Error for AnswerFault {}

/// Client: what the server's answer agrees to: a protocol, and compression (RFC 6455 §4.1).
///
/// # Errors
/// [`AnswerFault`]: close the connection.
pub fn check_answer(
    status: StatusCode,
    headers: &HeaderMap,
    key: &HeaderValue,
    protocols: &[String],
    offer: Option<&Offer>,
) -> Result<(Option<String>, Option<DeflateParams>), AnswerFault> {
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(AnswerFault::NotSwitched);
    }
    if !has_token(headers, UPGRADE, PROTOCOL) || !has_token(headers, CONNECTION, "upgrade") {
        return Err(AnswerFault::UpgradeMissing);
    }
    if single(headers, SEC_WEBSOCKET_ACCEPT) != Some(accept_key(key.as_bytes()).as_bytes()) {
        return Err(AnswerFault::AcceptInvalid);
    }
    let protocol = match single(headers, SEC_WEBSOCKET_PROTOCOL) {
        None if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) => return Err(AnswerFault::ProtocolUnexpected),
        None => None,
        Some(chosen) => {
            let known = protocols.iter().find(|own| own.as_bytes() == chosen);
            Some(known.ok_or(AnswerFault::ProtocolUnexpected)?.clone())
        }
    };
    Ok((protocol, read_answer(headers, offer)?))
}

/// The value of a field that stands there once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes().trim_ascii())
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

fn is_token(bytes: &[u8]) -> bool {
    use crate::proto::http1::syntax;
    !bytes.is_empty() && syntax::all(bytes, syntax::TOKEN)
}

const PROTOCOL: &str = "websocket";
const VERSION: &str = "13";
const KEY_BYTES: usize = 16;
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        headers
    }

    const GOOD: [(&str, &str); 4] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn rfc6455_1_3_the_key_of_the_rfc() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(key_of(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn rfc6455_4_2_1_what_a_request_must_have() {
        let check =
            |method: &Method, version, lines: &[(&str, &str)]| check_request(method, version, &fields(lines));
        assert_eq!(check(&Method::GET, Version::HTTP_11, &GOOD), Ok(()));
        assert_eq!(check(&Method::POST, Version::HTTP_11, &GOOD), Err(Refusal::MethodNotGet));
        assert_eq!(check(&Method::GET, Version::HTTP_10, &GOOD), Err(Refusal::VersionTooOld));
        let changes: &[(usize, Option<&str>, Refusal)] = &[
            (0, None, Refusal::NotAnUpgrade),
            (0, Some("h2c"), Refusal::NotAnUpgrade),
            (0, Some("websockets"), Refusal::NotAnUpgrade),
            (1, None, Refusal::NotAnUpgrade),
            (1, Some("keep-alive"), Refusal::NotAnUpgrade),
            (2, None, Refusal::VersionUnsupported),
            (2, Some("8"), Refusal::VersionUnsupported),
            (2, Some("13, 8"), Refusal::VersionUnsupported),
            (3, None, Refusal::KeyInvalid),
            (3, Some(""), Refusal::KeyInvalid),
            (3, Some("dGhlIHNhbXBsZSBub25jZQ"), Refusal::KeyInvalid),
            (3, Some("dGhlIHNhbXBsZSBub25j"), Refusal::KeyInvalid),
            (3, Some("dGhlIHNhbXBsZSBub25jZQ===="), Refusal::KeyInvalid),
            (3, Some("!GhlIHNhbXBsZSBub25jZQ=="), Refusal::KeyInvalid),
        ];
        for &(index, value, refusal) in changes {
            let mut lines = GOOD.to_vec();
            match value {
                Some(value) => lines[index].1 = value,
                None => drop(lines.remove(index)),
            }
            assert_eq!(check(&Method::GET, Version::HTTP_11, &lines), Err(refusal), "{lines:?}");
        }
        for (name, value, refusal) in [
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==", Refusal::KeyInvalid),
            ("sec-websocket-version", "13", Refusal::VersionUnsupported),
            ("sec-websocket-protocol", "a b", Refusal::ProtocolInvalid),
        ] {
            let lines = [&GOOD[..], &[(name, value)]].concat();
            assert_eq!(check(&Method::GET, Version::HTTP_11, &lines), Err(refusal), "{lines:?}");
        }
    }

    #[test]
    fn rfc6455_4_4_a_refusal_says_what_would_do() {
        let fields = Refusal::VersionUnsupported.fields();
        assert!(fields.iter().any(|(name, value)| name == SEC_WEBSOCKET_VERSION && value == "13"));
        assert_eq!(Refusal::NotAnUpgrade.status(), 426);
        assert_eq!(Refusal::KeyInvalid.status(), 400);
    }

    #[test]
    fn rfc6455_4_2_2_the_clients_order_of_protocols_decides() {
        let supported = ["chat.v1".to_owned(), "chat.v2".to_owned()];
        let cases: [(&[&str], Option<&str>); 5] = [
            (&["chat.v2, chat.v1"], Some("chat.v2")),
            (&["other, chat.v1"], Some("chat.v1")),
            (&["other", "chat.v2"], Some("chat.v2")),
            (&["Chat.v1"], None),
            (&[], None),
        ];
        for (wanted, chosen) in cases {
            let lines: Vec<_> = wanted.iter().map(|value| ("sec-websocket-protocol", *value)).collect();
            assert_eq!(choose_protocol(&fields(&lines), &supported), chosen, "{wanted:?}");
        }
    }

    #[test]
    fn rfc6455_4_1_what_an_answer_must_have() {
        let key = key_of([7; 16]);
        let accept = accept_key(key.as_bytes());
        let good = [
            ("upgrade", "WebSocket"),
            ("connection", "upgrade"),
            ("sec-websocket-accept", accept.to_str().unwrap()),
            ("sec-websocket-protocol", "b"),
        ];
        let protocols = ["a".to_owned(), "b".to_owned()];
        let check = |status: u16, lines: &[(&str, &str)]| {
            let status = StatusCode::from_u16(status).unwrap();
            check_answer(status, &fields(lines), &key, &protocols, None)
        };
        assert_eq!(check(101, &good), Ok((Some("b".to_owned()), None)));
        assert_eq!(check(101, &good[..3]), Ok((None, None)));
        assert_eq!(check(200, &good), Err(AnswerFault::NotSwitched));
        let changes = [
            (0, "h2c", AnswerFault::UpgradeMissing),
            (1, "close", AnswerFault::UpgradeMissing),
            (2, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", AnswerFault::AcceptInvalid),
            (3, "c", AnswerFault::ProtocolUnexpected),
            (3, "a, b", AnswerFault::ProtocolUnexpected),
        ];
        for (index, value, fault) in changes {
            let mut lines = good;
            lines[index].1 = value;
            assert_eq!(check(101, &lines), Err(fault), "{lines:?}");
        }
    }

    #[test]
    fn what_a_client_asks_a_server_accepts_and_back() {
        let key = key_of([9; 16]);
        let offer = Offer::default();
        let protocols = ["a".to_owned(), "no token".to_owned()];
        let request = opening_fields(&key, &protocols, Some(&offer));
        assert_eq!(check_request(&Method::GET, Version::HTTP_11, &request), Ok(()));
        let agreed = super::super::accept_offer(&request, &Offer::default());
        let mut answer = accepted_fields(&request, choose_protocol(&request, &protocols), agreed.as_ref());
        answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
        answer.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        let checked = check_answer(StatusCode::SWITCHING_PROTOCOLS, &answer, &key, &protocols, Some(&offer));
        assert_eq!(checked, Ok((Some("a".to_owned()), agreed)));
    }
}
