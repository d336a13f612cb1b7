//! Servers in other languages: aiohttp on Python and Node's own; and aiohttp's client. They come from their registries, and are named if missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Problem;
use crate::server::Kind;

/// What runs a server or client that is a script, and the script.
#[derive(Clone, Debug)]
pub(crate) struct Foreign {
    program: PathBuf,
    script: PathBuf,
}

impl Foreign {
    /// How to start a client, before its arguments.
    pub(crate) fn client(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.script);
        command
    }

    /// How to start a server, pinned to a CPU.
    pub(crate) fn command(&self, port: u16, cpu: usize) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", &cpu.to_string()]).arg(&self.program).arg(&self.script);
        command.args(["--port", &port.to_string()]);
        command
    }
}

/// What runs a server of `kind`, installed first if its registry has it.
///
/// # Errors
/// Why it cannot be had: the comparison goes without it.
pub(crate) fn find(kind: Kind, root: &Path, target: &Path) -> Result<Foreign, Problem> {
    let script = |name: &str| root.join("benches/peers/foreign").join(name);
    match kind {
        Kind::Node => {
            let program = PathBuf::from("node");
            succeeds(Command::new(&program).arg("--version"))
                .map_err(|why| format!("Node is not installed ({why})"))?;
            Ok(Foreign { program, script: script("server.js") })
        }
        Kind::Aiohttp => Ok(Foreign { program: python(target)?, script: script("server.py") }),
        Kind::ClientAiohttp => Ok(Foreign { program: python(target)?, script: script("client.py") }),
        _ => Err(format!("{} is no script", kind.name())),
    }
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
