//! What a load generator says when it is done, and how those of our own are run, which clients that are measured are too.
//!
//! They open their connections, use each of them, print `ready`, start their clock, print one line when it is over, and keep what is
//! open until their standard input ends. CPU time is read at both lines: what the clock does not see is not counted either.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::process::CpuTime;
use crate::{Problem, process};

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
    /// Runs one of our own to its end, and gives the CPU time of `measured` between its two lines: a server's process, or `None` for
    /// its own. `name`: what is said to have failed.
    ///
    /// # Errors
    /// It cannot be started, fails, or makes no request.
    pub(crate) fn of(
        command: &mut Command,
        name: &str,
        measured: Option<u32>,
    ) -> Result<(CpuTime, Self), Problem> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("{name}: {error}"))?;
        let found = Self::watch(&mut child, measured);
        // Its input ends here, and it does therefore; one that failed has ended before.
        let status = child.wait().map_err(|error| format!("{name}: {error}"))?;
        match found {
            Err(problem) => Err(format!("{name}: {problem} ({status})")),
            Ok(_) if !status.success() => Err(format!("{name}: {status}")),
            Ok(found) => Ok(found),
        }
    }

    fn watch(child: &mut Child, measured: Option<u32>) -> Result<(CpuTime, Self), Problem> {
        let measured = measured.unwrap_or_else(|| child.id());
        let mut lines = BufReader::new(child.stdout.take().ok_or("it has no output")?).lines();
        let mut line = || lines.next().and_then(Result::ok).unwrap_or_default();
        let ready = line();
        if ready != "ready" {
            return Err(format!("it said {ready:?} instead of being ready"));
        }
        let before = process::cpu_time(measured)?;
        let report = line();
        let cpu = process::cpu_time(measured)?.since(before);
        match Self::parse(&report) {
            Some(load) if load.requests > 0.0 => Ok((cpu, load)),
            _ => Err(format!("its report is {report:?}")),
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
    let run = |script: &str| Load::of(Command::new("sh").args(["-c", script]), "sh", None);
    // It works before it is ready, which does not count, and waits for its end.
    let works = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
    let (idle, load) =
        run(&format!("{works}; echo ready; echo 9 1 2 3; read end; true")).expect("it reports");
    assert!((load.requests - 9.0).abs() < 1e-9);
    let (busy, _) = run(&format!("echo ready; {works}; echo 9 1 2 3; read end; true")).expect("it reports");
    assert!(idle.total() < busy.total(), "{idle:?} is more than {busy:?}");
    for fails in [
        "false",
        "echo 9 1 2 3",
        "echo ready; false",
        "echo ready; echo 0 1 2 3",
        "echo ready; echo 9 1 2 3; false",
    ] {
        assert!(run(fails).is_err(), "{fails} is no load");
    }
}
