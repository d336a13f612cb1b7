//! The charts beside BENCHMARKS.md: one run as SVG files.

use std::fmt::Write as _;
use std::path::Path;

use crate::certificate::write;
use crate::latency::{self, PERCENTILES};
use crate::scenario::Scenario;
use crate::table::{self, Measured, Run};
use crate::{Outcome, Problem, Results};

/// One file of a chart, and what it shows.
pub(crate) struct Chart {
    /// Without a directory.
    pub(crate) file: String,
    pub(crate) caption: String,
    svg: String,
}

/// All charts that these results have enough for.
pub(crate) fn draw(outcome: &Outcome) -> Vec<Chart> {
    let results = &outcome.results[..];
    let mut charts: Vec<Chart> =
        results.iter().map(|(scenario, measured)| bars(scenario, measured)).collect();
    let [connections, body_size] = CURVES;
    charts.extend(curve(results, connections, "connections", by_connections));
    charts.extend(curve(results, body_size, "bytes of a body", by_body));
    charts.extend(outcome.latency.iter().flat_map(|latency| latency.rates.iter().map(latencies)));
    charts
}

/// Writes them into `directory`, which is made if it is not there.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn save(directory: &Path, charts: &[Chart]) -> Result<(), Problem> {
    std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    charts.iter().try_for_each(|chart| write(&directory.join(&chart.file), &chart.svg))
}

