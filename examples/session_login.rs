//! Signing in and out: a session in a store that all cores share, known by its cookie, safe from pages of other sites.
//!
//! `cargo run --release --example session_login --features sessions`, then, as one line
//! `curl -c jar -H content-type:application/json -d '{"user":"ada","password":"open sesame"}' http://127.0.0.1:8080/login`
//! and `curl -b jar http://127.0.0.1:8080/who`.

mod common;

use ringhttp::middleware::{self, CsrfConfig, same_secret};
use ringhttp::session::{MemoryConfig, SessionConfig, SpreadStore};
use ringhttp::{Error, Request, Result, Router, Server, ServerConfig, StatusCode};

#[derive(serde::Deserialize)]
struct Login {
    user: String,
    password: String,
}

async fn login(_: &(), mut req: Request) -> Result<String> {
    let login: Login = req.json().await?;
    // A real one compares a hash that is slow to make, on another thread: `core.spawn_blocking`.
    if !same_secret(&login.password, "open sesame") {
        return Err(Error::new(StatusCode::FORBIDDEN).with_text("wrong name or password"));
    }
    let session = req.session()?;
    // Whoever knew the id of before does not know this one.
    session.renew();
    session.insert("user", &login.user)?;
    Ok(format!("hello {}\n", login.user))
}

async fn who(_: &(), req: Request) -> Result<String> {
    let user: Option<String> = req.session()?.get("user")?;
    Ok(format!("{}\n", user.ok_or(StatusCode::UNAUTHORIZED)?))
}

async fn logout(_: &(), req: Request) -> Result<&'static str> {
    req.session()?.clear();
    Ok("bye\n")
}

fn main() -> Result<()> {
    let options = common::Options::from_args();
    let store = SpreadStore::new(MemoryConfig::default());
    ringhttp::run(options.runtime.clone(), async |core| {
        // The default wants TLS, as a service in the open does.
        let sessions = middleware::stored_sessions(store.clone(), SessionConfig::insecure())?;
        let routes = Router::new().post("/login", login).get("/who", who).post("/logout", logout);
        let routes = routes.with(middleware::csrf(CsrfConfig::default())?).with(sessions);
        let server = Server::bind(&options.address, ServerConfig::default())?;
        let json = r#"-H content-type:application/json -d '{"user":"ada","password":"open sesame"}'"#;
        common::announce(&core, &server, &format!("curl -c jar {json} URL/login; curl -b jar URL/who"));
        server.serve(&core, routes, ()).await
    })
}
