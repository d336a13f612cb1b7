//! What ringhttp shall reach, and whether a run shows that it does.

use crate::Results;
use crate::idle::Idle;
use crate::scenario::Protocol;
use crate::server::Kind;
use crate::table::{self, Measured};

/// One target beside what was measured.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) at_most: String,
    pub(crate) measured: String,
    pub(crate) outcome: &'static str,
}

/// Judges all targets by one run.
pub(crate) fn judge(results: &Results, idle: &[Idle]) -> Vec<Verdict> {
    let ratios = RATIOS.iter().map(|target| target.judge(results));
    let small = OURS.into_iter().map(|kind| judge_idle(kind, idle));
    let secured = OURS_SECURED.into_iter().map(|kind| judge_idle_secured(kind, idle));
    let elsewhere = ELSEWHERE.iter().map(|&(what, at_most, shown_by)| Verdict {
        what: what.to_owned(),
        at_most: at_most.to_owned(),
        measured: "not by this program".to_owned(),
        outcome: shown_by,
    });
    ratios.chain(small).chain(secured).chain(elsewhere).collect()
}

/// A bound on a server's CPU time per request, relative to another server's.
struct Ratio {
    what: &'static str,
    scenario: &'static str,
    kind: Kind,
    to: Reference,
    at_most: f64,
}

#[derive(Clone, Copy)]
enum Reference {
    Floor,
    Rival,
    Reqwest,
    Tungstenite,
}

impl Ratio {
    fn judge(&self, results: &Results) -> Verdict {
        let to = match self.to {
            Reference::Floor => "floor",
            Reference::Reqwest => "reqwest",
            Reference::Tungstenite => "tungstenite",
            Reference::Rival => match self.kind.protocol() {
                Protocol::Http => "hyper",
                Protocol::Https => "hyper over tokio-rustls",
                Protocol::Files => "nginx",
                Protocol::WebSocket => "fastwebsockets",
                Protocol::Client => "hyper-util",
            },
        };
        let what = format!("{}: {} / {to}", self.what, self.kind.name());
        let at_most = format!("{:.2}", self.at_most);
        let Some((own, other)) = self.find(results) else { return Verdict::missing(what, at_most) };
        let ratio = own.ratio_to(other);
        let (low, high) = own.ratio_range(other);
        let measured = format!("{ratio:.3} ({low:.3} to {high:.3})");
        Verdict { what, at_most, measured, outcome: outcome((low, high), self.at_most) }
    }

    /// The server and what it is compared with; `None` too when one of the references was not measured, for then
    /// the cheaper one is not known.
    fn find<'a>(&self, results: &'a Results) -> Option<(&'a Measured, &'a Measured)> {
        let (_, measured) = results.iter().find(|(scenario, _)| scenario.name == self.scenario)?;
        let of = |kind| measured.iter().find(|server| server.kind == kind);
        let (wanted, other) = match self.to {
            Reference::Floor => (Kind::is_floor as fn(Kind) -> bool, table::floor(measured)),
            Reference::Rival => (Kind::is_rival as fn(Kind) -> bool, table::rival(measured)),
            Reference::Reqwest => (Kind::is_reqwest as fn(Kind) -> bool, of(Kind::ClientReqwest)),
            Reference::Tungstenite => (Kind::is_tungstenite as fn(Kind) -> bool, of(Kind::WsTungstenite)),
        };
        let is_wanted = |kind: &Kind| wanted(*kind) && kind.protocol() == self.kind.protocol();
        let complete = Kind::ALL.into_iter().filter(is_wanted).all(|kind| of(kind).is_some());
        if complete { Some((of(self.kind)?, other?)) } else { None }
    }
}

fn judge_idle(kind: Kind, idle: &[Idle]) -> Verdict {
    let what = format!("idle connection: memory of {}", kind.name());
    let at_most = format!("{IDLE_BYTES_MAX:.0} bytes");
    let Some(found) = idle.iter().find(|idle| idle.kind == kind) else {
        return Verdict::missing(what, at_most);
    };
    let bytes = found.bytes_per_connection();
    let measured = format!("{bytes:.0} bytes (with {} connections)", found.connections);
    Verdict { what, at_most, measured, outcome: outcome((bytes, bytes), IDLE_BYTES_MAX) }
}

