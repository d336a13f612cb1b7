//! The report: one run as the whole of BENCHMARKS.md.

use crate::charts::Chart;
use crate::idle::Idle;
use crate::latency::{self, Curves, PERCENTILES};
use crate::options::Options;
use crate::scenario::{SCENARIOS, Scenario};
use crate::server::Kind;
use crate::table::{self, Measured, Run, median, micros};
use crate::{Outcome, Results, behind, machine, targets};

/// All of the file's text.
pub(crate) fn report(options: &Options, outcome: &Outcome, charts: &[Chart]) -> String {
    let (results, idle) = (&outcome.results[..], &outcome.idle[..]);
    let mut sections =
        vec![head(options, &outcome.versions), method(options), targets_section(results, idle)];
    sections.push(behind_section(results));
    sections.push(noise(options, results));
    sections.push("## Load".to_owned());
    sections.extend(results.iter().map(|(scenario, measured)| scenario_section(scenario, measured)));
    sections.push(latency_section(outcome.latency.as_ref()));
    sections.extend(charts_section(options, charts));
    sections.extend(not_measured(results));
    sections.push(idle_section(idle));
    sections.join("\n\n") + "\n"
}

fn head(options: &Options, versions: &[(&str, String)]) -> String {
    let mut facts = vec![
        ("date (UTC)", machine::today()),
        ("kernel", machine::kernel()),
        ("CPU", machine::cpu_model()),
        ("cores", machine::cores()),
        ("compiler", machine::rustc()),
        ("rounds", options.rounds.to_string()),
        ("length of one run", format!("{} s", options.seconds)),
    ];
    facts.extend_from_slice(versions);
    format!(
        "# Benchmarks\n\n\
         This file is written by `benches/compare.rs`; do not edit it. This command writes it anew:\n\n\
         ```text\n{}\n```\n\n{}",
        options.command,
        table(&["", ""], facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]))
    )
}

fn method(options: &Options) -> String {
    format!(
        "## What is measured\n\n\
         Each server runs one worker pinned to CPU {}; wrk runs one thread pinned to CPU {}, over loopback. CPU time per\n\
         request is what the server process used while wrk ran (`schedstat` of its threads, divided into user and system as\n\
         `stat` does), over the number of answers. wrk connects within that time, of which requests/s are too (10,000\n\
         connections are a part of it that shows), and the server is not warm when it begins. `paced` and the loads of WebSockets, handshakes and clients open and use their\n\
         connections before their clock starts, and CPU time is that between its start and its end.\n\n\
         The servers take turns within every round and are started anew for each run. Shown is the median over the rounds; a\n\
         ratio is the median of the rounds' own ratios. *Spread* is the distance from the lowest to the highest CPU time per\n\
         request, as a share of the median: a difference below it says nothing.\n\n\
         *Busy* is the share of its CPU that the server, or the client that is measured, used. Well below 100 % the other side was the\n\
         slower one, as wrk often is: requests/s and latency then say more about that side than about the server.\n\n\
         - `floor_epoll`, `floor_uring`: fixed answers without an HTTP implementation. *floor* is the cheaper one.\n\
         - `hyper`, `hyper-flush`: hyper with `pipeline_flush` off and on. The ratio to the *rival* is to the cheaper one.\n\
         - `axum`, `actix`: the frameworks of that name; `aiohttp` on Python with uvloop; `node`: Node's own HTTP server.\n\
         - `ntex`, `xitca`: those frameworks on their io_uring drivers, each in the newest version that this compiler builds;\n\
           `monoio_http`: the codec of monoio-http on monoio's io_uring, in a loop of this benchmark.\n\
         - `ringhttp`, `ringhttp-epoll`: the example `plaintext` on io_uring and on epoll.\n\
         - `ws_fastwebsockets` (there the *rival*), `ws_tungstenite`: echo servers on the libraries of that name, and tokio; `ws_npm`: the\n\
           package `ws` on Node; `ws_aiohttp`: aiohttp with uvloop.\n\
         - `ws_ringhttp`, `ws_ringhttp-epoll`: the example `ws_echo`. A request is a message and its echo there; in `ws-broadcast`\n\
           it is a message to one of those that it is for, and the rival is tungstenite's loop over channels. The load,\n\
           `benches/peers/src/bin/ws_load.rs`, is one thread too; it offers no compression.\n\
         - `file_nginx` (there the *rival*): nginx with sendfile; `file_actix`: actix-files; `file_axum`: axum with tower-http's `ServeDir`;\n\
           `file_ringhttp`, `file_ringhttp-epoll`: the example `files`. The file is in the page cache.\n\
         - `tls_hyper` (there the *rival*): hyper over tokio-rustls, with ring as ringhttp has it; `tls_nginx`: nginx with OpenSSL,\n\
           which reads its bodies from files in the page cache and copies them once more than the others, who have them in memory.\n\
         - `tls_ringhttp`, `tls_ringhttp-epoll`: the example `plaintext` over TLS. All have one certificate (P-256) and agree on\n\
           TLS 1.3 with AES-256-GCM. A request in `tls-full` and `tls-resumed` is a whole connection, from connecting to its end; the\n\
           load, `benches/peers/src/bin/tls_load.rs`, is one thread too.\n\
         - `client_hyper` (there the *rival*), `client_reqwest`: hyper-util's pooled client and reqwest, each on a current-thread tokio;\n\
           `client_aiohttp`: aiohttp's, on Python with uvloop.\n\
         - `client_ringhttp`, `client_ringhttp-epoll`: ringhttp's client. All clients ask `floor_epoll`, which is pinned to CPU {load} and\n\
           answers with eight fields; the figures are those of the client's process on CPU {own}.{missing}\n\n\
         `paced` is made by `benches/compare/paced.rs`, on ringhttp's own client, at a fixed rate: its latencies count from the time\n\
         at which a request was due, so that a stall of the server is not left out, and so are those under *Latency*. All other latencies\n\
         of HTTP are wrk's, which waits for an answer before it asks again. In `slow-clients` the figures are wrk's too, and the CPU time is\n\
         of all that the server did, the slow ones' included, over wrk's requests.\n\n\
         The cheaper one is chosen per scenario, among those that were measured; each table names it.",
        options.server_cpu,
        options.load_cpu,
        load = options.load_cpu,
        own = options.server_cpu,
        missing = left_out(options)
    )
}

