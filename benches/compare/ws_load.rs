//! The load generator for WebSockets: how `ws_load` is run.

use crate::Problem;
use crate::load::Load;
use crate::process::CpuTime;
use crate::scenario::{Scenario, Shape};
use crate::server::{Binaries, Server};

/// Loads the server for `seconds`, from one thread on `cpu`, and gives its CPU time, too: its sockets are open before that.
///
/// # Errors
/// `ws_load` failed: the server does not open WebSockets, broke one off, or sent something else back.
pub(crate) fn run(
    binaries: &Binaries,
    scenario: &Scenario,
    server: &Server,
    seconds: u32,
    cpu: usize,
) -> Result<(CpuTime, Load), Problem> {
    let (Shape::Echo(bytes) | Shape::Broadcast(bytes)) = scenario.shape else {
        return Err(format!("{} is no load of WebSockets", scenario.name));
    };
    let numbers = [
        ("--port", u32::from(server.port())),
        ("--cpu", u32::try_from(cpu).map_err(|error| error.to_string())?),
        ("--connections", scenario.connections),
        ("--bytes", bytes),
        ("--seconds", seconds),
    ];
    let mut command = binaries.helper("ws_load");
    command.args(["--path", scenario.path]);
    command.args(numbers.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]));
    Load::of(&mut command, &format!("{}: ws_load", scenario.name), Some(server.pid()))
}
