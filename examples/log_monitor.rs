//! A log monitor: the server follows files, and browsers see their lines as they are written, each with a filter of its own.
//! A browser that cannot keep up loses the oldest lines; the server and the others do not notice.
//!
//! `cargo run --release --example log_monitor -- --files /var/log/syslog,/tmp/app.log`, then open `http://127.0.0.1:8080/`. A file
//! that cannot be opened at the start ends it; one that goes later (logs are rotated) is named, and looked for from then on.
#![expect(clippy::print_stderr, reason = "an example talks to the person who started it")]

#[expect(dead_code, reason = "this example has an option of its own")]
mod common;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;
use std::time::Duration;

use ringhttp::websocket::{Accepts, Closed, Encoded, Message, Sender, SlowReader};
use ringhttp::{Core, Error, Html, Request, Result, Router, Server, ServerConfig, WebSocketConfig};
use serde::{Deserialize, Serialize};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Bytes that are read of a file at a time, and of a line that has no end yet.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// What the page asks for: lines with this text in them.
#[derive(Default, Deserialize)]
struct Filter {
    text: String,
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    line: &'a str,
}

/// What one core knows: who watches here.
#[derive(Default)]
struct Monitor {
    watchers: RefCell<BTreeMap<u64, Watcher>>,
    next: Cell<u64>,
}

struct Watcher {
    filter: Rc<RefCell<Filter>>,
    sender: Sender,
}

impl Monitor {
    async fn page(self: &Rc<Self>, _: Request) -> Html<&'static str> {
        Html(include_str!("log_monitor.html"))
    }

    async fn watch(self: &Rc<Self>, req: Request) -> Result<Closed> {
        let mut config = WebSocketConfig::default();
        config.accepts = Accepts::Text;
        config.heartbeat = Some(Duration::from_secs(30));
        config.slow_reader = SlowReader::DropOldest;
        let mut socket = req.websocket(config).await?;
        let filter = Rc::<RefCell<Filter>>::default();
        let id = self.next.replace(self.next.get() + 1);
        let watcher = Watcher { filter: Rc::clone(&filter), sender: socket.sender() };
        self.watchers.borrow_mut().insert(id, watcher);
        let _leave = Leave { monitor: Rc::clone(self), id };
        while let Some(changed) = socket.receive_json::<Filter>().await? {
            filter.replace(changed);
        }
        Ok(socket.close().await?)
    }

    /// Queues a line for everybody here who wants it: encoded once, and only if somebody does.
    fn show(&self, line: &Line<'_>) -> Result<()> {
        let mut encoded = None;
        for watcher in self.watchers.borrow().values() {
            if line.line.contains(&watcher.filter.borrow().text) {
                let encoded = match &encoded {
                    Some(encoded) => encoded,
                    None => encoded.insert(Encoded::new(Message::json(line)?)?),
                };
                // Who has gone is taken out by its own handler.
                let _ = watcher.sender.queue_encoded(encoded);
            }
        }
        Ok(())
    }
}

/// Takes a watcher out, however its handler ends.
struct Leave {
    monitor: Rc<Monitor>,
    id: u64,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.monitor.watchers.borrow_mut().remove(&self.id);
    }
}

/// A file that is followed, from its end on.
struct Followed {
    name: String,
    /// Where the next bytes are, and the line that has begun.
    at: u64,
    begun: Vec<u8>,
    /// Said already of this file, so as not to say it five times a second.
    failure: Option<String>,
    /// Whether this core says it, for all of them.
    says: bool,
}

impl Followed {
    fn new(name: &str, says: bool) -> io::Result<Self> {
        let at = File::open(name)?.metadata()?.len();
        Ok(Self { name: name.to_owned(), at, begun: Vec::new(), failure: None, says })
    }

    /// The lines that have come: for a thread that may block.
    fn lines(&mut self) -> Vec<String> {
        let read = self.read().map_err(|error| error.to_string());
        if let Err(failure) = &read
            && self.says
            && self.failure.as_ref() != Some(failure)
        {
            eprintln!("{}: {failure}", self.name);
        }
        self.failure = read.as_ref().err().cloned();
        read.map_or_else(|_| Vec::new(), |bytes| self.cut(&bytes))
    }

    /// What has been written since, up to a piece. A file that got shorter was made anew.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.name)?;
        if self.at > file.metadata()?.len() {
            self.at = 0;
        }
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        self.at += file.take(PIECE_BYTES_MAX as u64).read_to_end(&mut bytes)? as u64;
        Ok(bytes)
    }

    /// The lines that end with these bytes; what has no end yet waits.
    fn cut(&mut self, bytes: &[u8]) -> Vec<String> {
        self.begun.extend_from_slice(bytes);
        let Some(last) = self.begun.iter().rposition(|&byte| byte == b'\n') else {
            self.begun.truncate(PIECE_BYTES_MAX);
            return Vec::new();
        };
        let rest = self.begun.split_off(last + 1);
        let whole = std::mem::replace(&mut self.begun, rest);
        String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
    }
}

/// Follows the files on this core: each core has its own watchers.
async fn follow(core: Core, monitor: Rc<Monitor>, mut files: Vec<Followed>) -> Result<()> {
    loop {
        let mut looked = files;
        let read = core.spawn_blocking(move || {
            let lines: Vec<_> = looked.iter_mut().map(|file| (file.name.clone(), file.lines())).collect();
            (looked, lines)
        });
        let lines;
        (files, lines) = read.await?;
        for (file, lines) in &lines {
            lines.iter().try_for_each(|line| monitor.show(&Line { file, line }))?;
        }
        ringhttp::time::sleep(LOOK_EVERY).await;
    }
}

/// The files with these names, from where they end now.
fn followed(core: &Core, names: &str) -> Result<Vec<Followed>> {
    let open = |name| {
        let file = Followed::new(name, core.id() == 0);
        file.map_err(|error| {
            Error::internal(format!("`{name}` (--files says which) cannot be followed: {error}"))
        })
    };
    names.split(',').map(open).collect()
}

fn main() -> Result<()> {
    let mut files = "/var/log/syslog".to_owned();
    let options = common::Options::from_args_and(&mut [("--files", &mut files)]);
    ringhttp::run(options.runtime.clone(), async |core| {
        let monitor = Rc::new(Monitor::default());
        drop(core.spawn("follow", follow(core.clone(), Rc::clone(&monitor), followed(&core, &files)?)));
        let routes = Router::new().get("/", Monitor::page).get("/lines", Monitor::watch);
        let server = Server::bind(&options.address, ServerConfig::default())?;
        common::announce(&core, &server, "URL/ in a browser, and write to one of the files");
        server.serve(&core, routes, monitor).await
    })
}
