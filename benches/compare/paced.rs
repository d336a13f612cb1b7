//! A load at a fixed rate, made by ringhttp's own client: what waits because the server is slow counts, from the time at
//! which it was due. (wrk asks again only when it was answered, so that a stall delays requests that are then not counted
//! as slow: coordinated omission.)
//!
//! The program starts itself once more for it, as a process on the load's CPU.

use std::cell::{Cell, RefCell};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ringhttp::{Client, ClientConfig, Core, Cores, RuntimeConfig};

use crate::Problem;
use crate::load::Load;
use crate::scenario::{Scenario, Shape};

/// The first argument of a process that is a load.
pub(crate) const ARGUMENT: &str = "--paced";

/// Loads the server at `port` for `seconds`, from one thread on `cpu`.
///
/// # Errors
/// The load failed, or any of its requests.
pub(crate) fn run(scenario: &Scenario, port: u16, seconds: u32, cpu: usize) -> Result<Load, Problem> {
    let Shape::Paced(rate) = scenario.shape else {
        return Err(format!("{} has no rate", scenario.name));
    };
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string()]).arg(program).arg(ARGUMENT);
    command.args([rate, seconds, scenario.connections].map(|number| number.to_string()));
    command.arg(format!("http://127.0.0.1:{port}{}", scenario.path));
    Load::of(&mut command, scenario.name)
}

/// Is the load: asks `arguments` (requests a second, seconds, connections, URL), and gives what [`Load::parse`] reads.
///
/// # Errors
/// An argument, or a request that failed.
pub(crate) fn load(arguments: &[String]) -> Result<String, Problem> {
    let [rate, seconds, connections, url] = arguments else {
        return Err(format!("{ARGUMENT} RATE SECONDS CONNECTIONS URL"));
    };
    let number = |text: &String| text.parse::<u32>().map_err(|error| format!("{text:?}: {error}"));
    let (rate, seconds, connections) = (number(rate)?.max(1), number(seconds)?, number(connections)?);
    let mut config = RuntimeConfig::default();
    config.cores = Cores::Count(1);
    config.handle_signals = false;
    let report = std::sync::Mutex::new(String::new());
    let done: ringhttp::Result<()> = ringhttp::run(config, async |core| {
        let pace = Pace {
            start: Instant::now(),
            every: Duration::from_secs(1) / rate,
            count: rate * seconds,
            next: Cell::new(0),
            waits: RefCell::new(Vec::new()),
        };
        let pace = ask(&core, url, connections, pace).await?;
        let mut waits = pace.waits.take();
        waits.sort_unstable();
        let at = |per_mille: usize| waits.get(waits.len() * per_mille / 1000).copied().unwrap_or(0);
        *report.lock().expect("nobody panics with it") = format!(
            "{} {} {} {} {}\n",
            waits.len(),
            pace.start.elapsed().as_secs_f64(),
            at(500),
            at(990),
            at(999)
        );
        Ok(())
    });
    done.map_err(|error| error.to_string())?;
    Ok(report.into_inner().expect("nobody panicked with it"))
}

/// When the next request is due, and how long those before it took.
struct Pace {
    start: Instant,
    every: Duration,
    count: u32,
    next: Cell<u32>,
    /// In microseconds, from the time at which each was due.
    waits: RefCell<Vec<u64>>,
}

impl Pace {
    fn next_due(&self) -> Option<Instant> {
        let number = self.next.get();
        self.next.set(number + 1);
        (number < self.count).then(|| self.start + self.every * number)
    }
}

/// Each connection takes the next request that is due, and spins until then: a timer would be too coarse.
async fn ask(core: &Core, url: &str, connections: u32, pace: Pace) -> ringhttp::Result<Rc<Pace>> {
    let mut config = ClientConfig::default();
    config.limit = connections as usize;
    let client = Client::new(core, config)?;
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
    client.close().await;
    Ok(pace)
}

/// When requests are due, and arguments that are none.
pub(crate) fn self_check() {
    let pace = Pace {
        start: Instant::now(),
        every: Duration::from_millis(2),
        count: 2,
        next: Cell::new(0),
        waits: RefCell::default(),
    };
    let due: Vec<_> = std::iter::from_fn(|| pace.next_due()).map(|due| due - pace.start).collect();
    assert_eq!(due, [Duration::ZERO, Duration::from_millis(2)]);
    assert!(load_is_refused(&["0", "1", "1"]) && load_is_refused(&["a", "1", "1", "http://127.0.0.1/"]));
}

fn load_is_refused(arguments: &[&str]) -> bool {
    load(&arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>()).is_err()
}
