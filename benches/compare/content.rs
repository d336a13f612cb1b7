//! What all servers of files serve: a directory with one file, made anew for each comparison.

use std::path::{Path, PathBuf};

use crate::Problem;
use crate::certificate::write;

/// The file's bytes.
pub(crate) const FILE_BYTES: usize = 1 << 20;

/// A directory that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Content {
    directory: PathBuf,
}

impl Content {
    /// A directory whose only file is `file.bin`.
    ///
    /// # Errors
    /// It cannot be written to the directory of temporary files.
    pub(crate) fn make() -> Result<Self, Problem> {
        let directory = std::env::temp_dir().join(format!("ringhttp-compare-files-{}", std::process::id()));
        std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let content = Self { directory };
        write(&content.directory.join("file.bin"), &"x".repeat(FILE_BYTES))?;
        Ok(content)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.directory);
    }
}
