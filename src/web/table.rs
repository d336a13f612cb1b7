//! The table made of routes: from a request to what answers it. `build.rs` makes it.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::rc::Rc;
use std::{mem, ptr};

use http::{HeaderValue, Method};

use super::handler::Endpoint;
use super::names::Place;
use super::pattern::offset;
use super::refusal::{self, Verdict};
use super::route_config::RouteConfig;
use super::slashes::Slashes;
use crate::conn::{MatchedRoute, Request};
use crate::proto::http1::{canonical_path, raw_offset};

/// All patterns of the hosts that have the same routes.
pub(super) struct Table {
    pub(super) index: Index,
    /// In the order in which they are tried.
    pub(super) entries: Vec<Entry>,
    /// Whether any pattern has a limit, so that its shape alone does not decide.
    pub(super) limited: bool,
    /// What any route allows.
    pub(super) slashes: Slashes,
    pub(super) scopes: matchit::Router<Fallback>,
    pub(super) fallback: Fallback,
    /// Answers `OPTIONS *`.
    pub(super) refuse: Rc<dyn Endpoint>,
    /// What is noted in requests that no pattern matches.
    pub(super) nowhere: Rc<dyn MatchedRoute>,
}

/// The way to patterns, which are indices into `entries`.
pub(super) struct Index {
    /// Most shapes, as indices into `shapes`.
    pub(super) tree: matchit::Router<usize>,
    /// The patterns of each shape, in order.
    pub(super) shapes: Vec<Vec<usize>>,
    /// The patterns whose shape the tree cannot tell from another, in order: `/{*rest}` beside `/{name}`, and
    /// `/{name}.git/info` beside `/{user}/{name}`.
    pub(super) beside: Vec<usize>,
}

/// What answers on one pattern.
pub(super) struct Entry {
    /// Its place in `Table::entries`.
    pub(super) number: usize,
    /// Nothing else takes a path that its pattern matches.
    pub(super) is_alone: bool,
    pub(super) place: Rc<Place>,
    pub(super) methods: Vec<BoundRoute>,
    pub(super) refuse: Rc<dyn Endpoint>,
}

/// A route with its state.
pub(super) struct BoundRoute {
    /// Its place in `Entry::methods`.
    pub(super) number: usize,
    pub(super) method: Option<Method>,
    pub(super) endpoint: Rc<dyn Endpoint>,
    pub(super) config: RouteConfig,
    pub(super) slashes: Slashes,
}

/// What answers where no pattern matches.
#[derive(Clone)]
pub(super) struct Fallback {
    pub(super) endpoint: Rc<dyn Endpoint>,
    /// Bytes of a body that it can read, in place of the server's limit.
    pub(super) body_bytes_max: Option<u64>,
}

