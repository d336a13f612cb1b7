//! Server-sent events: a page that shows a clock and a counter. A browser that lost its connection comes back by itself and
//! says what it saw last, so the counter goes on where it was, even with another server.
//!
//! `cargo run --release --example sse`, then open `http://127.0.0.1:8080/`, or `curl -N http://127.0.0.1:8080/events`.

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringhttp::sse::{self, Event, Sse};
use ringhttp::{Html, Request, Result, Router, Server, ServerConfig, time};

/// How often something happens.
const TICK: Duration = Duration::from_millis(500);

/// How long a browser waits until it comes back.
const RECONNECT_AFTER: Duration = Duration::from_millis(300);

async fn page(_: &(), _: Request) -> Html<&'static str> {
    Html(include_str!("sse.html"))
}

async fn events(_: &(), req: Request) -> Sse {
    // It is the client's word: anything else than a number of ours begins anew.
    let seen: u32 = req.last_event_id().and_then(|id| id.parse().ok()).unwrap_or(0);
    sse::stream(async move |mut events| {
        events.send(Event::reconnect_after(RECONNECT_AFTER)).await?;
        for count in u64::from(seen) + 1.. {
            events.send(Event::data(unix_seconds().to_string()).event("clock")).await?;
            // The id comes with what it stands for: what is before it has been seen.
            events.send(Event::data(count.to_string()).event("count").id(count.to_string())).await?;
            time::sleep(TICK).await;
        }
        Ok(())
    })
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn main() -> Result<()> {
    let options = common::Options::from_args();
    ringhttp::run(options.runtime.clone(), async |core| {
        let routes = Router::new().get("/", page).get("/events", events);
        let server = Server::bind(&options.address, ServerConfig::default())?;
        common::announce(&core, &server, "curl -N -H 'Last-Event-ID: 41' URL/events");
        server.serve(&core, routes, ()).await
    })
}
