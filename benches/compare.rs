//! Compares ringhttp's examples `plaintext`, also over TLS, and `ws_echo`, and its client, with their peers: CPU time per
//! request, throughput and latency.
//!
//! ```text
//! cargo bench --bench compare -- --all --idle --latency --markdown BENCHMARKS.md       (--help lists the options, and what it needs)
//! ```
//!
//! A server runs pinned to one CPU, wrk pinned to another. The servers take turns within every round, and each
//! round starts them anew, so that a change of the machine's speed, or one lucky placement in memory, does not
//! favour one of them. CPU time per request is the figure to trust: wrk is often the slower side, and then
//! requests/s says more about wrk than about the server (column `busy`).
//!
//! Without `--bench` (so `cargo test --benches`), or with `--test`, only the program's own parts are checked.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program reports by printing")]

#[path = "compare/behind.rs"]
mod behind;
#[path = "compare/certificate.rs"]
mod certificate;
#[path = "compare/charts.rs"]
mod charts;
#[path = "compare/check.rs"]
mod check;
#[path = "compare/check_tls.rs"]
mod check_tls;
#[path = "compare/client_load.rs"]
mod client_load;
#[path = "compare/content.rs"]
mod content;
#[path = "compare/foreign.rs"]
mod foreign;
#[path = "compare/idle.rs"]
mod idle;
#[path = "compare/json.rs"]
mod json;
#[path = "compare/latency.rs"]
mod latency;
#[path = "compare/load.rs"]
mod load;
#[path = "compare/machine.rs"]
mod machine;
#[path = "compare/markdown.rs"]
mod markdown;
#[path = "compare/nginx.rs"]
mod nginx;
#[path = "compare/options.rs"]
mod options;
#[path = "compare/paced.rs"]
mod paced;
#[path = "compare/process.rs"]
mod process;
#[path = "compare/scenario.rs"]
mod scenario;
#[path = "compare/server.rs"]
mod server;
#[path = "compare/slow.rs"]
mod slow;
#[path = "compare/table.rs"]
mod table;
#[path = "compare/targets.rs"]
mod targets;
#[path = "compare/tls_load.rs"]
mod tls_load;
#[path = "compare/versions.rs"]
mod versions;
#[path = "compare/wrk.rs"]
mod wrk;
#[path = "compare/ws_load.rs"]
mod ws_load;

use std::io::IsTerminal;
use std::process::ExitCode;

use options::{Options, Parsed};
use paced::Rate;
use scenario::{Protocol, Scenario, Shape};
use server::Kind;
use table::{Measured, Run};
use wrk::Wrk;

