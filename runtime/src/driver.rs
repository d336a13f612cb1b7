//! io_uring or epoll. Owns the choice, its reason, and the kernel report that tells both.
//!
//! One driver serves the whole process, so it is chosen once, by building a ring on the starting thread and throwing it
//! away. Each core then builds its own with the flags found: a ring with one issuer belongs to the thread that made it.
#![forbid(unsafe_code)]

use std::future::Future;
use std::{env, fmt, fs, io};

use io_uring::{IoUring, Probe, opcode};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::config::{Driver, RuntimeConfig};
use crate::error::RunError;

/// The kernel interface that a run uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverKind {
    /// io_uring.
    IoUring,
    /// epoll.
    Epoll,
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

/// What the kernel gave and refused when a run started. `Display` is one readable block.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KernelReport {
    /// The driver in use.
    pub driver: DriverKind,
    /// Why it is this one.
    pub reason: String,
    /// Ring set-ups tried, best first, each with the errno it was refused with; the last one is in use when it has none.
    pub rings: Vec<(RingFlags, Option<i32>)>,
    /// The kernel's release.
    pub kernel: String,
    /// For each core the CPU it is pinned to, `None` when it may roam.
    pub cpus: Vec<Option<usize>>,
    /// Limit of open file descriptors of this process; `None` is unlimited.
    pub fd_limit: Option<u64>,
    /// Limit of locked memory in bytes; `None` is unlimited. Kernels before 5.12 charge rings to it.
    pub memlock_limit: Option<u64>,
}

impl KernelReport {
    pub(crate) fn new(choice: &DriverChoice, cpus: &[Option<usize>]) -> Self {
        Self {
            driver: choice.kind(),
            reason: choice.reason.clone(),
            rings: choice.rings.clone(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| "unknown".to_owned(), |release| release.trim().to_owned()),
            cpus: cpus.to_vec(),
            fd_limit: getrlimit(Resource::Nofile).current,
            memlock_limit: getrlimit(Resource::Memlock).current,
        }
    }
}

impl fmt::Display for KernelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "driver   {} ({})", self.driver, self.reason)?;
        for (flags, refusal) in &self.rings {
            match refusal {
                None => writeln!(f, "ring     {flags}: in use")?,
                Some(errno) => {
                    writeln!(f, "ring     {flags}: refused, {}", io::Error::from_raw_os_error(*errno))?;
                }
            }
        }
        writeln!(f, "kernel   {}", self.kernel)?;
        write!(f, "cores    {}:", self.cpus.len())?;
        for cpu in &self.cpus {
            match cpu {
                Some(cpu) => write!(f, " cpu{cpu}")?,
                None => write!(f, " unpinned")?,
            }
        }
        let limit = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
        write!(f, "\nlimits   {} fds, {} bytes locked", limit(self.fd_limit), limit(self.memlock_limit))
    }
}

/// A way to set up a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingFlags {
    /// SINGLE_ISSUER and DEFER_TASKRUN: completions are worked off only when the core asks (kernel 6.1).
    DeferTaskrun,
    /// COOP_TASKRUN and TASKRUN_FLAG: no interrupt for completions (kernel 5.19).
    CoopTaskrun,
    /// No flags.
    Plain,
}

impl RingFlags {
    /// Best first.
    pub(crate) const ALL: [Self; 3] = [Self::DeferTaskrun, Self::CoopTaskrun, Self::Plain];

    fn builder(self) -> io_uring::Builder {
        let mut builder = IoUring::builder();
        match self {
            Self::DeferTaskrun => builder.setup_single_issuer().setup_defer_taskrun(),
            Self::CoopTaskrun => builder.setup_coop_taskrun().setup_taskrun_flag(),
            Self::Plain => &mut builder,
        };
        builder
    }
}

impl fmt::Display for RingFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeferTaskrun => "SINGLE_ISSUER|DEFER_TASKRUN",
            Self::CoopTaskrun => "COOP_TASKRUN|TASKRUN_FLAG",
            Self::Plain => "no flags",
        })
    }
}

/// The driver chosen for a run.
pub(crate) struct DriverChoice {
    /// The ring's flags, or epoll.
    ring: Option<RingFlags>,
    entries: u32,
    reason: String,
    rings: Vec<(RingFlags, Option<i32>)>,
}

