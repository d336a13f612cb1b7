//! Many requests, so many at a time: their results as they come.
#![forbid(unsafe_code)]

mod running;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use self::running::Running;
use super::error::Result;
use super::request::RequestBuilder;
use super::response::Response;
use super::session::Client;

impl Client {
    /// Many requests, of which so many are under way at a time. They are taken from `requests` when it is their turn, so there may be
    /// any number of them. See [`Batch`].
    pub fn batch<'a, I>(&self, requests: I) -> Batch<'a>
    where
        I: IntoIterator<Item = RequestBuilder, IntoIter: 'a>,
    {
        Batch {
            requests: Box::new(requests.into_iter().fuse()),
            read: Rc::new(|answer| Box::pin(async { Ok(answer) })),
            concurrency: CONCURRENCY,
            running: Running::new(),
            taken: 0,
        }
    }
}

/// Many requests under way: see [`Client::batch`].
///
/// A result is that of one request; one that fails leaves the others alone. An answer holds its connection until it is read: what is
/// to be done with it stands in [`then`](Self::then), which counts as under way, and not behind [`next`](Self::next).
///
/// ```no_run
/// # async fn example(client: ringhttp::Client) -> ringhttp::Result<()> {
/// let requests = (1..=1000).map(|id| client.get(format!("http://users.internal/{id}")));
/// let mut batch = client
///     .batch(requests)
///     .concurrency(20)
///     .then(async |answer| answer.error_for_status()?.text().await);
/// while let Some((number, result)) = batch.next().await {
///     match result {
///         Ok(text) => println!("{}: {} bytes", number + 1, text.len()),
///         Err(error) => eprintln!("{}: {error}", number + 1),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a batch does nothing until its results are asked for"]
pub struct Batch<'a, T = Response> {
    requests: Box<dyn Iterator<Item = RequestBuilder> + 'a>,
    read: Rc<dyn Fn(Response) -> Reading<'a, T> + 'a>,
    concurrency: usize,
    running: Running<'a, T>,
    /// Requests that were taken.
    taken: usize,
}

type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

impl<'a, T: 'a> Batch<'a, T> {
    /// Sets how many requests are under way at a time. Default 10; 0 is 1. The limits of the client hold beside.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Has each answer (or what a `then` before made of it) handled by a function, while others are under way: its result is that of
    /// the request.
    ///
    /// # Panics
    /// If results were asked for already.
    pub fn then<U: 'a>(self, read: impl AsyncFn(T) -> Result<U> + 'a) -> Batch<'a, U> {
        assert_eq!(self.taken, 0, "`then` stands before `next`");
        let (first, second) = (self.read, Rc::new(read));
        Batch {
            requests: self.requests,
            read: Rc::new(move |answer| {
                let (first, second) = (first(answer), Rc::clone(&second));
                Box::pin(async move { second(first.await?).await })
            }),
            concurrency: self.concurrency,
            running: Running::new(),
            taken: 0,
        }
    }

    /// The next result that is there, with the number of its request, counted from 0 in the order of `requests`; `None` behind the
    /// last one. Nothing is sent or read but while somebody waits for this.
    ///
    /// # Cancellation
    /// Nothing is lost: the next call goes on.
    pub async fn next(&mut self) -> Option<(usize, Result<T>)> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// All results, in the order of `requests`.
    ///
    /// # Cancellation
    /// What is under way is given up, as by [`RequestBuilder::send`].
    pub async fn all(mut self) -> Vec<Result<T>> {
        let mut results = Vec::new();
        while let Some((number, result)) = self.next().await {
            if results.len() <= number {
                results.resize_with(number + 1, || None);
            }
            results[number] = Some(result);
        }
        results.into_iter().flatten().collect()
    }

    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<(usize, Result<T>)>> {
        while self.running.len() < self.concurrency
            && let Some(request) = self.requests.next()
        {
            let read = Rc::clone(&self.read);
            self.running.push(self.taken, Box::pin(async move { read(request.send().await?).await }));
            self.taken += 1;
        }
        self.running.poll_next(cx)
    }
}

impl<T> fmt::Debug for Batch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("concurrency", &self.concurrency)
            .field("taken", &self.taken)
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

/// Requests of a batch that are under way unless it says how many.
const CONCURRENCY: usize = 10;
