//! Lines on their way to a writer that may be slow: gathered on the core, written by a thread that may block.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ringhttp_runtime::Core;
use ringhttp_runtime::sync::{Notify, race};

use super::Writer;
use crate::conn::host::ServerStats;

/// The lines of one core that wait.
pub(super) struct Buffer {
    writer: Writer,
    bytes_max: usize,
    stats: Rc<ServerStats>,
    pending: RefCell<Vec<u8>>,
    /// Lines in `pending`.
    lines: Cell<u64>,
    /// A task writes, or is about to.
    writing: Cell<bool>,
    /// Told to the task: do not gather any longer.
    hurry: Notify,
    /// Told by the task: all is written.
    written: Notify,
}

impl Buffer {
    pub(super) fn new(writer: Writer, bytes_max: usize, stats: Rc<ServerStats>) -> Rc<Self> {
        Rc::new(Self {
            writer,
            bytes_max,
            stats,
            pending: RefCell::default(),
            lines: Cell::new(0),
            writing: Cell::new(false),
            hurry: Notify::new(),
            written: Notify::new(),
        })
    }

    /// Adds a line, unless too many wait.
    pub(super) fn push(self: &Rc<Self>, line: &str) {
        let mut pending = self.pending.borrow_mut();
        if pending.len() + line.len() + 1 > self.bytes_max {
            return self.count_dropped(1);
        }
        pending.extend_from_slice(line.as_bytes());
        pending.push(b'\n');
        self.lines.set(self.lines.get() + 1);
        let is_half_full = pending.len() > self.bytes_max / 2;
        drop(pending);
        if is_half_full {
            self.hurry.notify_one();
        }
        self.start_writing();
    }

    /// Has all lines written.
    pub(super) async fn flush(self: &Rc<Self>) {
        while self.writing.get() {
            self.hurry.notify_one();
            self.written.notified().await;
        }
        if let Some(core) = Core::current() {
            self.write_all(&core).await;
        }
    }

    fn start_writing(self: &Rc<Self>) {
        let Some(core) = Core::current() else {
            return;
        };
        if self.writing.replace(true) {
            return;
        }
        let turn = Turn(Rc::clone(self));
        let task = core.spawn("access log", {
            let core = core.clone();
            async move {
                race(core.timers().sleep(GATHER_TIME), turn.0.hurry.notified()).await;
                turn.0.write_all(&core).await;
            }
        });
        drop(task);
    }

    /// Writes what waits until nothing does.
    async fn write_all(&self, core: &Core) {
        loop {
            let (bytes, lines) = (self.pending.take(), self.lines.take());
            if bytes.is_empty() {
                return;
            }
            let writer = Arc::clone(&self.writer);
            let written = core.spawn_blocking(move || write(&writer, &bytes)).await;
            let result = written.unwrap_or_else(|error| Err(io::Error::other(error)));
            if let Err(error) = result {
                self.count_dropped(lines);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    lines,
                    "the access log cannot be written"
                );
            }
        }
    }

    fn count_dropped(&self, lines: u64) {
        let dropped = &self.stats.log_lines_dropped;
        dropped.set(dropped.get() + lines);
    }
}

/// The one task that writes. However it ends, another may begin.
struct Turn(Rc<Buffer>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.writing.set(false);
        self.0.written.notify_waiters();
    }
}

fn write(writer: &Writer, bytes: &[u8]) -> io::Result<()> {
    // What a panicked writer left is the writer's matter; lines are whole.
    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
    writer.write_all(bytes)?;
    writer.flush()
}

/// How long lines are gathered: seldom enough to cost nothing, often enough to be followed by eye.
const GATHER_TIME: Duration = Duration::from_millis(50);
