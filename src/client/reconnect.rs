//! A WebSocket that is opened again when it is lost.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use ringhttp_runtime::time::{Deadline, Instant};
use ringhttp_runtime::{Core, random};

use super::error::{Error, ErrorKind, Result};
use super::retry::part_of;
use super::session::Client;
use super::websocket::WebSocketRequest;
use crate::conn::websocket::{Message, WebSocketError};
use crate::proto::websocket::CloseCode;
use crate::websocket::{Sender, WebSocket};

/// How a lost WebSocket is opened again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReconnectConfig {
    /// Tries in a row, behind the first, that may fail. Default 5. Then: `receive` gives the error of the last. They are counted
    /// anew once a message came, or the socket was open for `delay_max`.
    pub tries_max: u32,
    /// The time before the first try is random, up to this; before each further one up to twice as long. Default 1 s.
    pub delay: Duration,
    /// What that grows to at the most. Default 30 s.
    pub delay_max: Duration,
    /// Whether a server is asked again that refuses the handshake with a 4xx. Default: no, `receive` gives the error at once, since
    /// what was wrong with this request mostly is wrong with the next one. After 408, 425 and 429, which only ask for patience, it is
    /// asked again in any case.
    pub retry_refusals: bool,
    /// The heartbeat of sockets whose `WebSocketConfig` has none: how a server is noticed that is gone without a word. Default
    /// 30 s.
    pub heartbeat: Option<Duration>,
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self {
            tries_max: 5,
            delay: Duration::from_secs(1),
            delay_max: Duration::from_secs(30),
            retry_refusals: false,
            heartbeat: Some(Duration::from_secs(30)),
        }
    }
}

impl ReconnectConfig {
    /// Up to how long to wait before a try, counted from 1.
    fn delay_before(&self, number: u32) -> Duration {
        let factor = 2_u32.saturating_pow(number - 1);
        self.delay.saturating_mul(factor).min(self.delay_max)
    }
}

/// What happens to a [`ReconnectingWebSocket`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ReconnectEvent {
    /// It is open, and what `on_connect` does is done.
    Connected,
    /// It was open, and is no more.
    Lost {
        /// Why, as [`WebSocket::close_code`] says it.
        code: CloseCode,
        /// What was wrong, if something was.
        error: Option<WebSocketError>,
    },
    /// It will be opened again.
    Retrying {
        /// Which try it is, from 1.
        number: u32,
        /// When it begins.
        after: Duration,
        /// Why the last try failed; `None` behind `Lost`.
        error: Option<Error>,
    },
    /// A message.
    Message(Message),
}

/// A WebSocket that is opened again when it is lost: see [`Client::reconnecting_websocket`].
///
/// While it is open, the task of its socket answers Pings. It is opened by whoever calls [`receive`](Self::receive): nothing is
/// tried for a socket that nobody reads.
///
/// ```no_run
/// # async fn example(client: ringhttp::Client) -> ringhttp::Result<()> {
/// use ringhttp::client::{ReconnectConfig, ReconnectEvent};
///
/// let mut prices = client
///     .reconnecting_websocket("wss://prices.example/feed", ReconnectConfig::default())
///     .with_request(|request| request.bearer_auth("token"))
///     .on_connect(async |sender| sender.send("subscribe all").await);
/// while let Some(event) = prices.receive().await? {
///     match event {
///         ReconnectEvent::Message(message) => println!("{message:?}"),
///         other => eprintln!("{other:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct ReconnectingWebSocket {
    client: Client,
    url: Rc<str>,
    config: ReconnectConfig,
    change: Rc<dyn Fn(WebSocketRequest) -> WebSocketRequest>,
    hook: Option<Hook>,
    state: State,
    /// What is to be told next.
    next: Option<ReconnectEvent>,
    /// Tries since it was last open for good.
    tries: u32,
}

type Hook = Rc<dyn Fn(Sender) -> Pin<Box<dyn Future<Output = Result<(), WebSocketError>>>>>;

