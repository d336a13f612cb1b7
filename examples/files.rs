//! A file server: a directory with its index pages and listings, and a handler that answers with one file of it.
//!
//! `cargo run --release --example files -- --directory docs`, then `curl http://127.0.0.1:8080/guide/quickstart.md`.
//! `/-/first-page` is the `index.html` of the directory, if it has one, as a download.

#[expect(dead_code, reason = "this example has an option of its own")]
mod common;

use std::path::PathBuf;

use ringhttp::{
    FileRule, Files, FilesConfig, HeaderValue, Request, Response, Result, Router, Server, ServerConfig,
};

/// What a core needs to know.
struct Site {
    directory: PathBuf,
}

impl Site {
    /// One file of the program's own choosing, as a download.
    async fn first_page(&self, req: Request) -> Result {
        let response = Response::file(&req, self.directory.join("index.html")).await?;
        Ok(response.with_attachment("first page.html"))
    }
}

fn routes(directory: &PathBuf) -> Router<Site> {
    let mut config = FilesConfig::default();
    config.listing = true;
    config.cache_control = vec![FileRule::all(HeaderValue::from_static("no-cache"))];
    Router::new().get("/-/first-page", Site::first_page).files("/", Files::with_config(directory, config))
}

fn main() -> Result<()> {
    let mut directory = ".".to_owned();
    let options = common::Options::from_args_and(&mut [("--directory", &mut directory)]);
    ringhttp::run(options.runtime.clone(), async |core| {
        let site = Site { directory: PathBuf::from(&directory) };
        let server = Server::bind(&options.address, ServerConfig::default())?;
        common::announce(&core, &server, "curl URL/");
        server.serve(&core, routes(&site.directory), site).await
    })
}
