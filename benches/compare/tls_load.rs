//! The load generator for handshakes: how `tls_load` is run.

use std::process::Stdio;

use crate::Problem;
use crate::scenario::{Scenario, Shape};
use crate::server::Binaries;
use crate::wrk::Load;
use crate::ws_load;

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
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("tls_load: {error}"))?;
    let report = String::from_utf8_lossy(&output.stdout);
    match ws_load::parse(&report) {
        Some(load) if output.status.success() && load.requests > 0.0 => Ok(load),
        _ => Err(format!("{}: tls_load: {}\n{report}", scenario.name, output.status)),
    }
}