enum State {
    Waiting(Deadline),
    Connecting(Pin<Box<dyn Future<Output = Result<WebSocket>>>>),
    Open(WebSocket, Instant),
    Ended,
}

impl ReconnectingWebSocket {
    pub(super) fn new(client: Client, url: &str, config: ReconnectConfig) -> Self {
        let first = client.shared.core.timers().deadline();
        first.set(Duration::ZERO);
        Self {
            client,
            url: Rc::from(url),
            config,
            change: Rc::new(|request| request),
            hook: None,
            state: State::Waiting(first),
            next: None,
            tries: 0,
        }
    }

    /// Has each request changed by a function before it is sent: its fields, its token, its `WebSocketConfig`.
    #[must_use]
    pub fn with_request(mut self, change: impl Fn(WebSocketRequest) -> WebSocketRequest + 'static) -> Self {
        self.change = Rc::new(change);
        self
    }

    /// Has a function called each time when it is open, before messages are received: to subscribe again. If it fails, the try
    /// has failed.
    #[must_use]
    pub fn on_connect(mut self, hook: impl AsyncFn(Sender) -> Result<(), WebSocketError> + 'static) -> Self {
        let hook = Rc::new(hook);
        self.hook = Some(Rc::new(move |sender| {
            let hook = Rc::clone(&hook);
            Box::pin(async move { hook(sender).await })
        }));
        self
    }

    /// What happens next. `None` when the core stops, and behind an error that ends it.
    ///
    /// # Errors
    /// Of the last try, when as many as [`tries_max`](ReconnectConfig::tries_max) have failed in a row, or if no further one can
    /// go better: [`ErrorKind::Url`], [`Request`](ErrorKind::Request), [`Closed`](ErrorKind::Closed). They end it.
    ///
    /// [`ErrorKind::ReadTimeout`], caused by [`WebSocketError::ReceiveTimeout`], when no message came within the
    /// [`receive_timeout`](crate::WebSocketConfig::receive_timeout) of the request, which is off by default. The socket goes on.
    ///
    /// # Cancellation
    /// Nothing is lost: the next call goes on where this one was.
    pub async fn receive(&mut self) -> Result<Option<ReconnectEvent>> {
        loop {
            if let Some(next) = self.next.take() {
                return Ok(Some(next));
            }
            let core = &self.client.shared.core;
            match &mut self.state {
                State::Ended => return Ok(None),
                State::Waiting(deadline) => {
                    let expired = poll_fn(|cx| deadline.poll_expired(cx));
                    self.state = match unless_stopping(core, expired).await {
                        Some(()) => State::Connecting(self.connecting()),
                        None => State::Ended,
                    };
                }
                State::Connecting(connecting) => match unless_stopping(core, connecting.as_mut()).await {
                    Some(Ok(socket)) => {
                        self.state = State::Open(socket, core.timers().now());
                        return Ok(Some(ReconnectEvent::Connected));
                    }
                    Some(Err(error)) => self.retry(Some(error))?,
                    None => self.state = State::Ended,
                },
                State::Open(socket, _) => match socket.receive().await {
                    Ok(Some(message)) => {
                        self.tries = 0;
                        return Ok(Some(ReconnectEvent::Message(message)));
                    }
                    Err(error @ WebSocketError::ReceiveTimeout) => {
                        return Err(Error::new(ErrorKind::ReadTimeout).with_source(error));
                    }
                    Ok(None) => return self.lost(None),
                    Err(error) => return self.lost(Some(error)),
                },
            }
        }
    }

    /// Opens a socket, and does with it what is to be done first.
    fn connecting(&self) -> Pin<Box<dyn Future<Output = Result<WebSocket>>>> {
        let request = (self.change)(self.client.websocket(&*self.url));
        let request = request.with_heartbeat(self.config.heartbeat);
        let hook = self.hook.clone();
        Box::pin(async move {
            let socket = request.connect().await?;
            if let Some(hook) = hook {
                let failed = |error| Error::new(ErrorKind::WebSocket).with_source(error);
                hook(socket.sender()).await.map_err(failed)?;
            }
            Ok(socket)
        })
    }