/// What was measured in each scenario, in the order of measurement.
type Results = [(&'static Scenario, Vec<Measured>)];

/// All that one comparison has found out.
#[derive(Debug, Default)]
struct Outcome {
    /// Names of what took part, and versions.
    versions: Vec<(&'static str, String)>,
    results: Vec<(&'static Scenario, Vec<Measured>)>,
    latency: Option<latency::Curves>,
    idle: Vec<idle::Idle>,
}

/// A failure that ends the program: a clause for the user.
type Problem = String;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let first = |arguments| <[String]>::split_first(arguments).map(|(name, rest)| (name.as_str(), rest));
    if let Some((paced::ARGUMENT, rest)) = first(&arguments) {
        return end(paced::load(rest));
    }
    if let Some((client_load::ARGUMENT, rest)) = first(&arguments) {
        return end(client_load::ask(rest));
    }
    let outcome = match options::parse(&arguments) {
        Ok(Parsed::Help) => {
            println!("{}", options::usage());
            Ok(())
        }
        Ok(Parsed::SelfCheck) => {
            self_check();
            Ok(())
        }
        Ok(Parsed::Compare(options)) => compare(options),
        Err(problem) => Err(problem),
    };
    end(outcome)
}

fn end(outcome: Result<(), Problem>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("compare: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn compare(mut options: Options) -> Result<(), Problem> {
    let wrk = Wrk::find(options.load_cpu)?;
    process::raise_open_files()?;
    let binaries = server::build(&mut options)?;
    leave_out_failing(&mut options, &binaries)?;
    for missing in &options.missing {
        println!("{missing}, and is left out");
    }

    let mut results = Vec::new();
    for scenario in options.scenarios.clone() {
        let measured = measure(&mut options, &binaries, &wrk, scenario)?;
        println!("\n{}", table::render(scenario, &measured));
        results.push((scenario, measured));
    }
    let versions = versions::find(&options, &binaries);
    let mut outcome = Outcome { versions, results, latency: None, idle: Vec::new() };
    // Also before the other parts, whose failure shall not cost the runs.
    save(&options, &outcome)?;
    if options.latency {
        let measured = latency::measure(&options, &binaries)?;
        println!("\n{}", measured.render());
        outcome.latency = Some(measured);
        save(&options, &outcome)?;
    }
    if let Some(connections) = options.idle {
        let kinds = options.servers.iter();
        for &kind in kinds.filter(|kind| !matches!(kind.protocol(), Protocol::Client | Protocol::Files)) {
            match idle::measure(&binaries, kind, connections) {
                Ok(measured) => outcome.idle.push(measured),
                Err(problem) if kind.is_ours() => return Err(problem),
                Err(problem) => options.missing.push(problem),
            }
        }
        println!("\n{}", idle::render(&outcome.idle));
    }
    save(&options, &outcome)?;
    if let (Some(directory), true) = (&options.charts, options.is_of_all()) {
        charts::remove_old(directory, &charts::draw(&outcome))?;
    }
    refuse_impossible(&outcome.results)
}

/// No server uses more than its CPU. All is saved before this is said, since the other rows are right.
fn refuse_impossible(results: &Results) -> Result<(), Problem> {
    let rows = results.iter().flat_map(|(scenario, measured)| {
        measured.iter().filter_map(|server| Some((scenario.name, server.kind.name(), server.too_busy()?)))
    });
    let rows: Vec<String> =
        rows.map(|(scenario, server, busy)| format!("{scenario}, {server}: {:.0} %", busy * 100.0)).collect();
    match rows.is_empty() {
        true => Ok(()),
        false => Err(format!("measured wrong, for more than the one CPU was used: {}", rows.join("; "))),
    }
}

/// Servers that do not run here, or answer something else, are noted as missing: a fast wrong answer is no result. Ours must do.
fn leave_out_failing(options: &mut Options, binaries: &server::Binaries) -> Result<(), Problem> {
    for kind in options.servers.clone() {
        match check_surface(binaries, kind) {
            Ok(()) => {}
            Err(problem) if kind.is_ours() => return Err(format!("{}: {problem}", kind.name())),
            Err(problem) => {
                options.servers.retain(|&other| other != kind);
                options.missing.push(format!("{} fails: {problem}", kind.name()));
            }
        }
    }
    Ok(())
}

/// WebSockets are checked by their load, and clients check the answers themselves.
fn check_surface(binaries: &server::Binaries, kind: Kind) -> Result<(), Problem> {
    match kind.protocol() {
        Protocol::Http => check::surface(&binaries.start(kind)?),
        Protocol::Files => check::file(&binaries.start(kind)?),
        Protocol::Https => check_tls::surface(&binaries.start(kind)?, &binaries.certificate()?.chain()),
        Protocol::WebSocket | Protocol::Client => Ok(()),
    }
}

fn save(options: &Options, outcome: &Outcome) -> Result<(), Problem> {
    let write = |path: &std::path::Path, text: String| {
        std::fs::write(path, text).map_err(|error| format!("writing {}: {error}", path.display()))
    };
    if let Some(path) = &options.json {
        write(path, json::encode(options, outcome))?;
    }
    let charts = charts::draw(outcome);
    if let Some(directory) = &options.charts {
        charts::save(directory, &charts)?;
    }
    if let Some(path) = &options.markdown {
        write(path, markdown::report(options, outcome, &charts))?;
    }
    Ok(())
}

/// All rounds of one scenario. Who cannot bear its load is noted as missing there, for the other rows are worth as much without it.
/// Ours must do.
fn measure(
    options: &mut Options,
    binaries: &server::Binaries,
    wrk: &Wrk,
    scenario: &'static Scenario,
) -> Result<Vec<Measured>, Problem> {
    let mut failed: Vec<Kind> = Vec::new();
    let mut measured: Vec<Measured> = servers_of(options, scenario).map(Measured::new).collect();
    for round in 0..options.rounds {
        for turn in 0..measured.len() {
            // Another server begins each round: none always follows the same one.
            let index = (turn + round) % measured.len();
            let kind = measured[index].kind;
            if failed.contains(&kind) {
                continue;
            }
            progress(&format!("{} {}/{}: {}", scenario.name, round + 1, options.rounds, kind.name()));
            match run_once(options, binaries, wrk, scenario, kind) {
                Ok(run) => measured[index].runs.push(run),
                Err(problem) if kind.is_ours() => return Err(format!("{}: {problem}", kind.name())),
                Err(problem) => {
                    eprintln!("{} is left out of {}: {problem}", kind.name(), scenario.name);
                    let what = problem.lines().next().unwrap_or_default();
                    options.missing.push(format!("{} in {} ({what})", kind.name(), scenario.name));
                    failed.push(kind);
                }
            }
        }
    }
    progress("");
    measured.retain(|server| !failed.contains(&server.kind));
    Ok(measured)
}

fn servers_of(options: &Options, scenario: &'static Scenario) -> impl Iterator<Item = Kind> {
    options.servers.iter().copied().filter(|kind| kind.takes(scenario))
}

/// Shows what is going on, in place of what was shown before; nothing when nobody looks.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}

fn run_once(
    options: &Options,
    binaries: &server::Binaries,
    wrk: &Wrk,
    scenario: &Scenario,
    kind: Kind,
) -> Result<Run, Problem> {
    if scenario.shape == Shape::Ask {
        return client_load::run(options, binaries, scenario, kind);
    }
    let server = binaries.start(kind)?;
    let (seconds, cpu) = (options.seconds, options.load_cpu);
    let (used, load) = match scenario.shape {
        Shape::Get | Shape::Once | Shape::Pipelined(_) | Shape::Post(_) => {
            wrk.run(scenario, &server, seconds)?
        }
        Shape::BesideSlow(slow) => {
            let _slow = slow::Clients::open(server.port(), slow, cpu)?;
            wrk.run(scenario, &server, seconds)?
        }
        Shape::Echo(_) | Shape::Broadcast(_) => ws_load::run(binaries, scenario, &server, seconds, cpu)?,
        Shape::Paced(rate) => {
            paced::run(Rate::Fixed(rate), scenario.connections, &server, scenario.path, seconds, cpu)?
        }
        Shape::Handshakes { .. } => tls_load::run(binaries, scenario, &server, seconds, cpu)?,
        Shape::Ask => return Err(format!("{} is no load of servers", scenario.name)),
    };
    Ok(Run::new(used, &load))
}

/// What can be checked without a server: the command line, wrk's report, procfs, tables and reports.
fn self_check() {
    options::self_check();
    process::self_check();
    wrk::self_check();
    load::self_check();
    paced::self_check();
    slow::self_check();
    client_load::self_check();
    check::self_check();
    table::self_check();
    idle::self_check();
    latency::self_check();
    behind::self_check();
    charts::self_check();
    json::self_check();
    machine::self_check();
    targets::self_check();
    versions::self_check();
    markdown::self_check();
    let mut wrong = [(&scenario::SCENARIOS[0], table::sample())];
    assert_eq!(refuse_impossible(&wrong), Ok(()));
    wrong[0].1[1].runs[2].busy = 2.0;
    let problem = refuse_impossible(&wrong).expect_err("two CPUs are more than one");
    assert!(problem.ends_with(": plaintext, hyper: 200 %"), "{problem}");
    println!("compare: self-check passed; to measure: cargo bench --bench compare -- --all");
}
