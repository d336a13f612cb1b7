//! Which core does what: choose CPUs and driver on the command line, ask a few times, stop it, and read each core's
//! counters.
//!
//! `cargo run --release --example pinned -- --cores 0,1 --driver epoll`

#![expect(clippy::print_stdout, reason = "an example talks to the person who started it")]

mod common;

use std::cell::Cell;

use ringhttp::{Core, Next, Request, Response, Result, Router, Server, ServerConfig};

/// What one core knows. Nobody else can see it, so it needs no lock.
struct Here {
    core: Core,
    requests: Cell<u64>,
}

impl Here {
    async fn whoami(&self, _: Request) -> String {
        format!("core {}, request {} here\n", self.core.id(), self.requests.get())
    }

    async fn counted(&self, req: Request, next: Next<'_, Self>) -> Response {
        self.requests.set(self.requests.get() + 1);
        next.run(req).await
    }
}

/// The server has drained and let go of its state.
impl Drop for Here {
    fn drop(&mut self) {
        let cpu = self.core.cpu().map_or_else(|| "any CPU".to_owned(), |cpu| format!("CPU {cpu}"));
        println!(
            "core {} on {cpu}: {} requests, {:?}",
            self.core.id(),
            self.requests.get(),
            self.core.stats_snapshot()
        );
    }
}

fn main() -> Result<()> {
    let options = common::Options::from_args();
    ringhttp::run(options.runtime.clone(), async |core| {
        let here = Here { core: core.clone(), requests: Cell::new(0) };
        let routes = Router::new().get("/", Here::whoami).with(Here::counted);
        let server = Server::bind(&options.address, ServerConfig::default())?;
        common::announce(&core, &server, "for i in 1 2 3 4 5 6 7 8; do curl URL/; done");
        server.serve(&core, routes, here).await
    })
}
