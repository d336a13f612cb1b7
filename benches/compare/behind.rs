//! Where ringhttp is not ahead: the scenarios in which it costs more than one of the others, and why, as far as that is known; and those
//! in which the rounds do not tell.

use std::fmt::Write as _;

use crate::Results;
use crate::scenario::Scenario;
use crate::server::Kind;
use crate::table::Measured;

/// One scenario in which one of ours does not cost less than all others in every round.
#[derive(Debug)]
pub(crate) struct NotAhead {
    pub(crate) scenario: &'static str,
    pub(crate) kind: Kind,
    /// Others that cost less in every round, and how many times their CPU time ours is, most first.
    pub(crate) behind: String,
    /// The same of those that cost less in some rounds and not in others.
    pub(crate) undecided: String,
    /// Empty where ours is behind nobody.
    pub(crate) why: &'static str,
}

/// All of them, in the order of measurement. The floors are no servers, and not held against us here.
pub(crate) fn list(results: &Results) -> Vec<NotAhead> {
    results
        .iter()
        .flat_map(|(scenario, measured)| {
            let ours = measured.iter().filter(|server| server.kind.is_ours());
            ours.filter_map(|own| of_one(scenario, own, measured))
        })
        .collect()
}

fn of_one(scenario: &Scenario, own: &Measured, measured: &[Measured]) -> Option<NotAhead> {
    let others = measured.iter().filter(|other| !other.kind.is_ours() && !other.kind.is_floor());
    let mut others: Vec<(f64, &Measured)> = others.map(|other| (own.ratio_to(other), other)).collect();
    others.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let (mut behind, mut undecided) = (String::new(), String::new());
    for (ratio, other) in others {
        let (low, high) = own.ratio_range(other);
        let name = other.kind.name();
        if low > 1.0 {
            push(&mut behind, &format!("{ratio:.2} of {name}"));
        } else if high >= 1.0 {
            push(&mut undecided, &format!("{ratio:.2} of {name} ({low:.2} to {high:.2})"));
        }
    }
    if behind.is_empty() && undecided.is_empty() {
        return None;
    }
    let reason = REASONS.iter().find(|reason| reason.is_of(scenario, own.kind));
    // What is within the noise needs no reason.
    let why = if behind.is_empty() { "" } else { reason.map_or(UNKNOWN, |reason| reason.why) };
    Some(NotAhead { scenario: scenario.name, kind: own.kind, behind, undecided, why })
}

fn push(list: &mut String, entry: &str) {
    let separator = if list.is_empty() { "" } else { ", " };
    let _infallible = write!(list, "{separator}{entry}");
}

/// What ours is known to spend and others are not, in scenarios that are alike.
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

/// The first one that fits is told. They are costs that docs/benchmarks/log.md knows, or say what they do not know; no run measures them, so
/// that they are not told as the cause of what a run shows.
const REASONS: [Reason; 3] = [
    Reason {
        of: &["ws-16", "ws-1k", "ws-64k", "ws-1m"],
        driver: None,
        why: "A known cost: `ws_echo` is a handler behind a router, with the server's limits and deadlines; `ws_fastwebsockets` is a codec of \
              frames in a loop of this benchmark. How much of the difference that is was not measured.",
    },
    Reason {
        of: SMALL,
        driver: Some("io_uring"),
        why: "A known cost: each receive on an idle connection is tried before there is something to receive: the executor makes the ring's entries and \
              has neither `IORING_RECVSEND_POLL_FIRST` nor receives of several shots.",
    },
    Reason {
        of: SMALL,
        driver: Some("epoll"),
        why: "A known cost: each request makes a second `recv` that finds nothing: the executor clears a socket's readiness only when a read fails.",
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
    let found = list(&results);
    let [found] = &found[..] else { panic!("no round is below all others: {found:?}") };
    let undecided = "0.82 of hyper-flush (0.75 to 1.50), 0.67 of hyper (0.67 to 1.00)";
    assert_eq!((found.behind.as_str(), found.undecided.as_str(), found.why), ("", undecided, ""));

    let [(scenario, mut measured)] = results;
    measured[0].kind = Kind::Hyper;
    measured[1].kind = Kind::RinghttpEpoll;
    for (own, us) in measured[1].runs.iter_mut().zip([3.5, 3.4, 6.5]) {
        (own.user_us, own.system_us) = (us, 0.0);
    }
    for other in &mut measured[2].runs {
        other.user_us = 9.0;
    }
    let found = list(&[(scenario, measured)]);
    let [found] = &found[..] else { panic!("one of ours costs more: {found:?}") };
    assert_eq!((found.kind, found.behind.as_str()), (Kind::RinghttpEpoll, "1.08 of hyper"));
    assert_eq!(found.undecided, "", "ours is ahead of the other one");
    assert!(found.why.starts_with("A known cost: each request makes a second"));
}
