//! Bodies that come and go in pieces: streams, files, trailers, and reads that are dropped.
#![forbid(unsafe_code)]

use std::task::Wake;

use super::*;
use crate::conn::stage::EncodeStage;

#[test]
fn a_stream_leaves_chunked_and_piece_by_piece() {
    let (pieces, next) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(None::<Waker>)));
    let (source, waiter) = (Rc::clone(&pieces), Rc::clone(&next));
    let mut bench = Bench::new(async move |_: Request| {
        let (source, waiter) = (Rc::clone(&source), Rc::clone(&waiter));
        Response::stream(async move |mut out| {
            loop {
                let piece: &'static str = std::future::poll_fn(|cx| match source.borrow_mut().pop() {
                    Some(piece) => Poll::Ready(piece),
                    None => {
                        *waiter.borrow_mut() = Some(cx.waker().clone());
                        Poll::Pending
                    }
                })
                .await;
                if piece.is_empty() {
                    return Ok(());
                }
                out.write(piece).await?;
            }
        })
    });
    let head = bench.send(GET);
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    for (piece, chunk) in [("one", "3\r\none\r\n"), ("three", "5\r\nthree\r\n"), ("", "0\r\n\r\n")] {
        pieces.borrow_mut().push(piece);
        if let Some(waker) = next.borrow_mut().take() {
            waker.wake();
        }
        bench.run();
        assert_eq!(bench.received(), chunk);
    }
    assert_eq!(statuses(&bench.send(GET)), ["200"]);
}

#[test]
fn a_stream_waits_for_a_peer_that_does_not_read() {
    let written = Rc::new(Cell::new(0));
    let counter = Rc::clone(&written);
    let mut bench = Bench::new(async move |_: Request| {
        let counter = Rc::clone(&counter);
        Response::stream(async move |mut out| {
            for _ in 0..1000 {
                out.write(Bytes::from_static(&[b'x'; 10_000])).await?;
                counter.set(counter.get() + 1);
            }
            Ok(())
        })
    });
    bench.far.set_window(0);
    bench.send(GET);
    assert!(written.get() < 30, "{} pieces were queued", written.get());
    bench.far.set_window(usize::MAX);
    bench.run();
    assert_eq!(written.get(), 1000);
}

