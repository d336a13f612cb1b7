//! A run as a whole: cores, errors, the order of the end, several runs.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    TestError, TestResult, child_part, config, driver_named, drivers, open_fds, run_child_on_each_driver,
    within,
};
use ringhttp_runtime::{Core, Cores, Driver, DriverKind, RunError, run};

/// What the cores did, in order.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().expect("no holder panics").push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no holder panics"))
    }
}

#[test]
fn the_body_runs_once_on_every_core_and_each_thread_is_named() {
    for driver in drivers() {
        let journal = Journal::default();
        let notes = journal.clone();
        run(config(driver, 3), async |core: Core| -> TestResult {
            assert_eq!(core.count(), 3);
            assert_eq!(Core::current().unwrap().id(), core.id());
            notes.note(thread::current().name().unwrap());
            Ok(())
        })
        .unwrap();
        let mut names = journal.take();
        names.sort();
        assert_eq!(names, ["ringhttp-0", "ringhttp-1", "ringhttp-2"], "{driver:?}");
    }
    assert!(Core::current().is_none());
}

#[test]
fn a_run_says_which_driver_it_uses_and_why() {
    for driver in drivers() {
        let kind = if driver == Driver::Epoll { DriverKind::Epoll } else { DriverKind::IoUring };
        run(config(driver, 1), async |core: Core| -> TestResult {
            assert_eq!(core.driver(), kind);
            let text = core.report().to_string();
            assert!(text.contains(&kind.to_string()), "{text}");
            assert!(text.contains("asked for by the configuration"), "{text}");
            assert_eq!(core.report().rings.is_empty(), kind == DriverKind::Epoll);
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn the_environment_chooses_only_when_the_configuration_leaves_it_open() {
    const NAME: &str = "the_environment_chooses_only_when_the_configuration_leaves_it_open";
    let Some(part) = child_part() else {
        for (value, configured, answer) in [
            ("epoll", "auto", "driver is epoll (asked for by RINGHTTP_DRIVER)"),
            ("io_uring", "auto", "driver is io_uring (asked for by RINGHTTP_DRIVER)"),
            ("auto", "auto", "driver is io_uring (the kernel allows it)"),
            ("epoll", "io_uring", "driver is io_uring (asked for by the configuration)"),
            ("uring", "auto", "error RINGHTTP_DRIVER: `uring` is none of auto, io_uring and epoll"),
        ] {
            if answer.contains("is io_uring") && !drivers().contains(&Driver::IoUring) {
                continue;
            }
            let output = common::child(NAME, configured).env("RINGHTTP_DRIVER", value).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains(answer), "{value} and {configured}: {text}");
        }
        return;
    };
    let result = run(config(driver_named(&part), 1), async |core: Core| -> TestResult {
        println!("driver is {} ({})", core.driver(), core.report().reason);
        Ok(())
    });
    if let Err(TestError::Run(error)) = result {
        println!("error {error}");
    }
}

#[test]
fn a_listed_core_is_pinned_and_an_unknown_one_is_refused() {
    let cpus =
        |()| -> Vec<usize> { core_affinity::get_core_ids().unwrap().iter().map(|core| core.id).collect() };
    let last = *cpus(()).last().unwrap();
    for driver in drivers() {
        let mut listed = config(driver, 1);
        listed.cores = Cores::List(vec![last]);
        run(listed, async |core: Core| -> TestResult {
            assert_eq!(core.cpu(), Some(last));
            assert_eq!(cpus(()), [last]);
            Ok(())
        })
        .unwrap();

        let mut unknown = config(driver, 1);
        unknown.cores = Cores::List(vec![last + 1]);
        let error = run(unknown, async |_: Core| Ok::<(), RunError>(())).unwrap_err().to_string();
        assert!(error.contains(&format!("CPU {} is not in the affinity mask", last + 1)), "{error}");
    }
}

#[test]
fn the_first_error_stops_the_other_cores_and_is_returned() {
    for driver in drivers() {
        let cleaned = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&cleaned);
        let error = within(Duration::from_secs(20), move || {
            run(config(driver, 3), async |core: Core| -> TestResult {
                let counter = Arc::clone(&counter);
                core.on_cleanup(async move {
                    counter.fetch_add(1, Ordering::Relaxed);
                });
                if core.id() == 1 {
                    return Err(TestError::Body("out of order"));
                }
                core.stopping().await;
                Err(TestError::Body("a later one"))
            })
        });
        assert!(matches!(error, Err(TestError::Body("out of order"))), "{driver:?}: {error:?}");
        assert_eq!(cleaned.load(Ordering::Relaxed), 3);
    }
}

#[test]
fn a_body_that_panics_stops_the_other_cores_and_is_an_error() {
    for driver in drivers() {
        let error = within(Duration::from_secs(20), move || {
            run(config(driver, 2), async |core: Core| -> TestResult {
                assert!(core.id() != 1, "no core like this");
                core.stopping().await;
                Ok(())
            })
        });
        let Err(TestError::Run(RunError::CorePanicked { core: 1, message })) = error else {
            panic!("{driver:?}: {error:?}");
        };
        assert_eq!(message, "no core like this");
    }
}

#[test]
fn cleanups_run_in_reverse_order_also_when_start_up_fails_or_panics() {
    for driver in drivers() {
        for ending in ["ok", "error", "panic"] {
            let journal = Journal::default();
            let notes = journal.clone();
            let result = within(Duration::from_secs(20), move || {
                run(config(driver, 1), async |core: Core| -> TestResult {
                    for name in ["first", "second", "third"] {
                        let notes = notes.clone();
                        core.on_cleanup(async move {
                            monoio::time::sleep(Duration::from_millis(1)).await;
                            assert!(name != "second", "a clean-up that fails");
                            notes.note(name);
                        });
                    }
                    let inner = notes.clone();
                    drop(core.spawn("left over", async move {
                        let _note = OnDrop(inner);
                        std::future::pending::<()>().await;
                    }));
                    core.yield_now().await;
                    match ending {
                        "ok" => Ok(()),
                        "error" => Err(TestError::Body("start-up failed")),
                        _ => panic!("start-up panicked"),
                    }
                })
            });
            assert_eq!(result.is_ok(), ending == "ok", "{driver:?} {ending}");
            assert_eq!(journal.take(), ["task dropped", "third", "first"], "{driver:?} {ending}");
        }
    }
}

#[test]
fn cleanups_run_when_a_body_panics_before_it_is_a_future() {
    for driver in drivers() {
        let journal = Journal::default();
        let notes = journal.clone();
        let result = run(config(driver, 1), |core: Core| {
            let notes = notes.clone();
            core.on_cleanup(async move { notes.note("clean-up") });
            assert!(core.is_stopping(), "start-up panicked");
            async { TestResult::Ok(()) }
        });
        assert!(result.is_err(), "{driver:?}");
        assert_eq!(journal.take(), ["clean-up"], "{driver:?}");
    }
}

struct OnDrop(Journal);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.note("task dropped");
    }
}

