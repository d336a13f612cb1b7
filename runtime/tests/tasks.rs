//! Tasks: joining, panics, cancelling, periodic work, yielding fairly.

mod common;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{
    TestResult, child_part, config, driver_named, each_driver, open_fds, run_child_on_each_driver, until,
};
use monoio::io::AsyncReadRent;
use ringhttp_runtime::{Core, DriverKind, JoinError, run};

#[test]
fn a_task_gives_its_value_to_the_handle() {
    each_driver(1, async |core: Core| {
        let task = core.spawn("adds", async { 1 + 1 });
        assert!(!task.is_finished());
        assert_eq!(task.await, Ok(2));
        assert_eq!(core.stats().tasks_alive(), 0);
        Ok(())
    });
}

#[test]
fn a_panic_ends_one_task_and_is_counted() {
    each_driver(1, async |core: Core| {
        let neighbour = core.spawn("neighbour", async {
            monoio::time::sleep(Duration::from_millis(5)).await;
            "fine"
        });
        let task = core.spawn("panics", async { assert!(core_id() > 7, "number {}", 7) });
        assert_eq!(task.await, Err(JoinError::Panicked("number 7".into())));
        assert_eq!(neighbour.await, Ok("fine"));
        assert_eq!(core.stats().panics(), 1);
        assert_eq!(core.stats_snapshot().panics, 1);
        Ok(())
    });
}

#[test]
fn a_panic_in_a_destructor_is_contained_too() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("dropped loudly");
        }
    }
    each_driver(1, async |core: Core| {
        let task = core.spawn("loud", async {
            let _loud = Loud;
            pending::<()>().await;
        });
        core.yield_now().await;
        assert_eq!(task.cancel_and_wait().await, Err(JoinError::Cancelled));
        assert_eq!(core.stats().panics(), 1);
        Ok(())
    });
}

#[test]
fn dropping_the_handle_lets_the_task_go_on() {
    each_driver(1, async |core: Core| {
        let done = Rc::new(Cell::new(false));
        let flag = Rc::clone(&done);
        drop(core.spawn("alone", async move {
            monoio::time::sleep(Duration::from_millis(2)).await;
            flag.set(true);
        }));
        until("the task", || done.get()).await;
        Ok(())
    });
}

#[test]
fn cancelling_reaches_a_task_before_its_first_turn_while_it_waits_and_after_its_end() {
    each_driver(1, async |core: Core| {
        let fresh = core.spawn("fresh", async { assert!(core_id() > 7, "must not run") });
        fresh.cancel();
        assert_eq!(fresh.await, Err(JoinError::Cancelled));

        let waiting = core.spawn("waiting", pending::<()>());
        core.yield_now().await;
        assert_eq!(waiting.cancel_and_wait().await, Err(JoinError::Cancelled));

        let done = core.spawn("done", async { 3 });
        until("the end", || done.is_finished()).await;
        assert_eq!(done.cancel_and_wait().await, Ok(3));

        let later = core.spawn("takes the place of the one before", async { 4 });
        assert_eq!(later.await, Ok(4));
        assert_eq!(core.stats().tasks_cancelled(), 2);
        Ok(())
    });
}

#[test]
fn a_task_may_cancel_itself() {
    each_driver(1, async |core: Core| {
        let own = Rc::new(RefCell::new(None::<ringhttp_runtime::JoinHandle<()>>));
        let handle = Rc::clone(&own);
        let ended = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ended);
        *own.borrow_mut() = Some(core.spawn("own end", async move {
            struct Flag(Rc<Cell<bool>>);
            impl Drop for Flag {
                fn drop(&mut self) {
                    self.0.set(true);
                }
            }
            let _flag = Flag(flag);
            if let Some(handle) = &*handle.borrow() {
                handle.cancel();
            }
            pending::<()>().await;
        }));
        until("the end", || ended.get()).await;
        Ok(())
    });
}

