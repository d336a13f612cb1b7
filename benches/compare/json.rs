//! All runs as JSON, for reports and for comparing with later measurements.

use std::fmt::Write as _;

use crate::Outcome;
use crate::idle::Idle;
use crate::latency::{self, Curves};
use crate::load::Load;
use crate::machine;
use crate::options::Options;
use crate::scenario::Scenario;
use crate::server::Kind;
use crate::table::{self, Measured, Run};

/// The whole outcome of one comparison.
pub(crate) fn encode(options: &Options, outcome: &Outcome) -> String {
    let machine = object(&[("cpu", string(&machine::cpu_model())), ("kernel", string(&machine::kernel()))]);
    let versions: Vec<(&str, String)> =
        outcome.versions.iter().map(|(name, version)| (*name, string(version))).collect();
    let settings = object(&[
        ("rounds", options.rounds.to_string()),
        ("seconds", options.seconds.to_string()),
        ("server_cpu", options.server_cpu.to_string()),
        ("load_cpu", options.load_cpu.to_string()),
    ]);
    let scenarios = outcome.results.iter().map(|(scenario, measured)| encode_scenario(scenario, measured));
    let mut document = object(&[
        ("machine", machine),
        ("versions", object(&versions)),
        ("settings", settings),
        ("scenarios", array(scenarios)),
        ("latency", outcome.latency.as_ref().map_or_else(|| "null".to_owned(), encode_latency)),
        ("idle", array(outcome.idle.iter().map(encode_idle))),
        ("missing", array(options.missing.iter().map(|what| string(what)))),
    ]);
    document.push('\n');
    document
}

fn encode_scenario(scenario: &Scenario, measured: &[Measured]) -> String {
    let (floor, rival) = (table::floor(measured), table::rival(measured));
    let servers = measured.iter().map(|server| {
        let ratio = |reference: Option<&Measured>| {
            reference.map_or("null".to_owned(), |reference| number(server.ratio_to(reference)))
        };
        object(&[
            ("name", string(server.kind.name())),
            ("cpu_us", number(server.median(Run::cpu_us))),
            ("spread", number(server.spread())),
            ("ratio_to_floor", ratio(floor)),
            ("ratio_to_rival", ratio(rival)),
            ("runs", array(server.runs.iter().map(encode_run))),
        ])
    });
    object(&[
        ("name", string(scenario.name)),
        ("path", string(scenario.path)),
        ("connections", scenario.connections.to_string()),
        ("servers", array(servers)),
    ])
}

fn encode_run(run: &Run) -> String {
    object(&[
        ("user_us", number(run.user_us)),
        ("system_us", number(run.system_us)),
        ("requests_per_second", number(run.requests_per_second)),
        ("p50_us", number(run.p50_us)),
        ("p99_us", number(run.p99_us)),
        ("p999_us", number(run.p999_us)),
        ("busy", number(run.busy)),
        ("socket_errors", run.socket_errors.to_string()),
    ])
}

fn encode_latency(curves: &Curves) -> String {
    let encode_server = |(kind, runs): &(Kind, Vec<Load>)| {
        let figures = latency::percentiles(runs).map(number);
        let names = ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"];
        let mut members = vec![("name", string(kind.name()))];
        members.extend(names.into_iter().zip(figures));
        object(&members)
    };
    let rates = curves.rates.iter().map(|curve| {
        object(&[
            ("percent", curve.percent.to_string()),
            ("requests_per_second", curve.rate.to_string()),
            ("servers", array(curve.servers.iter().map(encode_server))),
        ])
    });
    object(&[("greatest_requests_per_second", number(curves.greatest)), ("rates", array(rates))])
}

fn encode_idle(idle: &Idle) -> String {
    object(&[
        ("name", string(idle.kind.name())),
        ("connections", idle.connections.to_string()),
        ("before_bytes", idle.before.to_string()),
        ("after_bytes", idle.after.to_string()),
        ("bytes_per_connection", number(idle.bytes_per_connection())),
    ])
}

fn object(members: &[(&str, String)]) -> String {
    let members: Vec<_> = members.iter().map(|(name, value)| format!("{}:{value}", string(name))).collect();
    format!("{{{}}}", members.join(","))
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// JSON has no infinities.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.4}") } else { "null".to_owned() }
}

fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _infallible = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Escapes, numbers and the nesting of a whole scenario.
pub(crate) fn self_check() {
    assert_eq!(string("a\"b\\c\n"), r#""a\"b\\c\u000a""#);
    assert_eq!((number(1.5), number(f64::NAN)), ("1.5000".to_owned(), "null".to_owned()));
    let text = encode_scenario(&crate::scenario::SCENARIOS[0], &table::sample());
    assert!(text.starts_with(r#"{"name":"plaintext","path":"/plaintext","connections":64,"servers":[{"name":"floor_epoll","cpu_us":3.3000,"#));
    assert_eq!(text.matches("\"user_us\"").count(), 9);
    let latency = encode_latency(&latency::sample());
    assert!(latency.ends_with(
        r#""p50_us":100.0000,"p90_us":200.0000,"p99_us":300.0000,"p999_us":400.0000,"max_us":1000.0000}]}]}"#
    ));
    assert_eq!(text.matches(['{', '[']).count(), text.matches(['}', ']']).count());
}
