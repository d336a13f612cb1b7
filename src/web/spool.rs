//! Content that goes to files. Everything that may wait for a disk is done by the core's blocking threads.
#![forbid(unsafe_code)]

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ringhttp_runtime::Core;

use super::read::pieces::{self, Pieces};
use crate::error::{Error, Result};

/// Content that was read to its end: in memory, or in a temporary file without a name. It is gone when this is dropped.
#[derive(Debug)]
pub struct Spooled(Kept);

enum Kept {
    Memory(Bytes),
    File(TemporaryFile),
}

impl Spooled {
    /// Bytes of the content.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kept::Memory(bytes) => bytes.len() as u64,
            Kept::File(file) => file.length,
        }
    }

    /// Whether there is no content.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The content, if it is in memory.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Kept::Memory(bytes) => Some(bytes),
            Kept::File(_) => None,
        }
    }

    /// Up to `count` bytes from `offset` on: fewer at the end of the content, none behind it.
    ///
    /// # Errors
    /// 500 if the file cannot be read, 503 if too many blocking calls wait.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn read_at(&self, offset: u64, count: usize) -> Result<Bytes> {
        let end = offset.saturating_add(count as u64).min(self.len());
        let length = usize::try_from(end.saturating_sub(offset)).map_err(Error::internal)?;
        match &self.0 {
            _ if length == 0 => Ok(Bytes::new()),
            Kept::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(Error::internal)?;
                Ok(bytes.slice(start..start + length))
            }
            Kept::File(temporary) => {
                let file = Arc::clone(&temporary.file);
                on_blocking_thread(move || {
                    let mut bytes = vec![0; length];
                    file.read_exact_at(&mut bytes, offset)?;
                    Ok(bytes.into())
                })
                .await
            }
        }
    }

    /// Writes the content to a file, as [`Part::save`](crate::Part::save) does.
    ///
    /// # Errors
    /// 500 if it cannot be written, 503 if too many blocking calls wait.
    ///
    /// # Cancellation
    /// The work goes on: the file appears, or nothing does.
    pub async fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref().to_owned();
        match &self.0 {
            Kept::Memory(bytes) => {
                let bytes = bytes.clone();
                on_blocking_thread(move || {
                    let draft = Draft::beside(&path)?;
                    (&*draft.file).write_all(&bytes)?;
                    draft.publish(&path)
                })
                .await
            }
            Kept::File(temporary) => {
                let from = Arc::clone(&temporary.file);
                on_blocking_thread(move || {
                    let draft = Draft::beside(&path)?;
                    copy(&from, &draft.file)?;
                    draft.publish(&path)
                })
                .await
            }
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "{} bytes in memory", bytes.len()),
            Self::File(file) => write!(f, "{} bytes in a file", file.length),
        }
    }
}

/// Copies a whole file. Not by its cursor, which others may move at the same time.
fn copy(from: &File, mut to: &File) -> io::Result<()> {
    let mut bytes = vec![0; WRITE_BYTES];
    let mut offset = 0;
    loop {
        let count = from.read_at(&mut bytes, offset)?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..count])?;
        offset += count as u64;
    }
}

/// A file that has no name any more.
struct TemporaryFile {
    file: Arc<File>,
    length: u64,
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // Closing it gives its blocks back, which may take a while.
        leave_to_blocking_thread(Arc::clone(&self.file));
    }
}

