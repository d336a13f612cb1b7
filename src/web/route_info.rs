//! Routes as they are listed.
#![forbid(unsafe_code)]

use http::Method;

use super::parts::{HostRoutes, Route};

/// A route as [`Router::routes`](crate::Router::routes) and [`App::routes`](crate::App::routes) list it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteInfo {
    /// The method; `None` for all that have no handler of their own.
    pub method: Option<Method>,
    /// The path with its parameters, as `Request::route` gives it.
    pub path: String,
    /// The name by which `url_for` finds the path.
    pub name: Option<String>,
    /// The host or mask it answers for; `None` for all that have no routes of their own.
    pub host: Option<String>,
}

impl RouteInfo {
    fn new<S>(route: &Route<S>, host: Option<&str>) -> Self {
        Self {
            method: route.method.clone(),
            path: route.pattern.clone(),
            name: route.config.name.clone(),
            host: host.map(str::to_owned),
        }
    }

    /// Lists routes in the order of adding, those of hosts behind the others.
    pub(super) fn list<S>(routes: &[Route<S>], hosts: &[HostRoutes<S>]) -> Vec<Self> {
        let of_hosts =
            hosts.iter().flat_map(|host| host.parts.routes.iter().map(|route| (route, Some(&*host.host))));
        let all = routes.iter().map(|route| (route, None)).chain(of_hosts);
        all.filter(|(route, _)| route.is_reachable()).map(|(route, host)| Self::new(route, host)).collect()
    }
}
