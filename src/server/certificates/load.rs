//! What rustls works with, from what the configuration names, with errors that say where and what.
#![forbid(unsafe_code)]

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::config::{CertificateConfig, ClientAuth, ClientRoots};
use crate::conn::pem;

/// A certificate that can be used, and the names it is for.
pub(super) struct Loaded {
    pub(super) key: Arc<CertifiedKey>,
    /// In lower case.
    pub(super) names: Vec<String>,
}

/// Who may be a client, and a text that is the same for the same rules.
pub(super) struct Verifier {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) rules: Vec<u8>,
}

/// Loads a certificate.
pub(super) fn certificate(config: &CertificateConfig, provider: &CryptoProvider) -> Result<Loaded, String> {
    let mut key = pem::certified_key(&config.chain, &config.key, provider)?;
    let own = key.cert[0].clone();
    if let Some(ocsp) = &config.ocsp {
        key.ocsp = Some(pem::read(ocsp)?);
    }
    let names = if config.names.is_empty() { names_in(&own, config)? } else { config.names.clone() };
    Ok(Loaded { key: Arc::new(key), names: names.iter().map(|name| name.to_ascii_lowercase()).collect() })
}

fn names_in(own: &CertificateDer<'_>, config: &CertificateConfig) -> Result<Vec<String>, String> {
    let parsed = EndEntityCert::try_from(own)
        .map_err(|error| format!("the certificate in {} cannot be read: {error}", config.chain))?;
    Ok(parsed.valid_dns_names().map(str::to_owned).collect())
}

/// Loads the rules for clients; `None` if they are not asked.
pub(super) fn verifier(
    auth: &ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Verifier>, String> {
    let (roots, is_required) = match auth {
        ClientAuth::Off => return Ok(None),
        ClientAuth::Optional(roots) => (roots, false),
        ClientAuth::Required(roots) => (roots, true),
    };
    let (store, mut rules) = root_store(roots)?;
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
    rules.push(u8::from(is_required));
    if let Some(revocations) = &roots.revocations {
        let lists = pem::revocation_lists(revocations)?;
        lists.iter().for_each(|list| rules.extend_from_slice(list));
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    if !is_required {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build().map_err(|error| format!("clients cannot be verified: {error}"))?;
    Ok(Some(Verifier { verifier, rules }))
}

fn root_store(roots: &ClientRoots) -> Result<(RootCertStore, Vec<u8>), String> {
    let (mut store, mut all) = (RootCertStore::empty(), Vec::new());
    for root in pem::add_roots(&mut store, &roots.certificates)? {
        all.extend_from_slice(&root);
    }
    Ok((store, all))
}