/// Reads `source` to its end, into memory or a file.
pub(super) async fn spool(
    source: &mut (dyn Pieces + '_),
    memory_bytes_max: usize,
    directory: Option<&Path>,
) -> Result<Spooled> {
    let mut held = Vec::new();
    loop {
        let Some(piece) = pieces::next(source).await? else {
            return Ok(Spooled(Kept::Memory(held.into())));
        };
        held.extend_from_slice(&piece);
        if held.len() > memory_bytes_max {
            break;
        }
    }
    let directory = directory.map_or_else(std::env::temp_dir, Path::to_owned);
    let draft = on_blocking_thread(move || Draft::without_name(&directory)).await?;
    let (draft, length) = write_all(source, Abandoned(Some(draft)), held).await?;
    let file = Arc::clone(&draft.get().file);
    Ok(Spooled(Kept::File(TemporaryFile { file, length })))
}

/// Reads `source` to its end, into a file that gets its name at the end.
pub(super) async fn save(source: &mut (dyn Pieces + '_), path: &Path) -> Result<u64> {
    let path = path.to_owned();
    let beside = path.clone();
    let draft = on_blocking_thread(move || Draft::beside(&beside)).await?;
    let (mut draft, length) = write_all(source, Abandoned(Some(draft)), Vec::new()).await?;
    let draft = draft.take();
    on_blocking_thread(move || draft.publish(&path)).await?;
    Ok(length)
}

/// Writes what is `held` and the rest of `source`.
async fn write_all(
    source: &mut (dyn Pieces + '_),
    draft: Abandoned,
    mut held: Vec<u8>,
) -> Result<(Abandoned, u64)> {
    let mut length = 0;
    while let Some(mut piece) = pieces::next(source).await? {
        while held.len() + piece.len() >= WRITE_BYTES {
            let fitting = WRITE_BYTES.saturating_sub(held.len());
            held.extend_from_slice(&piece.split_to(fitting));
            length += held.len() as u64;
            held = draft.write(held).await?;
        }
        held.extend_from_slice(&piece);
    }
    length += held.len() as u64;
    draft.write(held).await?;
    Ok((draft, length))
}

/// Bytes that are gathered for one write: few enough to be held by each of many uploads, enough to make the way to another
/// thread and back small beside the write.
const WRITE_BYTES: usize = 256 * 1024;

/// A file that is being written. It is removed when this is dropped, unless it has been published.
struct Draft {
    file: Arc<File>,
    /// Its name, if it has one.
    path: Option<PathBuf>,
}

impl Draft {
    /// A file in the directory of `path`, so that it can be given that name in one step.
    fn beside(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        // Names have a greatest length, which `name` may have reached.
        let prefix: String = name.to_string_lossy().chars().take(32).collect();
        Self::create(directory, &format!(".{prefix}"), 0o666)
    }

    /// A file that nobody else can find.
    fn without_name(directory: &Path) -> io::Result<Self> {
        let mut draft = Self::create(directory, ".ringhttp", 0o600)?;
        if let Some(path) = draft.path.take() {
            fs::remove_file(path)?;
        }
        Ok(draft)
    }

    fn create(directory: &Path, prefix: &str, mode: u32) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            let random = RandomState::new().hash_one(tries);
            let path = directory.join(format!("{prefix}.{random:016x}.part"));
            let opened = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&path);
            match opened {
                Ok(file) => return Ok(Self { file: Arc::new(file), path: Some(path) }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < NAME_TRIES_MAX => {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn publish(mut self, path: &Path) -> io::Result<()> {
        let Some(own) = self.path.take() else {
            return Ok(());
        };
        fs::rename(&own, path).inspect_err(|_| self.path = Some(own))
    }
}

/// Names are random: to find one taken even once is no accident.
const NAME_TRIES_MAX: u32 = 8;

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It is left over; whoever cleans the directory up will find it by its name.
            let _ = fs::remove_file(path);
        }
    }
}

/// A draft on the core: if it is dropped there, it is removed by a blocking thread.
struct Abandoned(Option<Draft>);

impl Abandoned {
    fn get(&self) -> &Draft {
        self.0.as_ref().expect("taken only at the end")
    }

    fn take(&mut self) -> Draft {
        self.0.take().expect("taken only once")
    }

    /// Writes `bytes`, and gives their memory back, empty.
    async fn write(&self, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        let file = Arc::clone(&self.get().file);
        on_blocking_thread(move || {
            (&*file).write_all(&bytes)?;
            bytes.clear();
            Ok(bytes)
        })
        .await
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(draft) = self.0.take() {
            leave_to_blocking_thread(draft);
        }
    }
}

async fn on_blocking_thread<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let core = Core::current().ok_or_else(|| Error::internal("files are read and written on a core only"))?;
    Ok(core.spawn_blocking(call).await??)
}

/// Drops `value` on a blocking thread; here, if there is none to be had.
fn leave_to_blocking_thread(value: impl Send + 'static) {
    if let Some(core) = Core::current() {
        drop(core.spawn_blocking(move || drop(value)));
    }
}
