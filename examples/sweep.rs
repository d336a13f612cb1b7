//! How a server fares under 10, 25, 50 and 100 requests at a time: a table, and a chart in a file.
//!
//! `cargo run --release --example hello -- --port 8081`, and beside it
//! `cargo run --release --example sweep -- --url http://127.0.0.1:8081/world`.
#![expect(clippy::print_stdout, reason = "an example talks to the person who started it")]

#[expect(dead_code, reason = "this example listens nowhere")]
mod common;

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ringhttp::{Client, ClientConfig, Core, Error, Result};

const CONCURRENCIES: [usize; 4] = [10, 25, 50, 100];

/// What was measured at one concurrency, in milliseconds.
struct Row {
    concurrency: usize,
    total: f64,
    mean: f64,
    p50: f64,
    p99: f64,
    successes: usize,
}

/// So many tasks ask one after the other until `requests` were sent. The connections are new in each row.
async fn measure(core: &Core, url: &str, requests: usize, concurrency: usize) -> Result<Row> {
    let mut config = ClientConfig::default();
    config.limit = concurrency;
    config.timeout = Some(Duration::from_secs(10));
    let client = Client::new(core, config)?;
    let (left, times) = (Rc::new(Cell::new(requests)), Rc::new(RefCell::new(Vec::with_capacity(requests))));
    let started = Instant::now();
    let workers = (0..concurrency).map(|_| {
        let (client, url, left, times) =
            (client.clone(), url.to_owned(), Rc::clone(&left), Rc::clone(&times));
        core.spawn("worker", async move {
            let mut successes = 0;
            while let Some(rest) = left.get().checked_sub(1) {
                left.set(rest);
                let asked = Instant::now();
                let answer = async { client.get(&url).send().await?.error_for_status()?.bytes().await };
                successes += usize::from(answer.await.is_ok());
                times.borrow_mut().push(asked.elapsed().as_secs_f64() * 1e3);
            }
            successes
        })
    });
    let mut successes = 0;
    for worker in workers.collect::<Vec<_>>() {
        successes += worker.await.map_err(Error::internal)?;
    }
    let total = started.elapsed().as_secs_f64() * 1e3;
    client.close().await;
    let mut times = times.take();
    times.sort_by(f64::total_cmp);
    let percentile = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    Ok(Row { concurrency, total, mean, p50: percentile(50), p99: percentile(99), successes })
}

/// Bars for mean, p50 and p99, as high as the highest of them allows.
fn chart(url: &str, rows: &[Row]) -> String {
    let highest = rows.iter().map(|row| row.p99.max(row.mean)).fold(f64::MIN_POSITIVE, f64::max);
    let title = url.replace('&', "&amp;").replace('<', "&lt;");
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"360\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"640\" height=\"360\" fill=\"white\"/>\n<text x=\"20\" y=\"24\" font-size=\"14\">{title}</text>\n"
    );
    for (index, row) in rows.iter().enumerate() {
        let left = 30 + index * 150;
        for (bar, (name, value, colour)) in
            [("mean", row.mean, "#4878a8"), ("p50", row.p50, "#68a868"), ("p99", row.p99, "#c86850")]
                .iter()
                .enumerate()
        {
            let (x, height) = (left + bar * 42, value / highest * 250.0);
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{:.1}\" width=\"36\" height=\"{height:.1}\" fill=\"{colour}\"/>\
                 <text x=\"{x}\" y=\"{:.1}\">{value:.2}</text><text x=\"{x}\" y=\"325\">{name}</text>",
                310.0 - height,
                305.0 - height
            );
        }
        let _ = writeln!(svg, "<text x=\"{left}\" y=\"346\">{} at a time, ms</text>", row.concurrency);
    }
    svg + "</svg>\n"
}

fn main() -> Result<()> {
    let (mut url, mut requests) = ("http://127.0.0.1:8081/world".to_owned(), "10000".to_owned());
    let mut svg = "sweep.svg".to_owned();
    let own = &mut [("--url", &mut url), ("--requests", &mut requests), ("--svg", &mut svg)];
    let options = common::Options::only(&["--driver"], own);
    let requests = requests.parse::<usize>().map_err(Error::internal)?.max(1);
    ringhttp::run(options.runtime, async |core| {
        println!(
            "{requests} times {url}\n{:>11} {:>10} {:>9} {:>9} {:>9} {:>9}",
            "concurrency", "total ms", "mean ms", "p50 ms", "p99 ms", "success"
        );
        let mut rows = Vec::new();
        for concurrency in CONCURRENCIES {
            let row = measure(&core, &url, requests, concurrency).await?;
            let Row { total, mean, p50, p99, successes, .. } = row;
            println!("{concurrency:>11} {total:>10.1} {mean:>9.3} {p50:>9.3} {p99:>9.3} {successes:>9}");
            rows.push(row);
        }
        fs::write(&svg, chart(&url, &rows))?;
        println!("chart    {svg}");
        Ok(())
    })
}
