//! The load generator for handshakes: how `tls_load` is run.

use crate::Problem;
use crate::load::Load;
use crate::scenario::{Scenario, Shape};
use crate::server::Binaries;

/// Loads the server at `port` for `seconds`, from one thread on `cpu`.
///
/// # Errors
/// `tls_load` failed: the server broke off, answered something else, or did not resume what it should.
pub(crate) fn run(
    binaries: &Binaries,
    scenario: &Scenario,
    port: u16,
    seconds: u32,
    cpu: usize,
) -> Result<Load, Problem> {
    let mut command = binaries.helper("tls_load");
    command.args(["--port", &port.to_string(), "--cpu", &cpu.to_string()]);
    command.args(["--connections", &scenario.connections.to_string(), "--seconds", &seconds.to_string()]);
    if scenario.shape == (Shape::Handshakes { resumed: true }) {
        command.arg("--resumed");
    }
    Load::of(&mut command, &format!("{}: tls_load", scenario.name))
}
