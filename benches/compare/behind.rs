//! Where ringhttp is not ahead: the scenarios in which it costs more than one of the others, and why, as far as that is known.

use std::fmt::Write as _;

use crate::Results;
use crate::scenario::Scenario;
use crate::server::Kind;
use crate::table::Measured;

/// One scenario in which one of ours costs more than others do.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) scenario: &'static str,
    pub(crate) kind: Kind,
    /// Those others and how many times their CPU time ours is, most first.
    pub(crate) of: String,
    pub(crate) why: String,
}

/// All of them, in the order of measurement. The floors are no servers, and not held against us here.
pub(crate) fn list(results: &Results) -> Vec<Behind> {
    results
        .iter()
        .flat_map(|(scenario, measured)| {
            let ours = measured.iter().filter(|server| server.kind.is_ours());
            ours.filter_map(|own| of_one(scenario, own, measured))
        })
        .collect()
}

fn of_one(scenario: &Scenario, own: &Measured, measured: &[Measured]) -> Option<Behind> {
    let others = measured.iter().filter(|other| !other.kind.is_ours() && !other.kind.is_floor());
    let mut ratios: Vec<(f64, &Measured)> = others.map(|other| (own.ratio_to(other), other)).collect();
    ratios.retain(|(ratio, _)| *ratio > 1.0);
    ratios.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let (_, cheapest) = ratios.first()?;
    let mut of = String::new();
    for (ratio, other) in &ratios {
        let separator = if of.is_empty() { "" } else { ", " };
        let _infallible = write!(of, "{separator}{ratio:.2} of {}", other.kind.name());
    }
    let (low, high) = own.ratio_range(cheapest);
    let reason = REASONS.iter().find(|reason| reason.is_of(scenario, own.kind));
    let reason = reason.map_or(UNKNOWN, |reason| reason.why);
    let why = match low < 1.0 {
        true => format!("Within the noise ({low:.2} to {high:.2} of {}). {reason}", cheapest.kind.name()),
        false => reason.to_owned(),
    };
    Some(Behind { scenario: scenario.name, kind: own.kind, of, why })
}

/// Why ours may cost more than others do, in scenarios that are alike.
struct Reason {
    /// The scenarios' names, or how they begin.
    of: &'static [&'static str],
    /// On this driver; `None`: on both.
    driver: Option<&'static str>,
    why: &'static str,
}

impl Reason {
    fn is_of(&self, scenario: &Scenario, kind: Kind) -> bool {
        let is_driver = self.driver.is_none_or(|driver| kind.driver() == Some(driver));
        is_driver && self.of.iter().any(|name| scenario.name.starts_with(name))
    }
}

/// Requests whose cost is mostly that of receiving them.
const SMALL: &[&str] = &[
    "plaintext",
    "paced",
    "json",
    "users",
    "echo-1k",
    "bytes-1k",
    "slow-clients",
    "tls-plaintext",
    "client-",
];

/// The first one that fits is told. They are what docs/benchmarks/log.md knows, or say what they do not know.
const REASONS: [Reason; 3] = [
    Reason {
        of: &["ws-"],
        driver: None,
        why: "`ws_echo` is a handler behind a router, with the server's limits and deadlines; `ws_fastwebsockets` is a codec of frames in a \
              loop of this benchmark. How much of the difference that is was not measured.",
    },
    Reason {
        of: SMALL,
        driver: Some("io_uring"),
        why: "Each receive on an idle connection is tried before there is something to receive: the executor makes the ring's entries and \
              has neither `IORING_RECVSEND_POLL_FIRST` nor receives of several shots.",
    },
    Reason {
        of: SMALL,
        driver: Some("epoll"),
        why: "Each request makes a second `recv` that finds nothing: the executor clears a socket's readiness only when a read fails.",
    },
];

const UNKNOWN: &str = "Not explained so far.";

/// Known ratios on both drivers, and reasons that name scenarios which exist.
pub(crate) fn self_check() {
    let exists =
        |name: &str| crate::scenario::SCENARIOS.iter().any(|scenario| scenario.name.starts_with(name));
    assert!(REASONS.iter().flat_map(|reason| reason.of).all(|name| exists(name)));

    // Of 3.0, 3.3 and 6.0 µs beside 4.5, 3.3 and 9.0, and beside 4.0.
    let mut measured = crate::table::sample();
    measured[0].kind = Kind::Ringhttp;
    let results = [(&crate::scenario::SCENARIOS[0], measured)];
    assert!(list(&results).is_empty(), "ours is ahead");
    let [(scenario, mut measured)] = results;
    measured[1].kind = Kind::RinghttpEpoll;
    let behind = list(&[(scenario, measured)]);
    let [behind] = &behind[..] else { panic!("one of ours costs more: {behind:?}") };
    assert_eq!((behind.kind, behind.of.as_str()), (Kind::RinghttpEpoll, "1.12 of hyper-flush"));
    assert!(
        behind.why.starts_with("Within the noise (0.82 to 2.25 of hyper-flush). Each request makes a second")
    );
}
