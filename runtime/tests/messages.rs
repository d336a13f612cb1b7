//! Messages between cores and calls on blocking threads.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use common::{TestResult, config, drivers, each_driver, until};
use ringhttp_runtime::{BlockingError, Core, InvokeError, run};

#[test]
fn calls_reach_their_core_under_load_and_come_back_in_order() {
    each_driver(3, async |core: Core| {
        let calls: Vec<_> = (0..2000_usize)
            .map(|n| core.invoke_on(n % 3, async move |there: Core| (n, there.id())))
            .collect();
        for (n, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await, Ok((n, n % 3)));
        }
        assert_eq!(core.gather(async |there| there.id() * 2).await, Ok(vec![0, 2, 4]));
        Ok(())
    });
}

#[test]
fn a_broadcast_reaches_every_core_once() {
    for driver in drivers() {
        let reached = Arc::new(AtomicUsize::new(0));
        run(config(driver, 3), async |core: Core| -> TestResult {
            let counter = Arc::clone(&reached);
            core.broadcast(move |_: &Core| {
                counter.fetch_add(1, Ordering::Relaxed);
            })
            .expect("all cores run");
            until("nine messages", || reached.load(Ordering::Relaxed) == 9).await;
            Ok(())
        })
        .unwrap();
        assert_eq!(reached.load(Ordering::Relaxed), 9);
    }
}

#[test]
fn a_call_that_panics_or_finds_no_core_is_an_error() {
    each_driver(2, async |core: Core| {
        let other = 1 - core.id();
        let panicked = core.invoke_on(other, async |_| {
            assert!(thread::current().name().is_none(), "over there");
        });
        assert_eq!(panicked.await, Err(InvokeError::Panicked));
        assert_eq!(core.invoke_on(2, async |_| ()).await, Err(InvokeError::NoSuchCore));
        assert_eq!(core.invoke_on(other, async |there| there.id()).await, Ok(other));
        Ok(())
    });
}