/// Takes charts out of `directory` that this program has made in another run, and that `charts` has not: they would be shown beside figures
/// that they do not belong to.
///
/// # Errors
/// The directory cannot be read, or a file cannot be removed.
pub(crate) fn remove_old(directory: &Path, charts: &[Chart]) -> Result<(), Problem> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if is_own(name) && charts.iter().all(|chart| chart.file != name) {
            std::fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// The name of a file that some run writes.
fn is_own(file: &str) -> bool {
    let Some(name) = file.strip_suffix(".svg") else { return false };
    let is_latency = |percent: &u32| name.strip_prefix("latency-") == Some(&percent.to_string());
    Scenario::by_name(name).is_some() || CURVES.contains(&name) || latency::SHARES.iter().any(is_latency)
}

/// CPU time per request of each server: user and system.
fn bars(scenario: &Scenario, measured: &[Measured]) -> Chart {
    let rival = table::rival(measured);
    let largest = measured.iter().map(|server| server.median(Run::cpu_us)).fold(1e-9, f64::max);
    let scale = BAR_WIDTH / largest;
    let mut body = String::new();
    for (row, server) in (0_u32..).zip(measured) {
        let y = TOP + f64::from(row) * ROW;
        let (user, total) = (server.median(|run| run.user_us), server.median(Run::cpu_us));
        let ratio =
            rival.map_or_else(String::new, |rival| format!(" · {:.2} of rival", server.ratio_to(rival)));
        text(&mut body, LEFT - 8.0, y + 13.0, "end", server.kind.name());
        rectangle(&mut body, (LEFT, y), (user * scale, ROW - 6.0), USER);
        rectangle(&mut body, (LEFT + user * scale, y), ((total - user) * scale, ROW - 6.0), SYSTEM);
        text(&mut body, LEFT + total * scale + 6.0, y + 13.0, "start", &format!("{total:.2} µs{ratio}"));
    }
    let rows = f64::from(u32::try_from(measured.len()).unwrap_or(u32::MAX));
    let bottom = TOP + rows * ROW + 14.0;
    rectangle(&mut body, (LEFT, bottom - 10.0), (10.0, 10.0), USER);
    text(&mut body, LEFT + 14.0, bottom, "start", "user");
    rectangle(&mut body, (LEFT + 60.0, bottom - 10.0), (10.0, 10.0), SYSTEM);
    text(&mut body, LEFT + 74.0, bottom, "start", "system");
    let title = format!("{}: CPU time per request", scenario.title());
    Chart {
        file: format!("{}.svg", scenario.name),
        svg: document(&title, bottom + 12.0, &body),
        caption: title,
    }
}

/// CPU time per request against a quantity that some scenarios differ in only; `None` of fewer than [`POINTS_MIN`], between which most
/// of it would not be measured.
fn curve(results: &Results, name: &str, unit: &str, quantity: fn(&Scenario) -> Option<u32>) -> Option<Chart> {
    let mut points: Vec<(f64, &[Measured])> = results
        .iter()
        .filter_map(|(scenario, measured)| Some((f64::from(quantity(scenario)?), &measured[..])))
        .collect();
    points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let ((first, servers), (last, _)) = (points.first()?, points.last()?);
    if points.len() < POINTS_MIN {
        return None;
    }
    let columns = points.iter().map(|(value, _)| (share(*value, *first, *last), format!("{value:.0}")));
    let lines = servers.iter().map(|server| {
        let cost = |measured: &[Measured]| {
            measured.iter().find(|other| other.kind == server.kind).map(|found| found.median(Run::cpu_us))
        };
        let at =
            |(value, measured): &(f64, &[Measured])| Some((share(*value, *first, *last), cost(measured)?));
        (server.kind.name(), points.iter().filter_map(at).collect())
    });
    let title = format!("CPU time per request against {unit} (both axes logarithmic)");
    Some(plot(name, title, &columns.collect::<Vec<_>>(), &lines.collect::<Vec<_>>()))
}

/// The percentiles of all servers at one rate.
fn latencies(curve: &latency::Curve) -> Chart {
    let steps = [0.0, 0.25, 0.5, 0.75, 1.0];
    let columns: Vec<_> = steps.into_iter().zip(PERCENTILES.map(str::to_owned)).collect();
    let lines = curve.servers.iter().map(|(kind, runs)| {
        // A logarithmic axis has no zero.
        let times = latency::percentiles(runs).map(|time| time.max(1.0));
        (kind.name(), steps.into_iter().zip(times).collect())
    });
    let (rate, percent) = (curve.rate, curve.percent);
    let title =
        format!("Latency at {rate} requests a second, {percent} % of the greatest rate (logarithmic)");
    plot(&format!("latency-{percent}"), title, &columns, &lines.collect::<Vec<_>>())
}

/// Lines through times in microseconds, on a logarithmic axis; across from 0 to 1.
fn plot(name: &str, title: String, columns: &[(f64, String)], lines: &[(&str, Vec<(f64, f64)>)]) -> Chart {
    let times = || lines.iter().flat_map(|(_, points)| points.iter().map(|(_, time)| *time));
    let (low, high) = (times().fold(f64::MAX, f64::min) * 0.9, times().fold(0.0, f64::max) * 1.1);
    let x = |across: f64| LEFT + BAR_WIDTH * across;
    let y = |time: f64| TOP + CURVE_HEIGHT * (1.0 - share(time, low, high));
    let mut body = String::new();
    for (across, label) in columns {
        line(&mut body, "#ddd", &[(x(*across), TOP), (x(*across), TOP + CURVE_HEIGHT)]);
        text(&mut body, x(*across), TOP + CURVE_HEIGHT + 16.0, "middle", label);
    }
    for time in ticks(low, high) {
        line(&mut body, "#ddd", &[(LEFT, y(time)), (LEFT + BAR_WIDTH, y(time))]);
        text(&mut body, LEFT - 8.0, y(time) + 4.0, "end", &format!("{time} µs"));
    }
    for ((row, (server, points)), color) in (0_u32..).zip(lines).zip(COLORS.iter().cycle()) {
        let path: Vec<(f64, f64)> = points.iter().map(|(across, time)| (x(*across), y(*time))).collect();
        line(&mut body, color, &path);
        // What was measured; the line between is for the eye.
        path.iter().for_each(|point| dot(&mut body, color, *point));
        let legend = TOP + 14.0 * f64::from(row);
        rectangle(&mut body, (LEFT + BAR_WIDTH + 14.0, legend), (10.0, 10.0), color);
        text(&mut body, LEFT + BAR_WIDTH + 28.0, legend + 9.0, "start", server);
    }
    let height = TOP + CURVE_HEIGHT + 30.0;
    Chart { file: format!("{name}.svg"), svg: document(&title, height, &body), caption: title }
}

/// Scenarios that differ in their connections only.
fn by_connections(scenario: &Scenario) -> Option<u32> {
    let is_one = scenario.path == "/plaintext" && scenario.is_plain_get();
    is_one.then_some(scenario.connections)
}

/// Scenarios that differ in the length of their bodies only.
fn by_body(scenario: &Scenario) -> Option<u32> {
    let bytes = scenario.path.strip_prefix("/bytes/")?.parse().ok()?;
    scenario.is_plain_get().then_some(bytes)
}

/// Where a value lies between two others, by their orders of magnitude.
fn share(value: f64, low: f64, high: f64) -> f64 {
    (value / low).ln() / (high / low).ln()
}

/// 1, 2 and 5 and their tenfolds between two values.
fn ticks(low: f64, high: f64) -> impl Iterator<Item = f64> {
    let tenfolds = [0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];
    let steps = tenfolds.into_iter().flat_map(|tenfold| [1.0, 2.0, 5.0].map(|step| step * tenfold));
    steps.filter(move |step| (low..=high).contains(step))
}

fn document(title: &str, height: f64, body: &str) -> String {
    let mut heading = String::new();
    text(&mut heading, 12.0, 20.0, "start", title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{heading}{body}</svg>\n"
    )
}

fn rectangle(out: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), color: &str) {
    let _infallible = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{color}\"/>"
    );
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, what: &str) {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    let _infallible =
        writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222\">{what}</text>");
}

