//! The servers: how they are built, started and stopped. The clients: how they are built.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificate::Certificate;
use crate::content::Content;
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
    Ntex,
    Xitca,
    MonoioHttp,
    Aiohttp,
    Node,
    Ringhttp,
    RinghttpEpoll,
    WsFastwebsockets,
    WsTungstenite,
    WsNpm,
    WsAiohttp,
    WsRinghttp,
    WsRinghttpEpoll,
    FileNginx,
    FileActix,
    FileAxum,
    FileRinghttp,
    FileRinghttpEpoll,
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
    pub(crate) const ALL: [Self; 33] = [
        Self::FloorEpoll,
        Self::FloorUring,
        Self::Hyper,
        Self::HyperFlush,
        Self::Axum,
        Self::Actix,
        Self::Ntex,
        Self::Xitca,
        Self::MonoioHttp,
        Self::Aiohttp,
        Self::Node,
        Self::Ringhttp,
        Self::RinghttpEpoll,
        Self::WsFastwebsockets,
        Self::WsTungstenite,
        Self::WsNpm,
        Self::WsAiohttp,
        Self::WsRinghttp,
        Self::WsRinghttpEpoll,
        Self::FileNginx,
        Self::FileActix,
        Self::FileAxum,
        Self::FileRinghttp,
        Self::FileRinghttpEpoll,
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
            Self::Ntex => "ntex",
            Self::Xitca => "xitca",
            Self::MonoioHttp => "monoio_http",
            Self::Aiohttp => "aiohttp",
            Self::Node => "node",
            Self::Ringhttp => "ringhttp",
            Self::RinghttpEpoll => "ringhttp-epoll",
            Self::WsFastwebsockets => "ws_fastwebsockets",
            Self::WsTungstenite => "ws_tungstenite",
            Self::WsNpm => "ws_npm",
            Self::WsAiohttp => "ws_aiohttp",
            Self::WsRinghttp => "ws_ringhttp",
            Self::WsRinghttpEpoll => "ws_ringhttp-epoll",
            Self::FileNginx => "file_nginx",
            Self::FileActix => "file_actix",
            Self::FileAxum => "file_axum",
            Self::FileRinghttp => "file_ringhttp",
            Self::FileRinghttpEpoll => "file_ringhttp-epoll",
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
        matches!(self, Self::Aiohttp | Self::Node | Self::WsNpm | Self::WsAiohttp | Self::ClientAiohttp)
    }

    /// Of the workspace of those on runtimes of their own.
    pub(crate) fn is_on_uring(self) -> bool {
        matches!(self, Self::Ntex | Self::Xitca | Self::MonoioHttp)
    }

    pub(crate) fn is_nginx(self) -> bool {
        matches!(self, Self::FileNginx | Self::TlsNginx)
    }

    /// One of those that are built with each other, in `benches/peers`.
    pub(crate) fn is_of_peers(self) -> bool {
        !(self.is_ours() || self.is_foreign() || self.is_on_uring() || self.is_nginx())
    }

    fn is_hyper(self) -> bool {
        matches!(self, Self::Hyper | Self::HyperFlush)
    }

    /// The library whose figures ours are held against: hyper in both settings, for WebSockets fastwebsockets,
    /// for files nginx with sendfile, for TLS hyper over tokio-rustls, for clients hyper-util.
    pub(crate) fn is_rival(self) -> bool {
        self.is_hyper()
            || matches!(self, Self::WsFastwebsockets | Self::FileNginx | Self::TlsHyper | Self::ClientHyper)
    }

    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::WsFastwebsockets
            | Self::WsTungstenite
            | Self::WsNpm
            | Self::WsAiohttp
            | Self::WsRinghttp
            | Self::WsRinghttpEpoll => Protocol::WebSocket,
            Self::FileNginx
            | Self::FileActix
            | Self::FileAxum
            | Self::FileRinghttp
            | Self::FileRinghttpEpoll => Protocol::Files,
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

    pub(crate) fn is_reqwest(self) -> bool {
        self == Self::ClientReqwest
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
            Self::Ringhttp
            | Self::WsRinghttp
            | Self::FileRinghttp
            | Self::TlsRinghttp
            | Self::ClientRinghttp => Some("io_uring"),
            Self::RinghttpEpoll
            | Self::WsRinghttpEpoll
            | Self::FileRinghttpEpoll
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
    /// Release directories of the peers' workspaces.
    peers: PathBuf,
    peers_uring: PathBuf,
    /// Where our examples are.
    ours: PathBuf,
    foreign: Vec<(Kind, Foreign)>,
    /// What the servers of files serve; `None`: there are none.
    content: Option<Content>,
    /// Of the servers that speak TLS; `None`: there are none.
    certificate: Option<Certificate>,
    cpu: usize,
}

