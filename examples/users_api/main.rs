//! A service with all that belongs to one: validated input, a cache, a limit per client, an access log, health, metrics.
//!
//! `cargo run --release --example users_api`. `users.rs` is what it is about, `metrics.rs` what is counted.

#[path = "../common/mod.rs"]
mod common;
mod metrics;
mod users;

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use ringhttp::cache::{Cache, CacheConfig};
use ringhttp::middleware::{self, Health, RateLimit};
use ringhttp::{AccessLog, Core, Result, Router, Server, ServerConfig, StatusCode};

use self::metrics::Metrics;
use self::users::{Database, User};

/// What one core has.
struct Api {
    core: Core,
    /// Shared by all cores.
    database: Arc<Database>,
    cache: Cache<u64, User, StatusCode>,
    metrics: Metrics,
}

thread_local! {
    /// The one of this core, for messages from others.
    static HERE: RefCell<Weak<Api>> = const { RefCell::new(Weak::new()) };
}

fn here() -> Option<Rc<Api>> {
    HERE.with_borrow(Weak::upgrade)
}

fn routes() -> Result<Router<Rc<Api>>> {
    let limit = RateLimit::new("users", 50, Duration::from_secs(60));
    let users = Router::new()
        .get("/", users::list)
        .post("/", users::create)
        .get("/{id:uint}", users::show)
        .delete("/{id:uint}", users::remove)
        .with(middleware::rate_limit(limit)?);
    Ok(Router::new()
        .nest("/users", users)
        .nest("/", Health::new().check("database", Duration::from_secs(1), users::check).routes())
        .get("/metrics", metrics::show)
        .with(middleware::request_id(Default::default()))
        .with(middleware::timing(|api: &Rc<Api>, timing| api.metrics.count(timing))))
}

fn main() -> Result<()> {
    let options = common::Options::from_args();
    let mut config = ServerConfig::default();
    let log = AccessLog::new(r#"%t %a "%r" %s %b %D %{x-request-id}o"#)?;
    config.access_log = Some(log.to_writer(std::io::stdout()));
    let database = Arc::new(Database::default());

    ringhttp::run(options.runtime.clone(), async |core| {
        let server = Server::bind(&options.address, config.clone())?;
        let api = Rc::new(Api {
            core: core.clone(),
            database: Arc::clone(&database),
            cache: Cache::new(core.timers(), CacheConfig::default()),
            metrics: Metrics::of(&server),
        });
        HERE.set(Rc::downgrade(&api));
        let json =
            r#"-H content-type:application/json -d '{"name":"Ada","email":"ada@example.org","age":36}'"#;
        let ask = format!("curl {json} URL/users; curl URL/users/1; curl URL/metrics");
        common::announce(&core, &server, &ask);
        server.serve(&core, routes()?, api).await
    })
}
