//! A batch against a service that asks for a JSON Web Token: so many requests at a time, a new token when one runs out, further
//! tries when the service is busy; a bar while it runs, a table at the end. The service is in the same process.
//!
//! `cargo run --release --example batch --features jwt -- --requests 1000 --concurrency 50`.
#![expect(clippy::print_stdout, reason = "an example talks to the person who started it")]

#[expect(dead_code, reason = "this example has options of its own")]
mod common;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io::{Write, stdout};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringhttp::client::{Response, RetryConfig, middleware};
use ringhttp::middleware::{JwtConfig, JwtKey, jwt_auth};
use ringhttp::{
    Client, ClientConfig, Core, Error, Request, Result, Router, Server, ServerConfig, StatusCode, time,
};

/// Seconds that a token is good for.
const TOKEN_SECONDS: u64 = 1;

#[derive(serde::Serialize, serde::Deserialize)]
struct Claims {
    exp: u64,
}

struct Service {
    key: JwtKey,
    refused: RefCell<HashSet<u32>>,
}

impl Service {
    async fn token(&self, _: Request) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Error::internal)?;
        self.key.sign(&Claims { exp: now.as_secs() + TOKEN_SECONDS })
    }

    /// Takes 50 ms; one in twenty is refused at first.
    async fn item(&self, req: Request) -> Result<String> {
        let id = req.param::<u32>("id")?;
        time::sleep(Duration::from_millis(50)).await;
        if id % 20 == 7 && self.refused.borrow_mut().insert(id) {
            return Err(StatusCode::SERVICE_UNAVAILABLE.into());
        }
        Ok(format!("item {id}\n"))
    }
}

fn routes(key: &JwtKey) -> Result<Router<Service>> {
    let mut config = JwtConfig::default();
    config.keys = vec![key.clone()];
    config.leeway = Duration::ZERO;
    let items = Router::new().get("/{id:uint}", Service::item).with(jwt_auth::<_, Claims>(config)?);
    Ok(Router::new().post("/token", Service::token).nest("/items", items))
}

/// A client that gets itself a token when it has none, or one that is not taken any more; and how many it got.
fn client(core: &Core, url: &str) -> Result<(Client, Rc<Cell<u32>>)> {
    let mut config = ClientConfig::default();
    config.timeout = Some(Duration::from_secs(30));
    config.retry = Some(RetryConfig::default());
    let client = Client::new(core, config)?;
    let (plain, tokens, token_url) = (client.clone(), Rc::new(Cell::new(0)), format!("{url}/token"));
    let count = Rc::clone(&tokens);
    let fetch = async move || {
        count.set(count.get() + 1);
        plain.post(&token_url).send().await?.error_for_status()?.text().await
    };
    Ok((client.with(middleware::bearer_token(url, fetch)?), tokens))
}

fn draw(done: usize, requests: usize) -> Result<()> {
    let filled = done * 40 / requests;
    print!("\r[{}{}] {done} of {requests}", "#".repeat(filled), " ".repeat(40 - filled));
    Ok(stdout().flush()?)
}

async fn run(core: &Core, url: &str, requests: usize, concurrency: usize) -> Result<()> {
    let (client, tokens) = client(core, url)?;
    let started = Instant::now();
    let items = (0..requests).map(|id| client.get(format!("{url}/items/{id}")));
    let read = async |answer: Response| {
        let tries = answer.attempts();
        answer.error_for_status()?.bytes().await.map(|_| tries)
    };
    let mut batch = client.batch(items).concurrency(concurrency).then(read);
    let (mut done, mut at_once, mut retried, mut failures) = (0, 0, 0, Vec::new());
    while let Some((number, result)) = batch.next().await {
        match result {
            Ok(1) => at_once += 1,
            Ok(_) => retried += 1,
            Err(error) => failures.push(format!("{number}: {error}")),
        }
        done += 1;
        draw(done, requests)?;
    }
    println!("\n{:<16}{at_once:>8}\n{:<16}{retried:>8}", "at once", "tried again");
    println!("{:<16}{:>8}\n{:<16}{:>8}", "failed", failures.len(), "tokens", tokens.get());
    println!("{:<16}{:>8.2}", "seconds", started.elapsed().as_secs_f64());
    failures.iter().take(10).for_each(|failure| println!("{failure}"));
    client.close().await;
    if failures.is_empty() { Ok(()) } else { Err(Error::internal("not all have succeeded")) }
}

fn main() -> Result<()> {
    let (mut requests, mut concurrency) = ("500".to_owned(), "10".to_owned());
    let own = &mut [("--requests", &mut requests), ("--concurrency", &mut concurrency)];
    let options = common::Options::only(&["--port", "--driver"], own);
    let requests = requests.parse::<usize>().map_err(Error::internal)?;
    let concurrency = concurrency.parse::<usize>().map_err(Error::internal)?;
    ringhttp::run(options.runtime, async |core| {
        let key = JwtKey::hs256(b"the example's, which is no secret")?;
        let (routes, state) = (routes(&key)?, Service { key, refused: RefCell::default() });
        let server = Server::bind(&options.address, ServerConfig::default())?;
        let url = format!("http://{}", server.local_addrs()[0]);
        println!("{}\nservice  {url}, until the batch is done", core.report());
        let serving = core.clone();
        let service = core.spawn("service", async move { server.serve(&serving, routes, state).await });
        let result = run(&core, &url, requests, concurrency).await;
        service.cancel();
        result
    })
}
