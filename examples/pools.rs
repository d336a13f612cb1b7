//! Three clients of one service, each with a pool of its own, so that a batch cannot take the connections of what is urgent.
//!
//! `cargo run --release --example hello -- --port 8081`, and beside it `cargo run --release --example pools`, then
//! `curl http://127.0.0.1:8080/batch/1000`, and meanwhile `curl http://127.0.0.1:8080/high/1` and `curl http://127.0.0.1:8080/pools`.

#[expect(dead_code, reason = "this example has an option of its own")]
mod common;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ringhttp::{Client, ClientConfig, Core, Request, Result, Router, Server, ServerConfig, StatusCode, time};

/// A pool: its name, connections in all, connections to one server, seconds that a request may take.
const POOLS: [(&str, usize, usize, u64); 3] =
    [("high", 20, 2, 10), ("normal", 100, 5, 30), ("batch", 500, 20, 60)];

/// Requests that one call asks for, at most.
const COUNT_MAX: usize = 10_000;

/// What to type when it runs.
const TRY: &str = "first: cargo run --release --example hello -- --port 8081
curl URL/batch/1000; curl URL/high/1; curl URL/pools";

struct Service {
    core: Core,
    upstream: String,
    clients: [Client; 3],
}

impl Service {
    /// Asks so often as the path says, as many at a time as the pool of the path allows.
    async fn ask(&self, req: Request) -> Result<String> {
        let (name, count) = (req.param_str("pool")?, req.param::<usize>("count")?.min(COUNT_MAX));
        let place = POOLS.iter().position(|pool| pool.0 == name).ok_or(StatusCode::NOT_FOUND)?;
        let started = Instant::now();
        let asking = (0..count).map(|number| {
            let asked = self.clients[place].get(format!("{}/{name}-{number}", self.upstream));
            self.core.spawn("ask", async move { asked.send().await?.error_for_status()?.bytes().await })
        });
        let mut answers = 0;
        for answer in asking.collect::<Vec<_>>() {
            answers += usize::from(answer.await.is_ok_and(|answer| answer.is_ok()));
        }
        Ok(format!("{answers} of {count} in {:.1} ms\n", started.elapsed().as_secs_f64() * 1e3))
    }

    async fn pools(&self, _: Request) -> Result<String> {
        let mut text = format!("of core {}:\n", self.core.id());
        for (client, (name, ..)) in self.clients.iter().zip(POOLS) {
            writeln!(text, "{name:8}{}", client.stats()).expect("a string takes all");
        }
        Ok(text)
    }
}

fn client(core: &Core, (_, limit, limit_per_host, seconds): (&str, usize, usize, u64)) -> Result<Client> {
    let mut config = ClientConfig::default();
    config.limit = limit;
    config.limit_per_host = limit_per_host;
    config.timeout = Some(Duration::from_secs(seconds));
    Ok(Client::new(core, config)?)
}

fn main() -> Result<()> {
    let mut upstream = "http://127.0.0.1:8081".to_owned();
    let options = common::Options::from_args_and(&mut [("--upstream", &mut upstream)]);
    ringhttp::run(options.runtime.clone(), async |core| {
        let [high, normal, batch] = POOLS.map(|pool| client(&core, pool));
        let clients = [high?, normal?, batch?];
        let service = Service { core: core.clone(), upstream: upstream.clone(), clients: clients.clone() };
        let routes = Router::new().get("/{pool}/{count}", Service::ask).get("/pools", Service::pools);
        let server = Server::bind(&options.address, ServerConfig::default())?;
        common::announce(&core, &server, TRY);
        server.serve(&core, routes, service).await?;
        for client in &clients {
            let _ = time::timeout(Duration::from_secs(1), client.close()).await;
        }
        Ok(())
    })
}
