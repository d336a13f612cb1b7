//! The load generator for WebSockets: how `ws_load` is run, and what it says.

use std::process::Stdio;

use crate::Problem;
use crate::scenario::{Scenario, Shape};
use crate::server::Binaries;
use crate::wrk::Load;

/// Loads the server at `port` for `seconds`, from one thread on `cpu`.
///
/// # Errors
/// `ws_load` failed: the server does not open WebSockets, broke one off, or sent something else back.
pub(crate) fn run(
    binaries: &Binaries,
    scenario: &Scenario,
    port: u16,
    seconds: u32,
    cpu: usize,
) -> Result<Load, Problem> {
    let (Shape::Echo(bytes) | Shape::Broadcast(bytes)) = scenario.shape else {
        return Err(format!("{} is no load of WebSockets", scenario.name));
    };
    let numbers = [
        ("--port", u32::from(port)),
        ("--cpu", u32::try_from(cpu).map_err(|error| error.to_string())?),
        ("--connections", scenario.connections),
        ("--bytes", bytes),
        ("--seconds", seconds),
    ];
    let mut command = binaries.helper("ws_load");
    command.args(["--path", scenario.path]);
    command.args(numbers.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]));
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("ws_load: {error}"))?;
    let report = String::from_utf8_lossy(&output.stdout);
    match parse(&report) {
        Some(load) if output.status.success() && load.requests > 0.0 => Ok(load),
        _ => Err(format!("{}: ws_load: {}\n{report}", scenario.name, output.status)),
    }
}

/// Messages, seconds, and the percentiles.
pub(crate) fn parse(report: &str) -> Option<Load> {
    let numbers: Option<Vec<f64>> = report.split_whitespace().map(|number| number.parse().ok()).collect();
    match numbers?[..] {
        [requests, seconds, p50_us, p99_us] => {
            Some(Load { requests, seconds, p50_us, p99_us, p999_us: f64::NAN, socket_errors: 0 })
        }
        _ => None,
    }
}

/// Its line, and others.
pub(crate) fn self_check() {
    let load = parse("90000 3.5 400 900\n").expect("it is one of ws_load's");
    assert_eq!([load.requests, load.seconds, load.p50_us, load.p99_us], [9e4, 3.5, 400.0, 900.0]);
    assert!(parse("90000 3.5 400\n").is_none() && parse("nothing").is_none());
}
