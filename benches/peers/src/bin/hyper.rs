//! hyper 1 on a current-thread tokio. `--pipeline-flush on` sends the answers of a pipelined batch in one write.

use std::io;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ringhttp_peers::hyper_answers::answer;
use ringhttp_peers::{Options, listen};

fn main() -> io::Result<()> {
    let options = Options::start();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(&options))
}

async fn serve(options: &Options) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listen(options.port)?)?;
    let mut http = http1::Builder::new();
    http.pipeline_flush(options.pipeline_flush.unwrap_or(false));
    loop {
        let (socket, _) = listener.accept().await?;
        let connection = http.serve_connection(TokioIo::new(socket), service_fn(answer));
        // A client that breaks off is no event for a bench.
        tokio::spawn(async move { drop(connection.await) });
    }
}