fn line(out: &mut String, color: &str, points: &[(f64, f64)]) {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _infallible = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>",
        points.join(" ")
    );
}

fn dot(out: &mut String, color: &str, (x, y): (f64, f64)) {
    let _infallible = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{color}\"/>");
}

/// The charts of several scenarios.
const CURVES: [&str; 2] = ["connections", "body-size"];
const POINTS_MIN: usize = 3;
const WIDTH: u32 = 860;
/// Where bars and axes begin, and where the first row does.
const LEFT: f64 = 150.0;
const TOP: f64 = 36.0;
const ROW: f64 = 24.0;
const BAR_WIDTH: f64 = 540.0;
const CURVE_HEIGHT: f64 = 300.0;
const USER: &str = "#3b6ea5";
const SYSTEM: &str = "#b9cbe0";
const COLORS: [&str; 10] = [
    "#888888", "#bbbbbb", "#d1495b", "#edae49", "#8f5fa8", "#2e8b57", "#1f5fbf", "#4fb3e8", "#00798c",
    "#7a4b1e",
];

/// Bars of known runs, a curve through three scenarios and none through two, and charts of another run.
pub(crate) fn self_check() {
    let scenario = |name| Scenario::by_name(name).expect("it is in the list");
    let sample = |name| (scenario(name), table::sample());
    let results = vec![sample("plaintext"), sample("plaintext-512"), sample("plaintext-1")];
    let few =
        draw(&Outcome { results: vec![sample("plaintext"), sample("plaintext-512")], ..Outcome::default() });
    assert!(few.iter().all(|chart| chart.file != "connections.svg"), "two points are no curve");
    let charts = draw(&Outcome { results, latency: Some(latency::sample()), ..Outcome::default() });
    let files: Vec<&str> = charts.iter().map(|chart| chart.file.as_str()).collect();
    assert_eq!(
        files,
        ["plaintext.svg", "plaintext-512.svg", "plaintext-1.svg", "connections.svg", "latency-50.svg"]
    );
    assert!(
        charts[0].svg.contains(">3.30 µs · 0.82 of rival<")
            || charts[0].svg.contains(">3.30 µs · 0.83 of rival<")
    );
    assert_eq!(charts[3].svg.matches("<polyline").count(), 3 + ticks(2.97, 4.95).count() + 3);
    assert_eq!(charts[3].svg.matches("<circle").count(), 3 * 3);
    assert_eq!(charts[4].svg.matches("<polyline").count(), 5 + ticks(90.0, 1100.0).count() + 1);
    assert!((share(10.0, 1.0, 100.0) - 0.5).abs() < 1e-9);
    removes_old_ones(&charts);
}

fn removes_old_ones(charts: &[Chart]) {
    let directory = std::env::temp_dir().join(format!("ringhttp-compare-charts-{}", std::process::id()));
    save(&directory, charts).expect("the temporary directory can be written to");
    let others =
        ["bytes-1m.svg", "body-size.svg", "latency-80.svg", "latency-81.svg", "logo.svg", "json.txt"];
    for name in others {
        write(&directory.join(name), "").expect("the temporary directory can be written to");
    }
    remove_old(&directory, charts).expect("they can be removed");
    let is_there = |name: &str| directory.join(name).exists();
    assert_eq!(others.map(is_there), [false, false, false, true, true, true]);
    assert!(charts.iter().all(|chart| is_there(&chart.file)));
    std::fs::remove_dir_all(directory).expect("it is ours");
}
