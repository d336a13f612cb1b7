//! hyper 1 over tokio-rustls on a current-thread tokio, with the certificate of `--cert` and `--key`.

use std::io;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ringhttp_peers::hyper_answers::answer;
use ringhttp_peers::{Options, listen, tls};
use tokio_rustls::TlsAcceptor;

fn main() -> io::Result<()> {
    let options = Options::start();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(&options))
}

async fn serve(options: &Options) -> io::Result<()> {
    let (Some(cert), Some(key)) = (&options.cert, &options.key) else {
        return Err(io::Error::other("--cert and --key are missing"));
    };
    let acceptor = TlsAcceptor::from(tls::server_config(cert, key)?);
    let listener = tokio::net::TcpListener::from_std(listen(options.port)?)?;
    loop {
        let (socket, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A client that breaks off is no event for a bench.
            if let Ok(secured) = acceptor.accept(socket).await {
                let http = http1::Builder::new();
                drop(http.serve_connection(TokioIo::new(secured), service_fn(answer)).await);
            }
        });
    }
}
