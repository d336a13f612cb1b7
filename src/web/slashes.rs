//! Paths that were meant: with a slash at the end or without one, with one slash where there are several.
#![forbid(unsafe_code)]

/// What a router makes good about the slashes of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slashes {
    /// `/a` may mean `/a/`.
    pub(super) append: bool,
    /// `/a/` may mean `/a`.
    pub(super) remove: bool,
    /// `/a//b` may mean `/a/b`.
    pub(super) merge: bool,
}

impl Slashes {
    pub(super) fn any(self) -> bool {
        self != Self::default()
    }

    /// What either of two allows.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            append: self.append || other.append,
            remove: self.remove || other.remove,
            merge: self.merge || other.merge,
        }
    }

    /// Whether all that `needed` names is allowed.
    pub(super) fn allow(self, needed: Self) -> bool {
        self.or(needed) == self
    }

    /// The paths that `path` may mean, each with what it takes to mean it; the likeliest first, at most three.
    ///
    /// None of them begins with `//`: in a `Location` that would be a host (RFC 3986 §4.2), chosen by whoever wrote the
    /// link.
    pub(super) fn meant_by(path: &str) -> impl Iterator<Item = (String, Self)> {
        let merged = merge(path);
        let merge = Self { merge: true, ..Self::default() };
        let as_it_is = changed_at_end(path.to_owned(), Self::default());
        let when_merged = changed_at_end(merged.clone(), merge);
        let all = if merged == path { vec![as_it_is] } else { vec![(merged, merge), as_it_is, when_merged] };
        all.into_iter().filter(|(meant, _)| meant.starts_with('/') && !meant.starts_with("//"))
    }
}

/// The path with its slash at the end put there or taken away.
fn changed_at_end(mut path: String, merge: Slashes) -> (String, Slashes) {
    if path.ends_with('/') {
        path.pop();
        (path, Slashes { remove: true, ..merge })
    } else {
        path.push('/');
        (path, Slashes { append: true, ..merge })
    }
}

fn merge(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !merged.ends_with('/') {
            merged.push(character);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_that_was_meant_leads_to_a_host() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("/a", &[("/a/", "append")]),
            ("/a/", &[("/a", "remove")]),
            ("/a//b", &[("/a/b", "merge"), ("/a//b/", "append"), ("/a/b/", "merge append")]),
            ("/a//", &[("/a/", "merge"), ("/a/", "remove"), ("/a", "merge remove")]),
            ("//evil.example", &[("/evil.example", "merge"), ("/evil.example/", "merge append")]),
            ("//evil.example/", &[("/evil.example/", "merge"), ("/evil.example", "merge remove")]),
            ("///evil.example/..", &[("/evil.example/..", "merge"), ("/evil.example/../", "merge append")]),
            ("/", &[]),
            ("//", &[("/", "merge"), ("/", "remove")]),
            ("*", &[]),
            ("", &[("/", "append")]),
        ];
        for (path, expected) in cases {
            let meant: Vec<_> = Slashes::meant_by(path).collect();
            let named = |needed: &Slashes| {
                let parts = [(needed.merge, "merge"), (needed.append, "append"), (needed.remove, "remove")];
                parts.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
            };
            let found: Vec<_> = meant.iter().map(|(meant, needed)| (&**meant, named(needed))).collect();
            let expected: Vec<_> =
                expected.iter().map(|(meant, name)| (*meant, (*name).to_owned())).collect();
            assert_eq!(found, expected, "{path}");
        }
    }
}
