//! What the peers of this workspace share, beside what they share with those of others: what hyper answers with, the floors'
//! answers, and how clients and loads run.

use std::io;

pub use ringhttp_peers_common::*;

pub mod client;
pub mod floor;
pub mod hyper_answers;
pub mod tls;

/// Runs a load to its end: on a current-thread tokio, pinned to a CPU, with as many open files as there may be.
pub fn run_on<T>(cpu: usize, load: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    pin(cpu)?;
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, load)
}
