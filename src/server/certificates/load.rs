//! From PEM to what rustls works with, with errors that say where and what.
#![forbid(unsafe_code)]

use std::fs;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use webpki::EndEntityCert;

use super::config::{CertificateConfig, ClientAuth, ClientRoots, FileOrBytes};

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
    let chain = certificates(&config.chain)?;
    let own = chain.first().cloned().ok_or_else(|| format!("there is no certificate in {}", config.chain))?;
    let key = private_key(&config.key)?;
    let mut key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            format!("the key in {} is not that of the certificate in {}", config.key, config.chain)
        }
        error => format!("the certificate in {} cannot be used with its key: {error}", config.chain),
    })?;
    if let Some(ocsp) = &config.ocsp {
        key.ocsp = Some(read(ocsp)?);
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
        let lists = revocation_lists(revocations)?;
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
    for root in certificates(&roots.certificates)? {
        all.extend_from_slice(&root);
        store
            .add(root)
            .map_err(|error| format!("a root in {} cannot be used: {error}", roots.certificates))?;
    }
    if store.is_empty() {
        return Err(format!("there is no certificate in {}", roots.certificates));
    }
    Ok((store, all))
}

fn revocation_lists(source: &FileOrBytes) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&read(source)?).collect();
    match lists {
        Ok(lists) if lists.is_empty() => Err(format!("there is no revocation list in {source}")),
        Ok(lists) => Ok(lists),
        Err(error) => Err(no_pem(source, &error)),
    }
}

fn certificates(source: &FileOrBytes) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(source)?).collect();
    certificates.map_err(|error| no_pem(source, &error))
}

fn private_key(source: &FileOrBytes) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(source)?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(_) if is_encrypted(&text) => Err(format!(
            "the key in {source} is encrypted, which is not supported: decrypt it, as by `openssl pkey -in KEY -out NEW`, \
             and let only the server read it"
        )),
        Err(pem::Error::NoItemsFound) => Err(format!("there is no private key in {source}")),
        Err(error) => Err(no_pem(source, &error)),
    }
}

/// Whether there is a key that wants a password: in PKCS#8, or in the older way of OpenSSL (RFC 1421 §4.6.1.1).
fn is_encrypted(pem: &[u8]) -> bool {
    const MARKS: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];
    MARKS.iter().any(|mark| memchr::memmem::find(pem, mark).is_some())
}

fn no_pem(source: &FileOrBytes, error: &pem::Error) -> String {
    format!("{source} cannot be read as PEM: {error}")
}

fn read(source: &FileOrBytes) -> Result<Vec<u8>, String> {
    match source {
        FileOrBytes::File(path) => {
            fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
        }
        FileOrBytes::Bytes(bytes) => Ok(bytes.clone()),
    }
}
