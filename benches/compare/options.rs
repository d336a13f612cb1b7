//! The command line.

use std::path::PathBuf;

use crate::Problem;
use crate::scenario::{Protocol, SCENARIOS, Scenario};
use crate::server::Kind;

/// What a command line asks for.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of them")]
pub(crate) enum Parsed {
    /// `--help`, or no option at all: a plain `cargo bench` shall not take this program's minutes.
    Help,
    /// `--test`, or a call that did not come from `cargo bench`.
    SelfCheck,
    /// Measure.
    Compare(Options),
}

/// The settings of one comparison; defaults as in [`usage`].
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    /// Length of one run of wrk, `ws_load` or `tls_load`.
    pub(crate) seconds: u32,
    pub(crate) servers: Vec<Kind>,
    pub(crate) scenarios: Vec<&'static Scenario>,
    /// Idle connections to open on each server; `None`: not asked for.
    pub(crate) idle: Option<usize>,
    /// Whether latencies at several rates are asked for.
    pub(crate) latency: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) markdown: Option<PathBuf>,
    /// The directory of our examples; `None`: build those that are wanted.
    pub(crate) ours: Option<PathBuf>,
    pub(crate) server_cpu: usize,
    pub(crate) load_cpu: usize,
    /// Where the charts go.
    pub(crate) charts: Option<PathBuf>,
    /// Servers that cannot be had here and are left out therefore, each with the reason.
    pub(crate) missing: Vec<String>,
    /// What to type for the same run.
    pub(crate) command: String,
}

impl Options {
    /// Whether scenarios of `protocol` are to be measured.
    pub(crate) fn is_measured(&self, protocol: Protocol) -> bool {
        self.scenarios.iter().any(|scenario| scenario.protocol() == protocol)
    }

    /// Whether all scenarios are, so that no figure of another run stays.
    pub(crate) fn is_of_all(&self) -> bool {
        self.scenarios.len() >= SCENARIOS.len()
    }

    /// Goes on without the servers that are such, and notes of each `why`.
    pub(crate) fn leave_out(&mut self, are_such: fn(Kind) -> bool, why: &str) {
        let missing = &mut self.missing;
        self.servers.retain(|&kind| {
            if are_such(kind) {
                missing.push(format!("{} {why}", kind.name()));
            }
            !are_such(kind)
        });
    }
}

/// Reads `arguments`, without the program's name.
///
/// # Errors
/// A clause that names the argument.
pub(crate) fn parse(arguments: &[String]) -> Result<Parsed, Problem> {
    let mut options = Options {
        rounds: 3,
        seconds: 3,
        servers: Kind::ALL.to_vec(),
        scenarios: SCENARIOS.iter().collect(),
        idle: None,
        latency: false,
        json: None,
        markdown: None,
        ours: None,
        server_cpu: 0,
        load_cpu: 1,
        charts: None,
        missing: Vec::new(),
        command: command(arguments),
    };
    let (mut bench, mut test, mut scenarios_named) = (false, false, false);
    let mut rest = arguments.iter().map(String::as_str).peekable();
    while let Some(name) = rest.next() {
        match name {
            "--help" | "-h" => return Ok(Parsed::Help),
            "--bench" => bench = true,
            "--test" => test = true,
            "--all" => scenarios_named = true,
            "--latency" => options.latency = true,
            // The number may be left out.
            "--idle" => {
                let count = rest.next_if(|next| !next.starts_with("--"));
                options.idle = Some(count.map_or(Ok(IDLE_CONNECTIONS), |count| number(name, count))?);
            }
            _ => {
                let value = rest.next().ok_or_else(|| format!("{name}: unknown, or its value is missing"))?;
                match name {
                    "--rounds" => options.rounds = number(name, value)?,
                    "--seconds" => options.seconds = number(name, value)?,
                    "--server-cpu" => options.server_cpu = number(name, value)?,
                    "--load-cpu" => options.load_cpu = number(name, value)?,
                    "--servers" => options.servers = list(name, value, Kind::by_name)?,
                    "--scenarios" => {
                        options.scenarios = list(name, value, Scenario::by_name)?;
                        scenarios_named = true;
                    }
                    "--json" => options.json = Some(value.into()),
                    "--charts" => options.charts = Some(value.into()),
                    "--markdown" => options.markdown = Some(value.into()),
                    "--ours" => options.ours = Some(value.into()),
                    _ => return Err(format!("{name}: unknown option\n{}", usage())),
                }
            }
        }
    }
    // Each alone is a measurement of its own.
    if (options.idle.is_some() || options.latency) && !scenarios_named {
        options.scenarios.clear();
    }
    if test || !bench {
        return Ok(Parsed::SelfCheck);
    }
    if arguments.iter().all(|argument| argument == "--bench") {
        return Ok(Parsed::Help);
    }
    validate(&options)?;
    Ok(Parsed::Compare(options))
}

