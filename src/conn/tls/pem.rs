//! Certificates, keys and revocation lists in PEM, from a file or from memory, with errors that say where and what.
#![forbid(unsafe_code)]

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

/// Something that is in a file, or here.
#[derive(Clone, PartialEq, Eq)]
pub enum FileOrBytes {
    /// It is read from this file, again with each reload.
    File(PathBuf),
    /// These are its bytes.
    Bytes(Vec<u8>),
}

impl FileOrBytes {
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Bytes(_) => None,
        }
    }
}

impl From<PathBuf> for FileOrBytes {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Path> for FileOrBytes {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<Vec<u8>> for FileOrBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

/// Where it is: what is in it may be a secret.
impl fmt::Display for FileOrBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Bytes(bytes) => write!(f, "the {} bytes that were given", bytes.len()),
        }
    }
}

impl fmt::Debug for FileOrBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileOrBytes({self})")
    }
}

/// A chain of certificates and the key of the first.
pub(crate) fn certified_key(
    chain: &FileOrBytes,
    key: &FileOrBytes,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let certificates = certificates(chain)?;
    if certificates.is_empty() {
        return Err(format!("there is no certificate in {chain}"));
    }
    CertifiedKey::from_der(certificates, private_key(key)?, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            format!("the key in {key} is not that of the certificate in {chain}")
        }
        error => format!("the certificate in {chain} cannot be used with its key: {error}"),
    })
}

/// Adds authorities to those that are trusted, and gives what was added.
pub(crate) fn add_roots(
    store: &mut RootCertStore,
    source: &FileOrBytes,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let roots = certificates(source)?;
    if roots.is_empty() {
        return Err(format!("there is no certificate in {source}"));
    }
    for root in &roots {
        let added = store.add(root.clone());
        added.map_err(|error| format!("a root in {source} cannot be used: {error}"))?;
    }
    Ok(roots)
}

pub(crate) fn revocation_lists(
    source: &FileOrBytes,
) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
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

pub(crate) fn read(source: &FileOrBytes) -> Result<Vec<u8>, String> {
    match source {
        FileOrBytes::File(path) => {
            fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
        }
        FileOrBytes::Bytes(bytes) => Ok(bytes.clone()),
    }
}
