//! Making a table: patterns are joined by shape, endpoints bound to the state, and mistakes collected.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::rc::Rc;

use http::Method;

use super::handler::State;
use super::names::{Names, Nowhere, Place};
use super::parts::{Parts, Route, Scope};
use super::pattern::Pattern;
use super::slashes::Slashes;
use super::table::{BoundRoute, Entry, Fallback, Index, Table};

/// Makes a table, and puts down what is wrong with the routes.
pub(super) fn table<S: 'static>(
    parts: Parts<S>,
    state: &State<S>,
    names: &Rc<Names>,
    mistakes: &mut Vec<String>,
) -> Table {
    mistakes.extend(parts.mistakes);
    let mut build = Build { groups: Vec::new(), shapes: HashMap::new(), mistakes };
    for route in parts.routes.into_iter().filter(Route::is_reachable) {
        build.add(route);
    }
    let scopes = build.scopes(parts.scopes, state);
    let Build { mut groups, shapes, .. } = build;
    parts.refusal.set_methods(groups.iter().flat_map(|group| methods(&group.routes)));
    groups.sort_by_key(|group| group.pattern.order());
    let index = index(&groups, &shapes);
    let alone = alone(&groups);
    let routes = || groups.iter().flat_map(|group| &group.routes);
    Table {
        limited: groups.iter().any(|group| group.pattern.limited),
        slashes: routes().fold(Slashes::default(), |all, route| all.or(route.slashes)),
        index,
        scopes,
        fallback: Fallback {
            endpoint: parts.fallback.bind(state),
            body_bytes_max: parts.fallback_body_bytes_max,
        },
        refuse: parts.refuse.bind(state),
        nowhere: Rc::new(Nowhere { names: Rc::clone(names) }),
        entries: (0..)
            .zip(groups)
            .zip(alone)
            .filter_map(|((number, group), is_alone)| group.into_entry(number, is_alone, state, names))
            .collect(),
    }
}

/// Puts the shapes into a tree, narrow ones first. Those that the tree cannot tell from one that it has are left beside it, and
/// so are those with text behind a parameter where others have one, too: the tree takes the way of the text, and does not
/// come back if that leads nowhere.
fn index<S>(groups: &[Group<S>], shapes: &HashMap<String, usize>) -> Index {
    let mut sorted: Vec<&str> = shapes.keys().map(String::as_str).collect();
    sorted.sort_unstable();
    let others_begin_so = |beginning: &String| {
        let own = sorted.partition_point(|shape| *shape < &**beginning);
        sorted.get(own + 1).is_some_and(|other| other.starts_with(&**beginning))
    };
    let mut index =
        Index { tree: matchit::Router::new(), shapes: vec![Vec::new(); shapes.len()], beside: Vec::new() };
    let mut beside = vec![false; shapes.len()];
    for (number, group) in groups.iter().enumerate() {
        let same = &mut index.shapes[group.shape];
        if same.is_empty() {
            beside[group.shape] = group.pattern.before_ended_values().any(|text| others_begin_so(&text))
                || index.tree.insert(group.pattern.shape(), group.shape).is_err();
        }
        same.push(number);
        if beside[group.shape] {
            index.beside.push(number);
        }
    }
    index
}

/// Which patterns are [alone](Entry::is_alone). A pattern comes before those that begin with less text, so only those that
/// begin as it does can take paths from it; sorted by their beginnings, they are its neighbours.
fn alone<S>(groups: &[Group<S>]) -> Vec<bool> {
    let mut sorted: Vec<(usize, &Pattern)> = groups.iter().map(|group| &group.pattern).enumerate().collect();
    sorted.sort_by_key(|(_, pattern)| pattern.beginning());
    let mut alone = vec![false; groups.len()];
    for &(number, pattern) in &sorted {
        let first = sorted.partition_point(|(_, other)| other.beginning() < pattern.beginning());
        let mut rivals = sorted[first..]
            .iter()
            .take(RIVALS_MAX + 1)
            .take_while(|(_, other)| other.beginning().starts_with(pattern.beginning()))
            .filter(|(other, _)| *other != number);
        alone[number] = rivals.clone().count() < RIVALS_MAX
            && rivals.all(|(_, other)| !pattern.may_share_paths_with(other));
    }
    alone
}