#[test]
fn a_failed_stream_leaves_no_end() {
    for length in [None, Some(10)] {
        let mut bench = Bench::new(async move |_: Request| {
            let write = async |mut out: crate::conn::BodySender| -> Result<()> {
                out.write("part").await?;
                Err(crate::Error::internal("the source broke"))
            };
            Response::new(match length {
                None => Body::stream(write),
                Some(length) => Body::stream_of(length, write),
            })
        });
        let answer = bench.send(GET);
        assert!(answer.contains("part"), "{answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        assert_eq!(bench.ended, Some(CloseReason::ResponseFailed));
    }
}

#[test]
fn a_stream_that_does_not_keep_its_length_ends_the_connection() {
    for (length, text) in [(3, "four"), (5, "four")] {
        let mut bench = Bench::new(async move |_: Request| {
            Response::new(Body::stream_of(length, async move |mut out| out.write(text).await))
        });
        bench.send(GET);
        assert_eq!(bench.ended, Some(CloseReason::ResponseFailed), "{length} {text}");
    }
}

#[test]
fn a_request_body_passes_through_as_the_response() {
    let mut bench = Bench::new(async |request: Request| Response::new(request.into_body()));
    let answer = bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
    assert!(answer.contains("content-length: 10\r\n") && answer.ends_with("12345"), "{answer}");
    assert_eq!(bench.send(b"67890"), "67890");
    let answer =
        bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert!(answer.ends_with("3\r\nabc\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(bench.ended, None);
}

/// A file of a test's own, removed at the end.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("ringhttp-conn-{name}-{}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_file_passes_through_memory_where_the_kernel_cannot_send_it() {
    let content: Vec<u8> = (0..200_000_u32).map(|at| b'a' + (at / 7 % 26) as u8).collect();
    let scratch = Scratch::new("memory", &content);
    let path = scratch.0.clone();
    let mut bench = Bench::new(async move |_: Request| {
        let file = OpenFile::open(&path).await.unwrap();
        Response::new(Body::file(file))
    });
    bench.far.set_window(100_000);
    let mut received = bench.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(received.len(), 100_000);
    assert!(bench.connection.queued() <= bench.host.config.write_buffer_bytes_max);
    bench.far.set_window(usize::MAX);
    bench.run();
    received.push_str(&bench.received());
    let (head, body) = received.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 200000"), "{head}");
    assert!(body.as_bytes() == content);
    assert!(bench.send(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").ends_with("\r\n\r\n"));
    assert_eq!(bench.ended, None);
}

#[test]
fn rfc9110_10_1_1_no_100_stands_inside_a_file_while_its_request_is_read_elsewhere() {
    let scratch = Scratch::new("continue", &vec![b'x'; 200_000]);
    let path = scratch.0.clone();
    let given: Rc<RefCell<Option<crate::conn::RequestBody>>> = Rc::default();
    let give = Rc::clone(&given);
    let mut bench = Bench::new(async move |request: Request| {
        let file = OpenFile::open(&path).await.unwrap();
        *give.borrow_mut() = Some(request.into_body());
        Response::new(Body::file(file))
    });
    bench.far.set_window(100_000);
    let mut received =
        bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    let mut elsewhere = given.borrow_mut().take().expect("given");
    let polled = std::pin::pin!(elsewhere.chunk()).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    bench.far.set_window(usize::MAX);
    bench.run();
    received.push_str(&bench.received());
    let (head, body) = received.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(body.len() == 200_000 && body.bytes().all(|byte| byte == b'x'), "{} bytes", body.len());
}

#[test]
fn a_file_that_shrinks_before_it_is_sent_ends_the_connection_early() {
    let scratch = Scratch::new("shrinks", &vec![b'x'; 100_000]);
    let path = scratch.0.clone();
    let mut bench = Bench::new(async move |_: Request| {
        let file = OpenFile::open(&path).await.unwrap();
        std::fs::write(&path, vec![b'x'; 80_000]).unwrap();
        Response::new(Body::file(file))
    });
    let received = bench.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let (head, body) = received.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 100000") && body.len() < 100_000, "{head} {}", body.len());
    assert_eq!(bench.ended, Some(CloseReason::ResponseFailed));
}

#[test]
fn a_body_over_the_limit_is_not_passed_through() {
    let mut config = ServerConfig::default();
    config.body_bytes_max = 4;
    let mut bench = Bench::with_config(config, async |request: Request| Response::new(request.into_body()));
    let answer = bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(statuses(&answer), ["413"], "{answer}");
}

#[test]
fn trailers_travel_both_ways() {
    let mut bench = Bench::new(async |mut request: Request| {
        while let Ok(Some(_)) = request.chunk().await {}
        let trailers = request.trailers().expect("trailers");
        Response::stream(async move |mut out| {
            out.write("body").await?;
            out.set_trailers(trailers);
            Ok(())
        })
    });
    let answer = bench.send(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    assert!(answer.ends_with("4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
}

#[test]
fn a_server_that_takes_no_trailers_reads_bodies_without_any() {
    for trailer_bytes_max in 0..3 {
        let mut config = ServerConfig::default();
        config.trailer_bytes_max = trailer_bytes_max;
        let mut bench = Bench::with_config(config, echo);
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = bench.send(format!("{head}3\r\nabc\r\n0\r\n\r\n").as_bytes());
        assert!(answer.ends_with("\r\n\r\nabc"), "{answer}");
        let answer = bench.send(format!("{head}3\r\nabc\r\n0\r\na: b\r\n\r\n").as_bytes());
        assert_eq!(statuses(&answer), ["431"], "{trailer_bytes_max}");
    }
}

#[test]
fn a_body_read_after_the_answer_is_gone_and_touches_nothing() {
    let kept = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&kept);
    let mut bench = Bench::new(async move |request: Request| {
        keep.borrow_mut().get_or_insert(request);
        Response::text("early")
    });
    bench.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    bench.far.send(b"GET / HTTP/1.1\r\n");
    bench.run();
    let mut old: Request = kept.borrow_mut().take().expect("kept");
    let mut read = std::pin::pin!(old.chunk());
    let polled = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(Err(crate::conn::BodyError::Gone)));
    assert_eq!(statuses(&bench.send(b"Host: a\r\n\r\n")), ["200"]);
}

#[test]
fn dropping_a_read_of_the_body_at_every_await_loses_nothing() {
    let mut bench = Bench::new(async |mut request: Request| {
        let mut all = Vec::new();
        loop {
            // Each future is polled once and dropped; the next one takes over.
            let polled = std::future::poll_fn(|cx| {
                let polled = std::pin::pin!(request.chunk()).poll(cx);
                Poll::Ready(polled)
            })
            .await;
            match polled {
                Poll::Ready(Ok(Some(piece))) => all.extend_from_slice(&piece),
                Poll::Ready(_) => return Response::text(all),
                Poll::Pending => yield_once().await,
            }
        }
    });
    bench.far.limit_reads(1);
    let mut answer = String::new();
    let body: String = ('a'..='z').collect();
    for byte in format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 26\r\n\r\n{body}").bytes() {
        answer += &bench.send(&[byte]);
    }
    assert!(answer.ends_with(&body), "{answer}");
}

/// Waits for the next wake-up of the task.
async fn yield_once() {
    let mut waited = false;
    std::future::poll_fn(
        |_| {
            if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
        },
    )
    .await;
}

/// Keeps back what is written until it is flushed.
struct KeepsBack(Vec<u8>);

impl EncodeStage for KeepsBack {
    fn write(&mut self, bytes: &[u8], _: &mut Vec<u8>) {
        self.0.extend_from_slice(bytes);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.0);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.flush(out);
    }
}

#[test]
fn a_writer_behind_a_waker_of_its_own_does_not_have_the_task_wake_itself_for_ever() {
    for is_encoded in [false, true] {
        let mut bench = Bench::new(async move |_: Request| {
            let body = Body::stream(async |mut out| {
                for _ in 0..100 {
                    let mut write = std::pin::pin!(out.write(Bytes::from_static(&[b'x'; 10_000])));
                    // As those who join futures do, it hands on a wake, and polls what it has at every poll.
                    let handed_on = Arc::new(HandedOn::default());
                    std::future::poll_fn(|cx| {
                        *handed_on.0.lock().unwrap() = Some(cx.waker().clone());
                        write.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&handed_on))))
                    })
                    .await?;
                }
                Ok(())
            });
            Response::new(if is_encoded { body.encoded(|| Box::new(KeepsBack(Vec::new()))) } else { body })
        });
        bench.far.set_window(0);
        bench.send(GET);
        bench.far.set_window(usize::MAX);
        bench.run();
        assert_eq!(bench.received().matches('x').count(), 1_000_000, "{is_encoded}");
        assert_eq!(statuses(&bench.send(GET)), ["200"]);
    }
}

/// Wakes the waker that it was given last.
#[derive(Default)]
struct HandedOn(std::sync::Mutex<Option<Waker>>);

impl Wake for HandedOn {
    fn wake(self: Arc<Self>) {
        let waker = self.0.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
