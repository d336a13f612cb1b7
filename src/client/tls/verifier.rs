//! Who may be a server: whoever authorities vouch for, one whose certificate is known, or anybody.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::hash::{Hash, HashAlgorithm};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    SupportedCipherSuite,
};

use super::config::{ClientTlsConfig, OcspStaple};
use super::roots;
use super::staple::StapleVerifier;
use crate::conn::pem;

/// What verifies servers by a configuration.
pub(super) fn make(
    config: &ClientTlsConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let algorithms = provider.signature_verification_algorithms;
    if config.danger_accept_invalid_certificates {
        return Ok(Arc::new(KeyOnly { accepts: Accepts::All, algorithms }));
    }
    if !config.fingerprints.is_empty() {
        let sha256 = sha256(provider).ok_or("ClientTlsConfig::fingerprints: there is no SHA-256")?;
        let accepts = Accepts::Known { fingerprints: config.fingerprints.clone(), sha256 };
        return Ok(Arc::new(KeyOnly { accepts, algorithms }));
    }
    let roots = root_store(config)?;
    let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
    if let Some(revocations) = &config.revocations {
        let lists = pem::revocation_lists(revocations);
        let lists = lists.map_err(|error| format!("ClientTlsConfig::revocations: {error}"))?;
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    let chain = builder.build().map_err(|error| format!("servers cannot be verified: {error}"))?;
    Ok(match config.ocsp_staple {
        OcspStaple::Ignored => chain,
        rule => Arc::new(StapleVerifier { chain, roots, rule, algorithms, sha256: sha256(provider) }),
    })
}

fn root_store(config: &ClientTlsConfig) -> Result<Arc<RootCertStore>, String> {
    let system = config.system_roots.then(roots::system).transpose()?;
    if let Some(system) = &system
        && config.roots.is_empty()
    {
        return Ok(Arc::clone(system));
    }
    let mut store = system.map_or_else(RootCertStore::empty, |system| (*system).clone());
    for (index, source) in config.roots.iter().enumerate() {
        let added = pem::add_roots(&mut store, source);
        added.map_err(|error| format!("ClientTlsConfig::roots[{index}]: {error}"))?;
    }
    Ok(Arc::new(store))
}

/// The provider has it inside of its cipher suites.
pub(super) fn sha256(provider: &CryptoProvider) -> Option<&'static dyn Hash> {
    let hashes = provider.cipher_suites.iter().map(|suite| match suite {
        SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
        SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
    });
    hashes.into_iter().find(|hash| hash.algorithm() == HashAlgorithm::SHA256)
}

/// Has servers prove that they have the key of the certificate that they show, which may be any of those accepted.
struct KeyOnly {
    accepts: Accepts,
    algorithms: WebPkiSupportedAlgorithms,
}

enum Accepts {
    All,
    Known { fingerprints: Vec<[u8; 32]>, sha256: &'static dyn Hash },
}

impl ServerCertVerifier for KeyOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Accepts::Known { fingerprints, sha256 } = &self.accepts {
            let found = sha256.hash(end_entity);
            if !fingerprints.iter().any(|known| known == found.as_ref()) {
                let wrong = OtherError(Arc::new(WrongFingerprint));
                return Err(CertificateError::Other(wrong).into());
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for KeyOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.accepts {
            Accepts::All => "any certificate",
            Accepts::Known { .. } => "known certificates",
        })
    }
}

/// The server's certificate is none of those that are known.
#[derive(Debug)]
pub(super) struct WrongFingerprint;

impl fmt::Display for WrongFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate has none of the expected fingerprints")
    }
}

impl std::error::Error for WrongFingerprint {}
