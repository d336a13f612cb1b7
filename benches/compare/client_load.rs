//! What clients are measured by: how one is run beside the server that they all ask, and ours.
//!
//! The program starts itself once more to be ringhttp's client; the others are `benches/peers/src/bin/client_*.rs` and
//! `benches/peers/foreign/client.py`. All do the same, as `load.rs` has it: they open their connections, say `ready`, ask, report, and end
//! when their standard input does.

use std::io::Read as _;
use std::process::Command;
use std::time::{Duration, Instant};

use ringhttp::{Client, ClientConfig, Core, Cores, RuntimeConfig, StatusCode};

use crate::Problem;
use crate::load::Load;
use crate::options::Options;
use crate::scenario::Scenario;
use crate::server::{Binaries, Kind};
use crate::table::Run;

/// The first argument of a process that is ringhttp's client.
pub(crate) const ARGUMENT: &str = "--client";

/// Runs a client of `kind` on the servers' CPU, and the server that it asks on the load's.
///
/// # Errors
/// The server does not start, or the client failed: a request of it did, or had another answer than expected.
pub(crate) fn run(
    options: &Options,
    binaries: &Binaries,
    scenario: &Scenario,
    kind: Kind,
) -> Result<Run, Problem> {
    let server = binaries.start_on(Kind::FloorEpoll, options.load_cpu)?;
    let client = match kind.driver() {
        Some(driver) => ours(driver)?,
        None => binaries.client(kind),
    };
    let mut command = Command::new("taskset");
    command.args(["-c", &options.server_cpu.to_string()]).arg(client.get_program()).args(client.get_args());
    command.arg(format!("http://127.0.0.1:{}{}", server.port(), scenario.path));
    command.args([scenario.connections.to_string(), options.seconds.to_string()]);
    let (cpu, load) = Load::of(&mut command, scenario.name, None)?;
    Ok(Run::new(cpu, &load))
}

fn ours(driver: &str) -> Result<Command, Problem> {
    let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
    command.args([ARGUMENT, driver]);
    Ok(command)
}

/// Is ringhttp's client: `arguments` are driver, URL, connections and seconds.
///
/// # Errors
/// An argument, or a request that failed.
pub(crate) fn ask(arguments: &[String]) -> Result<(), Problem> {
    let [driver, url, connections, seconds] = arguments else {
        return Err(format!("{ARGUMENT} DRIVER URL CONNECTIONS SECONDS"));
    };
    let number = |text: &String| text.parse::<u32>().map_err(|error| format!("{text:?}: {error}"));
    let (connections, seconds) = (number(connections)?, number(seconds)?);
    let mut config = RuntimeConfig::default();
    config.cores = Cores::Count(1);
    config.driver = driver.parse().map_err(|error| format!("{driver:?}: {error}"))?;
    config.handle_signals = false;
    let done: ringhttp::Result<()> = ringhttp::run(config, async |core| {
        let mut config = ClientConfig::default();
        config.limit = connections as usize;
        let client = Client::new(&core, config)?;
        ask_for(WARM_UP, &core, &client, url, connections).await?;
        println!("ready");
        let start = Instant::now();
        let length = Duration::from_secs(seconds.into());
        let mut times_us = ask_for(length, &core, &client, url, connections).await?;
        println!("{}", report(&mut times_us, start.elapsed()));
        // Holds the core up, which has nothing else to do: what it used so far is being read.
        std::io::stdin().read_to_end(&mut Vec::new())?;
        client.close().await;
        Ok(())
    });
    done.map_err(|error| error.to_string())
}

/// Asks for that long, `connections` at a time, and gives what each request took, in microseconds.
async fn ask_for(
    length: Duration,
    core: &Core,
    client: &Client,
    url: &str,
    connections: u32,
) -> ringhttp::Result<Vec<u32>> {
    let start = Instant::now();
    let tasks = (0..connections).map(|_| {
        let (client, url) = (client.clone(), url.to_owned());
        core.spawn("ask", async move {
            let (mut begun, mut times_us) = (start, Vec::new());
            while begun < start + length {
                get(&client, &url).await?;
                let now = Instant::now();
                times_us.push(u32::try_from((now - begun).as_micros()).unwrap_or(u32::MAX));
                begun = now;
            }
            ringhttp::Result::<_>::Ok(times_us)
        })
    });
    let mut all = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        all.append(&mut task.await.map_err(ringhttp::Error::internal)??);
    }
    Ok(all)
}

async fn get(client: &Client, url: &str) -> ringhttp::Result<()> {
    let answer = client.get(url).send().await?;
    let is_expected = answer.status() == StatusCode::OK && answer.headers().len() == FIELDS;
    let body = answer.bytes().await?;
    if is_expected && body.len() == BODY_BYTES {
        Ok(())
    } else {
        Err(ringhttp::Error::internal("another answer than expected"))
    }
}

/// The line that a client ends with: answers, seconds, and percentiles.
fn report(times_us: &mut [u32], length: Duration) -> String {
    times_us.sort_unstable();
    let at = |per_mille: usize| times_us.get(times_us.len() * per_mille / 1000).copied().unwrap_or(0);
    format!("{} {} {} {} {}", times_us.len(), length.as_secs_f64(), at(500), at(990), at(999))
}

/// Long enough for every connection to be open, and for buffers to have grown.
const WARM_UP: Duration = Duration::from_millis(200);
/// Fields and body bytes of the server's answer.
const FIELDS: usize = 8;
const BODY_BYTES: usize = 13;

/// Its report, and command lines that are none.
pub(crate) fn self_check() {
    let mut times_us: Vec<u32> = (0..1000).rev().collect();
    let line = report(&mut times_us, Duration::from_millis(2500));
    assert_eq!(line, "1000 2.5 500 990 999");
    assert!(Load::parse(&line).is_some());
    let is_refused = |line: &str| ask(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).is_err();
    assert!(is_refused("epoll http://127.0.0.1/ 1") && is_refused("kqueue http://127.0.0.1/ 1 1"));
}
