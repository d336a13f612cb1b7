//! Servers in other languages: aiohttp on Python, Node's own, and npm's `ws`; and aiohttp's client. They come from their registries, and are
//! named if missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Problem;
use crate::server::Kind;

/// What runs a server or client that is a script, and the script.
#[derive(Clone, Debug)]
pub(crate) struct Foreign {
    program: PathBuf,
    script: PathBuf,
    /// Where Node finds packages.
    modules: Option<PathBuf>,
}

impl Foreign {
    /// How to start a client, before its arguments.
    pub(crate) fn client(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.script);
        command
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Where its packages are, if they are Node's.
    pub(crate) fn modules(&self) -> &Path {
        self.modules.as_deref().unwrap_or_else(|| Path::new(""))
    }

    /// How to start a server, pinned to a CPU.
    pub(crate) fn command(&self, port: u16, cpu: usize) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", &cpu.to_string()]).arg(&self.program).arg(&self.script);
        command.args(["--port", &port.to_string()]);
        if let Some(modules) = &self.modules {
            command.env("NODE_PATH", modules);
        }
        command
    }
}

/// What runs a server of `kind`, installed first if its registry has it.
///
/// # Errors
/// Why it cannot be had: the comparison goes without it.
pub(crate) fn find(kind: Kind, root: &Path, target: &Path) -> Result<Foreign, Problem> {
    let foreign = |program, name: &str, modules| {
        let script = root.join("benches/peers/foreign").join(name);
        Foreign { program, script, modules }
    };
    let found = match kind {
        Kind::Node => node().map(|program| foreign(program, "server.js", None)),
        Kind::WsNpm => node().and_then(|program| Ok(foreign(program, "ws_server.js", Some(npm(target)?)))),
        Kind::Aiohttp => python(target).map(|program| foreign(program, "server.py", None)),
        Kind::WsAiohttp => python(target).map(|program| foreign(program, "ws_server.py", None)),
        Kind::ClientAiohttp => python(target).map(|program| foreign(program, "client.py", None)),
        _ => Err("it is no script".to_owned()),
    };
    found.map_err(|why| format!("{}: {why}", kind.name()))
}

fn node() -> Result<PathBuf, Problem> {
    let program = PathBuf::from("node");
    match succeeds(Command::new(&program).arg("--version")) {
        Ok(()) => Ok(program),
        Err(why) => Err(format!("Node is not installed ({why})")),
    }
}

/// The directory of Node's packages, with `ws` and what it masks faster with.
fn npm(target: &Path) -> Result<PathBuf, Problem> {
    let modules = target.join("bench-npm/node_modules");
    let load = ["-e", "require('ws'); require('bufferutil')"];
    let has_all = || succeeds(Command::new("node").args(load).env("NODE_PATH", &modules));
    if has_all().is_ok() {
        return Ok(modules);
    }
    let mut install = Command::new("npm");
    install.args(["install", "--silent", "--no-audit", "--no-fund", WS, BUFFERUTIL, "--prefix"]);
    succeeds(install.arg(target.join("bench-npm")))
        .map_err(|why| format!("ws cannot be installed ({why})"))?;
    has_all().map_err(|why| format!("ws does not run ({why})"))?;
    Ok(modules)
}

/// A Python that has aiohttp and uvloop, in an environment of its own.
fn python(target: &Path) -> Result<PathBuf, Problem> {
    let environment = target.join("bench-venv");
    let program = environment.join("bin/python");
    let has_all = || succeeds(Command::new(&program).args(["-c", "import aiohttp, uvloop"]));
    if has_all().is_ok() {
        return Ok(program);
    }
    succeeds(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))
        .map_err(|why| format!("no environment of Python ({why})"))?;
    let pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", AIOHTTP, UVLOOP];
    succeeds(Command::new(&program).args(pip))
        .map_err(|why| format!("aiohttp cannot be installed ({why})"))?;
    has_all().map_err(|why| format!("aiohttp does not run ({why})"))?;
    Ok(program)
}

fn succeeds(command: &mut Command) -> Result<(), Problem> {
    match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

const AIOHTTP: &str = "aiohttp==3.14.5";
const UVLOOP: &str = "uvloop==0.22.1";
const WS: &str = "ws@8.23.0";
const BUFFERUTIL: &str = "bufferutil@4.1.0";
