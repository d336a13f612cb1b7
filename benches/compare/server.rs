//! The servers: how they are built, started and stopped. The clients: how they are built.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificate::Certificate;
use crate::foreign::{self, Foreign};
use crate::nginx;
use crate::options::Options;
use crate::scenario::{Protocol, Scenario, Shape};
use crate::{Problem, process};

/// One way to run one server, or one client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    FloorEpoll,
    FloorUring,
    Hyper,
    /// hyper that sends the answers of a pipelined batch in one write.
    HyperFlush,
    Axum,
    Actix,
    Aiohttp,
    Node,
    Ringhttp,
    RinghttpEpoll,
    WsFastwebsockets,
    WsTungstenite,
    WsRinghttp,
    WsRinghttpEpoll,
    TlsHyper,
    TlsNginx,
    TlsRinghttp,
    TlsRinghttpEpoll,
    ClientHyper,
    ClientReqwest,
    ClientAiohttp,
    ClientRinghttp,
    ClientRinghttpEpoll,
}

impl Kind {
    pub(crate) const ALL: [Self; 23] = [
        Self::FloorEpoll,
        Self::FloorUring,
        Self::Hyper,
        Self::HyperFlush,
        Self::Axum,
        Self::Actix,
        Self::Aiohttp,
        Self::Node,
        Self::Ringhttp,
        Self::RinghttpEpoll,
        Self::WsFastwebsockets,
        Self::WsTungstenite,
        Self::WsRinghttp,
        Self::WsRinghttpEpoll,
        Self::TlsHyper,
        Self::TlsNginx,
        Self::TlsRinghttp,
        Self::TlsRinghttpEpoll,
        Self::ClientHyper,
        Self::ClientReqwest,
        Self::ClientAiohttp,
        Self::ClientRinghttp,
        Self::ClientRinghttpEpoll,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FloorEpoll => "floor_epoll",
            Self::FloorUring => "floor_uring",
            Self::Hyper => "hyper",
            Self::HyperFlush => "hyper-flush",
            Self::Axum => "axum",
            Self::Actix => "actix",
            Self::Aiohttp => "aiohttp",
            Self::Node => "node",
            Self::Ringhttp => "ringhttp",
            Self::RinghttpEpoll => "ringhttp-epoll",
            Self::WsFastwebsockets => "ws_fastwebsockets",
            Self::WsTungstenite => "ws_tungstenite",
            Self::WsRinghttp => "ws_ringhttp",
            Self::WsRinghttpEpoll => "ws_ringhttp-epoll",
            Self::TlsHyper => "tls_hyper",
            Self::TlsNginx => "tls_nginx",
            Self::TlsRinghttp => "tls_ringhttp",
            Self::TlsRinghttpEpoll => "tls_ringhttp-epoll",
            Self::ClientHyper => "client_hyper",
            Self::ClientReqwest => "client_reqwest",
            Self::ClientAiohttp => "client_aiohttp",
            Self::ClientRinghttp => "client_ringhttp",
            Self::ClientRinghttpEpoll => "client_ringhttp-epoll",
        }
    }

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) fn is_floor(self) -> bool {
        matches!(self, Self::FloorEpoll | Self::FloorUring)
    }

    /// Runs a script, by what its language's registry has.
    fn is_foreign(self) -> bool {
        matches!(self, Self::Aiohttp | Self::Node | Self::ClientAiohttp)
    }

    fn is_hyper(self) -> bool {
        matches!(self, Self::Hyper | Self::HyperFlush)
    }

    /// The library whose figures ours are held against: hyper in both settings, for WebSockets fastwebsockets,
    /// for TLS hyper over tokio-rustls, for clients hyper-util.
    pub(crate) fn is_rival(self) -> bool {
        self.is_hyper() || matches!(self, Self::WsFastwebsockets | Self::TlsHyper | Self::ClientHyper)
    }

    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::WsFastwebsockets | Self::WsTungstenite | Self::WsRinghttp | Self::WsRinghttpEpoll => {
                Protocol::WebSocket
            }
            Self::TlsHyper | Self::TlsNginx | Self::TlsRinghttp | Self::TlsRinghttpEpoll => Protocol::Https,
            Self::ClientHyper
            | Self::ClientReqwest
            | Self::ClientAiohttp
            | Self::ClientRinghttp
            | Self::ClientRinghttpEpoll => Protocol::Client,
            _ => Protocol::Http,
        }
    }

    /// Whose loop over all sockets ours is held against.
    pub(crate) fn is_tungstenite(self) -> bool {
        self == Self::WsTungstenite
    }

    /// Whether it can be loaded so: fastwebsockets has nothing that sends to many.
    pub(crate) fn takes(self, scenario: &Scenario) -> bool {
        let has_shape = !matches!((self, scenario.shape), (Self::WsFastwebsockets, Shape::Broadcast(_)));
        self.protocol() == scenario.protocol() && has_shape
    }

    pub(crate) fn is_ours(self) -> bool {
        self.driver().is_some()
    }

    /// The driver that ours shall run on.
    pub(crate) fn driver(self) -> Option<&'static str> {
        match self {
            Self::Ringhttp | Self::WsRinghttp | Self::TlsRinghttp | Self::ClientRinghttp => Some("io_uring"),
            Self::RinghttpEpoll
            | Self::WsRinghttpEpoll
            | Self::TlsRinghttpEpoll
            | Self::ClientRinghttpEpoll => Some("epoll"),
            _ => None,
        }
    }

    fn extra_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Hyper => &["--pipeline-flush", "off"],
            Self::HyperFlush => &["--pipeline-flush", "on"],
            _ => &[],
        }
    }
}

