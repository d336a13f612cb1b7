//! A load at a fixed rate, made by ringhttp's own client: what waits because the server is slow counts, from the time at
//! which it was due. (wrk asks again only when it was answered, so that a stall delays requests that are then not counted
//! as slow: coordinated omission.)
//!
//! The program starts itself once more for it, as a process on the load's CPU.

use std::cell::{Cell, RefCell};
use std::io::Read as _;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ringhttp::{Client, ClientConfig, Core, Cores, RuntimeConfig};

use crate::Problem;
use crate::load::Load;
use crate::process::CpuTime;
use crate::server::Server;

/// The first argument of a process that is a load.
pub(crate) const ARGUMENT: &str = "--paced";

/// How often is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rate {
    /// So many requests a second.
    Fixed(u32),
    /// As many as are answered: each connection asks again when it has its answer.
    Greatest,
}

/// Loads the server with GETs of `path` for `seconds`, over so many `connections`, from one thread on `cpu`, and gives its CPU time, too.
///
/// # Errors
/// The load failed, or any of its requests.
pub(crate) fn run(
    rate: Rate,
    connections: u32,
    server: &Server,
    path: &str,
    seconds: u32,
    cpu: usize,
) -> Result<(CpuTime, Load), Problem> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let rate = match rate {
        Rate::Fixed(rate) => rate.max(1),
        Rate::Greatest => 0,
    };
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string()]).arg(program).arg(ARGUMENT);
    command.args([rate, seconds, connections].map(|number| number.to_string()));
    command.arg(format!("http://127.0.0.1:{}{path}", server.port()));
    Load::of(&mut command, "the load at a fixed rate", Some(server.pid()))
}

/// Is the load: asks `arguments` (requests a second or 0 for the most, seconds, connections, URL), and prints what [`Load::of`] reads.
///
/// # Errors
/// An argument, or a request that failed.
pub(crate) fn load(arguments: &[String]) -> Result<(), Problem> {
    let [rate, seconds, connections, url] = arguments else {
        return Err(format!("{ARGUMENT} RATE SECONDS CONNECTIONS URL"));
    };
    let number = |text: &String| text.parse::<u32>().map_err(|error| format!("{text:?}: {error}"));
    let (rate, seconds, connections) = (number(rate)?, number(seconds)?, number(connections)?);
    let mut config = RuntimeConfig::default();
    config.cores = Cores::Count(1);
    config.handle_signals = false;
    let done: ringhttp::Result<()> = ringhttp::run(config, async |core| {
        let mut config = ClientConfig::default();
        config.limit = connections as usize;
        let client = Client::new(&core, config)?;
        open(&core, &client, url, connections).await?;
        println!("ready");
        let pace = ask(&core, &client, url, connections, Pace::new(rate, seconds)).await?;
        let seconds = pace.start.elapsed().as_secs_f64();
        let mut waits = pace.waits.take();
        waits.sort_unstable();
        println!("{}", line(&waits, seconds));
        // The connections stay open: what their end costs the server is not to be counted.
        std::io::stdin().read_to_end(&mut Vec::new())?;
        client.close().await;
        Ok(())
    });
    done.map_err(|error| error.to_string())
}

/// What [`Load::parse`] reads, of times in order.
fn line(waits: &[u64], seconds: f64) -> String {
    let at = |per_mille: usize| waits.get(waits.len() * per_mille / 1000).copied().unwrap_or(0);
    let longest = waits.last().copied().unwrap_or(0);
    format!("{} {seconds} {} {} {} {} {longest}", waits.len(), at(500), at(990), at(999), at(900))
}

/// When the next request is due, and how long those before it took.
struct Pace {
    start: Instant,
    /// Zero: there is always one due, until `length` is over.
    every: Duration,
    length: Duration,
    next: Cell<u32>,
    /// In microseconds, from the time at which each was due.
    waits: RefCell<Vec<u64>>,
}

impl Pace {
    fn new(rate: u32, seconds: u32) -> Self {
        Self {
            start: Instant::now(),
            every: Duration::from_secs(1).checked_div(rate).unwrap_or_default(),
            length: Duration::from_secs(seconds.into()),
            next: Cell::new(0),
            waits: RefCell::default(),
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let number = self.next.get();
        self.next.set(number + 1);
        let after = if self.every.is_zero() { self.start.elapsed() } else { self.every * number };
        (after < self.length).then(|| self.start + after)
    }
}

/// Opens the connections, so that no request waits for that.
async fn open(core: &Core, client: &Client, url: &str, connections: u32) -> ringhttp::Result<()> {
    let first = (0..connections).map(|_| {
        let (client, url) = (client.clone(), url.to_owned());
        core.spawn("open", async move { client.get(&url).send().await?.error_for_status()?.bytes().await })
    });
    for first in first.collect::<Vec<_>>() {
        first.await.map_err(ringhttp::Error::internal)??;
    }
    Ok(())
}

/// Each connection takes the next request that is due, and spins until then: a timer would be too coarse.
async fn ask(
    core: &Core,
    client: &Client,
    url: &str,
    connections: u32,
    pace: Pace,
) -> ringhttp::Result<Rc<Pace>> {
    let pace = Rc::new(pace);
    let workers = (0..connections).map(|_| {
        let (core, client, url, pace) = (core.clone(), client.clone(), url.to_owned(), Rc::clone(&pace));
        core.clone().spawn("load", async move {
            while let Some(due) = pace.next_due() {
                while Instant::now() < due {
                    core.yield_now().await;
                }
                client.get(&url).send().await?.error_for_status()?.bytes().await?;
                let wait = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
                pace.waits.borrow_mut().push(wait);
            }
            ringhttp::Result::<()>::Ok(())
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.map_err(ringhttp::Error::internal)??;
    }
    Ok(pace)
}

/// When requests are due, the line of known times, and arguments that are none.
pub(crate) fn self_check() {
    let mut pace = Pace::new(500, 1);
    pace.length = Duration::from_millis(4);
    let due: Vec<_> = std::iter::from_fn(|| pace.next_due()).map(|due| due - pace.start).collect();
    assert_eq!(due, [Duration::ZERO, Duration::from_millis(2)]);
    let greatest = Pace { length: Duration::from_millis(20), ..Pace::new(0, 1) };
    assert!(std::iter::from_fn(|| greatest.next_due()).count() > 2, "the next one is due at once");
    let waits: Vec<u64> = (0..1000).collect();
    assert_eq!(line(&waits, 2.5), "1000 2.5 500 990 999 900 999");
    assert!(load_is_refused(&["0", "1", "1"]) && load_is_refused(&["a", "1", "1", "http://127.0.0.1/"]));
}

fn load_is_refused(arguments: &[&str]) -> bool {
    load(&arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>()).is_err()
}
