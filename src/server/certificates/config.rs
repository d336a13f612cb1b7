//! How a server's TLS listeners speak TLS: what users set, and where certificates come from.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::conn::{FileOrBytes, TlsVersion};

/// How TLS listeners speak TLS. `Default` has everything but a certificate.
///
/// ```no_run
/// use std::time::Duration;
/// use ringhttp::{CertificateConfig, Certificates, TlsConfig};
///
/// let mut config = TlsConfig::default();
/// config.certificates.push(CertificateConfig::from_files("example.org.pem", "example.org.key"));
/// config.certificates.push(CertificateConfig::from_files("wild.example.net.pem", "wild.example.net.key"));
/// config.reload_interval = Some(Duration::from_secs(60));
/// let certificates = Certificates::load(config)?;
/// # Ok::<(), ringhttp::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The certificates. A client gets the first that has the name it asks for (an exact name goes before a wildcard) and
    /// whose key it can use: an ECDSA and an RSA certificate for the same names may stand beside each other. Who asks for
    /// no name, or for one that is in none of them, gets the first. Default: none, which is refused.
    pub certificates: Vec<CertificateConfig>,
    /// What a client gets that asks for a name which no certificate has. Default: the first certificate, as it is.
    pub unknown_name: UnknownName,
    /// The oldest version that is spoken. Default TLS 1.2. A certificate may set its own.
    pub min_version: TlsVersion,
    /// Whether clients have to show a certificate. Default: they are not asked. A certificate may set its own.
    pub client_auth: ClientAuth,
    /// The protocols that are offered by ALPN, best first. Default `http/1.1`. A client that takes part in ALPN and knows
    /// none of them is refused; one that does not take part is not. Empty: no part is taken.
    pub alpn: Vec<Vec<u8>>,
    /// Tickets for resuming the session, per handshake of TLS 1.3; in TLS 1.2 there is one. All cores take each other's, and
    /// those of the 12 hours before. Default 2; 0 turns resumption off.
    pub tickets: usize,
    /// Whether secrets are written to the file that the environment variable `SSLKEYLOGFILE` names, for those who look at
    /// traffic with Wireshark. Default false. Whoever has that file can read everything.
    pub key_log: bool,
    /// Time for a handshake, from its beginning. Default 10 s. Then: closed.
    pub handshake_timeout: Duration,
    /// Handshakes that one core has under way at a time. Default 256. Beyond: connections wait in line, unread, and those
    /// that have shaken hands are served meanwhile.
    pub handshakes_max: usize,
    /// Bytes that a client may send until its handshake is over. Default 128 KiB; no message of it may be longer than
    /// 64 KiB. Beyond: refused.
    pub handshake_bytes_max: usize,
    /// How often the files are looked at: if one has changed, all are loaded anew (see [`Certificates::reload`]). Default
    /// `None`: never.
    ///
    /// [`Certificates::reload`]: crate::Certificates::reload
    pub reload_interval: Option<Duration>,
    /// Whether SIGHUP has all files loaded anew. Default false: then the signal does what it does otherwise, which is to end
    /// the process.
    pub reload_on_hangup: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            unknown_name: UnknownName::default(),
            min_version: TlsVersion::Tls12,
            client_auth: ClientAuth::default(),
            alpn: vec![b"http/1.1".to_vec()],
            tickets: 2,
            key_log: false,
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 256,
            handshake_bytes_max: 128 * 1024,
            reload_interval: None,
            reload_on_hangup: false,
        }
    }
}