/// What TLS keeps of a connection is rustls' own on both sides; the rest of ours shall be less.
fn judge_idle_secured(kind: Kind, idle: &[Idle]) -> Verdict {
    let what = format!("idle TLS connection: memory of {}", kind.name());
    let of = |kind| idle.iter().find(|idle| idle.kind == kind).map(Idle::bytes_per_connection);
    let at_most = of(Kind::TlsHyper)
        .map_or_else(|| "that of hyper".to_owned(), |hyper| format!("{hyper:.0} bytes (hyper's)"));
    let (Some(own), Some(hyper)) = (of(kind), of(Kind::TlsHyper)) else {
        return Verdict::missing(what, at_most);
    };
    Verdict { what, at_most, measured: format!("{own:.0} bytes"), outcome: outcome((own, own), hyper) }
}

impl Verdict {
    fn missing(what: String, at_most: String) -> Self {
        Self { what, at_most, measured: "missing".to_owned(), outcome: "not measured in this run" }
    }
}

/// Of the lowest and the highest round. The bound belongs to what is allowed; a figure that is no number meets nothing.
fn outcome((low, high): (f64, f64), at_most: f64) -> &'static str {
    match (low <= at_most, high <= at_most) {
        (true, true) => "met",
        (true, false) => "undecided",
        (false, _) => "not met",
    }
}

const OURS: [Kind; 4] = [Kind::Ringhttp, Kind::RinghttpEpoll, Kind::WsRinghttp, Kind::WsRinghttpEpoll];

const OURS_SECURED: [Kind; 2] = [Kind::TlsRinghttp, Kind::TlsRinghttpEpoll];

const RATIOS: [Ratio; 26] = [
    Ratio::of_ringhttp("keep-alive GET /plaintext", "plaintext", Reference::Rival, 0.92),
    Ratio::of_ringhttp("keep-alive GET /plaintext", "plaintext", Reference::Floor, 1.10),
    Ratio::of_ringhttp("pipelined 16", "pipelined", Reference::Rival, 0.65),
    Ratio::of_ringhttp("pipelined 16", "pipelined", Reference::Floor, 1.5),
    Ratio::of_ringhttp("POST /echo, 1 KiB", "echo-1k", Reference::Rival, 0.9),
    Ratio::of_ringhttp("GET /bytes/65536", "bytes-64k", Reference::Rival, 0.95),
    Ratio::of_ringhttp("GET /bytes/65536", "bytes-64k", Reference::Floor, 1.1),
    Ratio {
        kind: Kind::RinghttpEpoll,
        ..Ratio::of_ringhttp("keep-alive GET /plaintext", "plaintext", Reference::Rival, 1.05)
    },
    Ratio::of_websocket("echo of 16 bytes", "ws-16", 1.0),
    Ratio::of_websocket("echo of 1 KiB", "ws-1k", 1.0),
    Ratio::of_websocket("echo of 64 KiB", "ws-64k", 1.0),
    Ratio::of_websocket("echo of 1 MiB", "ws-1m", 0.95),
    Ratio {
        to: Reference::Tungstenite,
        ..Ratio::of_websocket("1 KiB to 5,000 sockets, for each", "ws-broadcast", 0.33)
    },
    Ratio::of_tls("GET /plaintext over TLS", "tls-plaintext", 0.88),
    Ratio::of_tls("GET /bytes/65536 over TLS", "tls-bytes-64k", 0.85),
    Ratio::of_tls("GET /bytes/1048576 over TLS", "tls-bytes-1m", 0.85),
    Ratio::of_tls("full handshake", "tls-full", 1.05),
    Ratio::of_tls("resumed handshake", "tls-resumed", 1.05),
    Ratio::of_client("client keep-alive GET, one at a time", "client-1", 1.0),
    Ratio::of_client("client keep-alive GET at 10", "client-10", 0.75),
    Ratio::of_client("client keep-alive GET at 100", "client-100", 1.0),
    Ratio::of_file(Kind::FileRinghttp),
    Ratio::of_file(Kind::FileRinghttpEpoll),
    Ratio {
        to: Reference::Reqwest,
        ..Ratio::of_client("client keep-alive GET, one at a time", "client-1", 1.0)
    },
    Ratio { to: Reference::Reqwest, ..Ratio::of_client("client keep-alive GET at 10", "client-10", 1.0) },
    Ratio { to: Reference::Reqwest, ..Ratio::of_client("client keep-alive GET at 100", "client-100", 1.0) },
];

