//! A token in every request to a server, fetched when there is none and when the server does not take it any more.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::error::Error as StdError;

use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use ringhttp_runtime::sync::Semaphore;

use super::super::error::{Error, ErrorKind, Result};
use super::super::location::Location;
use super::super::response::Response;
use super::super::send::is_idempotent;
use super::{Next, Request};

/// Signs requests to one server (scheme, host and port of `url`) in by a token (RFC 6750) that `fetch` gets: before the first
/// request, and when one is answered 401, which is then sent once more with the new token if its body can be. One that was
/// redirected there is so only if it is idempotent: what it asked for may have been done before. However many requests need
/// a token, it is fetched once: the others wait, and share the error if it cannot be had.
///
/// The token goes to no other server, neither by a redirect. A request that has an `Authorization` of its own is left as it is.
/// `fetch` asks by a client without this middleware.
///
/// ```
/// # fn example(client: ringhttp::Client) -> ringhttp::client::Result<ringhttp::Client> {
/// use ringhttp::client::{middleware, Result};
///
/// let plain = client.clone();
/// let fetch = async move || -> Result<String> {
///     let answer = plain.post("https://login.example/token").form(&[("grant_type", "client_credentials")]).send().await?;
///     answer.error_for_status()?.text().await
/// };
/// Ok(client.with(middleware::bearer_token("https://api.example/", fetch)?))
/// # }
/// ```
///
/// # Errors
/// [`ErrorKind::Url`] if `url` is none. A request fails with [`ErrorKind::Middleware`] if the token cannot be had; the cause is
/// that of `fetch`.
///
/// # Cancellation
/// A request that is dropped while it fetches the token leaves that to the next one that waits.
pub fn bearer_token<F, E>(
    url: impl AsRef<str>,
    fetch: F,
) -> Result<impl AsyncFn(Request, Next<'_>) -> Result<Response> + 'static>
where
    F: AsyncFn() -> Result<String, E> + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    let (location, _) = Location::parse(url.as_ref(), None)?;
    let token = Token::new(fetch);
    Ok(async move |mut request: Request, next: Next<'_>| {
        let is_ours = request.outline.location.origin() == location.origin();
        if !is_ours || request.headers().contains_key(AUTHORIZATION) {
            return next.run(request).await;
        }
        let again = request.try_clone();
        let (number, value) = token.get().await?;
        request.headers_mut().insert(AUTHORIZATION, value);
        let answer = next.run(request).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        // Another server's 401 says nothing about the token, and what was answered by a redirect was done, so it is done twice
        // only if that does no harm.
        let is_answer_to_it = answer.location().origin() == location.origin();
        if !is_answer_to_it {
            return Ok(answer);
        }
        token.forget(number);
        let again = again.filter(|again| answer.history().is_empty() || is_idempotent(again.method()));
        let Some(mut again) = again else { return Ok(answer) };
        answer.discard().await;
        let (_, value) = token.get().await?;
        again.headers_mut().insert(AUTHORIZATION, value);
        next.run(again).await
    })
}

/// A token that may have to be fetched.
struct Token<F> {
    fetch: F,
    /// Who has it fetches; the others wait.
    turn: Semaphore,
    value: RefCell<Option<HeaderValue>>,
    /// Fetches that have ended. The token is that of the last one.
    fetched: Cell<u64>,
    /// What was wrong with the last fetch.
    failure: RefCell<Option<Box<str>>>,
}

impl<F, E> Token<F>
where
    F: AsyncFn() -> Result<String, E>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    fn new(fetch: F) -> Self {
        let (turn, value) = (Semaphore::new(1), RefCell::default());
        Self { fetch, turn, value, fetched: Cell::new(0), failure: RefCell::default() }
    }

    /// The token, as a field's value, and its number.
    async fn get(&self) -> Result<(u64, HeaderValue)> {
        if let Some(value) = self.known() {
            return Ok(value);
        }
        let fetched_before = self.fetched.get();
        // It is never closed.
        let _turn = self.turn.acquire().await;
        if let Some(value) = self.known() {
            return Ok(value);
        }
        if self.fetched.get() > fetched_before
            && let Some(failure) = &*self.failure.borrow()
        {
            return Err(Error::new(ErrorKind::Middleware).with_text(failure.clone()));
        }
        let fetched = (self.fetch)().await;
        self.fetched.set(self.fetched.get() + 1);
        let value = fetched.map_err(Error::middleware).and_then(|token| value_of(&token));
        match value {
            Ok(value) => {
                *self.failure.borrow_mut() = None;
                *self.value.borrow_mut() = Some(value.clone());
                Ok((self.fetched.get(), value))
            }
            Err(error) => {
                let text = error.source().map(|source| format!("no token could be had: {source}"));
                let text = text.unwrap_or_else(|| "no token could be had".to_owned());
                *self.failure.borrow_mut() = Some(text.clone().into());
                Err(error.with_text(text))
            }
        }
    }

    fn known(&self) -> Option<(u64, HeaderValue)> {
        Some((self.fetched.get(), self.value.borrow().clone()?))
    }

    /// The token of this number is of no use any more. Another one may have been fetched meanwhile.
    fn forget(&self, number: u64) {
        if self.fetched.get() == number {
            *self.value.borrow_mut() = None;
        }
    }
}

fn value_of(token: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(Error::middleware)?;
    value.set_sensitive(true);
    Ok(value)
}
