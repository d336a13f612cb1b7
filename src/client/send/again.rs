//! What leads from an answer, or an error, to the same request once more: another try, a challenge, an expectation that is not met, a
//! redirect.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{EXPECT, SEC_WEBSOCKET_KEY};
use ringhttp_runtime::random;

#[cfg(feature = "digest-auth")]
use super::super::digest_auth::SigningIn;
use super::super::error::{Error, ErrorKind, Result};
use super::super::outline::Outline;
use super::super::pool::Lease;
use super::super::redirect::{self, Next, Redirected};
use super::super::response::Answer;
use super::super::retry::retry_after;
use super::super::session::Shared;
use super::super::spare;
use super::Run;
use crate::conn::Body;
use crate::conn::count;

impl Run<'_> {
    /// Whether a failure is to be tried again, and in how long; everything else is what there is.
    pub(super) fn retries(&self, result: Result<Answer>, is_idempotent: bool) -> Verdict {
        let Some(retry) = &self.settings().retry else { return ControlFlow::Break(result) };
        let is_failure = match &result {
            Ok(answer) => retry.is_status_of_failure(answer.parts.head.status, is_idempotent),
            Err(error) => retry.is_failure(error, is_idempotent),
        };
        if !is_failure || self.tries >= retry.tries_max || self.outline.is_body_spent {
            return ControlFlow::Break(result);
        }
        let headers = result.as_ref().ok().map(|answer| &answer.parts.head.headers);
        let asked = headers.and_then(|headers| retry_after(headers, SystemTime::now()));
        let chance = u32::from_ne_bytes(random::bytes());
        let Some(delay) = retry.delay_behind(self.tries, asked, chance) else {
            return ControlFlow::Break(result);
        };
        let left = self.until.map(|until| until - self.shared.core.timers().now());
        if left.is_some_and(|left| left <= delay) {
            return ControlFlow::Break(result);
        }
        if !self.shared.allowance.take() {
            count(&self.shared.counters.retries_refused);
            return ControlFlow::Break(result);
        }
        ControlFlow::Continue((result, delay))
    }

    /// Waits until it is time for the next try. Nothing is held meanwhile: the place of the last one is another's.
    pub(super) async fn wait_for_retry(&mut self, failure: Result<Answer>, delay: Duration) {
        let told = failure.as_ref().map(|answer| answer.parts.head.status);
        self.tracer.tell(|trace, request| trace.request_retry(request, self.tries, delay, told));
        let timers = self.shared.core.timers();
        let at = timers.now() + delay;
        if let Ok(answer) = failure {
            self.throw_away(answer).await;
        }
        timers.sleep(at - timers.now()).await;
        self.begin_try();
        count(&self.shared.counters.retries);
    }

    /// RFC 9110 §10.1.1: the server, or a proxy before it, does not know the expectation.
    pub(super) fn is_expectation_refused(&self, answer: &Answer) -> bool {
        let is_refusal = answer.parts.head.status == StatusCode::EXPECTATION_FAILED;
        self.expects_continue && is_refusal && !self.outline.is_body_spent
    }

    /// Has the request sent once more, without asking whether the body is wanted.
    pub(super) async fn ask_no_more(&mut self, refusal: Answer) {
        self.expects_continue = false;
        self.outline.headers.remove(EXPECT);
        self.throw_away(refusal).await;
    }

    /// Whether the answer is a challenge that the request, sent once more, can meet.
    pub(super) fn has_signed_in(&mut self, answer: &Answer) -> bool {
        let head = &answer.parts.head;
        if !matches!(head.status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED)
            || self.outline.is_body_spent
        {
            return false;
        }
        let has_body = self.outline.has_body_in_memory();
        let settings = self.outline.own_settings.as_deref().unwrap_or(&self.shared.settings);
        let route = settings.route_to(&self.outline.location);
        if let Some(via) = route.and_then(|route| route.forwarder(&self.outline.location))
            && via.can_sign_in(&mut self.proxy_met, head.status, &head.headers, has_body)
        {
            return true;
        }
        #[cfg(feature = "digest-auth")]
        if let Outline { digest: Some(digest), location, .. } = &mut self.outline {
            return head.status == StatusCode::UNAUTHORIZED
                && digest.meets(location, &head.headers, has_body);
        }
        false
    }

    /// Takes what an answer says about how the next request signs in (RFC 7615).
    pub(super) fn note_next_nonces(&self, answer: &Answer) {
        let headers = &answer.parts.head.headers;
        #[cfg(feature = "digest-auth")]
        self.outline.note_next_nonce(headers);
        let route = self.settings().route_to(&self.outline.location);
        if let Some(via) = route.and_then(|route| route.forwarder(&self.outline.location)) {
            via.note_next_nonce(headers);
        }
    }

    /// Reads an answer that nobody is given, so that its connection can be used again.
    pub(super) async fn throw_away(&self, answer: Answer) {
        self.take_cookies(&answer);
        let idle_timeout = answer.parts.head.idle_timeout;
        spare::give(answer.parts);
        drain(self.shared, answer.lease, idle_timeout).await;
    }

    fn take_cookies(&self, answer: &Answer) {
        if self.settings().cookies {
            self.shared.cookies.take_from(&self.outline.location, &answer.parts.head.headers);
        }
    }

    /// Where the answer leads, if that is to be followed.
    pub(super) fn follows(&self, answer: &Answer) -> Result<Option<Next>> {
        self.take_cookies(answer);
        let (settings, head) = (self.settings(), &answer.parts.head);
        if settings.redirects_max == 0 || !head.status.is_redirection() {
            return Ok(None);
        }
        let Outline { location, method, headers, .. } = &self.outline;
        let asks_for_websocket = headers.contains_key(SEC_WEBSOCKET_KEY);
        let next = redirect::next(location, method, head.status, &head.headers, asks_for_websocket)?;
        let Some(next) = next else { return Ok(None) };
        let wrong = |text: &str| Err(Error::new(ErrorKind::Redirect).with_text(text));
        if self.history.len() >= settings.redirects_max as usize {
            return wrong("there are too many");
        }
        if next.keeps_body && self.outline.is_body_spent {
            return wrong("the body of the request cannot be sent again");
        }
        Ok(Some(next))
    }

    /// Turns the request into the next one.
    pub(super) async fn redirect(&mut self, answer: Answer, next: Next) -> Result<()> {
        let Answer { mut parts, lease } = answer;
        let status = parts.head.status;
        count(&self.shared.counters.redirects);
        self.tracer.tell(|trace, request| {
            trace.request_redirect(request, status, next.location.as_str());
        });
        let idle_timeout = parts.head.idle_timeout;
        self.history.push(Redirected {
            url: self.outline.location.to_url(),
            status,
            headers: std::mem::take(&mut parts.head.headers),
        });
        drain(self.shared, lease, idle_timeout).await;

        self.proxy_met = 0;
        let is_same_origin = next.location.origin() == self.outline.location.origin();
        redirect::strip(&mut self.outline.headers, next.keeps_body, is_same_origin);
        #[cfg(feature = "digest-auth")]
        {
            self.outline.digest = self.outline.digest.take().filter(|_| is_same_origin).map(SigningIn::again);
        }
        if !is_same_origin {
            // Those that the client has of its own stay behind, too.
            self.without.extend(redirect::CREDENTIALS);
        }
        if !next.keeps_body {
            self.outline.replace_body(Body::empty());
        }
        self.outline.method = next.method;
        self.outline.location = next.location;
        Ok(())
    }
}

