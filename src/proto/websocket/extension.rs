//! What two sides agree on about compression: the negotiation of permessage-deflate (RFC 7692 §5, §7.1).
#![forbid(unsafe_code)]

use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue};

use super::Role;
use super::handshake::AnswerFault;
use super::reader::Takeover;
use crate::proto::http1::split_unquoted;

/// What one side wants of permessage-deflate, in each direction. The windows are exponents of 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// Whether this side's messages may refer to earlier ones.
    pub own: Takeover,
    /// The largest window for this side's messages: 9 to 15.
    pub own_window_bits: u8,
    /// Whether the peer's messages may refer to earlier ones.
    pub peer: Takeover,
    /// The largest window for the peer's messages: 9 to 15.
    pub peer_window_bits: u8,
}

impl Default for Offer {
    /// Each message for itself, in the largest windows.
    fn default() -> Self {
        Self {
            own: Takeover::Reset,
            own_window_bits: WINDOW_BITS_MAX,
            peer: Takeover::Reset,
            peer_window_bits: WINDOW_BITS_MAX,
        }
    }
}

/// What both sides have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateParams {
    /// Whether the server's messages refer to earlier ones.
    pub server: Takeover,
    /// The server's window.
    pub server_window_bits: u8,
    /// Whether the offer names the server's window, or the server limits it: then the answer names it, however large it is.
    pub names_server_window: bool,
    /// Whether the client's messages refer to earlier ones.
    pub client: Takeover,
    /// The client's window.
    pub client_window_bits: u8,
}

impl DeflateParams {
    /// What holds for the messages of one side: whether it takes its window over, and that window.
    #[must_use]
    pub fn of(&self, side: Role) -> (Takeover, u8) {
        match side {
            Role::Server => (self.server, self.server_window_bits),
            Role::Client => (self.client, self.client_window_bits),
        }
    }
}

/// Server: takes the first of the client's offers that can be taken, as far as `own` allows.
#[must_use]
pub fn accept_offer(headers: &HeaderMap, own: &Offer) -> Option<DeflateParams> {
    let fields = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter();
    let mut offers = fields.flat_map(|field| split_unquoted(field.as_bytes(), b','));
    offers.find_map(|offer| agree(&Parameters::parse(offer)?, own))
}

/// Server: the value of `Sec-WebSocket-Extensions` in the answer.
#[must_use]
pub fn answer_value(agreed: &DeflateParams) -> HeaderValue {
    let parameters = Parameters {
        server_no_context_takeover: agreed.server == Takeover::Reset,
        client_no_context_takeover: agreed.client == Takeover::Reset,
        // RFC 7692 §7.1.2.1: who takes an offer with this parameter has to answer with it.
        server_max_window_bits: agreed.names_server_window.then_some(agreed.server_window_bits),
        client_max_window_bits: restricted(agreed.client_window_bits).map(Some),
    };
    parameters.to_value()
}

/// Client: the value of `Sec-WebSocket-Extensions` in the request.
#[must_use]
pub fn offer_value(own: &Offer) -> HeaderValue {
    let parameters = Parameters {
        server_no_context_takeover: own.peer == Takeover::Reset,
        client_no_context_takeover: own.own == Takeover::Reset,
        server_max_window_bits: restricted(own.peer_window_bits),
        // Said in any case: it allows the server to ask for a smaller one.
        client_max_window_bits: Some(restricted(own.own_window_bits)),
    };
    parameters.to_value()
}

/// Client: what the server made of the offer; `None` if it took none.
///
/// # Errors
/// [`AnswerFault`] if it took what was not offered (RFC 6455 §9.1, RFC 7692 §5.1).
pub fn read_answer(headers: &HeaderMap, offer: Option<&Offer>) -> Result<Option<DeflateParams>, AnswerFault> {
    let fields = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter();
    let mut taken =
        fields.flat_map(|field| split_unquoted(field.as_bytes(), b',')).filter(|one| !one.is_empty());
    let Some(first) = taken.next() else { return Ok(None) };
    let (Some(offer), None) = (offer, taken.next()) else {
        return Err(AnswerFault::ExtensionUnexpected);
    };
    let answer = Parameters::parse(first).ok_or(AnswerFault::ExtensionUnexpected)?;
    let agreed = DeflateParams {
        server: takeover(answer.server_no_context_takeover),
        server_window_bits: answer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX),
        names_server_window: answer.server_max_window_bits.is_some(),
        client: takeover(answer.client_no_context_takeover || offer.own == Takeover::Reset),
        client_window_bits: match answer.client_max_window_bits {
            Some(bits) => bits.ok_or(AnswerFault::ExtensionUnexpected)?,
            None => offer.own_window_bits,
        },
    };
    let keeps_offer = (offer.peer == Takeover::Kept || agreed.server == Takeover::Reset)
        && agreed.server_window_bits <= offer.peer_window_bits
        && agreed.client_window_bits <= offer.own_window_bits
        && agreed.client_window_bits >= WINDOW_BITS_MIN;
    if keeps_offer { Ok(Some(agreed)) } else { Err(AnswerFault::ExtensionUnexpected) }
}

