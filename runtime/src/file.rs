//! Files on the disk, opened without a way out of the directory they belong to, and never waited for on the core.
//!
//! Opening looks first at what the kernel has in memory (`RESOLVE_CACHED`), which cannot block; what needs the disk goes to
//! the blocking pool. Only regular files and directories are opened: a FIFO, a device or a socket is "not found".
#![forbid(unsafe_code)]

mod directory;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

pub use self::directory::{Directory, Entry};
use crate::blocking::BlockingError;
use crate::core::Core;

/// A directory that nothing opened through it is outside of: neither `..` nor a symbolic link leads out.
///
/// The kernel holds that (`openat2` with `RESOLVE_BENEATH`). Where it has no such call, or a sandbox forbids it, paths are
/// walked one component at a time, and symbolic links are not followed at all.
///
/// ```
/// use ringhttp_runtime::file::{Found, Root, Symlinks};
///
/// let root = Root::open("src", Symlinks::Within)?;
/// assert!(matches!(root.find_blocking("lib.rs".as_ref())?, Found::File(file) if file.length() > 0));
/// assert!(root.find_blocking("../Cargo.toml".as_ref()).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Root(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: OwnedFd,
    symlinks: Symlinks,
    method: Method,
}

/// What becomes of symbolic links below a [`Root`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symlinks {
    /// They are followed as long as they stay below the root.
    #[default]
    Within,
    /// They do not exist.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Openat2,
    Walk,
}

/// What a path leads to.
#[derive(Debug)]
pub enum Found {
    /// A regular file.
    File(OpenFile),
    /// A directory.
    Directory(Directory),
}

impl Root {
    /// Opens a directory as a root. Blocks: meant for start-up.
    ///
    /// # Errors
    /// If it cannot be opened, or is no directory.
    pub fn open(path: impl AsRef<Path>, symlinks: Symlinks) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(path.as_ref(), flags, Mode::empty())?;
        let probe =
            openat2(&directory, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH);
        let method = if probe.is_ok() { Method::Openat2 } else { Method::Walk };
        Ok(Self(Arc::new(Inner { directory, symlinks, method })))
    }

    /// Opens what `path`, which is relative to the root, leads to. The empty path is the root itself.
    ///
    /// # Errors
    /// `NotFound` if there is nothing, if it is outside of the root, or neither a file nor a directory;
    /// `PermissionDenied`; what else the kernel says; or a [`BlockingError`] as source.
    ///
    /// # Cancellation
    /// Nothing is lost: what is opened meanwhile is closed again.
    pub async fn find(&self, path: &Path) -> io::Result<Found> {
        if self.0.method == Method::Openat2 {
            match self.0.open_beneath(path, ResolveFlags::CACHED) {
                // The disk is needed, or the kernel does not know the flag (before 5.12).
                Err(Errno::AGAIN | Errno::INVAL) => {}
                opened => return found(opened),
            }
        }
        let (root, path) = (self.clone(), path.to_owned());
        off_core(move || root.find_blocking(&path)).await
    }

    /// As [`find`](Self::find), on the calling thread, which may wait for the disk.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_blocking(&self, path: &Path) -> io::Result<Found> {
        found(match self.0.method {
            Method::Openat2 => self.0.open_with_patience(path),
            Method::Walk => self.0.walk(path),
        })
    }
}