impl DriverChoice {
    /// Chooses by the configuration, then the environment, then what the kernel allows.
    pub(crate) fn make(config: &RuntimeConfig) -> Result<Self, RunError> {
        let (asked, who) = asked_driver(config.driver)?;
        let mut choice =
            Self { ring: None, entries: config.ring_entries, reason: who.to_owned(), rings: Vec::new() };
        if asked == Driver::Epoll {
            return Ok(choice);
        }
        match choice.probe_rings() {
            Ok(flags) => choice.ring = Some(flags),
            Err(source) if asked == Driver::IoUring => {
                return Err(RunError::DriverUnavailable { driver: "io_uring", source });
            }
            Err(source) => choice.reason = format!("io_uring is not available: {source}"),
        }
        Ok(choice)
    }

    pub(crate) fn kind(&self) -> DriverKind {
        if self.ring.is_some() { DriverKind::IoUring } else { DriverKind::Epoll }
    }

    /// Builds the driver on this thread and runs `future` on it to its end.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> io::Result<F::Output> {
        match self.ring {
            Some(flags) => Ok(RuntimeBuilder::<IoUringDriver>::new()
                .with_entries(self.entries)
                .uring_builder(flags.builder())
                .enable_timer()
                .build()?
                .block_on(future)),
            None => Ok(RuntimeBuilder::<LegacyDriver>::new()
                .with_entries(EPOLL_EVENTS)
                .enable_timer()
                .build()?
                .block_on(future)),
        }
    }

    /// Finds the best flags the kernel takes; the error is that of the last and simplest try.
    fn probe_rings(&mut self) -> io::Result<RingFlags> {
        let mut refusal = io::Error::from(io::ErrorKind::Unsupported);
        for flags in RingFlags::ALL {
            match probe_ring(flags, self.entries) {
                Ok(()) => {
                    self.rings.push((flags, None));
                    return Ok(flags);
                }
                Err(error) => {
                    self.rings.push((flags, error.raw_os_error().or(Some(Errno::NOSYS.raw_os_error()))));
                    refusal = error;
                }
            }
        }
        Err(refusal)
    }
}

fn asked_driver(configured: Driver) -> Result<(Driver, &'static str), RunError> {
    if configured != Driver::Auto {
        return Ok((configured, "asked for by the configuration"));
    }
    let Some(value) = env::var_os(DRIVER_VARIABLE) else {
        return Ok((Driver::Auto, "the kernel allows it"));
    };
    let name = value.to_string_lossy();
    match name.parse() {
        Ok(Driver::Auto) => Ok((Driver::Auto, "the kernel allows it")),
        Ok(driver) => Ok((driver, "asked for by RINGHTTP_DRIVER")),
        Err(_) => {
            Err(RunError::config(DRIVER_VARIABLE, format!("`{name}` is none of auto, io_uring and epoll")))
        }
    }
}

fn probe_ring(flags: RingFlags, entries: u32) -> io::Result<()> {
    let probe = operations_of(flags, entries)?;
    if OPCODES.iter().all(|(_, code)| probe.is_supported(*code)) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel lacks operations of io_uring that are needed"))
}

/// What a ring with these flags can do.
pub(crate) fn operations_of(flags: RingFlags, entries: u32) -> io::Result<Probe> {
    let ring: IoUring = flags.builder().build(entries)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    Ok(probe)
}

const DRIVER_VARIABLE: &str = "RINGHTTP_DRIVER";

// Events taken from epoll in one go; more wait for the next.
const EPOLL_EVENTS: u32 = 1024;

// The operations that the driver and the layers above it submit.
pub(crate) const OPCODES: [(&str, u8); 11] = [
    ("accept", opcode::Accept::CODE),
    ("async_cancel", opcode::AsyncCancel::CODE),
    ("close", opcode::Close::CODE),
    ("connect", opcode::Connect::CODE),
    ("poll_add", opcode::PollAdd::CODE),
    ("read", opcode::Read::CODE),
    ("recv", opcode::Recv::CODE),
    ("send", opcode::Send::CODE),
    ("sendmsg", opcode::SendMsg::CODE),
    ("write", opcode::Write::CODE),
    ("writev", opcode::Writev::CODE),
];