/// The parameters of one permessage-deflate, in an offer or an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// In an offer it may have no value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// `None` if it is another extension, or has a parameter that is unknown, repeated or malformed (RFC 7692 §7.1).
    fn parse(extension: &[u8]) -> Option<Self> {
        let mut parts = split_unquoted(extension, b';');
        if !parts.next()?.eq_ignore_ascii_case(NAME.as_bytes()) {
            return None;
        }
        let mut parameters = Self::default();
        for part in parts {
            let part = str::from_utf8(part).ok()?;
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_ascii_end(), Some(unquoted(value.trim_ascii_start()))),
                None => (part, None),
            };
            parameters.take(&name.to_ascii_lowercase(), value)?;
        }
        Some(parameters)
    }

    fn take(&mut self, name: &str, value: Option<&str>) -> Option<()> {
        match (name, value) {
            (SERVER_NO_TAKEOVER, None) if !self.server_no_context_takeover => {
                self.server_no_context_takeover = true;
            }
            (CLIENT_NO_TAKEOVER, None) if !self.client_no_context_takeover => {
                self.client_no_context_takeover = true;
            }
            (SERVER_BITS, Some(bits)) if self.server_max_window_bits.is_none() => {
                self.server_max_window_bits = Some(window_bits(bits)?);
            }
            (CLIENT_BITS, bits) if self.client_max_window_bits.is_none() => {
                self.client_max_window_bits = Some(match bits {
                    Some(bits) => Some(window_bits(bits)?),
                    None => None,
                });
            }
            _ => return None,
        }
        Some(())
    }

    fn to_value(self) -> HeaderValue {
        let mut value = NAME.to_owned();
        let mut add = |name: &str, bits: Option<u8>| {
            value.push_str("; ");
            value.push_str(name);
            if let Some(bits) = bits {
                value.push('=');
                value.push_str(&bits.to_string());
            }
        };
        if self.server_no_context_takeover {
            add(SERVER_NO_TAKEOVER, None);
        }
        if self.client_no_context_takeover {
            add(CLIENT_NO_TAKEOVER, None);
        }
        if let Some(bits) = self.server_max_window_bits {
            add(SERVER_BITS, Some(bits));
        }
        if let Some(bits) = self.client_max_window_bits {
            add(CLIENT_BITS, bits);
        }
        HeaderValue::try_from(value).expect("names and numbers")
    }
}

/// What a server makes of an offer; `None` if it cannot take it.
fn agree(offer: &Parameters, own: &Offer) -> Option<DeflateParams> {
    let server_window_bits = offer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX).min(own.own_window_bits);
    if server_window_bits < WINDOW_BITS_MIN {
        return None;
    }
    Some(DeflateParams {
        server: takeover(offer.server_no_context_takeover || own.own == Takeover::Reset),
        server_window_bits,
        names_server_window: offer.server_max_window_bits.is_some() || server_window_bits < WINDOW_BITS_MAX,
        client: takeover(offer.client_no_context_takeover || own.peer == Takeover::Reset),
        // RFC 7692 §7.1.2.2: only who has mentioned it can be asked for a smaller one. Any window can be read.
        client_window_bits: match offer.client_max_window_bits {
            None => WINDOW_BITS_MAX,
            Some(bits) => bits.unwrap_or(WINDOW_BITS_MAX).min(own.peer_window_bits),
        },
    })
}

const fn takeover(is_reset: bool) -> Takeover {
    if is_reset { Takeover::Reset } else { Takeover::Kept }
}

/// A window that is worth mentioning.
fn restricted(bits: u8) -> Option<u8> {
    (bits < WINDOW_BITS_MAX).then_some(bits)
}

/// RFC 7692 §7.1.2: 8 to 15, without leading zeros.
fn window_bits(text: &str) -> Option<u8> {
    let has_digits_only = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|bits| has_digits_only && (8..=WINDOW_BITS_MAX).contains(bits))
}

/// RFC 6455 §9.1: a value may stand in quotes, if it is a token.
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value)
}