impl Inner {
    fn open_beneath(&self, path: &Path, flags: ResolveFlags) -> rustix::io::Result<OwnedFd> {
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | flags;
        if self.symlinks == Symlinks::Refused {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        openat2(&self.directory, path, OPEN, Mode::empty(), resolve)
    }

    /// The kernel asks to try again when something was renamed while it looked.
    fn open_with_patience(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let mut opened = self.open_beneath(path, ResolveFlags::empty());
        for _ in 0..RENAMED_TRIES_MAX {
            if !matches!(opened, Err(Errno::AGAIN)) {
                break;
            }
            opened = self.open_beneath(path, ResolveFlags::empty());
        }
        opened
    }

    /// The way without `openat2`: each component is opened in the directory before it, and none may be a link.
    fn walk(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let names: Vec<_> = path.components().filter(|part| *part != Component::CurDir).collect();
        if names.iter().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(Errno::XDEV);
        }
        let slash_ends = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Some((last, above)) = names.split_last() else {
            return openat(&self.directory, ".", OPEN, Mode::empty());
        };
        let mut at = openat(&self.directory, ".", directory, Mode::empty())?;
        for name in above {
            at = openat(&at, name.as_os_str(), directory, Mode::empty())?;
        }
        let ends = if slash_ends { OFlags::DIRECTORY } else { OFlags::empty() };
        openat(&at, last.as_os_str(), OPEN | OFlags::NOFOLLOW | ends, Mode::empty())
    }
}

/// A regular file that is open for reading. Clones share the descriptor; all reads name their place.
#[derive(Clone, Debug)]
pub struct OpenFile {
    file: Arc<File>,
    length: u64,
    modified: Duration,
    inode: u64,
}

