//! A certificate of the other side: its bytes, and the names in it.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::proto::x509::Certificate;
use crate::proto::x509_name;

/// A certificate that the other side of a TLS connection has shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate(CertificateDer<'static>);

impl PeerCertificate {
    pub(super) fn new(der: CertificateDer<'static>) -> Self {
        Self(der)
    }

    /// A certificate from its DER, wherever it is from: nothing is verified. `None` if it cannot be read.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let certificate = Self(CertificateDer::from(der.to_vec()));
        (certificate.parsed().is_some() && certificate.fields().is_some()).then_some(certificate)
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

    /// The first moment at which it is valid.
    #[must_use]
    pub fn not_before(&self) -> Option<SystemTime> {
        self.fields().map(|fields| fields.not_before)
    }

    /// The last moment at which it is valid.
    #[must_use]
    pub fn not_after(&self) -> Option<SystemTime> {
        self.fields().map(|fields| fields.not_after)
    }

    /// What its key is for: `RSA`, `ECDSA` or `Ed25519`. `None` for others, which TLS does not use.
    #[must_use]
    pub fn key_algorithm(&self) -> Option<&'static str> {
        self.fields()?.key.kind().map(|(name, _)| name)
    }

    /// The length of its key in bits: that of an RSA modulus, or of a curve. 2048 and more of RSA, and 256 and more of a curve,
    /// are safe today.
    #[must_use]
    pub fn key_bits(&self) -> Option<usize> {
        self.fields()?.key.kind().map(|(_, bits)| bits)
    }

    fn fields(&self) -> Option<Certificate<'_>> {
        Certificate::parse(&self.0)
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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn dates_and_key_are_those_of_the_certificate() {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2001, 2, 3), date_time_ymd(2055, 6, 7));
        for (algorithm, name, bits) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, "ECDSA", 256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, "ECDSA", 384),
            (&rcgen::PKCS_ED25519, "Ed25519", 256),
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let made = params.self_signed(&key).unwrap();
            let certificate = PeerCertificate::from_der(made.der()).unwrap();
            assert_eq!((certificate.key_algorithm(), certificate.key_bits()), (Some(name), Some(bits)));
            assert_eq!(certificate.not_before(), Some(params.not_before.into()));
            assert_eq!(certificate.not_after(), Some(params.not_after.into()));
            assert_eq!(certificate.dns_names(), ["a.example"]);
            // Whatever is missing: it is no certificate then, and nothing worse.
            for length in 0..made.der().len() {
                assert!(PeerCertificate::from_der(&made.der()[..length]).is_none());
            }
        }
    }
}
