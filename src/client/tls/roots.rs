//! The authorities that the system trusts: read once, shared by all.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use rustls::RootCertStore;

/// The system's authorities. The first call reads files; one that fails is forgotten, and the next one tries again.
pub(super) fn system() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: Mutex<Option<Arc<RootCertStore>>> = Mutex::new(None);
    let mut roots = ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
    match &*roots {
        Some(loaded) => Ok(Arc::clone(loaded)),
        None => Ok(Arc::clone(roots.insert(Arc::new(load()?)))),
    }
}

fn load() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    // Some systems carry a few that nobody can use.
    let (added, ignored) = store.add_parsable_certificates(found.certs);
    for error in &found.errors {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "some of the system's authorities cannot be read"
        );
    }
    tracing::debug!(added, ignored, "read the system's authorities");
    if added > 0 {
        return Ok(store);
    }
    let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
    Err(format!("the system's authorities cannot be read: {why}"))
}