#[test]
fn a_full_mailbox_refuses_and_works_again_when_it_was_read() {
    for driver in drivers() {
        let mut config = config(driver, 2);
        config.mailbox_messages_max = 10;
        config.watchdog = None;
        let barrier = Barrier::new(2);
        run(config, async |core: Core| -> TestResult {
            if core.id() == 1 {
                // This core is busy while the other one writes.
                barrier.wait();
                barrier.wait();
                return Ok(());
            }
            barrier.wait();
            let calls: Vec<_> = (0..12).map(|_| core.invoke_on(1, async |_| ())).collect();
            barrier.wait();
            let mut results = Vec::new();
            for call in calls {
                results.push(call.await);
            }
            assert_eq!(results[..10], [Ok(()); 10]);
            assert_eq!(results[10..], [Err(InvokeError::Full); 2]);
            assert_eq!(core.invoke_on(1, async |_| ()).await, Ok(()));
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn a_call_that_its_core_cancels_is_an_error() {
    for driver in drivers() {
        let mut config = config(driver, 2);
        config.shutdown_timeout = Duration::from_millis(50);
        run(config, async |core: Core| -> TestResult {
            if core.id() == 1 {
                // Returns at the cut, and with that its tasks end.
                core.cut().await;
                return Ok(());
            }
            let call = core.invoke_on(1, async |_| std::future::pending::<()>().await);
            core.shutdown();
            let result = call.await;
            assert_eq!(result, Err(InvokeError::Gone));
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn a_dropped_call_leaves_nothing_behind() {
    each_driver(2, async |core: Core| {
        for _ in 0..1000 {
            drop(core.invoke_on(1 - core.id(), async |_| vec![0_u8; 64]));
        }
        assert_eq!(core.invoke_on(1 - core.id(), async |_| 1).await, Ok(1));
        Ok(())
    });
}

#[test]
fn a_blocking_call_leaves_the_core_free() {
    each_driver(2, async |core: Core| {
        let start = Instant::now();
        let call = core.spawn_blocking(|| {
            thread::sleep(Duration::from_millis(50));
            thread::current().name().map(str::to_owned)
        });
        assert_eq!(core.spawn("free", async { 1 }).await, Ok(1));
        assert!(start.elapsed() < Duration::from_millis(45), "the core waited {:?}", start.elapsed());
        assert_eq!(call.await, Ok(Some("ringhttp-blocking".to_owned())));
        Ok(())
    });
}

#[test]
fn a_blocking_thread_is_not_bound_to_the_cpu_of_the_core_that_started_it() {
    let cpus = || core_affinity::get_core_ids().map(|cpus| cpus.len());
    let of_process = cpus();
    assert!(of_process > Some(1), "this test needs two CPUs");
    each_driver(1, async move |core: Core| {
        assert_eq!(cpus(), Some(1));
        assert_eq!(core.spawn_blocking(cpus).await, Ok(of_process));
        Ok(())
    });
}

#[test]
fn a_blocking_panic_is_an_error_and_counted() {
    each_driver(1, async |core: Core| {
        let call = core.spawn_blocking(|| assert!(thread::current().name().is_none(), "in the pool"));
        assert_eq!(call.await, Err(BlockingError::Panicked));
        assert_eq!(core.spawn_blocking(|| 5).await, Ok(5));
        until("the counters", || core.blocking_stats().done == 2).await;
        assert_eq!(core.blocking_stats().panicked, 1);
        Ok(())
    });
}

#[test]
fn the_blocking_pool_is_bounded_in_threads_and_in_waiting_calls() {
    for driver in drivers() {
        let mut config = config(driver, 1);
        config.blocking_threads_max = 2;
        config.blocking_queue_max = 3;
        let open = Arc::new(AtomicBool::new(false));
        run(config, async |core: Core| -> TestResult {
            let wait = |open: Arc<AtomicBool>| {
                move || {
                    while !open.load(Ordering::Acquire) {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            };
            let mut calls: Vec<_> = (0..2).map(|_| core.spawn_blocking(wait(Arc::clone(&open)))).collect();
            until("two that run", || core.blocking_stats().running == 2).await;
            calls.extend((0..3).map(|_| core.spawn_blocking(wait(Arc::clone(&open)))));
            let stats = core.blocking_stats();
            assert_eq!((stats.threads, stats.running, stats.queued), (2, 2, 3));
            assert_eq!(core.spawn_blocking(|| ()).await, Err(BlockingError::QueueFull));
            assert_eq!(core.blocking_stats().refused, 1);
            open.store(true, Ordering::Release);
            for call in calls {
                assert_eq!(call.await, Ok(()));
            }
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn what_a_thread_will_take_does_not_wait() {
    for driver in drivers() {
        let mut config = config(driver, 1);
        config.blocking_threads_max = 2;
        config.blocking_queue_max = 0;
        let (open, is_open) = std::sync::mpsc::channel::<()>();
        let is_open = Arc::new(std::sync::Mutex::new(is_open));
        run(config, async |core: Core| -> TestResult {
            let wait = || {
                let is_open = Arc::clone(&is_open);
                move || is_open.lock().unwrap().recv().unwrap()
            };
            let calls = [core.spawn_blocking(wait()), core.spawn_blocking(wait())];
            assert_eq!(core.spawn_blocking(|| ()).await, Err(BlockingError::QueueFull));
            open.send(()).unwrap();
            open.send(()).unwrap();
            for call in calls {
                assert_eq!(call.await, Ok(()));
            }
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn a_result_that_panics_when_it_is_dropped_costs_no_thread() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    each_driver(1, async |core: Core| {
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        drop(core.spawn_blocking(move || {
            may_go.recv().unwrap();
            Loud
        }));
        go.send(()).unwrap();
        until("the end of it", || core.blocking_stats().done == 1).await;
        let stats = core.blocking_stats();
        assert_eq!((stats.running, stats.panicked), (0, 1));
        Ok(())
    });
}

#[test]
fn a_blocking_call_that_nobody_awaits_is_done_before_the_run_ends() {
    for driver in drivers() {
        let done = Arc::new(AtomicUsize::new(0));
        run(config(driver, 1), async |core: Core| -> TestResult {
            for _ in 0..3 {
                let done = Arc::clone(&done);
                drop(core.spawn_blocking(move || {
                    thread::sleep(Duration::from_millis(20));
                    done.fetch_add(1, Ordering::Relaxed);
                }));
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(done.load(Ordering::Relaxed), 3, "{driver:?}");
    }
}
