//! A server that answers like httpbin: it shows clients what they sent, and sends them what they are to be tested with.
//!
//! `cargo run --example httpbin --features brotli`; `/` lists what there is. Where its answers differ from the original's, and
//! why, stands in `tests/httpbin/differences.toml`; `tests/httpbin/compare.py` compares the two.

mod args;
mod auth;
mod caching;
#[path = "../common/mod.rs"]
mod common;
mod cookies;
mod data;
mod digest;
mod formats;
mod inspect;
mod random;
mod redirects;
mod status;

use std::rc::Rc;

use ringhttp::middleware::{self, CorsConfig, CorsHeaders, Origins};
use ringhttp::{
    HeaderMap, HeaderValue, Html, IntoResponse, Method, Request, Response, Result, Router, Server,
    ServerConfig, header,
};

/// What the handlers of one core share.
struct Httpbin {
    /// The page at `/`.
    index: String,
    random: random::Random,
}

/// Every method that httpbin answers where it answers all.
const METHODS: [Method; 6] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::TRACE];

/// Adds a handler for all of [`METHODS`].
fn on_all_methods<R>(
    router: Router<Httpbin>,
    path: &str,
    handler: impl AsyncFn(&Httpbin, Request) -> R + Copy + 'static,
) -> Router<Httpbin>
where
    R: IntoResponse + 'static,
{
    METHODS.into_iter().fold(router, |router, method| router.route(method, path, handler))
}

/// JSON as people like to read it, ended by a line end.
fn json(value: &serde_json::Value) -> Response {
    let text = format!("{value:#}\n");
    Response::text(text).with_header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
}

async fn index(state: &Httpbin, _: Request) -> Html<String> {
    Html(state.index.clone())
}

/// The page at `/`: the routes, and the methods of each.
fn index_page(router: &Router<Httpbin>) -> String {
    let mut page =
        "<!DOCTYPE html>\n<title>httpbin</title>\n<h1>httpbin, by ringhttp</h1>\n<ul>\n".to_owned();
    let mut last = String::new();
    for route in router.routes() {
        let method = route.method.as_ref().map_or("*", Method::as_str);
        if route.path == last {
            page += &format!(" {method}");
        } else {
            page += &format!("\n<li><code>{}</code> {method}", route.path);
        }
        last = route.path;
    }
    page + "\n</ul>\n"
}

fn router() -> Result<Router<Httpbin>> {
    let mut config = CorsConfig::default();
    config.origins = Origins::Where(Rc::new(|_| true));
    config.methods = METHODS.to_vec();
    config.headers = CorsHeaders::Any;
    config.credentials = true;
    // Also those who do not say where they come from are told that all may read.
    let mut open = HeaderMap::new();
    open.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    open.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));

    let router = Router::new().get("/", index);
    let router = data::add(formats::add(caching::add(inspect::add(router))));
    let router = auth::add(cookies::add(redirects::add(status::add(router))));
    Ok(router.with(middleware::default_headers(open)).with(middleware::cors(config)?))
}

fn main() -> Result<()> {
    let options = common::Options::from_args();
    ringhttp::run(options.runtime.clone(), async |core| {
        let mut config = ServerConfig::default();
        // A proxy on the same machine may say for whom it asks.
        config.trusted_proxies = ["127.0.0.1", "::1"].iter().flat_map(|address| address.parse()).collect();
        let router = router()?;
        let state = Httpbin { index: index_page(&router), random: random::Random::default() };
        let server = Server::bind(&options.address, config)?;
        common::announce(&core, &server, "curl URL/get?name=value");
        server.serve(&core, router, state).await
    })
}
