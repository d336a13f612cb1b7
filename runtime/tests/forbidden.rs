//! Where io_uring is forbidden: a child process forbids it to itself by a seccomp filter, as containers do.

mod common;

use std::io;

use common::{TestError, TestResult, child_part, config, driver_named, run_child};
use ringhttp_runtime::{Core, DriverKind, RunError, run};

const NAME: &str = "without_io_uring_auto_takes_epoll_and_a_named_io_uring_is_an_error";

#[test]
fn without_io_uring_auto_takes_epoll_and_a_named_io_uring_is_an_error() {
    let Some(part) = child_part() else {
        for errno in [libc::EPERM, libc::ENOSYS] {
            for driver in ["auto", "io_uring", "epoll"] {
                run_child(NAME, &format!("{driver} {errno}"));
            }
        }
        return;
    };
    let (driver, errno) = part.split_once(' ').unwrap();
    let errno: i32 = errno.parse().unwrap();
    forbid_io_uring(errno).unwrap();

    let result = run(config(driver_named(driver), 2), async |core: Core| -> TestResult {
        assert_eq!(core.driver(), DriverKind::Epoll);
        let report = core.report();
        if report.reason.starts_with("io_uring is not available") {
            assert_eq!(report.rings.len(), 3);
            assert!(report.rings.iter().all(|(_, refusal)| *refusal == Some(errno)), "{report}");
            assert!(report.to_string().contains(&format!("os error {errno}")), "{report}");
        } else {
            assert_eq!(report.reason, "asked for by the configuration");
        }
        // The core works.
        monoio::time::sleep(std::time::Duration::from_millis(1)).await;
        assert_eq!(core.gather(async |there| there.id()).await, Ok(vec![0, 1]));
        Ok(())
    });
    match result {
        Err(TestError::Run(RunError::DriverUnavailable { driver: "io_uring", source })) => {
            assert_eq!((driver, source.raw_os_error()), ("io_uring", Some(errno)));
        }
        other => assert!(other.is_ok() && driver != "io_uring", "{driver}: {other:?}"),
    }
}

/// Makes `io_uring_setup` fail with `errno` in this thread and those it starts.
fn forbid_io_uring(errno: i32) -> io::Result<()> {
    let errno = u32::try_from(errno).expect("an errno is positive");
    let number = u32::try_from(libc::SYS_io_uring_setup).expect("numbers of calls are small");
    let step = |code: u32, jump_true, jump_false, k| libc::sock_filter {
        code: u16::try_from(code).expect("codes of BPF have 16 bits"),
        jt: jump_true,
        jf: jump_false,
        k,
    };
    // Load the number of the system call, the first word of what seccomp shows; compare; refuse or allow.
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: this option takes numbers only.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `program` points to four instructions that live until the call has copied them.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
