//! fastwebsockets behind hyper, on a current-thread tokio: the echo server of its own examples.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ringhttp_peers::{Options, listen};

fn main() -> io::Result<()> {
    let options = Options::start();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(&options))
}

async fn serve(options: &Options) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listen(options.port)?)?;
    loop {
        let (socket, _) = listener.accept().await?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer));
        // A client that breaks off is no event for a bench.
        tokio::spawn(async move { drop(connection.with_upgrades().await) });
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let Ok((response, upgrade)) = upgrade::upgrade(&mut request) else {
        let mut refusal = Response::new(Empty::new());
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refusal);
    };
    tokio::spawn(async move { drop(tokio::task::unconstrained(echo(upgrade)).await) });
    Ok(response)
}

async fn echo(upgrade: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgrade.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}
