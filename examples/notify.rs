//! Notifications: whoever is signed in as a user gets what is posted for that user, on every device and on whichever core it is.
//!
//! `cargo run --release --example notify`, then `websocat ws://127.0.0.1:8080/users/ada/notifications` in some terminals, and
//! `curl -d 'lunch is ready' http://127.0.0.1:8080/users/ada`.

mod common;

use std::time::Duration;

use ringhttp::websocket::{Closed, Hub, SlowReader};
use ringhttp::{Request, Result, Router, Server, ServerConfig, StatusCode, WebSocketConfig};

/// The room of a user is the user. (A real service would look at who asks: a session, a token.)
async fn notifications(hub: &Hub, req: Request) -> Result<Closed> {
    let user: String = req.param("user")?;
    let mut config = WebSocketConfig::default();
    config.heartbeat = Some(Duration::from_secs(30));
    config.slow_reader = SlowReader::Close;
    config.message_bytes_max = 1024;
    let mut socket = req.websocket(config).await?;
    let _device = hub.join(&user, "device", &socket)?;
    // Devices have nothing to say: this waits for the end.
    while socket.receive().await?.is_some() {}
    Ok(socket.close().await?)
}

async fn notify(hub: &Hub, mut req: Request) -> Result<(StatusCode, String)> {
    let user: String = req.param("user")?;
    let text = req.text().await?;
    hub.say(&user, text)?;
    Ok((StatusCode::ACCEPTED, format!("for {} devices\n", hub.count(&user))))
}

fn main() -> Result<()> {
    let options = common::Options::from_args();
    let hub = Hub::default();
    ringhttp::run(options.runtime.clone(), async |core| {
        let routes =
            Router::new().get("/users/{user}/notifications", notifications).post("/users/{user}", notify);
        let server = Server::bind(&options.address, ServerConfig::default())?;
        let wait = "first: websocat ws://ADDRESS/users/ada/notifications";
        common::announce(&core, &server, &format!("{wait}\ncurl -d 'lunch is ready' URL/users/ada"));
        server.serve(&core, routes, hub.clone()).await
    })
}
