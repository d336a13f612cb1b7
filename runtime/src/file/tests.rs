//! Files that are found, and what must not be.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::*;

/// A directory of its own for a test, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringhttp-file-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("root/inner")).unwrap();
        fs::write(path.join("root/a.txt"), "inside").unwrap();
        fs::write(path.join("root/inner/b.txt"), "deeper").unwrap();
        fs::write(path.join("secret"), "outside").unwrap();
        symlink("../secret", path.join("root/escape")).unwrap();
        symlink("/etc/passwd", path.join("root/absolute")).unwrap();
        symlink("..", path.join("root/up")).unwrap();
        symlink("a.txt", path.join("root/within")).unwrap();
        symlink("../a.txt", path.join("root/inner/back")).unwrap();
        symlink("circle", path.join("root/circle")).unwrap();
        rustix::fs::mknodat(CWD, path.join("root/fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        drop(UnixListener::bind(path.join("root/socket")).unwrap());
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn outcome(root: &Root, path: &str) -> &'static str {
    match root.find_blocking(Path::new(path)) {
        Ok(Found::File(_)) => "file",
        Ok(Found::Directory(_)) => "directory",
        Err(error) if error.kind() == io::ErrorKind::NotFound => "not found",
        Err(_) => "error",
    }
}

#[test]
fn nothing_outside_of_the_root_is_found() {
    let scratch = Scratch::new("beneath");
    // Path; what it is with links followed within the root; without links, by openat2 and by walking.
    let cases = [
        ("", "directory", "directory"),
        (".", "directory", "directory"),
        ("a.txt", "file", "file"),
        ("inner", "directory", "directory"),
        ("inner/", "directory", "directory"),
        ("inner/b.txt", "file", "file"),
        ("a.txt/", "not found", "not found"),
        ("none", "not found", "not found"),
        ("..", "not found", "not found"),
        ("../secret", "not found", "not found"),
        ("inner/../../secret", "not found", "not found"),
        ("/etc/passwd", "not found", "not found"),
        ("escape", "not found", "not found"),
        ("absolute", "not found", "not found"),
        ("up/secret", "not found", "not found"),
        ("circle", "not found", "not found"),
        ("fifo", "not found", "not found"),
        ("socket", "not found", "not found"),
        ("within", "file", "not found"),
        ("inner/back", "file", "not found"),
        ("nul\0", "not found", "not found"),
    ];
    let within = Root::open(scratch.0.join("root"), Symlinks::Within).unwrap();
    let refused = Root::open(scratch.0.join("root"), Symlinks::Refused).unwrap();
    let directory = open(scratch.0.join("root"), OFlags::DIRECTORY, Mode::empty()).unwrap();
    let walking = Root(Arc::new(Inner { directory, symlinks: Symlinks::Within, method: Method::Walk }));
    assert_eq!(within.0.method, Method::Openat2, "this kernel has the call");
    for (path, followed, plain) in cases {
        assert_eq!(outcome(&within, path), followed, "{path:?} with links");
        assert_eq!(outcome(&refused, path), plain, "{path:?} without links");
        assert_eq!(outcome(&walking, path), plain, "{path:?} by walking");
    }
    let long = "x".repeat(300);
    assert_eq!(outcome(&within, &long), "not found");
    assert_eq!(outcome(&walking, &long), "not found");
}

#[test]
fn what_needs_the_disk_is_done_by_the_blocking_pool() {
    let scratch = Scratch::new("pool");
    fs::write(scratch.0.join("root/long"), vec![b'x'; 300_000]).unwrap();
    let root = scratch.0.join("root");
    let mut config = crate::RuntimeConfig::default();
    config.cores = crate::Cores::Count(1);
    config.handle_signals = false;
    config.pin = false;
    crate::run(config, async |core| {
        let directory = open(&root, OFlags::DIRECTORY, Mode::empty()).map_err(io::Error::from).unwrap();
        let walking = Root(Arc::new(Inner { directory, symlinks: Symlinks::Within, method: Method::Walk }));
        let file = walking.find(Path::new("long")).await.unwrap().into_file().unwrap();
        assert!(walking.find(Path::new("../secret")).await.is_err());
        // A call is counted behind its result.
        let deadline = Instant::now() + Duration::from_secs(10);
        while core.blocking_stats().done < 2 && Instant::now() < deadline {
            core.timers().sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(core.blocking_stats().done, 2);
        assert_eq!(file.read(299_999, 1).await.unwrap(), "x");
        let past = file.read(299_999, 2).await.unwrap_err();
        assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
        let Found::Directory(inner) = walking.find(Path::new("")).await.unwrap() else {
            panic!("a directory")
        };
        let (entries, complete) = inner.entries(100, |name| name != b"long").await.unwrap();
        let names: Vec<_> = entries.iter().map(|entry| entry.name.to_str().unwrap()).collect();
        assert_eq!((names, complete), (vec!["a.txt", "inner"], true), "no links, FIFOs and sockets");
        Ok::<(), crate::RunError>(())
    })
    .unwrap();
}

#[test]
fn who_reads_in_the_middle_of_a_file_waits_while_too_many_calls_do() {
    let scratch = Scratch::new("busy");
    fs::write(scratch.0.join("root/long"), vec![b'x'; 300_000]).unwrap();
    let file = File::open(scratch.0.join("root/long")).unwrap();
    let mut config = crate::RuntimeConfig::default();
    config.cores = crate::Cores::Count(1);
    config.handle_signals = false;
    config.blocking_threads_max = 1;
    config.blocking_queue_max = 0;
    crate::run(config, async |core: Core| {
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        let busy = core.spawn_blocking(move || may_go.recv().is_ok());
        assert_eq!(core.spawn_blocking(|| ()).await, Err(BlockingError::QueueFull));
        let opener = core.clone();
        let later = core.spawn("later", async move {
            opener.timers().sleep(Duration::from_millis(30)).await;
            go.send(()).unwrap();
        });
        let file = Arc::new(file.try_clone().unwrap());
        let read = off_core_in_turn(|| {
            let file = Arc::clone(&file);
            move || read_through(&file, 0, 300_000)
        });
        assert!(read.await.is_ok());
        assert!(core.blocking_stats().refused > 1);
        later.await.unwrap();
        assert_eq!(busy.await, Ok(true));
        Ok::<(), crate::RunError>(())
    })
    .unwrap();
}

#[test]
fn who_waits_for_a_place_on_the_blocking_threads_waits_as_long_as_is_configured() {
    let mut config = crate::RuntimeConfig::default();
    config.cores = crate::Cores::Count(1);
    config.handle_signals = false;
    config.blocking_threads_max = 1;
    config.blocking_queue_max = 0;
    config.blocking_queue_timeout = Duration::from_millis(10);
    crate::run(config, async |core: Core| {
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        let busy = core.spawn_blocking(move || may_go.recv().is_ok());
        let error = off_core_in_turn(|| || Ok(())).await.unwrap_err();
        let error = error.downcast::<BlockingError>().unwrap();
        assert_eq!(error, BlockingError::QueueFull);
        // Once, and behind pauses of 5 and 10 ms.
        assert_eq!(core.blocking_stats().refused, 3);
        go.send(()).unwrap();
        assert_eq!(busy.await, Ok(true));
        Ok::<(), crate::RunError>(())
    })
    .unwrap();
}

#[test]
fn a_root_must_be_a_directory() {
    let scratch = Scratch::new("root");
    assert!(Root::open(scratch.0.join("root/a.txt"), Symlinks::Within).is_err());
    assert!(Root::open(scratch.0.join("none"), Symlinks::Within).is_err());
}

#[test]
fn the_stamp_changes_with_the_content() {
    let scratch = Scratch::new("stamp");
    let root = Root::open(scratch.0.join("root"), Symlinks::Within).unwrap();
    let stamp = || root.find_blocking(Path::new("a.txt")).unwrap().into_file().unwrap().stamp();
    let before = stamp();
    assert_eq!(before, stamp());
    fs::write(scratch.0.join("root/a.txt"), "longer than before").unwrap();
    assert_ne!(before, stamp());
}
