//! When a handler is dropped because its client is gone: a setting of the server, of a router, or of one request.
#![forbid(unsafe_code)]

/// What counts as a client that is gone, while its handler waits or its answer is streamed. The handler's future is then
/// dropped where it waits, the connection is closed, and [`ServerStats::cancelled`](crate::ServerStats::cancelled) counts it.
///
/// TCP cannot tell a client that closed its socket from one that ended only its sending side and still reads (`nc -N`,
/// some RPC clients): both send a FIN. Which of them a FIN means is for the server to say.
///
/// Work that must be done all the same goes into [`Request::shield`](crate::Request::shield).
///
/// Not watched is a client that has sent the beginning of its next request, or of a body that nobody reads: what it sends
/// is not read ahead, so its end is seen when its turn comes. Nor is one whose body is being read by another task.
///
/// ```
/// let mut config = ringhttp::ServerConfig::default();
/// config.cancel_on_disconnect = ringhttp::CancelOnDisconnect::End;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelOnDisconnect {
    /// Nothing does: a handler goes on until it returns, reads its request's body, or writes.
    #[default]
    Off,
    /// A reset connection. A client that has ended its sending side gets its answer.
    Reset,
    /// A reset, and the end of the client's sending side: as aiohttp's `handler_cancellation`.
    End,
}