    fn lost(&mut self, error: Option<WebSocketError>) -> Result<Option<ReconnectEvent>> {
        let State::Open(socket, since) = std::mem::replace(&mut self.state, State::Ended) else {
            return Ok(None);
        };
        let code = socket.close_code().unwrap_or(CloseCode::ABNORMAL);
        drop(socket);
        let core = &self.client.shared.core;
        if core.timers().now() - since >= self.config.delay_max {
            self.tries = 0;
        }
        self.retry(None)?;
        Ok(Some(ReconnectEvent::Lost { code, error }))
    }

    /// Plans the next try, if there is one. There is none any more when the core stops.
    fn retry(&mut self, error: Option<Error>) -> Result<()> {
        self.state = State::Ended;
        if self.client.shared.core.is_stopping() {
            return Ok(());
        }
        let is_hopeless = |error: &Error| match error.kind() {
            ErrorKind::Closed | ErrorKind::Config | ErrorKind::Request | ErrorKind::Url => true,
            ErrorKind::WebSocket => !self.config.retry_refusals && error.status().is_some_and(is_refusal),
            _ => false,
        };
        if error.as_ref().is_some_and(is_hopeless) || self.tries >= self.config.tries_max {
            let given_up =
                || Error::new(ErrorKind::Disconnected).with_text("the WebSocket is lost again and again");
            return Err(error.unwrap_or_else(given_up));
        }
        self.tries += 1;
        let after = part_of(self.config.delay_before(self.tries), u32::from_ne_bytes(random::bytes()));
        let deadline = self.client.shared.core.timers().deadline();
        deadline.set(after);
        self.state = State::Waiting(deadline);
        self.next = Some(ReconnectEvent::Retrying { number: self.tries, after, error });
        Ok(())
    }

    /// Queues a message: see [`WebSocket::send`]. What was sent before the socket was lost is not sent again.
    ///
    /// # Errors
    /// As [`Sender::send`]; [`WebSocketError::Closed`] while it is not open.
    ///
    /// # Cancellation
    /// The message was queued, or it is not sent at all.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), WebSocketError> {
        match &self.state {
            State::Open(socket, _) => socket.send(message).await,
            _ => Err(WebSocketError::Closed),
        }
    }

    /// The socket while it is open, for what else it can do.
    #[must_use]
    pub fn socket(&self) -> Option<&WebSocket> {
        match &self.state {
            State::Open(socket, _) => Some(socket),
            _ => None,
        }
    }

    /// Closes it with 1000 if it is open, and waits for the server's Close frame. It is not opened again.
    ///
    /// # Cancellation
    /// The closing goes on.
    pub async fn close(self) {
        if let State::Open(socket, _) = self.state {
            // It fails by a code or reason that may not be sent only.
            let _ = socket.close().await;
        }
    }
}

/// What a future gives; `None` if the core stops before that.
async fn unless_stopping<F: Future>(core: &Core, future: F) -> Option<F::Output> {
    let (mut future, mut stopping) = (pin!(future), pin!(core.stopping()));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => stopping.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Whether the next try is likely to be answered in the same way.
fn is_refusal(status: StatusCode) -> bool {
    let asks_for_patience =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    status.is_client_error() && !asks_for_patience
}

impl fmt::Debug for ReconnectingWebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = self.socket().is_some();
        f.debug_struct("ReconnectingWebSocket")
            .field("url", &self.url)
            .field("is_open", &is_open)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_are_random_below() {
        let config = ReconnectConfig::default();
        let delays: Vec<u64> = (1..=8).map(|number| config.delay_before(number).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(config.delay_before(u32::MAX).as_secs(), 30);
    }
}