#[test]
fn the_stop_runs_hooks_then_resolves_stopping_then_cleans_up() {
    for driver in drivers() {
        let journal = Journal::default();
        let notes = journal.clone();
        run(config(driver, 1), async |core: Core| -> TestResult {
            let (first, second, last) = (notes.clone(), notes.clone(), notes.clone());
            core.on_shutdown(async move {
                monoio::time::sleep(Duration::from_millis(5)).await;
                first.note("hook 1");
            });
            core.on_shutdown(async move { second.note("hook 2") });
            core.on_cleanup(async move { last.note("clean-up") });
            assert!(!core.is_stopping());
            core.shutdown();
            assert!(core.is_stopping());
            core.stopping().await;
            notes.note("stopping");
            Ok(())
        })
        .unwrap();
        assert_eq!(journal.take(), ["hook 1", "hook 2", "stopping", "clean-up"], "{driver:?}");
    }
}

#[test]
fn a_body_that_ignores_the_stop_is_cut_after_the_timeout() {
    for driver in drivers() {
        let start = Instant::now();
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        within(Duration::from_secs(20), move || {
            let mut config = config(driver, 2);
            config.shutdown_timeout = Duration::from_millis(200);
            run(config, async |core: Core| -> TestResult {
                let (inner, counter) = (core.clone(), Arc::clone(&counter));
                drop(core.spawn("waits for the cut", async move {
                    inner.cut().await;
                    assert!(inner.is_cut());
                    counter.fetch_add(1, Ordering::Relaxed);
                }));
                core.shutdown();
                std::future::pending().await
            })
        })
        .unwrap();
        assert!(start.elapsed() >= Duration::from_millis(200), "{driver:?}");
        assert!(start.elapsed() < Duration::from_secs(2), "{driver:?}: {:?}", start.elapsed());
        assert_eq!(seen.load(Ordering::Relaxed), 2);
    }
}

