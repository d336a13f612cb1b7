//! Reloads that come by themselves: when a file has changed, or the process is told.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use ringhttp_runtime::Core;
use ringhttp_runtime::signal::Signal;

use super::config::TlsConfig;
use super::{Certificates, lock};
use crate::error::{Error, Result};

/// What tells one state of the files from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<Stamp>>);

/// Of one file. Who replaces a file gives it another number; who writes into it, another time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    number: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamps {
    /// The files as they are. One that cannot be looked at has no stamp.
    pub(super) fn of(config: &TlsConfig) -> Self {
        let stamp = |metadata: fs::Metadata| Stamp {
            device: metadata.dev(),
            number: metadata.ino(),
            bytes: metadata.size(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        };
        Self(config.files().map(|path| fs::metadata(path).ok().map(stamp)).collect())
    }
}

impl Certificates {
    /// Has this core see to the reloads that the configuration asks for, if no other does.
    pub(in crate::server) fn watch(&self, core: &Core) -> Result<()> {
        let config = &self.0.config;
        let is_wanted = config.reload_interval.is_some() || config.reload_on_hangup;
        if !is_wanted || self.0.is_watched.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let watcher = Watcher(self.clone());
        let hangup = config.reload_on_hangup.then(Signal::hangup).transpose().map_err(Error::internal)?;
        drop(core.spawn("certificates", watcher.run(core.clone(), hangup)));
        Ok(())
    }

    /// Loads everything again if a file is not as it was when that was done last.
    fn reload_if_changed(&self) {
        let mut stamps = lock(&self.0.stamps);
        if Stamps::of(&self.0.config) != *stamps {
            self.log_reload("a file has changed", self.reload_from(&mut stamps));
        }
    }

    fn log_reload(&self, why: &str, reloaded: Result<()>) {
        match reloaded {
            Ok(()) => tracing::info!(why, generation = self.generation(), "certificates were loaded again"),
            Err(error) => tracing::error!(
                why,
                error = &error as &dyn std::error::Error,
                "certificates could not be loaded again: those from before stay"
            ),
        }
    }
}

/// The one who sees to reloads. When its core ends, another run may have one.
struct Watcher(Certificates);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.0.is_watched.store(false, Ordering::Relaxed);
    }
}

impl Watcher {
    async fn run(self, core: Core, hangup: Option<Signal>) {
        let by_time = async {
            match self.0.0.config.reload_interval {
                Some(interval) => loop {
                    core.timers().sleep(interval).await;
                    let certificates = self.0.clone();
                    // A pool that is full has more urgent work.
                    let _ = core.spawn_blocking(move || certificates.reload_if_changed()).await;
                },
                None => std::future::pending::<()>().await,
            }
        };
        let by_signal = async {
            if let Some(mut hangup) = hangup {
                while hangup.received().await.is_ok() {
                    let certificates = self.0.clone();
                    let _ = core
                        .spawn_blocking(move || certificates.log_reload("SIGHUP", certificates.reload()))
                        .await;
                }
            }
            std::future::pending::<()>().await;
        };
        ringhttp_runtime::sync::race(core.stopping(), ringhttp_runtime::sync::race(by_time, by_signal)).await;
    }
}
