//! What a load generator says when it is done, and how those of our own are run: they print one line.

use std::process::{Command, Stdio};

use crate::Problem;

/// What one run of a load generator reports.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    /// Percentiles of the time to an answer; NaN where it can not tell.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    /// These too, of which the load at a fixed rate alone can tell.
    pub(crate) p90_us: f64,
    pub(crate) max_us: f64,
    /// Connections that broke, and reads and writes that failed or took too long.
    pub(crate) socket_errors: u64,
}

impl Load {
    /// Runs one of our own to its end. `name`: what is said to have failed.
    ///
    /// # Errors
    /// It cannot be started, fails, or makes no request.
    pub(crate) fn of(command: &mut Command, name: &str) -> Result<Self, Problem> {
        let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("{name}: {error}"))?;
        let report = String::from_utf8_lossy(&output.stdout);
        match Self::parse(&report) {
            Some(load) if output.status.success() && load.requests > 0.0 => Ok(load),
            _ => Err(format!("{name}: {}\n{report}", output.status)),
        }
    }

    /// Requests, seconds, and the percentiles: the 50th, the 99th, of some the 99.9th, and of some the 90th and the longest time.
    pub(crate) fn parse(report: &str) -> Option<Self> {
        let numbers: Option<Vec<f64>> = report.split_whitespace().map(|number| number.parse().ok()).collect();
        let numbers = numbers?;
        let (&[requests, seconds, p50_us, p99_us], more) = numbers.split_first_chunk()?;
        let (p999_us, p90_us, max_us) = match *more {
            [] => (f64::NAN, f64::NAN, f64::NAN),
            [p999_us] => (p999_us, f64::NAN, f64::NAN),
            [p999_us, p90_us, max_us] => (p999_us, p90_us, max_us),
            _ => return None,
        };
        Some(Self { requests, seconds, p50_us, p99_us, p999_us, p90_us, max_us, socket_errors: 0 })
    }
}

/// Lines with four, five and seven figures, and others.
pub(crate) fn self_check() {
    let load = Load::parse("90000 3.5 400 900\n").expect("it is one of ours");
    assert_eq!([load.requests, load.seconds, load.p50_us, load.p99_us], [9e4, 3.5, 400.0, 900.0]);
    assert!(load.p999_us.is_nan());
    assert_eq!(Load::parse("1 2 3 4 5\n").map(|load| load.p999_us), Some(5.0));
    let all = Load::parse("1 2 3 4 5 6 7\n").expect("it is the line of a fixed rate");
    assert_eq!([all.p999_us, all.p90_us, all.max_us], [5.0, 6.0, 7.0]);
    assert!(["90000 3.5 400\n", "1 2 3 4 5 6", "nothing", ""].iter().all(|line| Load::parse(line).is_none()));
    assert!(Load::of(&mut Command::new("false"), "false").is_err());
}
