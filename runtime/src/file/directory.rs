//! Reading what is in a directory, on the blocking pool.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, statat};

use super::off_core;

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
}

/// One thing in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its name, without a path.
    pub name: OsString,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Its bytes; 0 for a directory.
    pub length: u64,
    /// When it was last changed.
    pub modified: SystemTime,
}

impl Directory {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// The regular files and directories in it, sorted by name, and whether that is all: no more than `count_max`
    /// are given. Links, hidden ones and everything that `wanted` refuses by its name are left out, and read all the same.
    ///
    /// # Errors
    /// What the kernel says, or a [`BlockingError`](crate::BlockingError) as source.
    ///
    /// # Cancellation
    /// The work goes on, and its result is dropped.
    pub async fn entries(
        self,
        count_max: usize,
        wanted: impl Fn(&[u8]) -> bool + Send + 'static,
    ) -> io::Result<(Vec<Entry>, bool)> {
        off_core(move || read_entries(&self.fd, count_max, &wanted)).await
    }
}

fn read_entries(
    fd: &OwnedFd,
    count_max: usize,
    wanted: &dyn Fn(&[u8]) -> bool,
) -> io::Result<(Vec<Entry>, bool)> {
    let mut entries = Vec::new();
    let mut complete = true;
    for entry in Dir::read_from(fd)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") || !wanted(name.to_bytes()) {
            continue;
        }
        if entries.len() == count_max {
            complete = false;
            break;
        }
        // Gone meanwhile: as if it had never been there.
        let Ok(status) = statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let kind = FileType::from_raw_mode(status.st_mode);
        if !matches!(kind, FileType::Directory | FileType::RegularFile) {
            continue;
        }
        let is_directory = kind == FileType::Directory;
        let length = if is_directory { 0 } else { u64::try_from(status.st_size).unwrap_or(0) };
        let seconds = u64::try_from(status.st_mtime).unwrap_or(0);
        entries.push(Entry {
            name: OsString::from_vec(name.to_bytes().to_vec()),
            is_directory,
            length,
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((entries, complete))
}
