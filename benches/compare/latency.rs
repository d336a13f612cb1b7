//! Latencies against how much is asked of a server: the load at a fixed rate, at shares of the greatest rate that all of the servers
//! reach with it, so that all of them are asked the same and none is asked for more than it can.

use std::fmt::Write as _;

use crate::load::Load;
use crate::options::Options;
use crate::paced::{self, Rate};
use crate::server::{Binaries, Kind};
use crate::table::median;
use crate::{Problem, progress};

/// What is measured: ours on both drivers, hyper, and a floor.
const KINDS: [Kind; 4] = [Kind::FloorEpoll, Kind::Hyper, Kind::Ringhttp, Kind::RinghttpEpoll];

/// Shares of the greatest rate, in percent.
pub(crate) const SHARES: [u32; 3] = [20, 50, 80];

pub(crate) const CONNECTIONS: u32 = 64;

/// What each row and each curve has.
pub(crate) const PERCENTILES: [&str; 5] = ["50 %", "90 %", "99 %", "99.9 %", "longest"];

/// The latencies of all rates.
#[derive(Debug)]
pub(crate) struct Curves {
    /// In requests a second: the lowest of the servers' greatest rates.
    pub(crate) greatest: f64,
    pub(crate) rates: Vec<Curve>,
}

/// The latencies of all servers at one rate.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) percent: u32,
    /// Requests a second.
    pub(crate) rate: u32,
    pub(crate) servers: Vec<(Kind, Vec<Load>)>,
}

/// # Errors
/// A server or the load failed.
pub(crate) fn measure(options: &Options, binaries: &Binaries) -> Result<Curves, Problem> {
    let kinds: Vec<Kind> = KINDS.into_iter().filter(|kind| options.servers.contains(kind)).collect();
    if kinds.is_empty() {
        return Err(format!("--latency: none of {} is measured", KINDS.map(Kind::name).join(", ")));
    }
    let run = |kind, rate| run(options, binaries, kind, rate);
    let mut greatest = f64::MAX;
    for &kind in &kinds {
        let load = run(kind, Rate::Greatest)?;
        greatest = greatest.min(load.requests / load.seconds);
    }
    let rates = SHARES.map(|percent| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "no server reaches 4 billion"
        )]
        let rate = (greatest * f64::from(percent) / 100.0) as u32;
        Curve { percent, rate, servers: kinds.iter().map(|&kind| (kind, Vec::new())).collect() }
    });
    let mut curves = Curves { greatest, rates: rates.into() };
    for round in 0..options.rounds {
        for curve in &mut curves.rates {
            for turn in 0..kinds.len() {
                // As in the scenarios: none always follows the same one.
                let (kind, runs) = &mut curve.servers[(turn + round) % kinds.len()];
                runs.push(run(*kind, Rate::Fixed(curve.rate))?);
            }
        }
    }
    progress("");
    Ok(curves)
}

fn run(options: &Options, binaries: &Binaries, kind: Kind, rate: Rate) -> Result<Load, Problem> {
    progress(&format!("latency, {rate:?}: {}", kind.name()));
    let server = binaries.start(kind)?;
    paced::run(rate, CONNECTIONS, &server, "/plaintext", options.seconds, options.load_cpu)
        .map(|(_, load)| load)
        .map_err(|problem| format!("{}, latency: {problem}", kind.name()))
}

impl Curves {
    pub(crate) fn render(&self) -> String {
        let mut text = format!("latency in µs; the greatest rate of all is {:.0} requests/s", self.greatest);
        for curve in &self.rates {
            let _infallible = write!(text, "\n{} requests/s ({} %)", curve.rate, curve.percent);
            for (kind, runs) in &curve.servers {
                let _infallible = write!(text, "\n{:<21}", kind.name());
                for time in percentiles(runs) {
                    let _infallible = write!(text, " {time:>9.0}");
                }
            }
        }
        text
    }
}

/// [`PERCENTILES`] in microseconds, of each the median over the rounds.
pub(crate) fn percentiles(runs: &[Load]) -> [f64; 5] {
    let of = |figure: fn(&Load) -> f64| median(runs.iter().map(figure).collect());
    [
        of(|run| run.p50_us),
        of(|run| run.p90_us),
        of(|run| run.p99_us),
        of(|run| run.p999_us),
        of(|run| run.max_us),
    ]
}

/// Known runs of one server at one rate.
pub(crate) fn sample() -> Curves {
    let runs = ["9 1 100 300 400 200 1000", "9 1 110 310 410 210 900", "9 1 90 290 390 190 5000"];
    let runs = runs.iter().filter_map(|line| Load::parse(line)).collect();
    let curve = Curve { percent: 50, rate: 9, servers: vec![(Kind::Ringhttp, runs)] };
    Curves { greatest: 18.0, rates: vec![curve] }
}

/// Medians of known runs, and their row.
pub(crate) fn self_check() {
    let curves = sample();
    assert_eq!(percentiles(&curves.rates[0].servers[0].1), [100.0, 200.0, 300.0, 400.0, 1000.0]);
    let text = curves.render();
    let cells: Vec<_> = text.lines().last().unwrap_or("").split_whitespace().collect();
    assert_eq!(cells, ["ringhttp", "100", "200", "300", "400", "1000"]);
}
