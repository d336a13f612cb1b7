//! A router that has its state: the service.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::rc::Rc;

use super::build;
use super::handler::{self, State};
use super::hosts::Hosts;
use super::names::Names;
use super::parts::Parts;
use super::route_info::RouteInfo;
use super::slot::Call;
use super::table::Table;
use crate::conn::{Request, Response, Service};
use crate::error::{Error, Result};

/// A router with its state, ready to answer: [`Router::into_service`](super::Router::into_service).
pub struct App<S> {
    hosts: Hosts,
    /// For the hosts that have no table of their own.
    table: Table,
    names: Rc<Names>,
    routes: Vec<RouteInfo>,
    state: State<S>,
}

impl<S: 'static> App<S> {
    pub(super) fn new(mut parts: Parts<S>, state: S) -> Result<Self> {
        let state = handler::share(state);
        let routes = RouteInfo::list(&parts.routes, &parts.hosts);
        let mut mistakes = Vec::new();
        let names = Rc::new(names(&routes, &mut mistakes));
        let mut hosts = Hosts::default();
        for host in std::mem::take(&mut parts.hosts) {
            let table = build::table(host.parts, &state, &names, &mut mistakes);
            let added = hosts.add(&host.host, table);
            mistakes.extend(added.err().map(|mistake| format!("{mistake} ({})", host.added)));
        }
        let table = build::table(parts, &state, &names, &mut mistakes);
        if !mistakes.is_empty() {
            return Err(Error::internal(mistakes.join("; ")));
        }
        Ok(Self { hosts, table, names, routes, state })
    }

    /// The state of the handlers.
    #[must_use]
    pub fn state(&self) -> &S {
        self.state.get()
    }

    /// All routes, in the order of adding; those of hosts behind the others.
    pub fn routes(&self) -> impl Iterator<Item = &RouteInfo> {
        self.routes.iter()
    }

    /// The path of the route of a name: see [`Request::url_for`].
    ///
    /// # Errors
    /// As [`Request::url_for`].
    pub fn url_for(&self, name: &str, values: &[(&str, &str)]) -> Result<String> {
        self.names.url_for(name, values)
    }

    fn answer(&self, mut request: Request) -> Call<'_> {
        let table = self.hosts.find(&request).unwrap_or(&self.table);
        Call::new(table.find(&mut request), request)
    }
}

fn names(routes: &[RouteInfo], mistakes: &mut Vec<String>) -> Names {
    let mut names = Names::default();
    for route in routes {
        if let Some(name) = &route.name {
            mistakes.extend(names.add(name, &route.path).err());
        }
    }
    names
}

impl<S: 'static> Service for App<S> {
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        self.answer(request)
    }
}

impl<S> fmt::Debug for App<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|route| &route.path)).finish()
    }
}

#[cfg(test)]
mod tests;
