//! What an authority says of certificates that it has signed: good, or revoked (OCSP, RFC 6960), as servers staple it to theirs.
//! Nothing here is trusted: the signature is the caller's to verify.
#![forbid(unsafe_code)]

use std::time::SystemTime;

use super::der::{
    BOOLEAN, ENUMERATED, GENERALIZED_TIME, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE,
    context,
};
use super::x509::{Certificate, Signed};

/// A successful answer (RFC 6960 §4.2.1), in views of its DER.
#[derive(Debug)]
pub(crate) struct OcspResponse<'a> {
    pub(crate) signed: Signed<'a>,
    answers: Reader<'a>,
    certificates: Reader<'a>,
}

/// What is said of one certificate.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) about: About<'a>,
    pub(crate) status: Status,
    pub(crate) this_update: SystemTime,
    /// When there will be news; if it is not said, there are always some.
    pub(crate) next_update: Option<SystemTime>,
}

/// Which certificate: its number, and the hashes of its issuer's name and key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    /// The object identifier's content.
    pub(crate) hash: &'a [u8],
    pub(crate) issuer_name: &'a [u8],
    pub(crate) issuer_key: &'a [u8],
    pub(crate) serial: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Good,
    Revoked,
    /// The authority has never heard of it.
    Unknown,
}

/// Answers and certificates of one response that are looked at. There is one answer as a rule, and one certificate.
const ITEMS_MAX: usize = 16;

impl<'a> OcspResponse<'a> {
    /// `None` if it is none, or one that tells nothing (RFC 6960 §4.2.1: another status than successful).
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        const BASIC: &[u8] = &[43, 6, 1, 5, 5, 7, 48, 1, 1];
        let mut outer = Reader::new(der);
        let mut response = outer.inner(SEQUENCE)?;
        outer.end()?;
        if response.content(ENUMERATED)? != [0] {
            return None;
        }
        let mut explicit = response.inner(context(0, true))?;
        response.end()?;
        let mut bytes = explicit.inner(SEQUENCE)?;
        explicit.end()?;
        if bytes.content(OBJECT_IDENTIFIER)? != BASIC {
            return None;
        }
        let mut octets = Reader::new(bytes.content(OCTET_STRING)?);
        bytes.end()?;
        let mut basic = octets.inner(SEQUENCE)?;
        octets.end()?;
        let signed = Signed::read(&mut basic)?;
        let certificates = match basic.optional(context(0, true))? {
            Some(explicit) => Reader::new(explicit.content).inner(SEQUENCE)?,
            None => Reader::new(&[]),
        };
        basic.end()?;
        Some(Self { signed, answers: answers_in(signed.message)?, certificates })
    }

    /// What is said, up to the first thing that is no answer.
    pub(crate) fn answers(&self) -> impl Iterator<Item = Answer<'a>> + use<'a> {
        let mut answers = self.answers.clone();
        std::iter::from_fn(move || Answer::parse(answers.content(SEQUENCE)?)).take(ITEMS_MAX)
    }

    /// The certificates that may lead to whoever has signed it.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = Certificate<'a>> + use<'a> {
        let mut certificates = self.certificates.clone();
        std::iter::from_fn(move || Certificate::parse(certificates.value(SEQUENCE)?.whole)).take(ITEMS_MAX)
    }
}

/// The list in a `ResponseData`.
fn answers_in(data: &[u8]) -> Option<Reader<'_>> {
    let mut data = Reader::new(data).inner(SEQUENCE)?;
    if let Some(version) = data.optional(context(0, true))? {
        // Version 1, which is not to be written out in DER; some do.
        let mut explicit = Reader::new(version.content);
        if explicit.content(INTEGER)? != [0] {
            return None;
        }
    }
    let responder = data.any()?;
    if responder.tag != context(1, true) && responder.tag != context(2, true) {
        return None;
    }
    let _produced_at = data.value(GENERALIZED_TIME)?;
    let answers = data.inner(SEQUENCE)?;
    extensions_may_be_ignored(&mut data)?;
    data.end()?;
    Some(answers)
}

/// RFC 6960 §4.4: extensions may be passed over unless they say that they may not. None is known here.
fn extensions_may_be_ignored(reader: &mut Reader<'_>) -> Option<()> {
    let Some(explicit) = reader.optional(context(1, true))? else { return Some(()) };
    let mut extensions = Reader::new(explicit.content).inner(SEQUENCE)?;
    while !extensions.is_at_end() {
        let mut extension = extensions.inner(SEQUENCE)?;
        let _identifier = extension.content(OBJECT_IDENTIFIER)?;
        if extension.optional(BOOLEAN)?.is_some_and(|critical| critical.content != [0]) {
            return None;
        }
    }
    Some(())
}

impl<'a> Answer<'a> {
    fn parse(content: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(content);
        let about = About::parse(reader.content(SEQUENCE)?)?;
        let status = reader.any()?;
        let status = match status.tag {
            tag if tag == context(0, false) => Status::Good,
            tag if tag == context(1, true) => Status::Revoked,
            tag if tag == context(2, false) => Status::Unknown,
            _ => return None,
        };
        let this_update = reader.time()?;
        let next_update = match reader.optional(context(0, true))? {
            Some(explicit) => Some(Reader::new(explicit.content).time()?),
            None => None,
        };
        extensions_may_be_ignored(&mut reader)?;
        reader.end()?;
        Some(Self { about, status, this_update, next_update })
    }
}

impl<'a> About<'a> {
    fn parse(content: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(content);
        let hash = reader.inner(SEQUENCE)?.content(OBJECT_IDENTIFIER)?;
        let (issuer_name, issuer_key) = (reader.content(OCTET_STRING)?, reader.content(OCTET_STRING)?);
        let serial = reader.content(INTEGER)?;
        reader.end()?;
        Some(Self { hash, issuer_name, issuer_key, serial })
    }
}
