//! What a server staples to its certificate: its signer's word that it is not revoked (RFC 6066 §8, RFC 6960), verified.
//!
//! It counts if it is about this certificate, current, and signed by the certificate's own signer, or by whom that has named to
//! answer in its place. Whoever the chain leads to has been verified before.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::hash::Hash;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use sha1::{Digest, Sha1};

use super::config::OcspStaple;
use crate::proto::ocsp::{About, Answer, OcspResponse, Status};
use crate::proto::x509::{Certificate, PublicKey, Signed};

/// Verifies servers by authorities, and then by what they staple.
pub(super) struct StapleVerifier {
    pub(super) chain: Arc<WebPkiServerVerifier>,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) rule: OcspStaple,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) sha256: Option<&'static dyn Hash>,
}

/// What a staple says; the greater one counts if there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    /// It says nothing: there is none, or it does not count.
    Nothing,
    Good,
    Revoked,
}

impl Word {
    fn of(status: Status) -> Self {
        match status {
            Status::Good => Self::Good,
            Status::Revoked => Self::Revoked,
            Status::Unknown => Self::Nothing,
        }
    }
}

/// Whoever may have signed a certificate: the content of a name, and a key.
#[derive(Clone, Copy)]
struct Signer<'a> {
    name: &'a [u8],
    key: PublicKey<'a>,
}

/// How far the clocks of authorities may be ahead of ours.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// How old an answer may be that does not say when there will be news: who has been revoked could staple an old one for ever.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Signers of the right name whose keys are tried: there is one, and two while it is renewed.
const SIGNERS_MAX: usize = 8;

impl StapleVerifier {
    fn word(
        &self,
        end_entity: &[u8],
        intermediates: &[CertificateDer<'_>],
        staple: &[u8],
        now: SystemTime,
    ) -> Word {
        let parsed = Certificate::parse(end_entity).zip(OcspResponse::parse(staple));
        let Some((certificate, response)) = parsed else { return Word::Nothing };
        let shown = intermediates
            .iter()
            .filter_map(|shown| Certificate::parse(shown))
            .map(|shown| Signer::of(&shown));
        let trusted = self.roots.roots.iter().filter_map(|root| {
            Some(Signer { name: &root.subject, key: PublicKey::parse(&root.subject_public_key_info)? })
        });
        // Others may have its name; the one who has signed is meant.
        let mut named =
            shown.chain(trusted).filter(|signer| signer.name == certificate.issuer).take(SIGNERS_MAX);
        let signer = named.find(|signer| self.has_signed(signer.key, &certificate.signed));
        signer.map_or(Word::Nothing, |signer| self.word_of(&signer, &certificate, &response, now))
    }

    fn word_of(
        &self,
        signer: &Signer<'_>,
        certificate: &Certificate<'_>,
        response: &OcspResponse<'_>,
        now: SystemTime,
    ) -> Word {
        let is_about_it = |about: &About<'_>| about.serial == certificate.serial && self.names(about, signer);
        let is_current = |answer: &Answer<'_>| {
            answer.this_update <= now + CLOCK_SKEW
                && now <= answer.next_update.unwrap_or(answer.this_update + AGE_MAX)
        };
        let answers = response.answers().filter(|answer| is_about_it(&answer.about) && is_current(answer));
        // A responder may say several things of one certificate, in any order: the worst of them counts.
        let worst = answers.map(|answer| Word::of(answer.status)).max().unwrap_or(Word::Nothing);
        if worst == Word::Nothing || self.is_signed_for(signer, response, now) {
            worst
        } else {
            Word::Nothing
        }
    }

    /// RFC 6960 §4.2.2.2: it is signed by the certificate's signer itself, or by whom that has certified to answer for it.
    fn is_signed_for(&self, signer: &Signer<'_>, response: &OcspResponse<'_>, now: SystemTime) -> bool {
        const OCSP_SIGNING: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 9];
        self.has_signed(signer.key, &response.signed)
            || response.certificates().any(|delegate| {
                delegate.issuer == signer.name
                    && delegate.has_usage(OCSP_SIGNING)
                    && (delegate.not_before..=delegate.not_after).contains(&now)
                    && self.has_signed(signer.key, &delegate.signed)
                    && self.has_signed(delegate.key, &response.signed)
            })
    }

    fn has_signed(&self, key: PublicKey<'_>, signed: &Signed<'_>) -> bool {
        let fitting = self.algorithms.all.iter().filter(|algorithm| {
            algorithm.signature_alg_id().as_ref() == signed.algorithm
                && algorithm.public_key_alg_id().as_ref() == key.algorithm
        });
        fitting
            .into_iter()
            .any(|algorithm| algorithm.verify_signature(key.bits, signed.message, signed.signature).is_ok())
    }

    /// Whether it is this signer that an answer is about certificates of.
    fn names(&self, about: &About<'_>, signer: &Signer<'_>) -> bool {
        const SHA1: &[u8] = &[43, 14, 3, 2, 26];
        const SHA256: &[u8] = &[96, 134, 72, 1, 101, 3, 4, 2, 1];
        let name = name_in_der(signer.name);
        match (about.hash, self.sha256) {
            // It tells apart what the authority itself has signed: collisions are of no use to anybody.
            (SHA1, _) => {
                *about.issuer_name == *Sha1::digest(&name)
                    && *about.issuer_key == *Sha1::digest(signer.key.bits)
            }
            (SHA256, Some(sha256)) => {
                about.issuer_name == sha256.hash(&name).as_ref()
                    && about.issuer_key == sha256.hash(signer.key.bits).as_ref()
            }
            _ => false,
        }
    }
}

impl<'a> Signer<'a> {
    fn of(certificate: &Certificate<'a>) -> Self {
        Self { name: certificate.subject, key: certificate.key }
    }
}

/// A name with its tag and its length, as it is hashed.
fn name_in_der(content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().position(|&digit| digit > 0).unwrap_or(length.len() - 1)..];
    let mut der = vec![crate::proto::der::SEQUENCE];
    if content.len() > 0x7f {
        der.push(0x80 | u8::try_from(digits.len()).expect("there are eight at most"));
    }
    der.extend_from_slice(digits);
    der.extend_from_slice(content);
    der
}

impl ServerCertVerifier for StapleVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        match self.word(end_entity, intermediates, ocsp_response, time) {
            Word::Revoked => Err(CertificateError::Revoked.into()),
            Word::Nothing if self.rule == OcspStaple::Required => {
                Err(CertificateError::Other(OtherError(Arc::new(NoStaple))).into())
            }
            Word::Good | Word::Nothing => Ok(verified),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

impl fmt::Debug for StapleVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StapleVerifier").field("rule", &self.rule).finish_non_exhaustive()
    }
}

/// A server has stapled nothing that counts, and has to.
#[derive(Debug)]
pub(super) struct NoStaple;

impl fmt::Display for NoStaple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no current OCSP response of the certificate's signer is stapled to it")
    }
}

impl std::error::Error for NoStaple {}

#[cfg(test)]
mod tests;
