//! tokio-tungstenite on a current-thread tokio.

use std::io;

use futures_util::{SinkExt as _, StreamExt as _};
use ringhttp_peers::{Options, listen};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Error;

fn main() -> io::Result<()> {
    let options = Options::start();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(&options))
}

async fn serve(options: &Options) -> io::Result<()> {
    let listener = TcpListener::from_std(listen(options.port)?)?;
    loop {
        let (socket, _) = listener.accept().await?;
        // A client that breaks off is no event for a bench.
        tokio::spawn(async move { drop(echo(socket).await) });
    }
}

async fn echo(socket: TcpStream) -> Result<(), Error> {
    let mut socket = tokio_tungstenite::accept_async(socket).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
