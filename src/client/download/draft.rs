//! A file that is being downloaded, beside the one that it becomes. What may wait for a disk is done by the core's blocking
//! threads.
//!
//! `name.part` is what has come, from the first byte on; `name.part.from` says what it is a part of. A write goes on if who waits for
//! it is dropped, and the file is a beginning of the whole at any time.
//!
//! Whoever writes holds a lock of `name.part`, and so does each write under way: nobody begins before the last one is done.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringhttp_runtime::Core;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::content::Content;
use crate::client::error::{Error, ErrorKind, Result};

/// What has come of a download.
pub(super) struct Draft {
    core: Core,
    file: Arc<File>,
    paths: Arc<Paths>,
    /// What the URL is known by.
    origin: String,
    /// Bytes that are in the file, or will be when the last write is done.
    pub(super) length: u64,
    /// What tells the content that it is a part of from others. Without it nothing can be added later.
    pub(super) content: Option<Content>,
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
        let paths = Arc::new(paths);
        let gives_up_at = core.timers().now() + LOCK_PATIENCE;
        let (file, length, content) = loop {
            let (own, origin) = (Arc::clone(&paths), origin.to_owned());
            if let Some(opened) = on_blocking_thread(core, move || own.open(&origin)).await? {
                break opened;
            }
            if core.timers().now() >= gives_up_at {
                let text = "another download writes to it";
                return Err(Error::new(ErrorKind::File).with_text(text));
            }
            core.timers().sleep(LOCK_PAUSE).await;
        };
        Ok(Self {
            core: core.clone(),
            file: Arc::new(file),
            paths,
            origin: origin.to_owned(),
            length,
            content,
        })
    }

    /// Empties it, to be filled with `content`.
    pub(super) async fn begin(&mut self, content: Option<Content>) -> Result<()> {
        self.length = 0;
        self.content.clone_from(&content);
        let (file, paths, origin) = (Arc::clone(&self.file), Arc::clone(&self.paths), self.origin.clone());
        on_blocking_thread(&self.core, move || {
            // In this order what is there is never taken for a part of another content.
            remove(&paths.from)?;
            file.set_len(0)?;
            match content {
                Some(content) => paths.note(&origin, &content),
                None => Ok(()),
            }
        })
        .await
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
        let Self { core, file, paths, length, .. } = self;
        on_blocking_thread(&core, move || {
            if file.metadata()?.len() != length || !is_at(&file, &paths.part)? {
                return Err(io::Error::other("somebody else has changed it meanwhile"));
            }
            // What bears the name is whole, after a power cut too.
            file.sync_all()?;
            fs::rename(&paths.part, &paths.whole)?;
            remove(&paths.from)
        })
        .await
    }

    /// Removes it.
    pub(super) async fn remove(self) -> Result<()> {
        let Self { core, file, paths, .. } = self;
        on_blocking_thread(&core, move || {
            remove(&paths.from)?;
            remove(&paths.part)?;
            drop(file);
            Ok(())
        })
        .await
    }
}

impl Paths {
    /// Opens the part, locked; `None` if another download has it.
    fn open(&self, origin: &str) -> io::Result<Option<(File, u64, Option<Content>)>> {
        if self.whole.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if self.whole.file_name().is_none() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Neither what a link leads to, nor what has another name as well, is ours to write to.
        let is_ours = |part: fs::Metadata| part.is_file() && part.nlink() == 1;
        let is_here = match fs::symlink_metadata(&self.part).map(is_ours) {
            Ok(true) => true,
            Ok(false) => {
                remove(&self.part)?;
                false
            }
            Err(_) => false,
        };
        // Another download may have removed, or made it since.
        let changed = if is_here { io::ErrorKind::NotFound } else { io::ErrorKind::AlreadyExists };
        let file = match OpenOptions::new().read(true).write(true).create_new(!is_here).open(&self.part) {
            Err(error) if error.kind() == changed => return Ok(None),
            opened => opened?,
        };
        // On a file system without locks nobody sees to it.
        if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Ok(None);
        }
        if !is_at(&file, &self.part)? {
            return Ok(None);
        }
        let content = self.content_of(origin);
        if content.is_none() {
            remove(&self.from)?;
            file.set_len(0)?;
        }
        let length = file.metadata()?.len();
        Ok(Some((file, length, content)))
    }

    /// What the part is a part of, if it is the one of `origin`.
    fn content_of(&self, origin: &str) -> Option<Content> {
        let text = fs::read_to_string(&self.from).ok()?;
        let (of, content) = text.split_once('\n')?;
        if of == origin { Content::parse(content) } else { None }
    }

    fn note(&self, origin: &str, content: &Content) -> io::Result<()> {
        File::create_new(&self.from)?.write_all(format!("{origin}\n{content}").as_bytes())
    }
}

/// Whether it is this file that has the name.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    let named = fs::symlink_metadata(path);
    Ok(named.is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino())))
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

/// How long the last write of a download that was dropped is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks whether it is done.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Bytes that are read at once.
#[cfg(feature = "checksum")]
const READ_BYTES: usize = 1024 * 1024;
