//! From runs to the printed table: medians over the rounds, spreads and ratios.

use std::fmt::Write as _;

use crate::load::Load;
use crate::process::CpuTime;
use crate::scenario::Scenario;
use crate::server::Kind;

/// One run of one server.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    /// Share of its CPU that the server used, 0 to 1.
    pub(crate) busy: f64,
    pub(crate) socket_errors: u64,
}

impl Run {
    /// `cpu`: what the server used while wrk produced `load`.
    pub(crate) fn new(cpu: CpuTime, load: &Load) -> Self {
        let per_request = |nanoseconds: f64| nanoseconds / 1e3 / load.requests;
        Self {
            user_us: per_request(cpu.user),
            system_us: per_request(cpu.system),
            requests_per_second: load.requests / load.seconds,
            p50_us: load.p50_us,
            p99_us: load.p99_us,
            p999_us: load.p999_us,
            busy: cpu.total() / 1e9 / load.seconds,
            socket_errors: load.socket_errors,
        }
    }

    /// CPU time per request, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }
}

/// All runs of one server in one scenario, one per round.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) kind: Kind,
    pub(crate) runs: Vec<Run>,
}

impl Measured {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, runs: Vec::new() }
    }

    /// The median of `figure` over the rounds.
    pub(crate) fn median(&self, figure: impl Fn(&Run) -> f64) -> f64 {
        median(self.runs.iter().map(figure).collect())
    }

    /// Distance from the lowest to the highest CPU time per request, as a share of the median.
    pub(crate) fn spread(&self) -> f64 {
        let cpu = self.runs.iter().map(Run::cpu_us);
        let (low, high) = cpu.fold((f64::MAX, 0.0_f64), |(low, high), us| (low.min(us), high.max(us)));
        (high - low) / self.median(Run::cpu_us)
    }

    /// CPU time per request relative to `other`: the median of the rounds' ratios.
    ///
    /// Runs of one round are neighbours in time, so that their ratio suffers least from a machine that changes.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        median(self.ratios_to(other).collect())
    }

    /// The lowest and the highest of the rounds' ratios.
    pub(crate) fn ratio_range(&self, other: &Self) -> (f64, f64) {
        self.ratios_to(other).fold((f64::MAX, 0.0), |(low, high), ratio| (low.min(ratio), high.max(ratio)))
    }

    /// What it used of its CPU in the busiest round, if that is more than there is of one: then it ran on others, too, or CPU time
    /// was counted that does not belong to the requests. Either way the row is wrong.
    pub(crate) fn too_busy(&self) -> Option<f64> {
        let busiest = self.runs.iter().map(|run| run.busy).fold(0.0, f64::max);
        (busiest > BUSY_MAX).then_some(busiest)
    }

    fn ratios_to<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = f64> + 'a {
        self.runs.iter().zip(&other.runs).map(|(own, other)| own.cpu_us() / other.cpu_us())
    }
}

/// The floor of a scenario: the better of the bare responders that were measured.
pub(crate) fn floor(measured: &[Measured]) -> Option<&Measured> {
    best(measured, Kind::is_floor)
}

/// The library to be compared with, in its better setting for the scenario; tungstenite where the rival of its protocol takes
/// no part.
pub(crate) fn rival(measured: &[Measured]) -> Option<&Measured> {
    best(measured, Kind::is_rival).or_else(|| best(measured, Kind::is_tungstenite))
}

/// The table of one scenario.
pub(crate) fn render(scenario: &Scenario, measured: &[Measured]) -> String {
    let (floor, rival) = (floor(measured), rival(measured));
    let name =
        |reference: Option<&Measured>| reference.map_or("not measured", |reference| reference.kind.name());
    let mut text = format!(
        "{}: {}, {} connections, {:?} (floor: {}; rival: {})\n",
        scenario.name,
        scenario.path,
        scenario.connections,
        scenario.shape,
        name(floor),
        name(rival)
    );
    text.push_str(HEADING);
    for server in measured {
        let ratio = |reference: Option<&Measured>| {
            reference.map_or("-".to_owned(), |reference| format!("{:.3}", server.ratio_to(reference)))
        };
        let _infallible = write!(
            text,
            "\n{:<21} {:>9.3} {:>8.3} {:>8.3} {:>7.1}% {:>10.0} {:>5.0}% {:>9} {:>9} {:>9} {:>8} {:>8}",
            server.kind.name(),
            server.median(Run::cpu_us),
            server.median(|run| run.user_us),
            server.median(|run| run.system_us),
            server.spread() * 100.0,
            server.median(|run| run.requests_per_second),
            server.median(|run| run.busy) * 100.0,
            micros(server.median(|run| run.p50_us)),
            micros(server.median(|run| run.p99_us)),
            micros(server.median(|run| run.p999_us)),
            ratio(floor),
            ratio(rival)
        );
        let errors: u64 = server.runs.iter().map(|run| run.socket_errors).sum();
        if errors > 0 {
            let _infallible = write!(text, "  {errors} socket errors");
        }
        if let Some(busy) = server.too_busy() {
            let _infallible = write!(text, "  WRONG: {:.0} % of its CPU", busy * 100.0);
        }
    }
    text
}

