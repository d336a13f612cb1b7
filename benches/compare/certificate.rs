//! What all servers that speak TLS prove themselves by: one certificate and its key, made anew for each comparison.

use std::path::{Path, PathBuf};

use crate::Problem;

/// Files that are removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Certificate {
    directory: PathBuf,
}

impl Certificate {
    /// A certificate for `localhost` with a key on P-256, signed by that key.
    ///
    /// # Errors
    /// It cannot be made, or cannot be written to the directory of temporary files.
    pub(crate) fn make() -> Result<Self, Problem> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.map_err(|error| format!("no certificate can be made: {error}"))?;
        let directory = std::env::temp_dir().join(format!("ringhttp-compare-tls-{}", std::process::id()));
        std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let certificate = Self { directory };
        write(&certificate.chain(), &made.cert.pem())?;
        write(&certificate.key(), &made.signing_key.serialize_pem())?;
        Ok(certificate)
    }

    pub(crate) fn chain(&self) -> PathBuf {
        self.directory.join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.directory.join("key.pem")
    }

    /// Where else a server may put what it needs.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), Problem> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.directory);
    }
}
