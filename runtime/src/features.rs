//! What the kernel offers of that which is built on it, asked for one by one. Nothing here is needed to run: it is what a
//! person wants to know whose server chose another driver, or is slower than elsewhere.
#![forbid(unsafe_code)]

use std::{fmt, io};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use socket2::{Domain, Socket, Type};

use crate::driver::{KernelReport, OPCODES, RingFlags, operations_of};

/// Something that a kernel has or lacks, or that the process is not allowed: see [`KernelReport::features`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KernelFeature {
    /// What it is called: an operation of the ring, a system call, a flag.
    pub name: String,
    /// Why it cannot be used; `None` if it can.
    pub missing: Option<String>,
    /// What is done with it, and what without.
    pub purpose: &'static str,
}

impl fmt::Display for KernelFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, missing, purpose } = self;
        match missing {
            None => write!(f, "yes  {name:<32} {purpose}"),
            Some(why) => write!(f, "no   {name:<32} {purpose} ({why})"),
        }
    }
}

impl KernelReport {
    /// Asks the kernel for everything that is used of it, whichever driver is in use. It takes some system calls and a few
    /// rings, which are closed again; call it when a person asks, not for each request.
    #[must_use]
    pub fn features(&self) -> Vec<KernelFeature> {
        let mut features: Vec<_> = RingFlags::ALL.map(ring).into();
        features.extend(operations());
        features.push(reuse_port());
        features.push(open_beneath());
        features
    }
}

fn feature(name: impl Into<String>, purpose: &'static str, outcome: io::Result<()>) -> KernelFeature {
    KernelFeature { name: name.into(), missing: outcome.err().map(|error| error.to_string()), purpose }
}

fn ring(flags: RingFlags) -> KernelFeature {
    let purpose = match flags {
        RingFlags::DeferTaskrun => "a ring that works completions off when the core asks: the cheapest",
        RingFlags::CoopTaskrun => "a ring without interrupts for completions: the next best",
        RingFlags::Plain => "any ring at all; epoll without",
    };
    feature(format!("ring {flags}"), purpose, operations_of(flags, RING_ENTRIES).map(drop))
}

fn operations() -> impl Iterator<Item = KernelFeature> {
    let probed = operations_of(RingFlags::Plain, RING_ENTRIES);
    OPCODES.into_iter().map(move |(name, code)| {
        let outcome = match &probed {
            Ok(probe) if probe.is_supported(code) => Ok(()),
            Ok(_) => Err(io::ErrorKind::Unsupported.into()),
            Err(error) => Err(error.kind().into()),
        };
        feature(format!("ring operation {name}"), "needed on a ring; epoll without", outcome)
    })
}

fn reuse_port() -> KernelFeature {
    let outcome =
        Socket::new(Domain::IPV4, Type::STREAM, None).and_then(|socket| socket.set_reuse_port(true));
    feature("SO_REUSEPORT", "each core listens for itself; servers do not start without", outcome)
}

fn open_beneath() -> KernelFeature {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let outcome = openat2(CWD, ".", flags, Mode::empty(), ResolveFlags::BENEATH);
    let purpose = "files are opened beneath their root in one call; step by step without";
    feature("openat2 RESOLVE_BENEATH", purpose, outcome.map(drop).map_err(io::Error::from))
}

/// Of a ring that nothing is asked of.
const RING_ENTRIES: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cores, RuntimeConfig, run};

    #[test]
    fn what_is_there_and_what_is_not_is_told() {
        let mut config = RuntimeConfig::default();
        config.cores = Cores::Count(1);
        config.handle_signals = false;
        let told = run(config, async |core| {
            let features = core.report().features();
            let has = |name: &str| features.iter().any(|feature| feature.name.contains(name));
            assert!(has("ring operation accept") && has("SO_REUSEPORT") && has("openat2"), "{features:?}");
            // The ring in use was got, so it can be got again.
            for (flags, refusal) in &core.report().rings {
                let name = format!("ring {flags}");
                let found = features.iter().find(|feature| feature.name == name);
                assert_eq!(found.unwrap().missing.is_some(), refusal.is_some(), "{features:?}");
            }
            Ok::<_, crate::RunError>(())
        });
        told.unwrap();
        let missing = feature("x", "for y", Err(io::ErrorKind::Unsupported.into())).to_string();
        assert!(missing.starts_with("no   x ") && missing.ends_with("for y (unsupported)"), "{missing}");
    }
}
