//! What a handshake agreed on, as a handler may know it.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ProtocolVersion, SupportedProtocolVersion};

use super::TlsSetup;
use super::peer_certificate::PeerCertificate;
use crate::io::tls::Established;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), with suites that have forward secrecy and authenticated encryption only.
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl TlsVersion {
    /// It and those that came later, as rustls has them.
    pub(crate) fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Self::Tls12 => &ALL,
            Self::Tls13 => &ALL[..1],
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        })
    }
}

/// The TLS session of a connection: [`Request::tls`](crate::Request::tls).
pub struct TlsInfo {
    version: TlsVersion,
    suite: CipherSuite,
    is_resumed: bool,
    server_name: Option<Box<str>>,
    alpn: Option<Box<[u8]>>,
    client_certificates: Box<[PeerCertificate]>,
    /// The rules it was made by, if others go by other names.
    setup: Option<Arc<dyn TlsSetup>>,
}

impl TlsInfo {
    pub(super) fn new(established: Established, setup: Option<Arc<dyn TlsSetup>>) -> Self {
        let is_13 = established.version == ProtocolVersion::TLSv1_3;
        Self {
            version: if is_13 { TlsVersion::Tls13 } else { TlsVersion::Tls12 },
            suite: established.suite,
            is_resumed: established.resumed,
            server_name: established.server_name,
            alpn: established.alpn.map(Vec::into_boxed_slice),
            client_certificates: established
                .peer_certificates
                .into_iter()
                .map(PeerCertificate::new)
                .collect(),
            setup,
        }
    }

    /// The version of TLS that is spoken.
    #[must_use]
    pub fn version(&self) -> TlsVersion {
        self.version
    }

    /// The cipher suite's name in the IANA registry, such as `TLS_AES_128_GCM_SHA256`.
    #[must_use]
    pub fn cipher_suite(&self) -> String {
        let name = self.suite.as_str().unwrap_or("unknown");
        // rustls marks those of TLS 1.3.
        name.strip_prefix("TLS13_").map_or_else(|| name.to_owned(), |name| format!("TLS_{name}"))
    }

    /// The host name that the client asked for when it connected (SNI), in lower case. What its requests are for is said
    /// by each: see [`Request::host`](crate::Request::host).
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The protocol that was agreed on by ALPN, if the client took part in that: `http/1.1`.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// Whether an earlier session was resumed. The client's certificates are those of that session then.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// The certificates that the client has shown and proven to be its own, its own first; none unless
    /// `TlsConfig::client_auth` asks for them. They were verified when the session began.
    #[must_use]
    pub fn client_certificates(&self) -> &[PeerCertificate] {
        &self.client_certificates
    }

    /// The client's own certificate.
    #[must_use]
    pub fn client_certificate(&self) -> Option<&PeerCertificate> {
        self.client_certificates.first()
    }

    /// Whether requests to `host` must not be answered on this connection.
    pub(in crate::conn) fn forbids_host(&self, host: &str) -> bool {
        self.setup.as_ref().is_some_and(|setup| setup.forbids_host(self.server_name(), host))
    }
}

impl fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsInfo")
            .field("version", &self.version)
            .field("cipher_suite", &self.suite)
            .field("server_name", &self.server_name)
            .field("is_resumed", &self.is_resumed)
            .finish_non_exhaustive()
    }
}