/// Where the built servers are.
#[derive(Debug)]
pub(crate) struct Binaries {
    /// Release directory of the peers' workspace.
    peers: PathBuf,
    ours: PathBuf,
    ours_websocket: PathBuf,
    foreign: Vec<(Kind, Foreign)>,
    /// Of the servers that speak TLS; `None`: there are none.
    certificate: Option<Certificate>,
    cpu: usize,
}

/// Builds what `options.servers` needs, and takes out of them what cannot be had here. cargo itself knows what is up to date,
/// so that no old binary is measured.
///
/// # Errors
/// A build that failed, or an `--ours` that is not there.
pub(crate) fn build(options: &mut Options) -> Result<Binaries, Problem> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let ours_target = target.clone().unwrap_or_else(|| root.join("target"));
    // A target directory of its own: the profiles differ.
    let peers_target =
        target.map_or_else(|| root.join("benches/peers/target"), |target| target.join("peers"));

    let foreign = leave_out_missing(options, root, &ours_target);
    let options = &*options;
    let is_ours_wanted =
        |protocol| options.servers.iter().any(|kind| kind.is_ours() && kind.protocol() == protocol);
    let are_helpers_wanted = options.idle.is_some()
        || [Protocol::WebSocket, Protocol::Https, Protocol::Client]
            .map(|one| options.is_measured(one))
            .contains(&true);
    if are_helpers_wanted || options.servers.iter().any(|kind| !kind.is_ours() && !kind.is_foreign()) {
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
            if is_ours_wanted(Protocol::Http) || is_ours_wanted(Protocol::Https) {
                cargo(&["build", "--release", "--example", "plaintext"], root, &ours_target)?;
            }
            ours_target.join("release/examples/plaintext")
        }
    };
    if is_ours_wanted(Protocol::WebSocket) {
        cargo(&["build", "--release", "--example", "ws_echo"], root, &ours_target)?;
    }
    let ours_websocket = ours_target.join("release/examples/ws_echo");
    let speaks_tls = options.servers.iter().any(|kind| kind.protocol() == Protocol::Https);
    let certificate = speaks_tls.then(Certificate::make).transpose()?;
    let peers = peers_target.join("release");
    Ok(Binaries { peers, ours, ours_websocket, foreign, certificate, cpu: options.server_cpu })
}

/// Servers that cargo does not build: those that are not here are noted as missing.
fn leave_out_missing(options: &mut Options, root: &Path, target: &Path) -> Vec<(Kind, Foreign)> {
    let mut found = Vec::new();
    let missing = &mut options.missing;
    options.servers.retain(|&kind| {
        let outcome = match kind {
            Kind::TlsNginx => nginx::find().map(|_| ()).ok_or_else(|| "nginx is not installed".to_owned()),
            _ if kind.is_foreign() => {
                foreign::find(kind, root, target).map(|server| found.push((kind, server)))
            }
            _ => Ok(()),
        };
        let is_here = outcome.is_ok();
        missing.extend(outcome.err());
        is_here
    });
    found
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
        self.start_on(kind, self.cpu)
    }

    /// The same on a CPU that is not the servers': beside a client that is measured.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_on(&self, kind: Kind, cpu: usize) -> Result<Server, Problem> {
        let port = free_port()?;
        let child = self.command(kind, port, cpu)?.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("{}: {error}", kind.name()))?;
        let mut server = Server { child, port };
        server.wait_until_ready(cpu).map_err(|problem| format!("{}: {problem}", kind.name()))?;
        Ok(server)
    }

    fn command(&self, kind: Kind, port: u16, cpu: usize) -> Result<Command, Problem> {
        if kind == Kind::TlsNginx {
            return nginx::command(self.certificate()?, port, cpu);
        }
        if let Some((_, server)) = self.foreign.iter().find(|(other, _)| *other == kind) {
            return Ok(server.command(port, cpu));
        }
        let binary = match (kind.is_ours(), kind.protocol()) {
            (true, Protocol::Http | Protocol::Https) => self.ours.clone(),
            (true, Protocol::WebSocket) => self.ours_websocket.clone(),
            (true, Protocol::Client) => return Err(format!("{} is no server", kind.name())),
            (false, _) => self.peers.join(kind.binary()),
        };
        let mut command = Command::new(binary);
        command.args(["--port", &port.to_string(), "--cores", &cpu.to_string()]);
        command.args(kind.extra_arguments());
        if let Some(driver) = kind.driver() {
            command.args(["--driver", driver]);
        }
        if kind.protocol() == Protocol::Https {
            let certificate = self.certificate()?;
            command.arg("--cert").arg(certificate.chain()).arg("--key").arg(certificate.key());
        }
        Ok(command)
    }

    /// What the servers that speak TLS prove themselves by.
    pub(crate) fn certificate(&self) -> Result<&Certificate, Problem> {
        self.certificate.as_ref().ok_or_else(|| "no server speaks TLS".to_owned())
    }

    /// A client that is not ours, before its arguments.
    pub(crate) fn client(&self, kind: Kind) -> Command {
        match self.foreign.iter().find(|(other, _)| *other == kind) {
            Some((_, script)) => script.client(),
            None => self.helper(kind.name()),
        }
    }

    /// A program that is no server: `idle_clients`, `ws_load` or `tls_load`.
    pub(crate) fn helper(&self, name: &str) -> Command {
        Command::new(self.peers.join(name))
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