/// The help text.
pub(crate) fn usage() -> String {
    let servers: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let scenarios: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    format!(
        "cargo bench --bench compare -- OPTIONS        (without any, this text is shown)

Needs Linux with two CPUs that nothing else uses, wrk, and taskset and prlimit (util-linux). Peers that cannot be had are left out
and named: nginx; Node and npm (its package ws is installed into target/); python3 with venv (aiohttp and uvloop, likewise); those in
benches/peers_uring want a newer rustc than ringhttp does (rust-version in its Cargo.toml). All is built first, with the slowest
optimisation: that takes a quarter of an hour or more. `--all --idle --latency` then takes about 45 minutes.

  --all             all scenarios, also beside --idle and --latency
  --rounds N        rounds, the median of which is shown; 3 at least (default 3)
  --seconds N       length of one run (default 3)
  --servers LIST    default: {}
  --scenarios LIST  default, without --idle and --latency: {}
  --latency         latencies at shares of the greatest rate
  --idle [N]        memory per idle connection, with N of them (default {IDLE_CONNECTIONS})
  --json FILE       write all runs to FILE
  --charts DIR      write SVG charts into DIR, as BENCHMARKS.md wants them: docs/benchmarks; with --all, those
                    of an earlier run that this one has not are removed from there
  --markdown FILE   write the report to FILE, as the whole of it
  --ours DIR        where ringhttp's examples are (default: built by cargo)
  --server-cpu N    CPU of the servers, or of the clients that are measured (default 0)
  --load-cpu N      CPU of wrk, ws_load and tls_load, or of the clients' server (default 1)
  --test            check this program only

A server that used more than its CPU was measured wrong: all is written, that row is marked, and this ends with an error.",
        servers.join(","),
        scenarios.join(",")
    )
}

fn validate(options: &Options) -> Result<(), Problem> {
    // Fewer have no median that leaves out a disturbed run.
    if options.rounds < 3 {
        return Err("--rounds: at least 3".to_owned());
    }
    if options.seconds == 0 {
        return Err("--seconds: at least 1".to_owned());
    }
    if options.server_cpu == options.load_cpu {
        return Err("--server-cpu and --load-cpu must differ".to_owned());
    }
    match options.idle {
        Some(0) => Err("--idle: at least 1".to_owned()),
        _ => Ok(()),
    }
}

/// The command line that cargo was given; cargo itself appends `--bench`.
fn command(arguments: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_,./=:+@".contains(c);
    let own = arguments.iter().filter(|argument| *argument != "--bench");
    let quoted = own.map(|argument| match argument.chars().all(plain) && !argument.is_empty() {
        true => argument.clone(),
        false => format!("'{}'", argument.replace('\'', r"'\''")),
    });
    let words = ["cargo bench --bench compare --".to_owned()].into_iter().chain(quoted);
    words.collect::<Vec<_>>().join(" ")
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Problem> {
    value.parse().map_err(|_| format!("{name}: {value:?} is not a number that fits"))
}

fn list<T>(name: &str, value: &str, find: fn(&str) -> Option<T>) -> Result<Vec<T>, Problem> {
    value.split(',').map(|item| find(item).ok_or_else(|| format!("{name}: {item:?} is unknown"))).collect()
}

const IDLE_CONNECTIONS: usize = 10_000;

/// Accepted and refused command lines.
pub(crate) fn self_check() {
    let words = |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    let parsed = |line: &str| parse(&words(line));
    assert!(matches!(parsed("--help"), Ok(Parsed::Help)));
    assert!(matches!(parsed(""), Ok(Parsed::SelfCheck)));
    assert!(matches!(parsed("--bench --test"), Ok(Parsed::SelfCheck)));

    assert!(matches!(parsed("--bench"), Ok(Parsed::Help)));

    let Ok(Parsed::Compare(all)) = parsed("--all --bench") else { panic!("the defaults are usable") };
    assert_eq!(all.command, "cargo bench --bench compare -- --all");
    assert_eq!((all.rounds, all.seconds, all.server_cpu, all.load_cpu), (3, 3, 0, 1));
    assert_eq!((all.servers.len(), all.scenarios.len()), (Kind::ALL.len(), SCENARIOS.len()));
    assert_eq!(all.idle, None);
    assert!(all.is_of_all());

    let line = "--servers hyper,axum --scenarios json --rounds 5 --seconds 2 --idle --json x.json --markdown x.md --bench";
    let Ok(Parsed::Compare(some)) = parsed(line) else { panic!("{line} is usable") };
    assert_eq!(some.servers.iter().map(|kind| kind.name()).collect::<Vec<_>>(), ["hyper", "axum"]);
    assert_eq!(some.scenarios.iter().map(|scenario| scenario.name).collect::<Vec<_>>(), ["json"]);
    assert!(!some.is_of_all());
    assert_eq!((some.rounds, some.seconds, some.idle), (5, 2, Some(IDLE_CONNECTIONS)));
    assert_eq!((some.json, some.markdown), (Some("x.json".into()), Some("x.md".into())));

    let Ok(Parsed::Compare(idle)) = parsed("--bench --idle 50") else { panic!("--idle 50 is usable") };
    assert!(idle.scenarios.is_empty() && idle.idle == Some(50));

    let Ok(Parsed::Compare(latency)) = parsed("--bench --latency") else { panic!("--latency is usable") };
    assert!(latency.scenarios.is_empty() && latency.latency && latency.idle.is_none());

    let Ok(Parsed::Compare(both)) = parsed("--all --idle --bench") else { panic!("both are usable") };
    assert_eq!((both.scenarios.len(), both.idle), (SCENARIOS.len(), Some(IDLE_CONNECTIONS)));
    assert_eq!(
        command(&["--json".to_owned(), "it's a.json".to_owned(), "--bench".to_owned()]),
        r"cargo bench --bench compare -- --json 'it'\''s a.json'"
    );

    for refused in [
        "--rounds 2",
        "--rounds x",
        "--seconds 0",
        "--servers nginx",
        "--scenarios x",
        "--load-cpu 0",
        "--what 1",
        "--json",
        "--markdown",
        "--charts",
    ] {
        assert!(parsed(&format!("--bench {refused}")).is_err(), "{refused} must be refused");
    }
}
