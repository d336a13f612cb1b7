//! The load generator for handshakes: how `tls_load` is run.

use crate::Problem;
use crate::load::Load;
use crate::process::CpuTime;
use crate::scenario::{Scenario, Shape};
use crate::server::{Binaries, Server};

/// Loads the server for `seconds`, from one thread on `cpu`, and gives its CPU time, too.
///
/// # Errors
/// `tls_load` failed: the server broke off, answered something else, or did not resume what it should.
pub(crate) fn run(
    binaries: &Binaries,
    scenario: &Scenario,
    server: &Server,
    seconds: u32,
    cpu: usize,
) -> Result<(CpuTime, Load), Problem> {
    let mut command = binaries.helper("tls_load");
    command.args(["--port", &server.port().to_string(), "--cpu", &cpu.to_string()]);
    command.args(["--connections", &scenario.connections.to_string(), "--seconds", &seconds.to_string()]);
    if scenario.shape == (Shape::Handshakes { resumed: true }) {
        command.arg("--resumed");
    }
    Load::of(&mut command, &format!("{}: tls_load", scenario.name), Some(server.pid()))
}
