//! The servers: how they are built, started and stopped.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::{Problem, process};

/// One way to run one server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    FloorEpoll,
    FloorUring,
    Hyper,
    /// hyper that sends the answers of a pipelined batch in one write.
    HyperFlush,
    Axum,
    Actix,
    Ringhttp,
    RinghttpEpoll,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::FloorEpoll,
        Self::FloorUring,
        Self::Hyper,
        Self::HyperFlush,
        Self::Axum,
        Self::Actix,
        Self::Ringhttp,
        Self::RinghttpEpoll,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FloorEpoll => "floor_epoll",
            Self::FloorUring => "floor_uring",
            Self::Hyper => "hyper",
            Self::HyperFlush => "hyper-flush",
            Self::Axum => "axum",
            Self::Actix => "actix",
            Self::Ringhttp => "ringhttp",
            Self::RinghttpEpoll => "ringhttp-epoll",
        }
    }

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) fn is_floor(self) -> bool {
        matches!(self, Self::FloorEpoll | Self::FloorUring)
    }

    pub(crate) fn is_hyper(self) -> bool {
        matches!(self, Self::Hyper | Self::HyperFlush)
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Ringhttp | Self::RinghttpEpoll)
    }

    fn extra_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Hyper => &["--pipeline-flush", "off"],
            Self::HyperFlush => &["--pipeline-flush", "on"],
            Self::Ringhttp => &["--driver", "io_uring"],
            Self::RinghttpEpoll => &["--driver", "epoll"],
            Self::FloorEpoll | Self::FloorUring | Self::Axum | Self::Actix => &[],
        }
    }
}

/// Where the built servers are.
#[derive(Debug)]
pub(crate) struct Binaries {
    /// Release directory of the peers' workspace.
    peers: PathBuf,
    ours: PathBuf,
    cpu: usize,
}

/// Builds what `options.servers` needs. cargo itself knows what is up to date, so that no old binary is measured.
///
/// # Errors
/// A build that failed, or an `--ours` that is not there.
pub(crate) fn build(options: &Options) -> Result<Binaries, Problem> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let ours_target = target.clone().unwrap_or_else(|| root.join("target"));
    // A target directory of its own: the profiles differ.
    let peers_target =
        target.map_or_else(|| root.join("benches/peers/target"), |target| target.join("peers"));

    if options.servers.iter().any(|kind| !kind.is_ours()) || options.idle.is_some() {
        cargo(
            &["build", "--release", "--locked", "--manifest-path", "benches/peers/Cargo.toml"],
            root,
            &peers_target,
        )?;
    }
    let ours = match &options.ours {
        Some(path) if !path.is_file() => return Err(format!("--ours: {} is not a file", path.display())),
        Some(path) => path.clone(),
        None => {
            if options.servers.iter().any(|kind| kind.is_ours()) {
                cargo(&["build", "--release", "--example", "plaintext"], root, &ours_target)?;
            }
            ours_target.join("release/examples/plaintext")
        }
    };
    Ok(Binaries { peers: peers_target.join("release"), ours, cpu: options.server_cpu })
}

fn cargo(arguments: &[&str], root: &Path, target: &Path) -> Result<(), Problem> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).arg("--target-dir").arg(target).current_dir(root);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo {}: {status}", arguments.join(" "))),
        Err(error) => Err(format!("cargo: {error}")),
    }
}

impl Binaries {
    /// Starts a server on a free port and waits until it accepts and is pinned.
    ///
    /// # Errors
    /// It can not be started, ends, or is not ready within [`START_TIMEOUT`].
    pub(crate) fn start(&self, kind: Kind) -> Result<Server, Problem> {
        let binary = if kind.is_ours() { self.ours.clone() } else { self.peers.join(kind.binary()) };
        let port = free_port()?;
        let child = Command::new(&binary)
            .args(["--port", &port.to_string(), "--cores", &self.cpu.to_string()])
            .args(kind.extra_arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let mut server = Server { child, port };
        server.wait_until_ready(self.cpu).map_err(|problem| format!("{}: {problem}", kind.name()))?;
        Ok(server)
    }

    /// The helper that holds idle connections.
    pub(crate) fn idle_clients(&self) -> Command {
        Command::new(self.peers.join("idle_clients"))
    }
}

impl Kind {
    fn binary(self) -> &'static str {
        if self.is_hyper() { "hyper" } else { self.name() }
    }
}

/// A running server; ends when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn wait_until_ready(&mut self, cpu: usize) -> Result<(), Problem> {
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended at its start: {status}"));
            }
            if start.elapsed() > START_TIMEOUT {
                return Err(format!("accepts nothing after {START_TIMEOUT:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        match process::is_pinned(self.pid(), cpu)? {
            true => Ok(()),
            false => Err(format!("no thread of it is pinned to CPU {cpu}")),
        }
    }
}

impl Drop for Server {
    /// Kills it: how gracefully a server ends is not measured here.
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn free_port() -> Result<u16, Problem> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| format!("no free port: {error}"))?;
    Ok(listener.local_addr().map_err(|error| format!("no free port: {error}"))?.port())
}

const START_TIMEOUT: Duration = Duration::from_secs(10);