/// The cheapest of the wanted servers, by the same ratios that the table shows.
fn best(measured: &[Measured], wanted: fn(Kind) -> bool) -> Option<&Measured> {
    let candidates = || measured.iter().filter(|server| wanted(server.kind));
    let first = candidates().next()?;
    candidates().min_by(|a, b| a.ratio_to(first).total_cmp(&b.ratio_to(first)))
}

/// A time in whole microseconds, or a dash where there is none.
pub(crate) fn micros(value: f64) -> String {
    if value.is_nan() { "-".to_owned() } else { format!("{value:.0}") }
}

/// The middle of `values`; NaN of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Of a server's CPU within the load's time. What is above 1 is for clocks that are not read at the same moment.
const BUSY_MAX: f64 = 1.05;

const HEADING: &str = "server                CPU µs/rq     user   system   spread       rq/s   busy    p50 µs    p99 µs  p99.9 µs   /floor   /rival";

/// Two servers in three rounds; for the checks of this file and of the writers.
pub(crate) fn sample() -> Vec<Measured> {
    let runs = |cpu: [f64; 3]| {
        let run = |us| {
            let load = Load {
                requests: 1e5,
                seconds: 2.5,
                p50_us: 400.0,
                p99_us: 900.0,
                p999_us: f64::NAN,
                p90_us: f64::NAN,
                max_us: f64::NAN,
                socket_errors: 0,
            };
            Run::new(CpuTime { user: us * 0.25e8, system: us * 0.75e8 }, &load)
        };
        cpu.map(run).to_vec()
    };
    vec![
        Measured { kind: Kind::FloorEpoll, runs: runs([3.0, 3.3, 6.0]) },
        Measured { kind: Kind::Hyper, runs: runs([4.5, 3.3, 9.0]) },
        Measured { kind: Kind::HyperFlush, runs: runs([4.0, 4.0, 4.0]) },
    ]
}

/// Medians, spreads and ratios of known runs, and the rendered row.
pub(crate) fn self_check() {
    assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    let measured = sample();
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    near(measured[0].median(Run::cpu_us), 3.3);
    near(measured[0].spread(), 3.0 / 3.3);
    near(measured[1].ratio_to(&measured[0]), 1.5);
    let (low, high) = measured[1].ratio_range(&measured[0]);
    near(low, 1.0);
    near(high, 1.5);
    near(measured[0].runs[1].requests_per_second, 4e4);
    near(measured[0].runs[0].busy, 0.12);
    assert_eq!(measured[0].too_busy(), None);
    let mut wrong = sample();
    wrong[0].runs[1].busy = 1.06;
    assert_eq!(wrong[0].too_busy(), Some(1.06));
    let row = render(&crate::scenario::SCENARIOS[0], &wrong);
    assert_eq!(row.matches("1.000    0.825  WRONG: 106 % of its CPU\n").count(), 1);
    assert_eq!(rival(&measured).map(|server| server.kind), Some(Kind::HyperFlush));
    assert_eq!(floor(&measured[1..]).map(|server| server.kind), None);

    let table = render(&crate::scenario::SCENARIOS[0], &measured);
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 2 + measured.len());
    let cells: Vec<_> = rows[2].split_whitespace().collect();
    assert_eq!(
        cells,
        [
            "floor_epoll",
            "3.300",
            "0.825",
            "2.475",
            "90.9%",
            "40000",
            "13%",
            "400",
            "900",
            "-",
            "1.000",
            "0.825"
        ]
    );
    assert_eq!(rows[1].chars().count(), rows[2].chars().count());
}
