//! What is wrong with a server's certificate.
#![forbid(unsafe_code)]

use std::fmt;

/// Why the certificate of a server is not accepted: [`Error::certificate_fault`](super::Error::certificate_fault).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateFault {
    /// It, or one on its way to a root, has expired.
    Expired,
    /// It, or one on its way to a root, is not valid yet.
    NotValidYet,
    /// Its signer has revoked it: a revocation list has it, or the OCSP response that the server staples says so.
    Revoked,
    /// There is no current OCSP response with it that says that it is good, and there has to be
    /// ([`OcspStaple::Required`](super::OcspStaple::Required)).
    NoStaple,
    /// It does not lead to an authority that is trusted; or the server has not sent what leads there.
    UnknownIssuer,
    /// Its fingerprint is none of those that are expected.
    WrongFingerprint,
    /// It is for other names than the server's.
    WrongName,
    /// Another: it cannot be read, or was not made for servers. The error's cause says more.
    Other,
}

impl CertificateFault {
    const fn text(self) -> &'static str {
        match self {
            Self::Expired => "it has expired",
            Self::NotValidYet => "it is not valid yet",
            Self::Revoked => "it was revoked",
            Self::NoStaple => "nothing current is stapled that says that it is not revoked",
            Self::UnknownIssuer => "its issuer is unknown",
            Self::WrongFingerprint => "its fingerprint is another",
            Self::WrongName => "it is for other names",
            Self::Other => "it cannot be used",
        }
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
