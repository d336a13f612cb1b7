//! Signals that a program wants to hear while it runs. (SIGINT and SIGTERM begin the stop by themselves: see `lifecycle`.)
#![forbid(unsafe_code)]

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixStream;

use bytes::BytesMut;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};
use signal_hook::low_level;

use crate::core::Core;
use crate::driver::DriverKind;
use crate::stream::Stream;

/// A signal that this core listens for. While it exists, and from then on, the signal does not end the process.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let mut hangup = ringhttp_runtime::signal::Signal::hangup()?;
/// loop {
///     hangup.received().await?;
///     println!("reading the configuration again");
/// }
/// # }
/// ```
pub struct Signal {
    id: SigId,
    stream: Stream,
    buffer: Option<BytesMut>,
}

impl Signal {
    /// Listens for SIGHUP: daemons read their configuration again.
    ///
    /// # Errors
    /// If the handler cannot be installed.
    ///
    /// # Panics
    /// Outside a core.
    pub fn hangup() -> io::Result<Self> {
        Self::listen(SIGHUP)
    }

    /// Listens for SIGUSR1.
    ///
    /// # Errors
    /// If the handler cannot be installed.
    ///
    /// # Panics
    /// Outside a core.
    pub fn user1() -> io::Result<Self> {
        Self::listen(SIGUSR1)
    }

    /// Listens for SIGUSR2.
    ///
    /// # Errors
    /// If the handler cannot be installed.
    ///
    /// # Panics
    /// Outside a core.
    pub fn user2() -> io::Result<Self> {
        Self::listen(SIGUSR2)
    }

    fn listen(signal: i32) -> io::Result<Self> {
        let driver = Core::current().expect("signals are listened for on a core").driver();
        let (ear, mouth) = UnixStream::pair()?;
        ear.set_nonblocking(driver == DriverKind::Epoll)?;
        let stream = Stream::unix(monoio::net::UnixStream::from_std(ear)?);
        let id = low_level::pipe::register(signal, mouth)?;
        Ok(Self { id, stream, buffer: Some(BytesMut::with_capacity(SIGNALS_AT_ONCE)) })
    }

    /// Waits for the signal. Several that come before this is asked are one.
    ///
    /// # Errors
    /// If the driver fails.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn received(&mut self) -> io::Result<()> {
        if let Some(mut buffer) = self.buffer.take() {
            buffer.clear();
            self.stream.start_read(buffer);
        }
        let (result, buffer) = poll_fn(|cx| self.stream.poll_read(cx)).await;
        self.buffer = Some(buffer);
        match result? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        low_level::unregister(self.id);
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").finish_non_exhaustive()
    }
}

// The handler writes a byte for each.
const SIGNALS_AT_ONCE: usize = 64;
