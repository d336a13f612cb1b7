//! Named routes: from a name and values to a path.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::rc::Rc;

use super::pattern::Pattern;
use crate::conn::MatchedRoute;
use crate::error::{Error, Result};

/// The paths that have a name.
#[derive(Debug, Default)]
pub(super) struct Names {
    patterns: HashMap<String, Pattern>,
}

impl Names {
    /// Gives a path a name.
    ///
    /// # Errors
    /// If another path has it.
    pub(super) fn add(&mut self, name: &str, path: &str) -> Result<(), String> {
        if let Some(other) = self.patterns.get(name) {
            let same = other.text == path;
            let mistake = || format!("two paths have the name `{name}`: {} and {path}", other.text);
            return if same { Ok(()) } else { Err(mistake()) };
        }
        // A path that cannot be understood is reported as such.
        if let Ok(pattern) = Pattern::parse(path) {
            self.patterns.insert(name.to_owned(), pattern);
        }
        Ok(())
    }

    pub(super) fn url_for(&self, name: &str, values: &[(&str, &str)]) -> Result<String> {
        match self.patterns.get(name) {
            Some(pattern) => pattern.url(values),
            None => Err(Error::internal(format!("no route has the name `{name}`"))),
        }
    }
}

/// Where a request was routed to: a pattern among all others.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) pattern: Pattern,
    pub(super) names: Rc<Names>,
}

impl MatchedRoute for Place {
    fn path(&self) -> &str {
        &self.pattern.text
    }

    fn names(&self) -> &[String] {
        &self.pattern.names
    }

    fn url_for(&self, name: &str, values: &[(&str, &str)]) -> Result<String> {
        self.names.url_for(name, values)
    }
}

/// Where a request was routed to that no pattern matches.
#[derive(Debug)]
pub(super) struct Nowhere {
    pub(super) names: Rc<Names>,
}

impl MatchedRoute for Nowhere {
    fn path(&self) -> &str {
        ""
    }

    fn names(&self) -> &[String] {
        &[]
    }

    fn url_for(&self, name: &str, values: &[(&str, &str)]) -> Result<String> {
        self.names.url_for(name, values)
    }
}

/// The place of a request on this path, for tests of what reads its parameters.
#[cfg(test)]
pub(super) fn place(path: &str) -> Rc<dyn MatchedRoute> {
    let pattern = Pattern::parse(path).expect("a good path");
    Rc::new(Place { pattern, names: Rc::default() })
}
