//! Small files in memory, with all of their fields: one that is fresh is answered without a system call but the send.
#![forbid(unsafe_code)]

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ringhttp_runtime::Core;
use ringhttp_runtime::cache::{Cache, CacheConfig};
use ringhttp_runtime::file::OpenFile;
use ringhttp_runtime::time::{Instant, Timers};

use super::answer::Representation;
use super::config::FilesConfig;

/// The files that one core keeps for one [`Files`](super::Files).
pub(super) struct HotFiles {
    kept: OnceCell<Kept>,
}

/// The files by path and codings, and the clock that their age is told by.
type Kept = (Timers, Cache<Rc<str>, Rc<HotFile>>);

/// A file in memory.
pub(super) struct HotFile {
    pub(super) representation: Representation,
    pub(super) bytes: Bytes,
    stamp: (u64, u128, u64),
    checked_at: Cell<Instant>,
}

impl HotFiles {
    pub(super) fn new() -> Self {
        Self { kept: OnceCell::new() }
    }

    /// What is kept under a key, and whether it need not be looked at again yet.
    pub(super) fn get(&self, key: &str, config: &FilesConfig) -> Option<(Rc<HotFile>, bool)> {
        let (timers, cache) = self.kept(config);
        let hot = cache.get(key)?;
        let is_fresh = timers.now() - hot.checked_at.get() < config.hot_age_max;
        Some((hot, is_fresh))
    }

    /// Keeps a file.
    pub(super) fn insert(
        &self,
        key: String,
        config: &FilesConfig,
        representation: Representation,
        file: &OpenFile,
        bytes: Bytes,
    ) -> Rc<HotFile> {
        let (timers, cache) = self.kept(config);
        let checked_at = Cell::new(timers.now());
        let hot = Rc::new(HotFile { representation, bytes, stamp: file.stamp(), checked_at });
        cache.insert(key.into(), Rc::clone(&hot));
        hot
    }

    /// Whether `hot` is still what `file` has; it is fresh again then.
    pub(super) fn confirm(&self, hot: &HotFile, file: &OpenFile, config: &FilesConfig) -> bool {
        let is_same = hot.stamp == file.stamp();
        if is_same {
            hot.checked_at.set(self.kept(config).0.now());
        }
        is_same
    }

    /// Made with the first request: a router may be put together where there is no core.
    fn kept(&self, config: &FilesConfig) -> &Kept {
        self.kept.get_or_init(|| {
            let timers = Core::current().map_or_else(Timers::new, |core| core.timers().clone());
            let mut limits = CacheConfig::default();
            limits.entries_max = config.hot_count_max;
            limits.weight_max = Some(config.hot_bytes_max);
            limits.ttl = KEPT_UNSEEN;
            let weigh = |key: &Rc<str>, hot: Option<&Rc<HotFile>>| {
                key.len() + hot.map_or(0, |hot| hot.bytes.len()) + HOT_FILE_BYTES
            };
            (timers.clone(), Cache::with_weigher(&timers, limits, weigh))
        })
    }
}

/// What a file in memory costs beside its bytes, about.
const HOT_FILE_BYTES: usize = 512;

/// Files are compared with the disk long before; this only says when one that nobody asks for may go.
const KEPT_UNSEEN: Duration = Duration::from_secs(3600);