/// Patterns that a pattern is compared with, so that large tables are made in no time: beyond, it counts as not alone.
const RIVALS_MAX: usize = 256;

/// A table in the making.
struct Build<'mistakes, S> {
    /// In the order of adding.
    groups: Vec<Group<S>>,
    /// The number of each shape.
    shapes: HashMap<String, usize>,
    mistakes: &'mistakes mut Vec<String>,
}

/// The routes of one pattern, at least one.
struct Group<S> {
    pattern: Pattern,
    shape: usize,
    limits: Vec<String>,
    routes: Vec<Route<S>>,
}

impl<S: 'static> Build<'_, S> {
    fn add(&mut self, route: Route<S>) {
        let pattern = match Pattern::parse(&route.pattern) {
            Ok(pattern) => pattern,
            Err(mistake) => return self.refuse(&route, &mistake),
        };
        let shape = match self.shape(&pattern) {
            Ok(shape) => shape,
            Err(error) => return self.refuse(&route, &error.to_string()),
        };
        let limits = pattern.limits();
        let same = self.groups.iter_mut().find(|group| group.shape == shape && group.limits == limits);
        let Some(group) = same else {
            self.groups.push(Group { pattern, shape, limits, routes: vec![route] });
            return;
        };
        let other = group.routes.iter().find(|other| other.method == route.method);
        // Parameters of one place have one name: `req.route()` and `param` would be lost with two.
        let renamed = group.routes.first().filter(|_| group.pattern.names != pattern.names);
        match other.or(renamed) {
            Some(other) => self.mistakes.push(conflict(&route, other)),
            None => group.routes.push(route),
        }
    }

    fn shape(&mut self, pattern: &Pattern) -> Result<usize, matchit::InsertError> {
        let text = pattern.shape();
        if let Some(&shape) = self.shapes.get(&text) {
            return Ok(shape);
        }
        // In a tree of its own: whether parameters stand where they may.
        matchit::Router::new().insert(text.as_str(), ())?;
        let shape = self.shapes.len();
        self.shapes.insert(text, shape);
        Ok(shape)
    }

    fn refuse(&mut self, route: &Route<S>, mistake: &str) {
        self.mistakes.push(format!("route {} cannot be added: {mistake}", named(route)));
    }

    fn scopes(&mut self, scopes: Vec<Scope<S>>, state: &State<S>) -> matchit::Router<Fallback> {
        let mut tree = matchit::Router::new();
        for Scope { prefix, fallback, body_bytes_max, added } in scopes {
            let fallback = Fallback { endpoint: fallback.bind(state), body_bytes_max };
            if let Err(mistake) = add_scope(&mut tree, &prefix, &fallback) {
                self.mistakes.push(format!("fallback below {prefix} ({added}) cannot be added: {mistake}"));
            }
        }
        tree
    }
}

impl<S: 'static> Group<S> {
    fn into_entry(self, number: usize, is_alone: bool, state: &State<S>, names: &Rc<Names>) -> Option<Entry> {
        let first = self.routes.first()?;
        first.refusal.set_methods(methods(&self.routes));
        let refuse = Rc::clone(&first.refuse).bind(state);
        let bound = |(number, route): (usize, Route<S>)| BoundRoute {
            number,
            method: route.method,
            endpoint: route.endpoint.bind(state),
            config: route.config,
            slashes: route.slashes,
        };
        Some(Entry {
            number,
            is_alone,
            place: Rc::new(Place { pattern: self.pattern, names: Rc::clone(names) }),
            refuse,
            methods: self.routes.into_iter().enumerate().map(bound).collect(),
        })
    }
}

/// The fallback of a prefix answers the prefix itself, with and without a slash, and all below it. The tree of scopes has no
/// limits: they are those of the routes.
fn add_scope(tree: &mut matchit::Router<Fallback>, prefix: &str, fallback: &Fallback) -> Result<(), String> {
    let shape = Pattern::parse(prefix)?.shape();
    let below = shape.trim_end_matches('/');
    for path in [below.to_owned(), format!("{below}/"), format!("{below}/{{*rest}}")] {
        if !path.is_empty() {
            tree.insert(path, fallback.clone()).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
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
