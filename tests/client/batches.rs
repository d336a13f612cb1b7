//! Many requests at a time.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringhttp::client::ErrorKind;
use ringhttp::testing::RawServer;
use ringhttp::{ClientConfig, time};

use super::{ok, with_config};

/// A server whose answers take a while, the most that it was asked at once, and what it does with `/n`: 404 if `n` is a multiple of
/// ten, an end of the connection if it is one more than that.
fn serve() -> (RawServer, Arc<AtomicUsize>) {
    let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let record = Arc::clone(&most);
    let server = RawServer::start(move |mut peer| {
        while let Some(head) = peer.read_head() {
            let number = head.split(['/', ' ']).nth(2).and_then(|text| text.parse::<usize>().ok());
            record.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            peer.wait(Duration::from_millis(2));
            now.fetch_sub(1, Ordering::SeqCst);
            let sent = match number.expect("a number") % 10 {
                0 => peer.send("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
                1 => return,
                _ => peer.send(ok(&head[5..8])),
            };
            if !sent {
                return;
            }
        }
    });
    (server, most)
}

#[test]
fn so_many_are_under_way_and_each_has_its_own_result() {
    let mut config = ClientConfig::default();
    config.retry_lost = false;
    with_config(&config, async |_, client| {
        let (server, most) = serve();
        let taken = Cell::new(0);
        let requests = (100..200).map(|number| {
            taken.set(taken.get() + 1);
            client.get(server.url(&format!("/{number}")))
        });
        let batch = client.batch(requests).concurrency(7);
        let mut batch = batch.then(async |answer| answer.error_for_status()?.text().await);
        let mut seen = [false; 100];
        let mut counts = [0; 3];
        while let Some((number, result)) = batch.next().await {
            assert!(!std::mem::replace(&mut seen[number], true), "once each");
            counts[match result {
                Ok(text) => {
                    assert_eq!(text, format!("{}", number + 100));
                    0
                }
                Err(error) if error.kind() == ErrorKind::Status => 1,
                Err(error) => {
                    assert_eq!((error.kind(), number % 10), (ErrorKind::Disconnected, 1));
                    2
                }
            }] += 1;
            assert!(
                taken.get() <= seen.iter().filter(|seen| **seen).count() + 7,
                "taken when it is their turn"
            );
        }
        drop(batch);
        assert_eq!((counts, taken.get()), ([80, 10, 10], 100));
        let most = most.load(Ordering::SeqCst);
        assert!((2..=7).contains(&most), "{most}");
        assert_eq!(client.stats().in_use, 0);
    });
}

#[test]
fn all_of_them_in_their_order_and_none_at_all() {
    with_config(&ClientConfig::default(), async |_, client| {
        let (server, _) = serve();
        let requests = [105, 120, 104, 103].map(|number| client.get(server.url(&format!("/{number}"))));
        let lengths = client.batch(requests).concurrency(0).then(async |answer| answer.error_for_status());
        let lengths = lengths.then(async |answer| Ok(answer.text().await?.len())).all().await;
        let lengths: Vec<_> =
            lengths.into_iter().map(|result| result.map_err(|error| error.kind())).collect();
        assert_eq!(lengths, [Ok(3), Err(ErrorKind::Status), Ok(3), Ok(3)]);
        assert!(client.batch([]).next().await.is_none());
    });
}

#[test]
fn a_batch_that_is_dropped_gives_everything_back() {
    with_config(&ClientConfig::default(), async |_, client| {
        let (server, _) = serve();
        let begun = Rc::new(Cell::new(0));
        let count = Rc::clone(&begun);
        let requests = std::iter::repeat_with(|| client.get(server.url("/105")));
        let mut batch = client.batch(requests).concurrency(5).then(async move |answer| {
            count.set(count.get() + 1);
            answer.bytes().await
        });
        // An endless one, and a wait that is given up goes on.
        for _ in 0..20 {
            let _ = time::timeout(Duration::from_millis(1), batch.next()).await;
        }
        while begun.get() < 20 {
            batch.next().await.expect("there is no last one").1.expect("an answer");
        }
        assert!((1..=5).contains(&client.stats().in_use), "{}", client.stats());
        drop(batch);
        assert_eq!((client.stats().in_use, client.stats().waiting), (0, 0));
    });
}
