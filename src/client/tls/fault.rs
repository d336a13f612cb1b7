//! What a failed handshake is an error of.
#![forbid(unsafe_code)]

use rustls::{AlertDescription, CertificateError, Error as TlsError, OtherError};

use super::staple::NoStaple;
use super::verifier::WrongFingerprint;
use crate::client::certificate_fault::CertificateFault;
use crate::client::error::{Error, ErrorKind};
use crate::conn::HandshakeError;

/// The error of a handshake with the server of this name.
pub(super) fn to_error(error: HandshakeError, name: &str) -> Error {
    match error {
        HandshakeError::Tls(TlsError::InvalidCertificate(error)) => {
            let fault = fault(&error);
            Error::new(ErrorKind::Certificate)
                .with_text(format!("that of `{name}`: {fault}"))
                .with_certificate_fault(fault)
                .with_source(TlsError::InvalidCertificate(error))
        }
        HandshakeError::Tls(TlsError::InvalidMessage(error)) => Error::new(ErrorKind::Tls)
            .with_text(format!("what `{name}` sends is no TLS"))
            .with_source(TlsError::InvalidMessage(error)),
        HandshakeError::Tls(TlsError::AlertReceived(alert)) => Error::new(ErrorKind::Tls)
            .with_text(format!("`{name}` refuses: {}", refusal(alert)))
            .with_source(TlsError::AlertReceived(alert)),
        error => Error::new(ErrorKind::Tls).with_text(format!("with `{name}`")).with_source(error),
    }
}

fn fault(error: &CertificateError) -> CertificateFault {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => CertificateFault::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => CertificateFault::NotValidYet,
        E::Revoked => CertificateFault::Revoked,
        E::UnknownIssuer => CertificateFault::UnknownIssuer,
        E::NotValidForName | E::NotValidForNameContext { .. } => CertificateFault::WrongName,
        E::Other(OtherError(error)) if error.is::<WrongFingerprint>() => CertificateFault::WrongFingerprint,
        E::Other(OtherError(error)) if error.is::<NoStaple>() => CertificateFault::NoStaple,
        _ => CertificateFault::Other,
    }
}

/// What an alert of the server's means (RFC 8446 §6.2).
fn refusal(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let text = match alert {
        A::CertificateRequired => "it wants a certificate of the client's",
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied => "it does not accept the client's certificate",
        A::ProtocolVersion => "it speaks no version of TLS that the client does",
        A::HandshakeFailure | A::InsufficientSecurity => "there is no cipher that both know",
        A::UnrecognisedName => "it knows no such name",
        A::NoApplicationProtocol => "it does not speak HTTP/1.1",
        other => return format!("{other:?}"),
    };
    text.to_owned()
}
