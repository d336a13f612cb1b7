//! Clients that want more than they are meant to get: answers for others, other routes, more memory or time of the core
//! than its limits say. Over real sockets on both drivers.

use ringhttp::middleware::{self, CorsConfig, Origins, ResponseCacheConfig};
use ringhttp::testing::{self, TestClient};
use ringhttp::{Core, Router, ServerConfig};

use crate::common::ask;

fn with(routes: impl Fn() -> Router<()> + Send + Sync, body: impl AsyncFn(TestClient) + Send + Sync) {
    testing::each_driver(async |core: Core| {
        testing::serve_on(&core, ServerConfig::default(), routes(), (), &body).await;
    });
}

/// Else a cache in between keeps the answer without the field, whoever has fetched it first, and no page may read it.
#[test]
fn an_answer_for_all_origins_says_so_to_those_without_one() {
    let routes = || {
        let mut config = CorsConfig::default();
        config.origins = Origins::Any;
        Router::new()
            .get("/", async |_: &(), _| "for all")
            .with(middleware::cache(ResponseCacheConfig::default()))
            .with(middleware::cors(config).expect("a good configuration"))
    };
    with(routes, async |client| {
        for fields in [&[][..], &[("origin", "https://a.example")]] {
            let answer = ask(&client, "GET", "/", fields).await;
            assert_eq!(answer.text(), "for all");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{fields:?}");
        }
    });
}
