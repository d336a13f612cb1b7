//! A chat: rooms, and how many are in them, across all cores. Open the page in two browsers; each may end up on another core.
//!
//! `cargo run --release --example chat`, then open `http://127.0.0.1:8080/`.

mod common;

use std::sync::Arc;
use std::time::Duration;

use ringhttp::websocket::{Accepts, Closed, Hub, HubConfig, HubEvent, Message, SlowReader};
use ringhttp::{Error, Html, Request, Result, Router, Server, ServerConfig, WebSocketConfig};
use serde::{Deserialize, Serialize};

/// What the page says.
#[derive(Deserialize)]
struct Said {
    text: String,
}

/// What the page is told.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Told<'a> {
    Said { id: u64, name: &'a str, text: &'a str },
    Joined { id: u64, name: &'a str, count: usize },
    Left { id: u64, name: &'a str, count: usize },
    Here { names: Vec<&'a str>, count: usize },
}

#[derive(Deserialize)]
struct Place {
    room: String,
    name: String,
}

/// Names that a newcomer is told; the others are only counted.
const NAMES_MAX: usize = 100;

async fn page(_: &Hub, _: Request) -> Html<&'static str> {
    Html(include_str!("chat.html"))
}

async fn chat(hub: &Hub, req: Request) -> Result<Closed> {
    let place: Place = req.query()?;
    if place.room.is_empty() || place.name.is_empty() {
        return Err(Error::bad_request("a room and a name are needed"));
    }
    let mut config = WebSocketConfig::default();
    config.accepts = Accepts::Text;
    config.message_bytes_max = 4 * 1024;
    config.heartbeat = Some(Duration::from_secs(30));
    config.slow_reader = SlowReader::DropOldest;
    let mut socket = req.websocket(config).await?;

    let member = hub.join(&place.room, &place.name, &socket)?; // leaves when it is dropped
    let others = hub.members(&place.room, NAMES_MAX).await?;
    let names = others.iter().map(|other| &*other.name).collect();
    socket.send_json(&Told::Here { names, count: member.count() }).await?;
    while let Some(said) = socket.receive_json::<Said>().await? {
        let told = Told::Said { id: member.member().id, name: &place.name, text: &said.text };
        member.say(Message::json(&told)?)?;
    }
    Ok(socket.close().await?)
}

/// The others in the room are told who comes and goes.
fn announce(hub: &Hub, event: &HubEvent<'_>) {
    let (id, name, count) = (event.member.id, &*event.member.name, event.count);
    let told =
        if event.is_joined { Told::Joined { id, name, count } } else { Told::Left { id, name, count } };
    if let Ok(message) = Message::json(&told) {
        // A core that has too much to do leaves it out.
        let _ = hub.say(event.room, message);
    }
}

fn main() -> Result<()> {
    let options = common::Options::from_args();
    let mut config = HubConfig::default();
    config.on_event = Some(Arc::new(announce));
    let hub = Hub::new(config);
    ringhttp::run(options.runtime.clone(), async |core| {
        let routes = Router::new().get("/", page).get("/chat", chat);
        let server = Server::bind(&options.address, ServerConfig::default())?;
        common::announce(
            &core,
            &server,
            "URL/?room=lobby&name=ada in one browser, and another name in another",
        );
        server.serve(&core, routes, hub.clone()).await
    })
}
