//! OCSP responses, made by hand (RFC 6960 §4.2.1).

use rcgen::{KeyPair, PublicKeyData, SigningKey};
use sha1::Digest;

/// What a response says, and of whom.
#[derive(Clone)]
pub(crate) struct Saying<'a> {
    /// The common name of who has signed the certificate, which is all of its name; and its key.
    pub(crate) issuer: &'a str,
    pub(crate) issuer_key: &'a KeyPair,
    pub(crate) serial: u8,
    pub(crate) status: &'static [u8],
    /// What else it says of the same certificate, behind that.
    pub(crate) more: Vec<&'static [u8]>,
    pub(crate) this_update: &'static str,
    pub(crate) next_update: Option<&'static str>,
    pub(crate) by_sha256: bool,
    /// Certificates that are sent along.
    pub(crate) certificates: Vec<&'a [u8]>,
}

pub(crate) const GOOD: &[u8] = &[0x80, 0];
pub(crate) const REVOKED: &[u8] = b"\xa1\x11\x18\x0f20240101000000Z";
pub(crate) const UNKNOWN: &[u8] = &[0x82, 0];

const SEQUENCE: u8 = 0x30;

impl<'a> Saying<'a> {
    /// A response that is current.
    pub(crate) fn new(issuer: &'a str, issuer_key: &'a KeyPair, serial: u8, status: &'static [u8]) -> Self {
        Self {
            issuer,
            issuer_key,
            serial,
            status,
            more: Vec::new(),
            this_update: "20240101000000Z",
            next_update: Some("21240101000000Z"),
            by_sha256: false,
            certificates: Vec::new(),
        }
    }

    /// The response, signed with a key on P-256.
    pub(crate) fn sign(&self, key: &KeyPair) -> Vec<u8> {
        let data = self.data();
        let ecdsa_with_sha256 = value(SEQUENCE, &[&value(6, &[&[42, 134, 72, 206, 61, 4, 3, 2]])]);
        let signature = value(3, &[&[0], &key.sign(&data).expect("a signature")]);
        let certificates = match self.certificates.is_empty() {
            true => Vec::new(),
            false => value(0xa0, &[&value(SEQUENCE, &self.certificates)]),
        };
        let basic = value(SEQUENCE, &[&data, &ecdsa_with_sha256, &signature, &certificates]);
        let kind = value(6, &[&[43, 6, 1, 5, 5, 7, 48, 1, 1]]);
        let bytes = value(0xa0, &[&value(SEQUENCE, &[&kind, &value(4, &[&basic])])]);
        value(SEQUENCE, &[&value(10, &[&[0]]), &bytes])
    }

    fn data(&self) -> Vec<u8> {
        let hash = |bytes: &[u8]| match self.by_sha256 {
            true => sha2::Sha256::digest(bytes).to_vec(),
            false => sha1::Sha1::digest(bytes).to_vec(),
        };
        let algorithm: &[u8] =
            if self.by_sha256 { &[96, 134, 72, 1, 101, 3, 4, 2, 1] } else { &[43, 14, 3, 2, 26] };
        let common_name =
            value(SEQUENCE, &[&value(6, &[&[85, 4, 3]]), &value(12, &[self.issuer.as_bytes()])]);
        let name = value(SEQUENCE, &[&value(0x31, &[&common_name])]);
        let about = value(
            SEQUENCE,
            &[
                &value(SEQUENCE, &[&value(6, &[algorithm])]),
                &value(4, &[&hash(&name)]),
                &value(4, &[&hash(self.issuer_key.der_bytes())]),
                &value(2, &[&[self.serial]]),
            ],
        );
        let next_update = self.next_update.map(|time| value(0xa0, &[&value(24, &[time.as_bytes()])]));
        let this_update = value(24, &[self.this_update.as_bytes()]);
        let next_update = next_update.unwrap_or_default();
        let says = |status: &[u8]| value(SEQUENCE, &[&about, status, &this_update, &next_update]);
        let answers: Vec<_> = [self.status].iter().chain(&self.more).map(|status| says(status)).collect();
        let responder = value(0xa2, &[&value(4, &[&hash(self.issuer_key.der_bytes())])]);
        let produced_at = value(24, &[self.this_update.as_bytes()]);
        value(SEQUENCE, &[&responder, &produced_at, &value(SEQUENCE, &[&answers.concat()])])
    }
}

/// A value in DER.
fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut der = vec![tag];
    match u16::try_from(content.len()).expect("short").to_be_bytes() {
        [0, length @ 0..=127] => der.push(length),
        [0, length] => der.extend_from_slice(&[0x81, length]),
        [high, low] => der.extend_from_slice(&[0x82, high, low]),
    }
    der.extend_from_slice(&content);
    der
}
