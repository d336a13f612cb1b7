//! The table made of a router's routes, with the state of its handlers: from a request to its answer.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::mem;
use std::rc::Rc;

use http::Method;

use super::handler::{Answer, Endpoint, SharedEndpoint};
use super::router::{Parts, Route, Scope};
use crate::conn::{Request, Response, Service};
use crate::error::{Error, Result};

/// A router with its state, ready to answer: [`Router::into_service`](super::Router::into_service).
pub struct App<S> {
    table: Table<S>,
    state: S,
}

impl<S: 'static> App<S> {
    pub(super) fn new(parts: Parts<S>, state: S) -> Result<Self> {
        Ok(Self { table: Table::new(parts)?, state })
    }

    /// The state of the handlers.
    pub fn state(&self) -> &S {
        &self.state
    }

    fn answer(&self, mut request: Request) -> Answer<'_> {
        self.table.find(&mut request).call(&self.state, request)
    }
}

impl<S: 'static> Service for App<S> {
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        self.answer(request)
    }
}

impl<S> fmt::Debug for App<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.table.patterns.iter().map(|pattern| &pattern.text);
        f.debug_list().entries(patterns).finish()
    }
}

/// All patterns in one tree.
struct Table<S> {
    /// Indices into `patterns`.
    tree: matchit::Router<usize>,
    patterns: Vec<Pattern<S>>,
    scopes: matchit::Router<SharedEndpoint<S>>,
    fallback: SharedEndpoint<S>,
    refuse: SharedEndpoint<S>,
}

/// What answers on one pattern.
struct Pattern<S> {
    text: Rc<str>,
    names: Rc<[String]>,
    methods: Vec<Route<S>>,
}

impl<S> Table<S> {
    fn new(parts: Parts<S>) -> Result<Self> {
        let mut build =
            Build { tree: matchit::Router::new(), patterns: Vec::new(), mistakes: parts.mistakes };
        for route in parts.routes {
            build.add(route);
        }
        let scopes = build.scopes(parts.scopes);
        if !build.mistakes.is_empty() {
            return Err(Error::internal(build.mistakes.join("; ")));
        }
        for pattern in &build.patterns {
            if let Some(first) = pattern.methods.first() {
                first.refusal.set_methods(methods(&pattern.methods));
            }
        }
        let all = build.patterns.iter().flat_map(|pattern| methods(&pattern.methods));
        parts.refusal.set_methods(all);
        Ok(Self {
            tree: build.tree,
            patterns: build.patterns,
            scopes,
            fallback: parts.fallback,
            refuse: parts.refuse,
        })
    }

    /// What answers a request. Notes in it which pattern it was, and where the parameters stand.
    fn find(&self, request: &mut Request) -> &dyn Endpoint<S> {
        let mut values = mem::take(&mut request.matched_mut().values);
        values.clear();
        let found = self.at(request.path(), &mut values);
        let matched = request.matched_mut();
        matched.values = values;
        let Some(pattern) = found else {
            return self.elsewhere(request);
        };
        matched.route = Some(Rc::clone(&pattern.text));
        matched.names = Some(Rc::clone(&pattern.names));
        match pattern.route(request.method()) {
            Some(route) => {
                if let Some(bytes_max) = route.config.body_bytes_max {
                    request.body().set_limit(bytes_max);
                }
                if let Some(what) = route.config.cancel_on_disconnect {
                    request.cancel_on_disconnect(what);
                }
                &*route.endpoint
            }
            None => &*pattern.methods[0].refuse,
        }
    }

    fn at(&self, path: &str, values: &mut Vec<(u32, u32)>) -> Option<&Pattern<S>> {
        let found = self.tree.at(path).ok()?;
        for (_, value) in found.params.iter() {
            let start = value.as_ptr().addr() - path.as_ptr().addr();
            values.push((offset(start), offset(start + value.len())));
        }
        self.patterns.get(*found.value)
    }

