//! A certificate of the other side: its bytes, and the names in it.
#![forbid(unsafe_code)]

use std::fmt;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::proto::x509_name;

/// A certificate that the other side of a TLS connection has shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate(CertificateDer<'static>);

impl PeerCertificate {
    pub(super) fn new(der: CertificateDer<'static>) -> Self {
        Self(der)
    }

    /// The certificate in DER, for whoever wants to know more about it.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// The subject as text (RFC 4514), such as `CN=billing,O=Example`: the last part first, as `openssl x509 -nameopt
    /// RFC2253` writes it. Empty for a certificate without a subject, as many are today. `None` if it cannot be read.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        x509_name::to_text(self.parsed()?.subject())
    }

    /// The subject's most specific common name (`CN`). Prefer the [`dns_names`](Self::dns_names) or
    /// [`uris`](Self::uris), whose form is checked; a common name is any text.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        x509_name::common_name(self.parsed()?.subject())
    }

    /// The DNS names among the subject's alternative names, wildcards included.
    #[must_use]
    pub fn dns_names(&self) -> Vec<String> {
        self.parsed().map(|parsed| parsed.valid_dns_names().map(str::to_owned).collect()).unwrap_or_default()
    }

    /// The URIs among the subject's alternative names, such as the `spiffe://` names of services.
    #[must_use]
    pub fn uris(&self) -> Vec<String> {
        self.parsed().map(|parsed| parsed.valid_uri_names().map(str::to_owned).collect()).unwrap_or_default()
    }

    /// The serial number, most significant byte first.
    #[must_use]
    pub fn serial(&self) -> Option<Vec<u8>> {
        self.parsed().map(|parsed| parsed.serial().to_vec())
    }

    fn parsed(&self) -> Option<EndEntityCert<'_>> {
        EndEntityCert::try_from(&self.0).ok()
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificate").field("subject", &self.subject()).finish_non_exhaustive()
    }
}
