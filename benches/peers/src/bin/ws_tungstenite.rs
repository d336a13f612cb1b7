//! tokio-tungstenite on a current-thread tokio: an echo, and at `/broadcast` the loop over channels of its own example of a chat.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use ringhttp_peers::{Options, listen};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Everybody that is at `/broadcast`.
type Peers = Rc<RefCell<Vec<UnboundedSender<Message>>>>;

fn main() -> io::Result<()> {
    let options = Options::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(&options))
}

async fn serve(options: &Options) -> io::Result<()> {
    let listener = TcpListener::from_std(listen(options.port)?)?;
    let peers = Peers::default();
    loop {
        let (socket, _) = listener.accept().await?;
        let peers = Rc::clone(&peers);
        // A client that breaks off is no event for a bench.
        spawn_local(async move { drop(session(socket, peers).await) });
    }
}

async fn session(socket: TcpStream, peers: Peers) -> Result<(), Error> {
    let is_broadcast = Cell::new(false);
    #[expect(clippy::result_large_err, reason = "the type is the library's")]
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        is_broadcast.set(request.uri().path() == "/broadcast");
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(socket, look).await?;
    if !is_broadcast.get() {
        return echo(socket).await;
    }
    let (sender, receiver) = unbounded_channel();
    peers.borrow_mut().push(sender);
    let (sink, stream) = socket.split();
    spawn_local(async move { drop(tell(sink, receiver).await) });
    say_to_all(stream, &peers).await
}

async fn echo(mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn say_to_all(mut stream: SplitStream<WebSocketStream<TcpStream>>, peers: &Peers) -> Result<(), Error> {
    while let Some(message) = stream.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            for peer in peers.borrow().iter() {
                // Who has gone gets nothing.
                let _ = peer.send(message.clone());
            }
        }
    }
    Ok(())
}

async fn tell(
    mut sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    mut messages: UnboundedReceiver<Message>,
) -> Result<(), Error> {
    while let Some(message) = messages.recv().await {
        sink.send(message).await?;
    }
    Ok(())
}