/// Targets that other programs check: what, at most, and how it is shown.
const ELSEWHERE: [(&str, &str, &str); 5] = [
    (
        "allocations of a keep-alive GET through the router",
        "4",
        "asserted by `cargo test --test allocations`",
    ),
    (
        "allocations of the client's GET with 8 fields in the answer",
        "8",
        "asserted by `cargo test --test client_allocations`",
    ),
    (
        "dispatch through 300 routes and 3 middlewares: time, less than axum's",
        "350 ns",
        "shown by `cargo bench --bench dispatch` in `benches/peers`",
    ),
    (
        "dispatch through 300 routes and 3 middlewares: allocations",
        "2",
        "asserted by `cargo bench --bench dispatch` in `benches/peers`",
    ),
    (
        "memory of a server does not grow with the size of a file",
        "1 MiB and 1 GiB alike",
        "shown by `cargo bench --bench files`",
    ),
];

impl Ratio {
    const fn of_ringhttp(what: &'static str, scenario: &'static str, to: Reference, at_most: f64) -> Self {
        Self { what, scenario, kind: Kind::Ringhttp, to, at_most }
    }

    const fn of_websocket(what: &'static str, scenario: &'static str, at_most: f64) -> Self {
        Self { what, scenario, kind: Kind::WsRinghttp, to: Reference::Rival, at_most }
    }

    const fn of_file(kind: Kind) -> Self {
        Self { what: "file of 1 MiB", scenario: "file-1m", kind, to: Reference::Rival, at_most: 1.2 }
    }

    const fn of_tls(what: &'static str, scenario: &'static str, at_most: f64) -> Self {
        Self { what, scenario, kind: Kind::TlsRinghttp, to: Reference::Rival, at_most }
    }

    const fn of_client(what: &'static str, scenario: &'static str, at_most: f64) -> Self {
        Self { what, scenario, kind: Kind::ClientRinghttp, to: Reference::Rival, at_most }
    }
}

/// Memory of one idle connection in the server.
const IDLE_BYTES_MAX: f64 = 2048.0;

/// Targets that are met, not met, undecided and not measured; every one names a scenario that exists.
pub(crate) fn self_check() {
    for target in &RATIOS {
        assert!(crate::Scenario::by_name(target.scenario).is_some(), "{} is a scenario", target.scenario);
    }
    let nothing = judge(&[], &[]);
    let measured_here = nothing.len() - ELSEWHERE.len();
    assert!(nothing[..measured_here].iter().all(|verdict| verdict.measured == "missing"));

    // Against hyper-flush at 4 µs: 3.0, 3.3 and 6.0 lie on both sides of 0.92, 4.5, 3.3 and 9.0 on both of 1.05.
    let mut measured = table::sample();
    measured[0].kind = Kind::Ringhttp;
    measured[1].kind = Kind::RinghttpEpoll;
    let results = [(&crate::scenario::SCENARIOS[0], measured)];
    assert_eq!(judge(&results, &[])[0].measured, "missing", "hyper's other setting may be the cheaper one");
    let [(scenario, mut measured)] = results;
    measured.push(Measured { kind: Kind::Hyper, runs: measured[2].runs.clone() });
    let idle_of = |kind, after| Idle { kind, connections: 100, before: 0, after };
    let idle = [idle_of(Kind::Ringhttp, 204_800), idle_of(Kind::RinghttpEpoll, 204_900)];
    let verdicts = judge(&[(scenario, measured)], &idle);
    let outcomes: Vec<_> = verdicts.iter().map(|verdict| verdict.outcome).collect();
    assert_eq!((outcomes[0], outcomes[7]), ("undecided", "undecided"));
    assert_eq!(verdicts[0].measured, "0.825 (0.750 to 1.500)");
    assert!(outcomes[1..7].iter().all(|outcome| *outcome == "not measured in this run"));
    assert!(outcomes[8..RATIOS.len()].iter().all(|outcome| *outcome == "not measured in this run"));
    assert_eq!((outcomes[RATIOS.len()], outcomes[RATIOS.len() + 1]), ("met", "not met"));
    let idle = [
        idle_of(Kind::TlsHyper, 90_000),
        idle_of(Kind::TlsRinghttp, 80_000),
        idle_of(Kind::TlsRinghttpEpoll, 91_000),
    ];
    let outcomes: Vec<_> = judge(&[], &idle).iter().map(|verdict| verdict.outcome).collect();
    assert_eq!(outcomes[measured_here - 2..measured_here], ["met", "not met"]);
    assert_eq!(outcome((0.8, 1.0), 1.0), "met");
    assert_eq!(outcome((1.01, 1.2), 1.0), "not met");
    assert_eq!(outcome((f64::NAN, f64::NAN), 1.0), "not met");
}
