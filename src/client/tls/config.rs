//! How a client speaks TLS: what users set.
#![forbid(unsafe_code)]

use rustls::pki_types::ServerName;

use crate::conn::{FileOrBytes, TlsVersion};

/// How a client speaks TLS. `Default` trusts the system's authorities and shows no certificate. See
/// [`ClientTls::load`](super::ClientTls::load).
///
/// ```
/// use std::path::Path;
/// use ringhttp::{ClientTlsConfig, TlsVersion};
///
/// let mut config = ClientTlsConfig::default();
/// config.roots.push(Path::new("/etc/our_authority.pem").into());
/// config.min_version = TlsVersion::Tls13;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientTlsConfig {
    /// Whether the authorities are trusted that the system trusts: those of `/etc/ssl`, or of the environment variables
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`. Default true. They are read once per process.
    pub system_roots: bool,
    /// More authorities that are trusted, in PEM. Default: none.
    pub roots: Vec<FileOrBytes>,
    /// The revocation lists of those who sign servers' certificates, in PEM. With any, a server is accepted only if the list
    /// of its certificate's own signer is here and does not have it. Default `None`: revocation is not looked at.
    pub revocations: Option<FileOrBytes>,
    /// What is made of an OCSP response that a server staples to its certificate. Default [`OcspStaple::IfUsable`].
    pub ocsp_staple: OcspStaple,
    /// What is shown to servers that ask who the client is. Default `None`: they get nothing.
    pub certificate: Option<ClientCertificate>,
    /// The name that the server is asked for, and that its certificate has to have, in place of the URL's host. Default
    /// `None`.
    pub server_name: Option<String>,
    /// The oldest version that is spoken. Default TLS 1.2.
    pub min_version: TlsVersion,
    /// The SHA-256 fingerprints of the certificates (in DER) that a server may have. With any, they take the place of
    /// authorities, names and dates: the server has one of exactly these certificates, and its key. Default: none.
    pub fingerprints: Vec<[u8; 32]>,
    /// Whether any certificate is accepted, whoever signed it for whomever. Default false. With true everybody on the way to
    /// the server can read and change everything.
    pub danger_accept_invalid_certificates: bool,
    /// Sessions that are kept to be resumed, of all servers together. Default 256; 0 resumes none. Beyond: the oldest goes.
    pub sessions_max: usize,
    /// Bytes that a server may send until its handshake is over. Default 128 KiB; no message of it may be longer than 64 KiB.
    /// Beyond: [`ErrorKind::Tls`](crate::client::ErrorKind::Tls).
    pub handshake_bytes_max: usize,
    /// Whether secrets are written to the file that the environment variable `SSLKEYLOGFILE` names. Default false. Whoever
    /// has that file can read everything.
    pub key_log: bool,
}

/// What is made of an OCSP response that a server staples to its certificate (RFC 6960): the word of the certificate's signer,
/// some days old at most, that it is not revoked. A client asks nobody itself.
///
/// One that is not current (or a day old, if it does not say when there will be another), not about the certificate, or not signed by the certificate's signer (or by whom that has named for
/// it) says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OcspStaple {
    /// It is not looked at.
    Ignored,
    /// A server whose staple says that its certificate is revoked is not accepted; one whose staple says nothing, or who has
    /// none, is.
    #[default]
    IfUsable,
    /// A server is accepted only with a staple that says that its certificate is good.
    Required,
}

/// A certificate that a client shows, with its key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The certificate and those that lead from it to a root, in PEM, in this order.
    pub chain: FileOrBytes,
    /// Its private key, in PEM: PKCS#8, PKCS#1 or SEC 1, not encrypted. It may stand in the same file.
    pub key: FileOrBytes,
}

impl ClientCertificate {
    /// A certificate chain and its key, from files ([`PathBuf`](std::path::PathBuf), [`Path`](std::path::Path)) or as bytes.
    #[must_use]
    pub fn new(chain: impl Into<FileOrBytes>, key: impl Into<FileOrBytes>) -> Self {
        Self { chain: chain.into(), key: key.into() }
    }
}

impl Default for ClientTlsConfig {
    fn default() -> Self {
        Self {
            system_roots: true,
            roots: Vec::new(),
            revocations: None,
            ocsp_staple: OcspStaple::IfUsable,
            certificate: None,
            server_name: None,
            min_version: TlsVersion::Tls12,
            fingerprints: Vec::new(),
            danger_accept_invalid_certificates: false,
            sessions_max: 256,
            handshake_bytes_max: 128 * 1024,
            key_log: false,
        }
    }
}

impl ClientTlsConfig {
    /// The defaults, with these authorities in place of the system's.
    #[must_use]
    pub fn trusting(roots: FileOrBytes) -> Self {
        Self { system_roots: false, roots: vec![roots], ..Self::default() }
    }

    /// The name of the first field whose value cannot work, and why.
    pub(super) fn check(&self) -> Result<(), String> {
        let verifies = self.fingerprints.is_empty() && !self.danger_accept_invalid_certificates;
        if verifies && !self.system_roots && self.roots.is_empty() {
            return Err("ClientTlsConfig::roots must not be empty without system_roots".to_owned());
        }
        if self.danger_accept_invalid_certificates && !self.fingerprints.is_empty() {
            return Err(
                "ClientTlsConfig::fingerprints must be empty if any certificate is accepted".to_owned()
            );
        }
        if !verifies && self.revocations.is_some() {
            return Err("ClientTlsConfig::revocations need certificates that are verified".to_owned());
        }
        if !verifies && self.ocsp_staple == OcspStaple::Required {
            return Err("ClientTlsConfig::ocsp_staple: certificates have to be verified for it".to_owned());
        }
        if self.handshake_bytes_max == 0 {
            return Err("ClientTlsConfig::handshake_bytes_max must not be 0".to_owned());
        }
        Ok(())
    }
}

/// A name or an address that a server may have. The dot that a name may end with is none of a certificate's.
pub(super) fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("`{}` is no server's name", name.escape_debug()))
}
