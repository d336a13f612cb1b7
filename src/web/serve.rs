//! A server whose service is a router with its state.
#![forbid(unsafe_code)]

use ringhttp_runtime::Core;

use super::router::Router;
use crate::error::Result;
use crate::server::Server;

impl Server {
    /// Answers requests by `router`, whose handlers are given `state`, until the run stops, then drains: see
    /// [`serve_service`](Self::serve_service).
    ///
    /// # Errors
    /// If the router's routes contradict each other (before anything is accepted), or if a listener fails for good.
    ///
    /// # Cancellation
    /// The listeners close, and the connections end where they are.
    pub async fn serve<S: 'static>(self, core: &Core, router: Router<S>, state: S) -> Result<()> {
        let service = router.into_service(state)?;
        self.serve_service(core, service).await
    }
}