/// Builds what `options.servers` needs, and takes out of them what cannot be had here. cargo itself knows what is up to date,
/// so that no old binary is measured.
///
/// # Errors
/// A build that failed, or an `--ours` that lacks an example.
pub(crate) fn build(options: &mut Options) -> Result<Binaries, Problem> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let ours_target = target.clone().unwrap_or_else(|| root.join("target"));
    // Target directories of their own: the profiles differ.
    let target_of = |name: &str| match &target {
        Some(target) => target.join(name),
        None => root.join("benches").join(name).join("target"),
    };
    let (peers, peers_uring) = (target_of("peers"), target_of("peers_uring"));

    let foreign = leave_out_missing(options, root, &ours_target);
    let are_helpers_wanted = options.idle.is_some()
        || [Protocol::WebSocket, Protocol::Https, Protocol::Client]
            .map(|one| options.is_measured(one))
            .contains(&true);
    if are_helpers_wanted || options.servers.iter().any(|kind| kind.is_of_peers()) {
        build_release("benches/peers/Cargo.toml", root, &peers)?;
    }
    if options.servers.iter().any(|kind| kind.is_on_uring()) {
        // Their compilers' demands are not ours: a comparison goes without them.
        if let Err(why) = build_release("benches/peers_uring/Cargo.toml", root, &peers_uring) {
            options.leave_out(Kind::is_on_uring, &format!("does not build here ({why})"));
        }
    }
    let ours = build_ours(options, root, &ours_target)?;
    let any_of = |protocol| options.servers.iter().any(|kind| kind.protocol() == protocol);
    Ok(Binaries {
        peers: peers.join("release"),
        peers_uring: peers_uring.join("release"),
        ours,
        foreign,
        content: any_of(Protocol::Files).then(Content::make).transpose()?,
        certificate: any_of(Protocol::Https).then(Certificate::make).transpose()?,
        cpu: options.server_cpu,
    })
}

/// The directory of our examples, those that are wanted among them.
fn build_ours(options: &Options, root: &Path, target: &Path) -> Result<PathBuf, Problem> {
    let directory = options.ours.clone().unwrap_or_else(|| target.join("release/examples"));
    let ours = options.servers.iter().filter(|kind| kind.is_ours());
    let mut examples: Vec<&str> = ours.filter_map(|kind| example(kind.protocol())).collect();
    examples.sort_unstable();
    examples.dedup();
    for name in examples {
        if options.ours.is_none() {
            cargo(&["build", "--release", "--example", name], root, target)?;
        } else if !directory.join(name).is_file() {
            return Err(format!("--ours: there is no {} in {}", name, directory.display()));
        }
    }
    Ok(directory)
}

/// The example that serves what is asked over a protocol.
fn example(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::Http | Protocol::Https => Some("plaintext"),
        Protocol::WebSocket => Some("ws_echo"),
        Protocol::Files => Some("files"),
        Protocol::Client => None,
    }
}

fn build_release(manifest: &str, root: &Path, target: &Path) -> Result<(), Problem> {
    cargo(&["build", "--release", "--locked", "--manifest-path", manifest], root, target)
}

/// Servers that cargo does not build: those that are not here are noted as missing.
fn leave_out_missing(options: &mut Options, root: &Path, target: &Path) -> Vec<(Kind, Foreign)> {
    let mut found = Vec::new();
    let missing = &mut options.missing;
    options.servers.retain(|&kind| {
        let outcome = match kind {
            _ if kind.is_nginx() => {
                nginx::find().map(|_| ()).ok_or_else(|| format!("{}: nginx is not installed", kind.name()))
            }
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
        match kind {
            Kind::TlsNginx => return nginx::command_secured(self.certificate()?, port, cpu),
            Kind::FileNginx => return nginx::command_of_files(self.content()?, port, cpu),
            _ => {}
        }
        if let Some(server) = self.foreign(kind) {
            return Ok(server.command(port, cpu));
        }
        let binary = match (kind.is_ours(), example(kind.protocol())) {
            (true, Some(example)) => self.ours.join(example),
            (true, None) => return Err(format!("{} is no server", kind.name())),
            (false, _) if kind.is_on_uring() => self.peers_uring.join(kind.name()),
            (false, _) => self.peers.join(kind.binary()),
        };
        let mut command = Command::new(binary);
        command.args(["--port", &port.to_string(), "--cores", &cpu.to_string()]);
        command.args(kind.extra_arguments());
        if let Some(driver) = kind.driver() {
            command.args(["--driver", driver]);
        }
        if kind.protocol() == Protocol::Files {
            command.arg("--directory").arg(self.content()?.directory());
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

    fn content(&self) -> Result<&Content, Problem> {
        self.content.as_ref().ok_or_else(|| "no server has files".to_owned())
    }

    /// A client that is not ours, before its arguments.
    pub(crate) fn client(&self, kind: Kind) -> Command {
        self.foreign(kind).map_or_else(|| self.helper(kind.name()), Foreign::client)
    }

    /// What runs a script; `None`: it is none, or cannot be had here.
    pub(crate) fn foreign(&self, kind: Kind) -> Option<&Foreign> {
        self.foreign.iter().find(|(other, _)| *other == kind).map(|(_, script)| script)
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
