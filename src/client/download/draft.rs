//! A file that is being downloaded, beside the one that it becomes. What may wait for a disk is done by the core's blocking
//! threads.
//!
//! `name.part` is what has come, from the first byte on; `name.part.from` says what it is a part of. A write goes on if who waits for
//! it is dropped, and the file is a beginning of the whole at any time.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringhttp_runtime::Core;

use crate::client::error::{Error, ErrorKind, Result};

/// What has come of a download.
pub(super) struct Draft {
    core: Core,
    file: Arc<File>,
    paths: Arc<Paths>,
    /// Bytes that are in the file, or will be when the last write is done.
    pub(super) length: u64,
    /// What tells the content that it is a part of from others. Without it nothing can be added later.
    pub(super) validator: Option<String>,
}

struct Paths {
    whole: PathBuf,
    part: PathBuf,
    from: PathBuf,
}

impl Draft {
    /// What there is for `path`, if it is of the content that `origin` names; else an empty one.
    pub(super) async fn open(core: &Core, path: &Path, origin: &str) -> Result<Self> {
        let beside = |suffix: &str| {
            let mut name = OsString::from(path);
            name.push(suffix);
            PathBuf::from(name)
        };
        let paths = Paths { whole: path.to_owned(), part: beside(".part"), from: beside(".part.from") };
        let (paths, origin) = (Arc::new(paths), origin.to_owned());
        let own = Arc::clone(&paths);
        let opened = on_blocking_thread(core, move || {
            let is_file = fs::symlink_metadata(&own.part).is_ok_and(|part| part.is_file());
            let validator = if is_file { own.validator_of(&origin) } else { None };
            let file = match validator {
                Some(_) => OpenOptions::new().read(true).write(true).open(&own.part)?,
                None => fresh(&own.part)?,
            };
            let length = file.metadata()?.len();
            Ok((Arc::new(file), length, validator))
        });
        let (file, length, validator) = opened.await?;
        Ok(Self { core: core.clone(), file, paths, length, validator })
    }

    /// Empties it, to be filled with a content that `origin` and `validator` name.
    pub(super) async fn begin(&mut self, origin: &str, validator: Option<String>) -> Result<()> {
        self.length = 0;
        self.validator = validator.clone();
        let (paths, origin) = (Arc::clone(&self.paths), origin.to_owned());
        let begun = on_blocking_thread(&self.core, move || {
            remove(&paths.from)?;
            let file = fresh(&paths.part)?;
            if let Some(validator) = validator {
                fresh(&paths.from)?.write_all(format!("{origin}\n{validator}\n").as_bytes())?;
            }
            Ok(Arc::new(file))
        });
        self.file = begun.await?;
        Ok(())
    }

    /// Adds bytes; gives their memory back, empty.
    pub(super) async fn write(&mut self, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        let (file, offset) = (Arc::clone(&self.file), self.length);
        self.length += bytes.len() as u64;
        on_blocking_thread(&self.core, move || {
            file.write_all_at(&bytes, offset)?;
            bytes.clear();
            Ok(bytes)
        })
        .await
    }

    /// Has `take` see all of it.
    #[cfg(feature = "checksum")]
    pub(super) async fn read<T: Send + 'static>(
        &self,
        state: T,
        take: impl Fn(&mut T, &[u8]) + Send + 'static,
    ) -> Result<T> {
        let (file, length, mut state) = (Arc::clone(&self.file), self.length, state);
        on_blocking_thread(&self.core, move || {
            let mut bytes = vec![0; READ_BYTES];
            let mut offset = 0;
            while offset < length {
                let count = READ_BYTES.min(usize::try_from(length - offset).unwrap_or(READ_BYTES));
                file.read_exact_at(&mut bytes[..count], offset)?;
                take(&mut state, &bytes[..count]);
                offset += count as u64;
            }
            Ok(state)
        })
        .await
    }

    /// Gives it the name of the whole.
    pub(super) async fn publish(self) -> Result<()> {
        let Self { core, file, paths, .. } = self;
        on_blocking_thread(&core, move || {
            // What bears the name is whole, after a power cut too.
            file.sync_all()?;
            fs::rename(&paths.part, &paths.whole)?;
            remove(&paths.from)
        })
        .await
    }

    /// Removes it.
    pub(super) async fn remove(self) -> Result<()> {
        let Self { core, paths, .. } = self;
        on_blocking_thread(&core, move || {
            remove(&paths.from)?;
            fs::remove_file(&paths.part)
        })
        .await
    }
}

impl Paths {
    /// What the part's content is known by, if it is the one of `origin`.
    fn validator_of(&self, origin: &str) -> Option<String> {
        let text = fs::read_to_string(&self.from).ok()?;
        let (of, validator) = text.strip_suffix('\n')?.split_once('\n')?;
        (of == origin && !validator.is_empty()).then(|| validator.to_owned())
    }
}

/// An empty file in place of whatever has that name: not one that a link leads to, nor one that a download which was dropped
/// still writes to.
fn fresh(path: &Path) -> io::Result<File> {
    remove(path)?;
    File::create_new(path)
}

/// Removes a file, if there is one.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

async fn on_blocking_thread<T: Send + 'static>(
    core: &Core,
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| Error::new(ErrorKind::File).with_source(source);
    let result = core.spawn_blocking(call).await.map_err(|error| failed(error.into()))?;
    result.map_err(|error| failed(error.into()))
}

/// Bytes that are read at once.
#[cfg(feature = "checksum")]
const READ_BYTES: usize = 1024 * 1024;
