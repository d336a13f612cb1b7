//! Files by actix-files, with one worker.

use std::io;
use std::time::Duration;

use actix_files::Files;
use actix_web::{App, HttpServer};
use ringhttp_peers::{Options, listen};

fn main() -> io::Result<()> {
    let options = Options::start();
    actix_web::rt::System::new().block_on(serve(options))
}

async fn serve(options: Options) -> io::Result<()> {
    let directory = options.directory.ok_or(io::Error::other("--directory is missing"))?;
    HttpServer::new(move || App::new().service(Files::new("/", &directory)))
        .workers(1)
        .keep_alive(Duration::from_secs(75))
        .listen(listen(options.port)?)?
        .run()
        .await
}