/// What was found for a request.
enum Found<'table> {
    Route(&'table Entry, &'table BoundRoute),
    /// A pattern without a handler for the method, or of a path that was meant.
    Refused(&'table Entry, Option<Verdict>),
    Fallback(&'table Fallback),
    /// Nothing is asked for but the server as a whole.
    Server,
}

impl Table {
    /// What answers a request. Notes in it which pattern it was, and where the parameters stand.
    pub(super) fn find(&self, request: &mut Request) -> &dyn Endpoint {
        if let Some(route) = self.as_before(request) {
            return route.endpoint_for(request);
        }
        let mut values = mem::take(&mut request.matched_mut().values);
        values.clear();
        let found = self.look_up(request, &mut values);
        let matched = request.matched_mut();
        matched.values = values;
        matched.route = Some(match &found {
            Found::Route(entry, route) => {
                matched.numbers = Some((entry.number, route.number));
                Rc::clone(&entry.place) as Rc<dyn MatchedRoute>
            }
            Found::Refused(entry, _) => Rc::clone(&entry.place) as Rc<dyn MatchedRoute>,
            Found::Fallback(_) | Found::Server => Rc::clone(&self.nowhere),
        });
        match found {
            Found::Route(_, route) => route.endpoint_for(request),
            Found::Refused(entry, verdict) => {
                if let Some(verdict) = verdict {
                    request.extensions_mut().insert(verdict);
                }
                &*entry.refuse
            }
            Found::Fallback(fallback) => fallback.endpoint_for(request),
            Found::Server => &*self.refuse,
        }
    }

    /// The route of the request before this one on its connection, if it is known without a look at the table that it is
    /// this one's too: clients ask for one thing again and again, and for many things of one kind one after the other.
    fn as_before(&self, request: &mut Request) -> Option<&BoundRoute> {
        let before = request.matched_before();
        let (entry, route) = before.numbers?;
        let entry = self.entries.get(entry)?;
        // It may have been another table's.
        if !ptr::addr_eq(Rc::as_ptr(&entry.place), Rc::as_ptr(before.route.as_ref()?)) {
            return None;
        }
        if request.repeats_line() {
            let route = entry.methods.get(route)?;
            request.match_again();
            return Some(route);
        }
        let route = if entry.is_alone { entry.route(request.method()) } else { None }?;
        let matches = |path: &str, values: &mut Vec<(u32, u32)>| {
            is_in_one_spelling(path) && entry.place.pattern.matches(path, values)
        };
        request.match_again_if(matches)?.numbers = Some((entry.number, route.number));
        Some(route)
    }

    fn look_up(&self, request: &Request, values: &mut Vec<(u32, u32)>) -> Found<'_> {
        let raw = request.path();
        if is_in_one_spelling(raw) {
            return self
                .at(raw, request.method(), values)
                .unwrap_or_else(|| self.elsewhere(request, raw, values));
        }
        let path = canonical_path(raw);
        let found = self.at(&path, request.method(), values);
        if let Cow::Owned(_) = path {
            for (start, end) in values.iter_mut() {
                *start = offset(raw_offset(raw, *start as usize));
                *end = offset(raw_offset(raw, *end as usize));
            }
        }
        found.unwrap_or_else(|| self.elsewhere(request, &path, values))
    }

    /// What a path in its one spelling leads to, and where the values of its parameters are.
    fn at(&self, path: &str, method: &Method, values: &mut Vec<(u32, u32)>) -> Option<Found<'_>> {
        let mut refused = Vec::new();
        for &index in self.likely(path, values) {
            let entry = &self.entries[index];
            if entry.place.pattern.limited && !entry.place.pattern.takes(path, values) {
                continue;
            }
            match entry.route(method) {
                Some(route) => return Some(Found::Route(entry, route)),
                None => refused.push(entry),
            }
        }
        if refused.is_empty() && (self.limited || !self.index.beside.is_empty()) {
            return self.one_by_one(path, method, values);
        }
        Entry::refused(&refused)
    }

    /// The patterns of the shape that the tree finds, if none beside the tree comes before them.
    fn likely(&self, path: &str, values: &mut Vec<(u32, u32)>) -> &[usize] {
        let Ok(shape) = self.index.tree.at(path) else { return &[] };
        let found = &self.index.shapes[*shape.value];
        // The tree knows where the values are, but checks each again for being UTF-8 before it tells.
        let has_shape_of = |&index: &usize| self.entries[index].place.pattern.has_shape_of(path, values);
        if !found.first().is_some_and(has_shape_of) {
            return &[];
        }
        let before = self.index.beside.iter().take_while(|index| found.first() > Some(index));
        let matches = |&index: &usize| self.entries[index].place.pattern.matches(path, &mut Vec::new());
        if before.copied().any(|index| matches(&index)) { &[] } else { found }
    }

    /// As [`at`](Self::at), where the tree has no answer: all patterns are tried in their order.
    /// What this costs is bounded by the table.
    fn one_by_one(&self, path: &str, method: &Method, values: &mut Vec<(u32, u32)>) -> Option<Found<'_>> {
        let mut refused: Vec<&Entry> = Vec::new();
        for entry in &self.entries {
            let is_rival = refused.first().is_none_or(|first| self.differ_in_limits_alone(first, entry));
            if !is_rival || !entry.place.pattern.matches(path, values) {
                continue;
            }
            match entry.route(method) {
                Some(route) => return Some(Found::Route(entry, route)),
                None => refused.push(entry),
            }
        }
        values.clear();
        if let Some(first) = refused.first() {
            first.place.pattern.matches(path, values);
        }
        Entry::refused(&refused)
    }

    fn differ_in_limits_alone(&self, one: &Entry, other: &Entry) -> bool {
        let has_both = |same: &Vec<usize>| same.contains(&one.number) && same.contains(&other.number);
        self.index.shapes.iter().any(has_both)
    }

    /// What answers a request that no pattern matches. `path`: in its one spelling.
    fn elsewhere(&self, request: &Request, path: &str, values: &mut Vec<(u32, u32)>) -> Found<'_> {
        values.clear();
        // RFC 9112 §3.2.4: `OPTIONS *` asks about the server as a whole.
        if path == "*" && *request.method() == Method::OPTIONS {
            return Found::Server;
        }
        if self.slashes.any()
            && let Some(moved) = self.meant(request)
        {
            return moved;
        }
        Found::Fallback(self.scopes.at(path).map_or(&self.fallback, |scope| scope.value))
    }

    /// The route of a path that differs in slashes only, if that route allows it.
    fn meant(&self, request: &Request) -> Option<Found<'_>> {
        let allowed = Slashes::meant_by(request.path()).filter(|(_, needed)| self.slashes.allow(*needed));
        for (mut location, needed) in allowed {
            let found = self.at(&canonical_path(&location), request.method(), &mut Vec::new());
            let Some(Found::Route(entry, route)) = found else { continue };
            if route.slashes.allow(needed) {
                if let Some(query) = request.query_string() {
                    location.push('?');
                    location.push_str(query);
                }
                let location = HeaderValue::try_from(location).ok()?;
                return Some(Found::Refused(entry, Some(Verdict::Moved(location))));
            }
        }
        None
    }
}

