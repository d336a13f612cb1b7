//! The load generator for HTTP: how wrk is run, and what its report says.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::load::Load;
use crate::process::CpuTime;
use crate::scenario::{Protocol, Scenario, Shape};
use crate::server::Server;
use crate::{Problem, process};

/// wrk, pinned to one CPU.
#[derive(Debug)]
pub(crate) struct Wrk {
    cpu: usize,
    scripts: PathBuf,
}

impl Wrk {
    /// # Errors
    /// wrk or taskset is not installed.
    pub(crate) fn find(cpu: usize) -> Result<Self, Problem> {
        for (program, package) in [("wrk", "wrk"), ("taskset", "util-linux")] {
            // wrk has no option that ends it well; being startable is all that is asked.
            if Command::new(program).arg("--version").output().is_err() {
                return Err(format!("{program} is missing; on Debian: apt-get install {package}"));
            }
        }
        let scripts = std::env::temp_dir().join(format!("ringhttp-compare-{}", std::process::id()));
        std::fs::create_dir_all(&scripts).map_err(|error| format!("{}: {error}", scripts.display()))?;
        Ok(Self { cpu, scripts })
    }

    /// Loads the server for `seconds`, by one thread, and gives its CPU time, too. wrk opens its connections within that time, and
    /// has reported before it closes them.
    ///
    /// # Errors
    /// wrk failed, or one of the answers had another status than 2xx or 3xx: then the run measured something else.
    pub(crate) fn run(
        &self,
        scenario: &Scenario,
        server: &Server,
        seconds: u32,
    ) -> Result<(CpuTime, Load), Problem> {
        let mut command = Command::new("taskset");
        command.args(["-c", &self.cpu.to_string(), "wrk", "--latency", "-t1"]);
        command.arg(format!("-c{}", scenario.connections)).arg(format!("-d{seconds}s"));
        if let Some(script) = scenario.script() {
            let path = self.scripts.join(format!("{}.lua", scenario.name));
            std::fs::write(&path, script).map_err(|error| format!("{}: {error}", path.display()))?;
            command.arg("-s").arg(path);
        }
        let scheme = if scenario.protocol() == Protocol::Https { "https" } else { "http" };
        command.arg(format!("{scheme}://127.0.0.1:{}{}", server.port(), scenario.path));
        let failed = |error: std::io::Error| format!("wrk: {error}");
        let (start, before) = (Instant::now(), process::cpu_time(server.pid())?);
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
        let mut report = String::new();
        if let Some(mut output) = child.stdout.take() {
            output.read_to_string(&mut report).map_err(failed)?;
        }
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), process::cpu_time(server.pid())?.since(before));
        let status = child.wait().map_err(failed)?;
        if !status.success() {
            return Err(format!("wrk: {status}\n{report}"));
        }
        if report.contains("Non-2xx") {
            return Err(format!("{}: the server refused requests\n{report}", scenario.name));
        }
        match parse(&report) {
            Some(load) if load.requests > 0.0 => {
                // wrk's own clock starts when its thread leaves it the CPU, which may be after that has connected and asked.
                Ok((cpu, Load { seconds, ..load.usable(scenario.shape) }))
            }
            Some(_) => Err(format!("{}: the server answered nothing", scenario.name)),
            None => Err(format!("wrk's report is not understood:\n{report}")),
        }
    }
}

impl Load {
    /// Without the percentiles of a pipelined run: wrk reports zeros there, whatever the server did.
    fn usable(self, shape: Shape) -> Self {
        match shape {
            Shape::Pipelined(_) => Self { p50_us: f64::NAN, p99_us: f64::NAN, ..self },
            _ => self,
        }
    }
}

impl Drop for Wrk {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.scripts);
    }
}

fn parse(report: &str) -> Option<Load> {
    let mut lines = report.lines().map(str::trim);
    let percentile = |name: &str| {
        report
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))
            .and_then(|value| parse_microseconds(value.trim()))
    };
    let (requests, rest) = lines.find_map(|line| line.split_once(" requests in "))?;
    let seconds = parse_microseconds(rest.split(',').next()?)? / 1e6;
    let errors = lines.find_map(|line| line.strip_prefix("Socket errors:")).unwrap_or("");
    Some(Load {
        requests: requests.parse().ok()?,
        seconds,
        p50_us: percentile("50%")?,
        p99_us: percentile("99%")?,
        // It does not say.
        p999_us: f64::NAN,
        p90_us: f64::NAN,
        max_us: f64::NAN,
        socket_errors: errors.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum(),
    })
}

/// wrk's times: a number directly followed by its unit.
fn parse_microseconds(text: &str) -> Option<f64> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        "h" => 3600e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// A report as wrk prints it, with and without errors.
pub(crate) fn self_check() {
    let report = "Running 3s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n  Thread Stats   Avg\n\
        \x20   Latency   412.69us   50.00us   1.61ms   75.00%\n  Latency Distribution\n     50%  410.50us\n\
        \x20    75%  420.00us\n     90%  1.00ms\n     99%  1.25ms\n  445561 requests in 3.10s, 54.39MB read\n";
    let load = parse(&format!("{report}Requests/sec: 143729.35\n")).expect("it is one of wrk's");
    let figures = [load.requests, load.seconds, load.p50_us, load.p99_us];
    assert_eq!((figures, load.socket_errors), ([445_561.0, 3.1, 410.5, 1250.0], 0));
    let errors = "  Socket errors: connect 0, read 3, write 1, timeout 2\n";
    assert_eq!(parse(&format!("{report}{errors}")).map(|load| load.socket_errors), Some(6));
    assert_eq!(parse("unable to connect to 127.0.0.1:1 Connection refused"), None);
    let sample = parse(report).expect("parsed above");
    assert!(sample.clone().usable(Shape::Pipelined(16)).p99_us.is_nan());
    assert!((sample.clone().usable(Shape::Get).p99_us - sample.p99_us).abs() < 1e-9);
    assert_eq!(parse_microseconds("1.50m"), Some(90e6));
    assert_eq!(parse_microseconds("12"), None);
}