impl OpenFile {
    /// Opens any file of the machine. Relative paths begin at the working directory, and links are followed: the path is
    /// the program's own, never a peer's.
    ///
    /// # Errors
    /// As [`Root::find`]; a directory is "not found".
    ///
    /// # Cancellation
    /// Nothing is lost: what is opened meanwhile is closed again.
    pub async fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        match openat2(CWD, &path, OPEN, Mode::empty(), ResolveFlags::CACHED) {
            // Anything else may be a sandbox that does not know the call.
            Ok(file) => return found(Ok(file))?.into_file(),
            Err(Errno::NOENT) => return Err(io::ErrorKind::NotFound.into()),
            Err(_) => {}
        }
        off_core(move || found(open(&path, OPEN, Mode::empty()))?.into_file()).await
    }

    /// Bytes it had when it was opened.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// When it was last changed; 1970 for a time before that.
    #[must_use]
    pub fn modified(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.modified
    }

    /// What tells one content from another: inode, nanoseconds of the last change, length.
    #[must_use]
    pub fn stamp(&self) -> (u64, u128, u64) {
        (self.inode, self.modified.as_nanos(), self.length)
    }

    /// Reads exactly `length` bytes at `offset`: at once if they are in memory, else on the blocking pool. While too many calls wait
    /// there it asks again, for `RuntimeConfig::blocking_queue_timeout`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file has become shorter; what the kernel says; or a
    /// [`BlockingError`] as source.
    ///
    /// # Cancellation
    /// The work goes on, and its result is dropped.
    pub async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        let slices = &mut [io::IoSliceMut::new(&mut bytes)];
        if preadv2(&self.file, slices, offset, ReadWriteFlags::NOWAIT) == Ok(length) {
            return Ok(bytes.into());
        }
        drop(bytes);
        let file = &self.file;
        off_core_in_turn(|| {
            let file = Arc::clone(file);
            move || {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, offset)?;
                Ok(bytes.into())
            }
        })
        .await
    }

    /// Has the kernel keep `length` bytes at `offset` in memory, so that sending them does not wait for the disk. Looks
    /// at both ends: what is read ahead or dropped comes in runs.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Cancellation
    /// The work goes on.
    pub(crate) async fn warm(&self, offset: u64, length: u64) -> io::Result<()> {
        if length == 0 || (self.is_warm(offset) && self.is_warm(offset + length - 1)) {
            return Ok(());
        }
        let file = &self.file;
        off_core_in_turn(|| {
            let file = Arc::clone(file);
            move || read_through(&file, offset, length)
        })
        .await
    }

    /// Whether a byte can be read without waiting. What the file system cannot tell counts as no.
    fn is_warm(&self, offset: u64) -> bool {
        let mut byte = [0];
        let read = preadv2(&self.file, &mut [io::IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT);
        read.is_ok()
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A part of a file, to be sent.
#[derive(Clone, Debug)]
pub struct FileSlice {
    /// The file.
    pub file: OpenFile,
    /// Where the part begins.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

impl FileSlice {
    /// Reads all of it on the calling thread, which may wait for the disk.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file has become shorter, or what the kernel says.
    pub fn read_blocking(&self) -> io::Result<Bytes> {
        let length = usize::try_from(self.length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = vec![0; length];
        self.file.file.read_exact_at(&mut bytes, self.offset)?;
        Ok(bytes.into())
    }
}

impl Found {
    /// The file.
    ///
    /// # Errors
    /// `NotFound` if it is a directory.
    pub fn into_file(self) -> io::Result<OpenFile> {
        match self {
            Self::File(file) => Ok(file),
            Self::Directory(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Tells what was opened by its type.
fn found(opened: rustix::io::Result<OwnedFd>) -> io::Result<Found> {
    let fd = opened.map_err(not_found)?;
    let status = fstat(&fd)?;
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => {
            let seconds = u64::try_from(status.st_mtime).unwrap_or(0);
            let nanoseconds = u32::try_from(status.st_mtime_nsec).unwrap_or(0);
            Ok(Found::File(OpenFile {
                file: Arc::new(fd.into()),
                length: u64::try_from(status.st_size).unwrap_or(0),
                modified: Duration::new(seconds, nanoseconds),
                inode: status.st_ino,
            }))
        }
        FileType::Directory => Ok(Found::Directory(Directory::new(fd))),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Every way of being nowhere below the root is the same to who asks.
fn not_found(error: Errno) -> io::Error {
    match error {
        // The last two: a NUL in the path, or a name that this file system cannot have.
        Errno::LOOP
        | Errno::NAMETOOLONG
        | Errno::NODEV
        | Errno::NOENT
        | Errno::NOTDIR
        | Errno::NXIO
        | Errno::XDEV
        | Errno::INVAL
        | Errno::ILSEQ => io::ErrorKind::NotFound.into(),
        error => error.into(),
    }
}

fn read_through(file: &File, mut offset: u64, length: u64) -> io::Result<()> {
    let end = offset + length;
    let mut scratch = vec![0; WARM_READ_BYTES];
    while offset < end {
        let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX).min(scratch.len());
        match file.read_at(&mut scratch[..wanted], offset) {
            // The file has become shorter, which the sender will see.
            Ok(0) => break,
            Ok(count) => offset += count as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Runs what may wait for the disk where waiting holds nobody up; in place on a thread that is no core.
async fn off_core<T: Send + 'static>(call: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match Core::current() {
        Some(core) => core.spawn_blocking(call).await.map_err(io::Error::other)?,
        None => call(),
    }
}

/// As [`off_core`], for who is in the middle of something that was promised: while too many calls wait, it comes again.
async fn off_core_in_turn<T, C>(mut call: impl FnMut() -> C) -> io::Result<T>
where
    T: Send + 'static,
    C: FnOnce() -> io::Result<T> + Send + 'static,
{
    let Some(core) = Core::current() else { return call()() };
    let patience = core.blocking_queue_timeout();
    let (mut waited, mut pause) = (Duration::ZERO, TURN_PAUSE_MIN);
    loop {
        match core.spawn_blocking(call()).await {
            Err(BlockingError::QueueFull) if waited < patience => {
                core.timers().sleep(pause).await;
                waited += pause;
                pause = (pause * 2).min(TURN_PAUSE_MAX);
            }
            done => return done.map_err(io::Error::other)?,
        }
    }
}

/// The first pause before the blocking pool is asked again; each one in a row is twice as long.
const TURN_PAUSE_MIN: Duration = Duration::from_millis(5);

/// The longest pause: thousands may wait.
const TURN_PAUSE_MAX: Duration = Duration::from_millis(100);

/// Non-blocking, so that opening a FIFO does not wait for who writes into it.
const OPEN: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// How often a path is looked up again when renames got in the way.
const RENAMED_TRIES_MAX: usize = 8;

/// What is read at once into memory that nobody looks at.
const WARM_READ_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests;
