//! The watchdog names the task that blocks its core.

mod common;

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use common::{TestResult, config, drivers};
use ringhttp_runtime::{BlockedReport, Core, run};

static REPORTS: Mutex<Vec<BlockedReport>> = Mutex::new(Vec::new());

#[test]
fn a_long_poll_is_reported_once_with_its_task_and_core() {
    for driver in drivers() {
        let mut config = config(driver, 2);
        config.watchdog = Some(Duration::from_millis(20));
        config.on_blocked = Some(|report| REPORTS.lock().unwrap().push(report.clone()));
        run(config, async |core: Core| -> TestResult {
            if core.id() == 0 {
                return Ok(());
            }
            let waits = core.spawn("waits", async {
                monoio::time::sleep(Duration::from_millis(60)).await;
            });
            assert_eq!(waits.await, Ok(()));
            let naps = core.spawn("naps", async { thread::sleep(Duration::from_millis(150)) });
            assert_eq!(naps.await, Ok(()));
            assert_eq!(core.stats_snapshot().blocked_polls, 1);
            thread::sleep(Duration::from_millis(150));
            core.yield_now().await;
            assert_eq!(core.stats_snapshot().blocked_polls, 2);
            Ok(())
        })
        .unwrap();
        let reports = std::mem::take(&mut *REPORTS.lock().unwrap());
        let seen: Vec<_> = reports.iter().map(|report| (report.core, report.task)).collect();
        assert_eq!(seen, [(1, "naps"), (1, "body")], "{driver:?}");
        for report in reports {
            assert!(report.lasted >= Duration::from_millis(20), "{report:?}");
            assert!(report.lasted < Duration::from_millis(150), "{report:?}");
        }
    }
}