/// Who takes no part, because it cannot be had here or was not asked for.
fn left_out(options: &Options) -> String {
    let missing = options.missing.iter().map(|what| format!("\n- Left out: {what}."));
    let is_known = |kind: Kind| options.missing.iter().any(|what| what.starts_with(kind.name()));
    let others = Kind::ALL.into_iter().filter(|&kind| !options.servers.contains(&kind) && !is_known(kind));
    let others: Vec<&str> = others.map(Kind::name).collect();
    let unasked =
        (!others.is_empty()).then(|| format!("\n- Not asked for in this run: {}.", others.join(", ")));
    missing.chain(unasked).collect()
}

fn behind_section(results: &Results) -> String {
    let rows = behind::list(results).into_iter().map(|found| {
        vec![
            found.scenario.to_owned(),
            found.kind.name().to_owned(),
            found.behind,
            found.undecided,
            found.why.to_owned(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let text = match (results.is_empty(), rows.is_empty()) {
        (true, _) => MISSING.to_owned(),
        (_, true) => {
            "In every round of this run ringhttp costs less than any other server or client.".to_owned()
        }
        (_, false) => format!(
            "CPU time per request as a ratio to that of each server or client that is not a floor. ringhttp is *behind* where it costs\n\
             more in every round, and *ahead* where it costs less in every round: of those that it is ahead of, none is named. What lies\n\
             between is *undecided*, a ratio below 1 as well as one above: rounds on both sides of 1 say nothing. (Of three rounds, chance alone\n\
             puts all on one side in one case of four.)\n\n{}",
            table(&["scenario", "of ours", "behind", "undecided", "why"], rows.into_iter())
        ),
    };
    format!("## Where ringhttp is not ahead\n\n{text}")
}

fn latency_section(latency: Option<&Curves>) -> String {
    let Some(curves) = latency else { return format!("## Latency\n\n{MISSING}") };
    let mut text = format!(
        "## Latency\n\n\
         `GET /plaintext` at fixed rates over up to {} connections, in microseconds from the time at which a request was due: each percentile\n\
         is the median over the rounds. The rates are shares of {:.0} requests/s, the most that each of these servers answers when every\n\
         connection asks again at once.",
        latency::CONNECTIONS,
        curves.greatest
    );
    for curve in &curves.rates {
        let rows = curve.servers.iter().map(|(kind, runs)| {
            let times = latency::percentiles(runs).map(micros);
            [kind.name().to_owned()].into_iter().chain(times).collect()
        });
        let heading: Vec<&str> = ["server"].into_iter().chain(PERCENTILES).collect();
        let (rate, percent) = (curve.rate, curve.percent);
        text += &format!("\n\n### {rate} requests/s ({percent} %)\n\n{}", table(&heading, rows));
    }
    text
}

fn targets_section(results: &Results, idle: &[Idle]) -> String {
    let rows = targets::judge(results, idle)
        .into_iter()
        .map(|verdict| vec![verdict.what, verdict.at_most, verdict.measured, verdict.outcome.to_owned()]);
    format!(
        "## Targets\n\n\
         Ratios of CPU time per request; in parentheses the lowest and the highest round. A target is met when all\n\
         rounds are within it, not met when none is, and undecided when some are: the median decides nothing. It counts as\n\
         not measured when one of the floors, or of the rival's settings, is missing. Memory is measured once, and met or not.\n\n{}",
        table(&["target", "at most", "measured", "outcome"], rows)
    )
}

/// Where the charts are, if they were asked for.
fn charts_section(options: &Options, charts: &[Chart]) -> Option<String> {
    let directory = options.charts.as_ref()?.display();
    let images = charts.iter().map(|chart| format!("![{}]({directory}/{})", chart.caption, chart.file));
    Some(format!("## Charts\n\n{}", images.collect::<Vec<_>>().join("\n\n")))
}

/// How far each server's rounds lie apart, over all scenarios.
fn noise(options: &Options, results: &Results) -> String {
    let rows = options.servers.iter().filter_map(|&kind| {
        let spreads: Vec<f64> =
            results.iter().filter_map(|(_, measured)| spread_of(kind, measured)).collect();
        let largest = spreads.iter().copied().reduce(f64::max)?;
        Some(vec![kind.name().to_owned(), percent(median(spreads)), percent(largest)])
    });
    let rows: Vec<_> = rows.collect();
    let text = match rows.is_empty() {
        true => MISSING.to_owned(),
        false => table(&["server", "spread: median scenario", "worst scenario"], rows.into_iter()),
    };
    format!("## Noise\n\n{text}")
}

fn spread_of(kind: Kind, measured: &[Measured]) -> Option<f64> {
    measured.iter().find(|server| server.kind == kind).map(Measured::spread)
}

fn scenario_section(scenario: &Scenario, measured: &[Measured]) -> String {
    let (floor, rival) = (table::floor(measured), table::rival(measured));
    let name = |server: Option<&Measured>| server.map_or("missing", |server| server.kind.name());
    let rows = measured.iter().map(|server| row(server, floor, rival));
    let mut text = format!(
        "### {}: {}\n\nfloor: {}; rival: {}\n\n{}",
        scenario.name,
        scenario.title(),
        name(floor),
        name(rival),
        table(&COLUMNS, rows)
    );
    for server in measured {
        let errors: u64 = server.runs.iter().map(|run| run.socket_errors).sum();
        if errors > 0 {
            text += &format!("\n\n{}: {errors} socket errors.", server.kind.name());
        }
        if let Some(busy) = server.too_busy() {
            text += &format!(
                "\n\n**{} is measured wrong**: it used {:.0} % of the one CPU it has in one of the rounds.",
                server.kind.name(),
                busy * 100.0
            );
        }
    }
    text
}

fn row(server: &Measured, floor: Option<&Measured>, rival: Option<&Measured>) -> Vec<String> {
    let ratio = |reference: Option<&Measured>| {
        reference.map_or_else(|| "missing".to_owned(), |other| format!("{:.3}", server.ratio_to(other)))
    };
    vec![
        server.kind.name().to_owned(),
        format!("{:.3}", server.median(Run::cpu_us)),
        format!("{:.3}", server.median(|run| run.user_us)),
        format!("{:.3}", server.median(|run| run.system_us)),
        ratio(floor),
        ratio(rival),
        format!("{:.0}", server.median(|run| run.requests_per_second)),
        format!("{:.0} %", server.median(|run| run.busy) * 100.0),
        micros(server.median(|run| run.p50_us)),
        micros(server.median(|run| run.p99_us)),
        micros(server.median(|run| run.p999_us)),
        percent(server.spread()),
    ]
}

fn not_measured(results: &Results) -> Option<String> {
    let known = |scenario: &Scenario| results.iter().any(|(measured, _)| measured.name == scenario.name);
    let missing: Vec<_> = SCENARIOS.iter().filter(|scenario| !known(scenario)).map(Scenario::title).collect();
    (!missing.is_empty()).then(|| format!("Not measured in this run: {}.", missing.join("; ")))
}

fn idle_section(idle: &[Idle]) -> String {
    let rows = idle.iter().map(|idle| {
        vec![
            idle.kind.name().to_owned(),
            idle.connections.to_string(),
            (idle.before / 1024).to_string(),
            (idle.after / 1024).to_string(),
            format!("{:.0}", idle.bytes_per_connection()),
        ]
    });
    let text = match idle.is_empty() {
        true => MISSING.to_owned(),
        false => format!(
            "The server's own memory (`RssAnon`) before and while connections wait, each after one request: keep-alive\n\
             connections, over TLS for the `tls_` servers, and WebSockets for the `ws_` servers.\n\n{}",
            table(&["server", "connections", "before, KiB", "after, KiB", "bytes each"], rows)
        ),
    };
    format!("## Idle connections\n\n{text}")
}

/// A table whose first column is text, as some others are; cells may hold anything but line ends.
fn table(heading: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let mut lines = vec![line(heading.iter().map(|&cell| cell.to_owned()).collect())];
    let is_text = |column, name| {
        column == 0 || heading.len() == 2 || ["of ours", "behind", "undecided", "why"].contains(&name)
    };
    let rule = |(column, &name)| if is_text(column, name) { "---" } else { "---:" };
    lines.push(format!("|{}|", heading.iter().enumerate().map(rule).collect::<Vec<_>>().join("|")));
    lines.extend(rows.map(|cells| line(cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect())));
    lines.join("\n")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

const COLUMNS: [&str; 12] = [
    "server",
    "CPU µs/request",
    "user",
    "system",
    "/ floor",
    "/ rival",
    "requests/s",
    "busy",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "spread",
];
const MISSING: &str = "Not measured in this run.";

/// A report of known runs, and one of nothing.
pub(crate) fn self_check() {
    let line: Vec<String> =
        "--all --bench --charts c --markdown x.md".split(' ').map(str::to_owned).collect();
    let Ok(crate::Parsed::Compare(options)) = crate::options::parse(&line) else {
        panic!("a usable command line")
    };
    let idle = Idle { kind: Kind::Axum, connections: 100, before: 1 << 20, after: (1 << 20) + 204_800 };
    let results = vec![(&SCENARIOS[0], table::sample())];
    let versions = vec![("Node", "v1, ws 2".to_owned())];
    let outcome = Outcome { versions, results, latency: Some(latency::sample()), idle: vec![idle] };
    let text = report(&options, &outcome, &crate::charts::draw(&outcome));
    for expected in [
        "\ncargo bench --bench compare -- --all --charts c --markdown x.md\n",
        "\n| Node | v1, ws 2 |\n",
        "### plaintext: GET /plaintext, 64 connections\n\nfloor: floor_epoll; rival: hyper-flush\n",
        "\n| floor_epoll | 3.300 | 0.825 | 2.475 | 1.000 | 0.825 | 40000 | 13 % | 400 | 900 | - | 90.9 % |\n",
        "\n| hyper-flush | 0.0 % | 0.0 % |\n",
        "\n| axum | 100 | 1024 | 1224 | 2048 |\n",
        "\n| keep-alive GET /plaintext: ringhttp / hyper | 0.92 | missing | not measured in this run |\n",
        "\n## Charts\n\n![GET /plaintext, 64 connections: CPU time per request](c/plaintext.svg)\n",
        "\n### 9 requests/s (50 %)\n\n| server | 50 % | 90 % | 99 % | 99.9 % | longest |\n",
        "\n| ringhttp | 100 | 200 | 300 | 400 | 1000 |\n",
        "\nIn every round of this run ringhttp costs less than any other server or client.\n",
        "\nNot measured in this run: GET /plaintext, 64 connections, pipelined 16; ",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in the report:\n{text}");
    }
    let mut wrong = table::sample();
    wrong[1].runs[0].busy = 1.5;
    let section = scenario_section(&SCENARIOS[0], &wrong);
    assert!(section.ends_with(
        "\n\n**hyper is measured wrong**: it used 150 % of the one CPU it has in one of the rounds."
    ));
    let nothing = report(&options, &Outcome::default(), &[]);
    assert_eq!(nothing.matches(MISSING).count(), 4);
    let mut few = options;
    few.servers = vec![Kind::Hyper];
    few.leave_out(Kind::is_rival, "does not build here");
    let text = left_out(&few);
    assert!(
        text.starts_with(
            "\n- Left out: hyper does not build here.\n- Not asked for in this run: floor_epoll, "
        )
    );
}
