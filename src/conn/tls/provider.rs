//! Who does the cryptography: what the process has installed for rustls, or what this crate was built with.
#![forbid(unsafe_code)]

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::ProducesTickets;

/// The provider.
pub(crate) fn find() -> Result<Arc<CryptoProvider>, String> {
    CryptoProvider::get_default().cloned().or_else(built_in).ok_or_else(|| {
        "there is no provider of cryptography: turn on the feature `tls` (ring) or `tls-aws-lc` (aws-lc-rs) of ringhttp, \
         or install one as the default of rustls' for this process"
            .to_owned()
    })
}

/// Who does the cryptography of TLS in this process: `ring` or `aws-lc-rs`, by the features of this crate, or what the process
/// has installed for rustls, which comes before both. `None`: nobody, and certificates are refused.
#[must_use]
pub fn tls_provider() -> Option<&'static str> {
    if CryptoProvider::get_default().is_some() {
        return Some("what the process has installed for rustls");
    }
    match (cfg!(feature = "tls-aws-lc"), cfg!(feature = "tls")) {
        (true, _) => Some("aws-lc-rs"),
        (false, true) => Some("ring"),
        (false, false) => None,
    }
}

#[cfg(feature = "tls-aws-lc")]
fn built_in() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

#[cfg(all(feature = "tls", not(feature = "tls-aws-lc")))]
fn built_in() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(not(any(feature = "tls", feature = "tls-aws-lc")))]
fn built_in() -> Option<Arc<CryptoProvider>> {
    None
}

/// What makes tickets: its keys are its own, and change every six hours.
#[cfg(feature = "tls-aws-lc")]
pub(crate) fn ticketer() -> Result<Arc<dyn ProducesTickets>, String> {
    rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())
}

#[cfg(all(feature = "tls", not(feature = "tls-aws-lc")))]
pub(crate) fn ticketer() -> Result<Arc<dyn ProducesTickets>, String> {
    rustls::crypto::ring::Ticketer::new().map_err(|error| error.to_string())
}

/// Tickets are encrypted by a provider's own means.
#[cfg(not(any(feature = "tls", feature = "tls-aws-lc")))]
pub(crate) fn ticketer() -> Result<Arc<dyn ProducesTickets>, String> {
    Err("tickets need the feature `tls` or `tls-aws-lc`: set TlsConfig::tickets to 0".to_owned())
}
