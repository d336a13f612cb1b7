//! The load that clients are measured by: so many requests at a time, each after the answer to the one before it.
//!
//! Every client is called `CLIENT URL CONNECTIONS SECONDS`. It prints `ready` when its connections are open and warm, then one
//! line: answers, seconds, and the 50th, 99th and 99.9th percentile of the time to an answer in microseconds. It ends when its
//! standard input does, so that its CPU time can still be read after the report.

use std::error::Error;
use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

/// Any failure: it ends the process.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Loads the URL of the command line by `ask`, which `make` gives for it.
///
/// # Errors
/// The command line, or a request that failed.
pub fn run<M, A, F>(make: M) -> Result<(), Failure>
where
    M: FnOnce(&str) -> Result<A, Failure>,
    A: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, connections, seconds] = &arguments[..] else {
        return Err("usage: CLIENT URL CONNECTIONS SECONDS".into());
    };
    let (connections, seconds) = (connections.parse()?, seconds.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ask = make(url)?;
        ask_for(WARM_UP, connections, &ask).await?;
        println!("ready");
        let start = Instant::now();
        let mut times_us = ask_for(Duration::from_secs(seconds), connections, &ask).await?;
        let seconds = start.elapsed().as_secs_f64();
        times_us.sort_unstable();
        let at = |per_mille: usize| times_us.get(times_us.len() * per_mille / 1000).copied().unwrap_or(0);
        println!("{} {seconds} {} {} {}", times_us.len(), at(500), at(990), at(999));
        io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    })
}

/// Asks for that long, `connections` at a time, and gives what each request took, in microseconds.
async fn ask_for<A, F>(length: Duration, connections: usize, ask: &A) -> Result<Vec<u32>, Failure>
where
    A: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let mut begun = Instant::now();
    let end = begun + length;
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let ask = ask.clone();
        tasks.spawn(async move {
            let mut times_us = Vec::new();
            while begun < end {
                ask().await?;
                let now = Instant::now();
                times_us.push((now - begun).as_micros().try_into().unwrap_or(u32::MAX));
                begun = now;
            }
            Ok::<_, Failure>(times_us)
        });
    }
    let mut all = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        all.append(&mut ended??);
    }
    Ok(all)
}

/// Long enough for every connection to be open, and for buffers to have grown.
const WARM_UP: Duration = Duration::from_millis(200);
/// Fields and body bytes of the answer, which every client looks at.
pub const FIELDS: usize = 8;
pub const BODY_BYTES: usize = 13;