const NAME: &str = "permessage-deflate";
const SERVER_NO_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// The smallest window that can be compressed with: zlib's own does not do 8.
const WINDOW_BITS_MIN: u8 = 9;
const WINDOW_BITS_MAX: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, value.parse().unwrap());
        headers
    }

    fn kept() -> Offer {
        Offer { own: Takeover::Kept, peer: Takeover::Kept, ..Offer::default() }
    }

    fn answer_to(value: &str, own: &Offer) -> Option<String> {
        let agreed = accept_offer(&headers(value), own)?;
        Some(answer_value(&agreed).to_str().unwrap().to_owned())
    }

    #[test]
    fn rfc7692_7_1_offers_that_a_server_takes() {
        let own = kept();
        let cases = [
            ("permessage-deflate", "permessage-deflate"),
            ("Permessage-Deflate ; client_max_window_bits", "permessage-deflate"),
            (
                "permessage-deflate; client_max_window_bits=10",
                "permessage-deflate; client_max_window_bits=10",
            ),
            ("permessage-deflate; client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8"),
            ("permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=9"),
            (
                "permessage-deflate; server_max_window_bits=15",
                "permessage-deflate; server_max_window_bits=15",
            ),
            (
                "permessage-deflate; server_max_window_bits=\"10\"",
                "permessage-deflate; server_max_window_bits=10",
            ),
            (
                "permessage-deflate; server_no_context_takeover",
                "permessage-deflate; server_no_context_takeover",
            ),
            (
                "permessage-deflate; client_no_context_takeover",
                "permessage-deflate; client_no_context_takeover",
            ),
            ("x-webkit-deflate-frame, permessage-deflate", "permessage-deflate"),
            // §5.1: the first that can be taken.
            (
                "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=12",
                "permessage-deflate; server_max_window_bits=12",
            ),
            ("permessage-deflate; unknown, permessage-deflate", "permessage-deflate"),
        ];
        for (offer, answer) in cases {
            assert_eq!(answer_to(offer, &own).as_deref(), Some(answer), "{offer}");
        }
    }

    #[test]
    fn rfc7692_7_1_offers_that_a_server_declines() {
        for offer in [
            "",
            "permessage-bzip2",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; client_max_window_bits=99",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "permessage-deflate; mystery",
        ] {
            assert_eq!(answer_to(offer, &kept()), None, "{offer}");
        }
    }

    #[test]
    fn rfc7692_7_1_2_a_server_keeps_its_own_limits_and_asks_only_who_can_be_asked() {
        let own = Offer { own_window_bits: 11, peer_window_bits: 10, ..Offer::default() };
        let no_takeover = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let cases = [
            ("permessage-deflate", "; server_max_window_bits=11"),
            (
                "permessage-deflate; client_max_window_bits",
                "; server_max_window_bits=11; client_max_window_bits=10",
            ),
            (
                "permessage-deflate; client_max_window_bits=9; server_max_window_bits=12",
                "; server_max_window_bits=11; client_max_window_bits=9",
            ),
        ];
        for (offer, rest) in cases {
            assert_eq!(answer_to(offer, &own), Some(format!("{no_takeover}{rest}")), "{offer}");
        }
    }

    #[test]
    fn rfc7692_7_1_what_a_client_makes_of_the_answer() {
        let offer = kept();
        let small = Offer { own_window_bits: 10, peer_window_bits: 10, ..Offer::default() };
        let read = |answer: &str, offer: &Offer| {
            read_answer(&headers(answer), Some(offer)).map(|agreed| {
                agreed.map(|agreed| {
                    let bits = (agreed.server_window_bits, agreed.client_window_bits);
                    (agreed.server == Takeover::Kept, agreed.client == Takeover::Kept, bits.0, bits.1)
                })
            })
        };
        assert_eq!(read("", &offer), Ok(None));
        assert_eq!(read("permessage-deflate", &offer), Ok(Some((true, true, 15, 15))));
        let all = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                   server_max_window_bits=8; client_max_window_bits=9";
        assert_eq!(read(all, &offer), Ok(Some((false, false, 8, 9))));
        let fine = "permessage-deflate; server_no_context_takeover; server_max_window_bits=10";
        assert_eq!(read(fine, &small), Ok(Some((false, false, 10, 10))));
        for (answer, offer) in [
            ("permessage-deflate, permessage-deflate", &offer),
            ("permessage-bzip2", &offer),
            ("permessage-deflate; client_max_window_bits", &offer),
            // zlib's compressor has no such window.
            ("permessage-deflate; client_max_window_bits=8", &offer),
            ("permessage-deflate; server_no_context_takeover; server_max_window_bits=11", &small),
            ("permessage-deflate; server_no_context_takeover", &small),
            ("permessage-deflate; server_max_window_bits=10", &small),
        ] {
            assert_eq!(read(answer, offer), Err(AnswerFault::ExtensionUnexpected), "{answer}");
        }
        assert_eq!(
            read_answer(&headers("permessage-deflate"), None),
            Err(AnswerFault::ExtensionUnexpected),
            "it was not offered"
        );
    }

    #[test]
    fn a_client_and_a_server_agree_on_every_pair_of_wishes() {
        let mut wishes = Vec::new();
        for bits in [9, 12, 15] {
            for takeover in [Takeover::Kept, Takeover::Reset] {
                wishes.push(Offer {
                    own: takeover,
                    peer: takeover,
                    own_window_bits: bits,
                    peer_window_bits: 24 - bits,
                });
            }
        }
        for client in &wishes {
            for server in &wishes {
                let mut request = HeaderMap::new();
                request.insert(SEC_WEBSOCKET_EXTENSIONS, offer_value(client));
                let agreed = accept_offer(&request, server).expect("nothing keeps them apart");
                let mut answer = HeaderMap::new();
                answer.insert(SEC_WEBSOCKET_EXTENSIONS, answer_value(&agreed));
                assert_eq!(read_answer(&answer, Some(client)), Ok(Some(agreed)), "{client:?} {server:?}");
            }
        }
    }
}