#[test]
fn a_cancelled_read_gives_its_descriptor_back() {
    const NAME: &str = "a_cancelled_read_gives_its_descriptor_back";
    let Some(part) = child_part() else {
        return run_child_on_each_driver(NAME);
    };
    run(config(driver_named(&part), 1), async |core: Core| -> TestResult {
        let before = open_fds();
        for round in 0..50 {
            let (mine, mut theirs) = pair(&core);
            let task = core.spawn("reads", async move {
                let mut mine = mine;
                let _ = mine.read(vec![0; 16]).await;
            });
            core.yield_now().await;
            if round % 2 == 0 {
                // The cancellation races with data.
                theirs.write_all(b"late").unwrap();
            }
            let _ = task.cancel_and_wait().await;
            assert!(open_fds() <= before + 1, "round {round}: {} descriptors, {before} before", open_fds());
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn periodic_work_outlives_its_panics_and_ends_with_the_stop() {
    each_driver(1, async |core: Core| {
        let runs = Rc::new(Cell::new(0));
        let counter = Rc::clone(&runs);
        let task = core.every("counts", Duration::from_millis(2), async move || {
            counter.set(counter.get() + 1);
            assert!(counter.get() != 2, "the second run");
        });
        assert_eq!(runs.get(), 0);
        until("five runs", || runs.get() >= 5).await;
        assert_eq!(core.stats().panics(), 1);
        core.shutdown();
        assert_eq!(task.await, Ok(()));
        let at_end = runs.get();
        monoio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(runs.get(), at_end);
        Ok(())
    });
}

#[test]
fn periodic_work_follows_a_paused_clock() {
    each_driver(1, async |core: Core| {
        let runs = Rc::new(Cell::new(0));
        let counter = Rc::clone(&runs);
        core.timers().pause();
        drop(core.every("counts hours", Duration::from_secs(3600), async move || {
            counter.set(counter.get() + 1);
        }));
        core.yield_now().await;
        assert_eq!(runs.get(), 0);
        for hours in 1..=3 {
            core.timers().advance(Duration::from_secs(3600));
            core.yield_now().await;
            assert_eq!(runs.get(), hours);
        }
        Ok(())
    });
}

#[test]
fn yielding_tasks_leave_room_for_timers_sockets_and_messages() {
    each_driver(2, async |core: Core| {
        if core.id() == 1 {
            return Ok(());
        }
        let stop = Rc::new(Cell::new(false));
        let yields = Rc::new(Cell::new(0_u64));
        for _ in 0..8 {
            let (core, stop, yields) = (core.clone(), Rc::clone(&stop), Rc::clone(&yields));
            drop(core.clone().spawn("yields", async move {
                while !stop.get() {
                    core.yield_now().await;
                    yields.set(yields.get() + 1);
                }
            }));
        }
        for _ in 0..20 {
            let start = Instant::now();
            monoio::time::sleep(Duration::from_millis(2)).await;
            served("a timer", start);

            let start = Instant::now();
            let (mut mine, mut theirs) = pair(&core);
            let writer = std::thread::spawn(move || theirs.write_all(b"x"));
            let (result, _) = mine.read(vec![0; 1]).await;
            assert_eq!(result.unwrap(), 1);
            writer.join().unwrap().unwrap();
            served("a socket", start);

            let start = Instant::now();
            let back = core.invoke_on(1, async |there| there.invoke_on(0, async |here| here.id()).await);
            assert_eq!(back.await, Ok(Ok(0)));
            served("a message", start);
        }
        stop.set(true);
        assert!(yields.get() > 100, "only {} yields", yields.get());
        Ok(())
    });
}

#[test]
fn all_yielding_tasks_share_a_turn() {
    each_driver(1, async |core: Core| {
        let turns = core.stats().turns();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let core = core.clone();
                core.clone().spawn("yields", async move {
                    for _ in 0..100 {
                        core.yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await, Ok(()));
        }
        let turns = core.stats().turns() - turns;
        assert!((100..200).contains(&turns), "{turns} turns for 8 tasks of 100 yields");
        Ok(())
    });
}

fn served(what: &str, start: Instant) {
    // Generous for a shared machine; a starved one never comes.
    assert!(start.elapsed() < Duration::from_millis(500), "{what} took {:?}", start.elapsed());
}

/// A socket on this core and its other end.
fn pair(core: &Core) -> (monoio::net::UnixStream, UnixStream) {
    let (mine, theirs) = UnixStream::pair().expect("descriptors are left");
    mine.set_nonblocking(core.driver() == DriverKind::Epoll).expect("a socket");
    (monoio::net::UnixStream::from_std(mine).expect("a socket"), theirs)
}

fn core_id() -> usize {
    Core::current().expect("tasks run on a core").id()
}
