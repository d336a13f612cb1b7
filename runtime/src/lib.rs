//! One core = one thread = one ring: the runtime under `ringhttp`. It knows nothing of HTTP.
//!
//! [`run`] starts a pinned thread per core and runs one async closure on each. What the closure captures is shared by the
//! cores, what it makes belongs to its core: `Cell`, `Rc`, no locks. [`Core`] is the handle it is given.
//!
//! ```
//! use ringhttp_runtime::{Cores, RunError, RuntimeConfig, run};
//!
//! let mut config = RuntimeConfig::default();
//! config.cores = Cores::Count(2);
//! run(config, async |core| {
//!     let numbers = core.gather(async |there| there.id()).await.expect("all cores run");
//!     assert_eq!(numbers, [0, 1]);
//!     Ok::<(), RunError>(())
//! })?;
//! # Ok::<(), RunError>(())
//! ```

pub mod buffer;
pub mod cache;
pub mod connect;
pub mod deadline;
pub mod file;
pub mod listener;
pub mod pool;
pub mod random;
pub mod signal;
pub mod stream;
pub mod sync;
pub mod time;

mod blocking;
mod config;
mod core;
mod doorbell;
mod driver;
mod error;
mod features;
mod lifecycle;
mod mailbox;
mod pinning;
mod run;
mod stats;
mod task;
mod wakers;
mod watchdog;

#[cfg(test)]
#[path = "../tests/common/drivers.rs"]
mod test_drivers;

pub use crate::blocking::{Blocking, BlockingError, BlockingStats};
pub use crate::config::{Cores, Driver, RuntimeConfig};
pub use crate::core::Core;
pub use crate::doorbell::YieldNow;
pub use crate::driver::{DriverKind, KernelReport, RingFlags};
pub use crate::error::RunError;
pub use crate::features::KernelFeature;
pub use crate::lifecycle::Reached;
pub use crate::mailbox::{Invoke, InvokeError};
pub use crate::run::run;
pub use crate::stats::{CoreStats, StatsSnapshot};
pub use crate::task::{JoinError, JoinHandle};
pub use crate::watchdog::BlockedReport;
