//! Signals, each case in a child process of its own: the first stops, the second cuts, and between runs they act as ever.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{TestResult, child, child_part, config, driver_named, drivers, until};
use ringhttp_runtime::{Core, RuntimeConfig, run, time};
use rustix::process::{Pid, Signal, getpid, kill_process};

/// A child process that is listened to.
struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    fn start(test: &str, driver: &str) -> Self {
        let mut child = child(test, driver).stdout(Stdio::piped()).spawn().expect("the child starts");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, output }
    }

    /// Reads until the child says `line`.
    fn wait_for(&mut self, line: &str) {
        let mut read = String::new();
        loop {
            read.clear();
            let length = self.output.read_line(&mut read).expect("the child speaks text");
            assert!(length > 0, "the child ended before it said {line:?}");
            if read.contains(line) {
                return;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the child lives");
    }

    /// The rest of the output and how the child ended.
    fn end(mut self) -> (String, ExitStatus) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                let mut rest = String::new();
                self.output.read_to_string(&mut rest).expect("the child speaks text");
                return (rest, status);
            }
            if start.elapsed() > Duration::from_secs(10) {
                self.child.kill().expect("it is our child");
                panic!("the child does not end");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn with_signals(driver: &str) -> RuntimeConfig {
    let mut config = config(driver_named(driver), 2);
    config.handle_signals = true;
    config.shutdown_timeout = Duration::from_secs(60);
    config
}

#[test]
fn the_first_signal_stops_all_cores_in_order() {
    const NAME: &str = "the_first_signal_stops_all_cores_in_order";
    if let Some(driver) = child_part() {
        run(with_signals(&driver), async |core: Core| -> TestResult {
            core.on_shutdown(async { println!("a hook") });
            core.on_cleanup(async { println!("a clean-up") });
            core.gather(async |_| ()).await.unwrap();
            println!("ready {}", core.id());
            core.stopping().await;
            Ok(())
        })
        .unwrap();
        println!("the run is over");
        return;
    }
    for driver in &drivers::names() {
        for signal in [Signal::TERM, Signal::INT] {
            let mut running = Running::start(NAME, driver);
            running.wait_for("ready");
            running.wait_for("ready");
            running.signal(signal);
            let (text, status) = running.end();
            assert!(status.success(), "{driver} {signal:?}: {status}");
            assert_eq!(text.matches("a hook").count(), 2, "{text}");
            assert_eq!(text.matches("a clean-up").count(), 2, "{text}");
            assert!(text.contains("the run is over"), "{text}");
        }
    }
}

#[test]
fn a_signal_behind_a_stop_that_the_program_began_cuts_nothing() {
    const NAME: &str = "a_signal_behind_a_stop_that_the_program_began_cuts_nothing";
    if let Some(driver) = child_part() {
        run(with_signals(&driver), async |core: Core| -> TestResult {
            core.shutdown();
            core.stopping().await;
            if core.id() == 0 {
                kill_process(getpid(), Signal::TERM).expect("it is this process");
            }
            // A cut would come at once.
            time::sleep(Duration::from_millis(200)).await;
            println!("drained");
            Ok(())
        })
        .unwrap();
        println!("the run is over");
        return;
    }
    for driver in &drivers::names() {
        let (text, status) = Running::start(NAME, driver).end();
        assert!(status.success(), "{driver}: {status}");
        assert_eq!(text.matches("drained").count(), 2, "{text}");
        assert!(text.contains("the run is over"), "{text}");
    }
}

#[test]
fn the_second_signal_cuts_at_once() {
    const NAME: &str = "the_second_signal_cuts_at_once";
    if let Some(driver) = child_part() {
        run(with_signals(&driver), async |core: Core| -> TestResult {
            core.on_cleanup(async { println!("a clean-up") });
            core.gather(async |_| ()).await.unwrap();
            println!("ready {}", core.id());
            core.stopping().await;
            println!("deaf {}", core.id());
            std::future::pending().await
        })
        .unwrap();
        println!("the run is over");
        return;
    }
    for driver in &drivers::names() {
        let mut running = Running::start(NAME, driver);
        running.wait_for("ready");
        running.wait_for("ready");
        running.signal(Signal::TERM);
        running.wait_for("deaf");
        running.wait_for("deaf");
        running.signal(Signal::TERM);
        let (text, status) = running.end();
        assert!(status.success(), "{driver}: {status}");
        assert_eq!(text.matches("a clean-up").count(), 2, "{text}");
        assert!(text.contains("the run is over"), "{text}");
    }
}

#[test]
fn a_signal_reaches_all_runs_and_ends_the_process_when_there_is_none() {
    const NAME: &str = "a_signal_reaches_all_runs_and_ends_the_process_when_there_is_none";
    if let Some(driver) = child_part() {
        let ready = Arc::new(AtomicUsize::new(0));
        let runs: Vec<_> = (0..2)
            .map(|_| {
                let (ready, driver) = (Arc::clone(&ready), driver.clone());
                thread::spawn(move || {
                    run(with_signals(&driver), async |core: Core| -> TestResult {
                        ready.fetch_add(1, Ordering::Relaxed);
                        until("four cores", || ready.load(Ordering::Relaxed) == 4).await;
                        println!("ready");
                        core.stopping().await;
                        Ok(())
                    })
                })
            })
            .collect();
        for one in runs {
            one.join().unwrap().unwrap();
        }
        println!("both are over");
        thread::sleep(Duration::from_secs(20));
        println!("still alive");
        return;
    }
    for driver in &drivers::names() {
        let mut running = Running::start(NAME, driver);
        for _ in 0..4 {
            running.wait_for("ready");
        }
        running.signal(Signal::INT);
        running.wait_for("both are over");
        running.signal(Signal::TERM);
        let (text, status) = running.end();
        assert_eq!(status.signal(), Some(Signal::TERM.as_raw()), "{driver}: {status}\n{text}");
    }
}

#[test]
fn a_core_hears_other_signals_and_loses_none_when_it_stops_waiting() {
    const NAME: &str = "a_core_hears_other_signals_and_loses_none_when_it_stops_waiting";
    if let Some(driver) = child_part() {
        run(with_signals(&driver), async |core: Core| -> TestResult {
            if core.id() > 0 {
                core.stopping().await;
                return Ok(());
            }
            let mut hangup = ringhttp_runtime::signal::Signal::hangup().unwrap();
            let mut user = ringhttp_runtime::signal::Signal::user1().unwrap();
            println!("ready");
            // Waited for in short pieces, most of which are dropped.
            for n in 0..3 {
                while time::timeout(Duration::from_millis(3), hangup.received()).await.is_err() {}
                println!("hangup {n}");
            }
            user.received().await.unwrap();
            println!("user");
            drop((hangup, user));
            println!("deaf");
            core.stopping().await;
            Ok(())
        })
        .unwrap();
        println!("the run is over");
        return;
    }
    for driver in &drivers::names() {
        let mut running = Running::start(NAME, driver);
        running.wait_for("ready");
        running.signal(Signal::USR1);
        for n in 0..3 {
            running.signal(Signal::HUP);
            running.wait_for(&format!("hangup {n}"));
        }
        running.wait_for("user");
        running.wait_for("deaf");
        // Nobody listens any more, and the process lives on.
        running.signal(Signal::HUP);
        running.signal(Signal::TERM);
        let (text, status) = running.end();
        assert!(status.success(), "{driver}: {status}");
        assert!(text.contains("the run is over"), "{text}");
    }
}