    /// What answers a request that no pattern matches.
    fn elsewhere(&self, request: &Request) -> &dyn Endpoint<S> {
        // RFC 9112 §3.2.4: `OPTIONS *` asks about the server as a whole.
        if request.path() == "*" && *request.method() == Method::OPTIONS {
            return &*self.refuse;
        }
        match self.scopes.at(request.path()) {
            Ok(scope) => &**scope.value,
            Err(_) => &*self.fallback,
        }
    }
}

impl<S> Pattern<S> {
    /// The route of a method; GET's for HEAD, if there is no better one; or the one of all methods.
    fn route(&self, method: &Method) -> Option<&Route<S>> {
        let of = |wanted: Option<&Method>| self.methods.iter().find(|route| route.method.as_ref() == wanted);
        let get = || {
            if *method == Method::HEAD { of(Some(&Method::GET)) } else { None }
        };
        of(Some(method)).or_else(get).or_else(|| of(None))
    }
}

/// A table in the making, and what was wrong so far.
struct Build<S> {
    tree: matchit::Router<usize>,
    patterns: Vec<Pattern<S>>,
    mistakes: Vec<String>,
}

impl<S> Build<S> {
    fn add(&mut self, route: Route<S>) {
        if let Some(pattern) = self.patterns.iter_mut().find(|pattern| *pattern.text == *route.pattern) {
            match pattern.methods.iter().find(|other| other.method == route.method) {
                Some(other) => self.mistakes.push(conflict(&route, other)),
                None => pattern.methods.push(route),
            }
            return;
        }
        match self.tree.insert(route.pattern.as_str(), self.patterns.len()) {
            Ok(()) => self.patterns.push(Pattern {
                text: route.pattern.as_str().into(),
                names: names(&route.pattern),
                methods: vec![route],
            }),
            Err(error) => {
                let mistake = self.mistake(&route, &error);
                self.mistakes.push(mistake);
            }
        }
    }

    fn mistake(&self, route: &Route<S>, error: &matchit::InsertError) -> String {
        let other = match error {
            matchit::InsertError::Conflict { with } => self
                .patterns
                .iter()
                .find(|pattern| *pattern.text == **with)
                .and_then(|pattern| pattern.methods.first()),
            _ => None,
        };
        match other {
            Some(other) => conflict(route, other),
            None => format!("route {} cannot be added: {error}", named(route)),
        }
    }

    fn scopes(&mut self, scopes: Vec<Scope<S>>) -> matchit::Router<SharedEndpoint<S>> {
        let mut tree = matchit::Router::new();
        for Scope { prefix, fallback, added } in scopes {
            let below = prefix.trim_end_matches('/');
            for pattern in [below.to_owned(), format!("{below}/"), format!("{below}/{{*rest}}")] {
                let inserted =
                    if pattern.is_empty() { Ok(()) } else { tree.insert(pattern, Rc::clone(&fallback)) };
                if let Err(error) = inserted {
                    self.mistakes.push(format!("fallback below {prefix} ({added}) cannot be added: {error}"));
                }
            }
        }
        tree
    }
}

fn conflict<S>(route: &Route<S>, other: &Route<S>) -> String {
    format!("route {} conflicts with {}", named(route), named(other))
}

fn named<S>(route: &Route<S>) -> String {
    let method = route.method.as_ref().map_or("any", Method::as_str);
    format!("{method} {} ({})", route.pattern, route.added)
}

fn methods<S>(routes: &[Route<S>]) -> impl Iterator<Item = &Method> {
    routes.iter().filter_map(|route| route.method.as_ref())
}

/// The names of a pattern's parameters. The pattern has been accepted, so braces come in pairs.
fn names(pattern: &str) -> Rc<[String]> {
    let mut names = Vec::new();
    let mut name = None;
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped = matches!(character, '{' | '}') && characters.next_if_eq(&character).is_some();
        match character {
            '{' if !escaped => name = Some(String::new()),
            '}' if !escaped => names.extend(name.take()),
            '*' if name.as_ref().is_some_and(String::is_empty) => {}
            _ => name.iter_mut().for_each(|name| name.push(character)),
        }
    }
    names.into()
}

fn offset(position: usize) -> u32 {
    u32::try_from(position).expect("a target is far shorter than 4 GiB")
}

#[cfg(test)]
mod tests;
