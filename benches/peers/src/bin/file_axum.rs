//! Files by axum and tower-http's `ServeDir`, on a current-thread tokio.

use std::io;

use axum::Router;
use ringhttp_peers::{Options, listen};
use tower_http::services::ServeDir;

fn main() -> io::Result<()> {
    let options = Options::start();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(&options))
}

async fn serve(options: &Options) -> io::Result<()> {
    let directory = options.directory.as_ref().ok_or(io::Error::other("--directory is missing"))?;
    let routes = Router::new().fallback_service(ServeDir::new(directory));
    axum::serve(tokio::net::TcpListener::from_std(listen(options.port)?)?, routes).await
}
