//! What `/proc` says of a process: CPU time, memory, open files.

use std::process::Command;

use crate::Problem;

/// CPU time a process has used, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CpuTime {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl CpuTime {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { user: self.user - before.user, system: self.system - before.system }
    }

    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}

/// CPU time of all threads of `pid` so far.
///
/// The sum of the live threads' run times is exact to the nanosecond; `stat` adds how it divides into user and
/// system, in ticks, and it still counts threads that have ended (io_uring's workers may).
pub(crate) fn cpu_time(pid: u32) -> Result<CpuTime, Problem> {
    let stat = read(pid, "stat")?;
    let (user_ticks, system_ticks) =
        parse_stat(&stat).ok_or_else(|| format!("/proc/{pid}/stat: {stat:?}"))?;
    let counted = CpuTime { user: user_ticks * TICK, system: system_ticks * TICK };
    let exact = threads_run_time(pid).unwrap_or(0.0);
    // One tick of rounding for each of the two counters.
    if counted.total() == 0.0 || counted.total() > exact + 2.0 * TICK {
        return Ok(counted);
    }
    let scale = exact / counted.total();
    Ok(CpuTime { user: counted.user * scale, system: counted.system * scale })
}

/// Memory of `pid` that is its own and not a file's, in bytes.
pub(crate) fn anonymous_memory(pid: u32) -> Result<u64, Problem> {
    let status = read(pid, "status")?;
    parse_anonymous(&status).ok_or_else(|| format!("/proc/{pid}/status has no RssAnon"))
}

/// Number of file descriptors `pid` has open.
pub(crate) fn open_files(pid: u32) -> Result<usize, Problem> {
    let entries =
        std::fs::read_dir(format!("/proc/{pid}/fd")).map_err(|error| format!("/proc/{pid}/fd: {error}"))?;
    Ok(entries.count())
}

/// True when some thread of `pid` may run on `cpu` only.
pub(crate) fn is_pinned(pid: u32, cpu: usize) -> Result<bool, Problem> {
    let wanted = cpu.to_string();
    let status = |thread: u32| std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/status"));
    Ok(threads(pid)?.into_iter().filter_map(|thread| status(thread).ok()).any(|status| {
        status
            .lines()
            .filter_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .any(|list| list.trim() == wanted)
    }))
}

/// Raises this process's limit on open files to the hard limit; servers started later inherit it.
pub(crate) fn raise_open_files() -> Result<(), Problem> {
    let limits = std::fs::read_to_string("/proc/self/limits")
        .map_err(|error| format!("/proc/self/limits: {error}"))?;
    let hard = parse_open_files_max(&limits).ok_or("/proc/self/limits has no Max open files")?;
    // By util-linux, as taskset: the standard library can not set limits.
    let target = [format!("--pid={}", std::process::id()), format!("--nofile={hard}:{hard}")];
    match Command::new("prlimit").args(target).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("prlimit: {status}")),
        Err(error) => Err(format!("prlimit (package util-linux): {error}")),
    }
}

fn threads_run_time(pid: u32) -> Option<f64> {
    let run_time = |thread: u32| {
        let schedstat = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).ok()?;
        schedstat.split_whitespace().next()?.parse::<f64>().ok()
    };
    // A thread that ends between the listing and the reading is left out, and `stat` shows it.
    Some(threads(pid).ok()?.into_iter().filter_map(run_time).sum())
}

fn threads(pid: u32) -> Result<Vec<u32>, Problem> {
    let path = format!("/proc/{pid}/task");
    let entries = std::fs::read_dir(&path).map_err(|error| format!("{path}: {error}"))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

fn read(pid: u32, file: &str) -> Result<String, Problem> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
}

/// User and system ticks: fields 14 and 15 of proc_pid_stat(5). Field 2 may contain anything, up to the last `)`.
fn parse_stat(stat: &str) -> Option<(f64, f64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn parse_anonymous(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn parse_open_files_max(limits: &str) -> Option<&str> {
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().nth(1)
}

/// Nanoseconds of one unit of `stat`: Linux shows 100 per second to all programs on all platforms we build for.
const TICK: f64 = 1e7;

/// Text as the kernel writes it, and this process's own figures.
pub(crate) fn self_check() {
    let stat = "7 (a) b) c) S 1 7 7 0 -1 4194304 100 0 0 0 12 34 5 6 20 0 1 0 99 0 0";
    assert_eq!(parse_stat(stat), Some((12.0, 34.0)));
    assert_eq!(parse_stat("7 (a"), None);
    assert_eq!(parse_anonymous("VmRSS:\t 9 kB\nRssAnon:\t      12 kB\nRssFile:\t 1 kB\n"), Some(12 << 10));
    assert_eq!(parse_anonymous("VmRSS:\t 9 kB\n"), None);
    let limits = "Max processes   1 2 processes\nMax open files            1024                 20000                files\n";
    assert_eq!(parse_open_files_max(limits), Some("20000"));

    let own = std::process::id();
    let before = cpu_time(own).expect("our own CPU time can be read");
    while cpu_time(own).expect("our own CPU time can be read").since(before).total() < 2.0 * TICK {}
    assert!(anonymous_memory(own).expect("our own memory can be read") > 0);
    assert!(open_files(own).expect("our own files can be listed") >= 3);
}