#[test]
fn a_body_that_is_cut_and_panics_while_dropped_is_cleaned_up_all_the_same() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("dropped loudly");
        }
    }
    for driver in drivers() {
        let journal = Journal::default();
        let notes = journal.clone();
        let mut config = config(driver, 1);
        config.shutdown_timeout = Duration::from_millis(10);
        run(config, async |core: Core| -> TestResult {
            let (notes, last) = (notes.clone(), core.clone());
            core.on_cleanup(async move { notes.note(format!("{} panics", last.stats().panics())) });
            core.shutdown();
            let _loud = Loud;
            std::future::pending().await
        })
        .unwrap();
        assert_eq!(journal.take(), ["1 panics"], "{driver:?}");
    }
}

#[test]
fn a_run_that_is_cut_leaves_its_blocking_calls() {
    for driver in drivers() {
        let start = Instant::now();
        let mut config = config(driver, 1);
        config.shutdown_timeout = Duration::from_millis(10);
        run(config, async |core: Core| -> TestResult {
            drop(core.spawn_blocking(|| thread::sleep(Duration::from_secs(3))));
            core.shutdown();
            core.cut().await;
            Ok(())
        })
        .unwrap();
        assert!(start.elapsed() < Duration::from_secs(2), "{driver:?}: {:?}", start.elapsed());
    }
}

#[test]
fn a_cleanup_that_hangs_is_given_up() {
    for driver in drivers() {
        let start = Instant::now();
        let mut config = config(driver, 1);
        config.cleanup_timeout = Duration::from_millis(50);
        run(config, async |core: Core| -> TestResult {
            core.on_cleanup(std::future::pending());
            Ok(())
        })
        .unwrap();
        assert!(start.elapsed() < Duration::from_secs(2), "{driver:?}: {:?}", start.elapsed());
    }
}

#[test]
fn runs_one_after_the_other_leave_no_descriptor_behind() {
    const NAME: &str = "runs_one_after_the_other_leave_no_descriptor_behind";
    let Some(part) = child_part() else {
        return run_child_on_each_driver(NAME);
    };
    let once = || {
        let mut config = config(driver_named(&part), 2);
        config.handle_signals = true;
        run(config, async |core: Core| -> TestResult {
            let (mine, _theirs) = std::os::unix::net::UnixStream::pair().expect("descriptors are left");
            mine.set_nonblocking(core.driver() == DriverKind::Epoll).expect("a socket");
            let mut mine = monoio::net::UnixStream::from_std(mine).expect("a socket");
            drop(core.spawn("reads forever", async move {
                let _theirs = _theirs;
                let _ = monoio::io::AsyncReadRent::read(&mut mine, vec![0; 8]).await;
            }));
            core.gather(async |_| ()).await.expect("all cores run");
            core.spawn_blocking(|| ()).await.expect("there is a thread");
            Ok(())
        })
        .expect("the run ends well");
    };
    once();
    thread::sleep(Duration::from_millis(100));
    let before = open_fds();
    for _ in 0..20 {
        once();
    }
    // Rings are torn down by the kernel a little later.
    let start = Instant::now();
    while open_fds() > before && start.elapsed() < Duration::from_secs(2) {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(open_fds() <= before, "{} descriptors, {before} before", open_fds());
}

#[test]
fn two_runs_at_the_same_time_do_not_meet() {
    for driver in drivers() {
        let runs: Vec<_> = (1..=2)
            .map(|count| {
                thread::spawn(move || {
                    run(config(driver, count), async |core: Core| -> TestResult {
                        for _ in 0..100 {
                            let numbers = core.gather(async |there| (there.id(), there.count())).await;
                            let expected: Vec<_> = (0..count).map(|id| (id, count)).collect();
                            assert_eq!(numbers.expect("all cores run"), expected);
                        }
                        Ok(())
                    })
                })
            })
            .collect();
        for one in runs {
            one.join().unwrap().unwrap();
        }
    }
}