impl TlsConfig {
    /// One certificate chain and its key, in PEM files, and the defaults.
    #[must_use]
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificates: vec![CertificateConfig::from_files(chain, key)], ..Self::default() }
    }

    /// One certificate chain and its key, in PEM, and the defaults.
    #[must_use]
    pub fn from_pem(chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self { certificates: vec![CertificateConfig::from_pem(chain, key)], ..Self::default() }
    }

    /// The name of the first field whose value cannot work, and why.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.certificates.is_empty() {
            return Err("TlsConfig::certificates must not be empty".to_owned());
        }
        let positive = [
            ("handshakes_max", self.handshakes_max > 0),
            ("handshake_bytes_max", self.handshake_bytes_max > 0),
            ("handshake_timeout", !self.handshake_timeout.is_zero()),
            ("reload_interval", self.reload_interval.is_none_or(|interval| !interval.is_zero())),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, holds)| !holds) {
            return Err(format!("TlsConfig::{name} must not be 0"));
        }
        // RFC 7301 §3.1.
        if self.alpn.iter().any(|protocol| !(1..=255).contains(&protocol.len())) {
            return Err("TlsConfig::alpn has a name that is empty or longer than 255 bytes".to_owned());
        }
        Ok(())
    }

    /// All that is read when it is loaded.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let of_certificates = self.certificates.iter().flat_map(|certificate| {
            let auth = certificate.client_auth.iter().flat_map(ClientAuth::sources);
            [Some(&certificate.chain), Some(&certificate.key), certificate.ocsp.as_ref()]
                .into_iter()
                .flatten()
                .chain(auth)
        });
        of_certificates.chain(self.client_auth.sources()).filter_map(FileOrBytes::path)
    }
}

/// A certificate with its key, and what goes for the names it is used for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CertificateConfig {
    /// The certificate and those that lead from it to a root, in PEM, in this order.
    pub chain: FileOrBytes,
    /// Its private key, in PEM: PKCS#8, PKCS#1 or SEC 1, not encrypted. It may stand in the same file.
    pub key: FileOrBytes,
    /// An OCSP response in DER, which is stapled. It is for you to fetch and renew it. Default `None`.
    pub ocsp: Option<FileOrBytes>,
    /// The names it is used for: `example.org`, `*.example.org`. Default: empty, which means the DNS names in it.
    pub names: Vec<String>,
    /// In place of [`TlsConfig::client_auth`] for its names. Then requests for these names are answered on connections for
    /// them only; on others with 421. Certificates that have a name in common have to have the same. Default `None`.
    pub client_auth: Option<ClientAuth>,
    /// In place of [`TlsConfig::min_version`] for its names: as `client_auth`. Default `None`.
    pub min_version: Option<TlsVersion>,
}

impl CertificateConfig {
    /// A certificate chain and its key, in PEM files.
    #[must_use]
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self::new(FileOrBytes::File(chain.into()), FileOrBytes::File(key.into()))
    }

    /// A certificate chain and its key, in PEM.
    #[must_use]
    pub fn from_pem(chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self::new(FileOrBytes::Bytes(chain.into()), FileOrBytes::Bytes(key.into()))
    }

    fn new(chain: FileOrBytes, key: FileOrBytes) -> Self {
        Self { chain, key, ocsp: None, names: Vec::new(), client_auth: None, min_version: None }
    }
}

/// Whether clients show certificates: "mutual TLS".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuth {
    /// They are not asked to.
    #[default]
    Off,
    /// They are asked to, and may decline. A certificate that does not lead to these roots ends the handshake.
    Optional(ClientRoots),
    /// Without one that leads to these roots there is no connection.
    Required(ClientRoots),
}

impl ClientAuth {
    fn sources(&self) -> impl Iterator<Item = &FileOrBytes> {
        let roots = match self {
            Self::Off => None,
            Self::Optional(roots) | Self::Required(roots) => Some(roots),
        };
        roots.into_iter().flat_map(|roots| [Some(&roots.certificates), roots.revocations.as_ref()]).flatten()
    }
}

/// Who vouches for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientRoots {
    /// The certificates of the authorities, in PEM.
    pub certificates: FileOrBytes,
    /// The revocation lists of those who sign clients' certificates, in PEM. With any, a certificate is taken only if the list
    /// of its own signer is here and does not have it. Default `None`: revocation is not looked at.
    pub revocations: Option<FileOrBytes>,
}

impl ClientRoots {
    /// Authorities in a PEM file.
    #[must_use]
    pub fn from_file(certificates: impl Into<PathBuf>) -> Self {
        Self { certificates: FileOrBytes::File(certificates.into()), revocations: None }
    }

    /// Authorities in PEM.
    #[must_use]
    pub fn from_pem(certificates: impl Into<Vec<u8>>) -> Self {
        Self { certificates: FileOrBytes::Bytes(certificates.into()), revocations: None }
    }
}

/// What a client gets that asks for a name which no certificate has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnknownName {
    /// The first certificate. The client sees that it is not the one it wants.
    #[default]
    UseFirst,
    /// No connection.
    Refuse,
}