/// What the caller is given, or what failed and is tried again in a while.
pub(super) type Verdict = ControlFlow<Result<Answer>, (Result<Answer>, Duration)>;

/// Reads the body of an answer that nobody asks for, which is short mostly, so that its connection can be used again.
async fn drain(shared: &Shared, mut lease: Lease, idle_timeout: Option<Duration>) {
    let connection = lease.connection().expect("an exchange is under way");
    if drains(shared, |cx| connection.poll_body(cx)).await {
        lease.release(idle_timeout);
    }
}

/// Takes pieces of a body to its end: false if it fails, or is not worth a connection. A server that gives them drop by drop holds
/// the next request up.
pub(crate) async fn drains<T, E>(
    shared: &Shared,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<Option<T>, E>>,
) -> bool
where
    T: AsRef<[u8]>,
{
    let bytes_max = shared.config.drain_bytes_max;
    let mut bytes = 0;
    let all = poll_fn(|cx| {
        loop {
            match poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(piece))) => bytes += piece.as_ref().len() as u64,
                Poll::Ready(Ok(None)) => return Poll::Ready(true),
                Poll::Ready(Err(_)) => return Poll::Ready(false),
            }
            if bytes > bytes_max {
                return Poll::Ready(false);
            }
        }
    });
    shared.core.timers().timeout(shared.config.drain_timeout, all).await.unwrap_or(false)
}
