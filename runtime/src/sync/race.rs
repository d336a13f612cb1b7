//! The first of two.
#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Which of two futures was first, and what it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first one.
    First(A),
    /// The second one.
    Second(B),
}

/// Waits for the first of two futures, and drops the other. If both are ready, `first` wins.
///
/// # Cancellation
/// Both are dropped.
pub async fn race<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Either::First(output)),
        Poll::Pending => second.as_mut().poll(cx).map(Either::Second),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::sync::Semaphore;
    use crate::sync::testing::Wakes;

    #[test]
    fn the_first_one_ready_wins_and_a_draw_too() {
        let wakes = Wakes::new();
        assert_eq!(wakes.poll(&mut pin!(race(ready(1), ready('a')))), Poll::Ready(Either::First(1)));
        assert_eq!(
            wakes.poll(&mut pin!(race(pending::<()>(), ready('a')))),
            Poll::Ready(Either::Second('a'))
        );
        assert_eq!(wakes.poll(&mut pin!(race(pending::<()>(), pending::<()>()))), Poll::Pending);
    }

    #[test]
    fn the_loser_leaves_the_line_it_stood_in() {
        let (semaphore, wakes) = (Semaphore::new(1), Wakes::new());
        let permit = semaphore.try_acquire().expect("free");
        {
            let mut racing = pin!(race(semaphore.acquire(), semaphore.acquire()));
            assert!(wakes.poll(&mut racing).is_pending());
            drop(permit);
            assert!(matches!(wakes.poll(&mut racing), Poll::Ready(Either::First(Ok(_)))));
        }
        assert_eq!(semaphore.available(), 1);
    }
}