/// Whether a path is what [`canonical_path`] would make of it: without a percent sign, as nearly every path.
fn is_in_one_spelling(path: &str) -> bool {
    memchr::memchr(b'%', path.as_bytes()).is_none()
}

impl BoundRoute {
    /// What answers a request that takes this route, whose settings it gets.
    fn endpoint_for(&self, request: &mut Request) -> &dyn Endpoint {
        if let Some(bytes_max) = self.config.body_bytes_max {
            request.body().set_limit(bytes_max);
        }
        if let Some(what) = self.config.cancel_on_disconnect {
            request.cancel_on_disconnect(what);
        }
        &*self.endpoint
    }
}

impl Fallback {
    /// What answers a request that no pattern matches, which it lets read as much as it says.
    fn endpoint_for(&self, request: &mut Request) -> &dyn Endpoint {
        if let Some(bytes_max) = self.body_bytes_max {
            request.body().set_limit(bytes_max);
        }
        &*self.endpoint
    }
}

impl Entry {
    /// The route of a method; GET's for HEAD, if there is no better one; or the one of all methods.
    fn route(&self, method: &Method) -> Option<&BoundRoute> {
        let of = |wanted: Option<&Method>| self.methods.iter().find(|route| route.method.as_ref() == wanted);
        let get = || {
            if *method == Method::HEAD { of(Some(&Method::GET)) } else { None }
        };
        of(Some(method)).or_else(get).or_else(|| of(None))
    }

    /// What a request gets whose path leads to these entries, none of which has its method.
    fn refused<'table>(entries: &[&'table Self]) -> Option<Found<'table>> {
        let (first, more) = entries.split_first()?;
        let methods =
            || entries.iter().flat_map(|entry| &entry.methods).filter_map(|route| route.method.as_ref());
        let verdict = (!more.is_empty()).then(|| Verdict::Allow(refusal::allow(methods())));
        Some(Found::Refused(first, verdict))
    }
}
