//! Paths with parameters: what they are made of, what they match, and what they are when values are put in.
#![forbid(unsafe_code)]

use super::*;

#[test]
fn names_shapes_and_limits() {
    let cases: &[(&str, &str, &[&str], &[&str])] = &[
        ("/", "/", &[], &[]),
        ("/a/{b}", "/a/{1}", &["b"], &[""]),
        ("/{a}/x/{b}", "/{1}/x/{2}", &["a", "b"], &["", ""]),
        ("/{{a}}/{b}", "/%7Ba%7D/{1}", &["b"], &[""]),
        ("/{{{a}}}", "/%7B{1}%7D", &["a"], &[""]),
        ("/x-{a}.{{b}}", "/x-{1}.%7Bb%7D", &["a"], &[""]),
        ("/{a:int}/{*b}", "/{1}/{*2}", &["a", "b"], &["int"]),
        ("/caf%c3%a9", "/caf%C3%A9", &[], &[]),
        ("/café x", "/caf%C3%A9%20x", &[], &[]),
    ];
    for (text, shape, names, limits) in cases {
        let pattern = Pattern::parse(text).unwrap();
        assert_eq!(pattern.shape(), *shape, "{text}");
        assert_eq!(pattern.names, *names, "{text}");
        assert_eq!(pattern.limits(), *limits, "{text}");
    }
}

#[test]
fn what_cannot_be_understood_is_said() {
    let cases = [
        ("/{open", "not closed"),
        ("/close}", "no `{` before"),
        ("/{}", "no name"),
        ("/{*}", "no name"),
        ("/{a*}", "no name"),
        ("/{a/b}", "no name"),
        ("/{:int}", "no name"),
        ("/{a:}", "nothing behind"),
        ("/{*a:int}", "cannot be limited"),
        ("/{a}/{a}", "two parameters"),
    ];
    for (text, expected) in cases {
        let error = Pattern::parse(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[cfg(feature = "regex")]
#[test]
fn braces_within_a_regular_expression() {
    for (text, path, taken) in [
        ("/{a:[a-z]{2,3}}/x", "/abc/x", true),
        ("/{a:[a-z]{2,3}}/x", "/abcd/x", false),
        (r"/{a:\{x\}}", "/%7Bx%7D", true),
        (r"/{a:\d+}.png", "/12.png", true),
        (r"/{a:\d+}.png", "/1x.png", false),
    ] {
        assert_eq!(Pattern::parse(text).unwrap().matches(path, &mut Vec::new()), taken, "{text} {path}");
    }
}

/// The two ways to match give the same: the tree, and the pattern by itself.
#[test]
fn a_pattern_matches_what_the_tree_does() {
    let patterns = [
        "/",
        "/a",
        "/a/",
        "/{x}",
        "/{x}/",
        "/a/{x}",
        "/{x}/b/{y}",
        "/i-{x}.png",
        "/{x}.tar",
        "/f/{*rest}",
        "/{*rest}",
    ];
    let paths = [
        "/",
        "/a",
        "/a/",
        "//",
        "/a//",
        "/ab",
        "/a/b",
        "/a/b/c",
        "/x/b/y",
        "/x/b/",
        "/i-.png",
        "/i-x.png",
        "/i-x.pngg",
        "/i-a.b.png",
        "/x.tar",
        "/.tar",
        "/x.tar/y",
        "/f/",
        "/f/a",
        "/f/a/b/",
        "/f",
        "",
    ];
    for text in patterns {
        let pattern = Pattern::parse(text).unwrap();
        let mut tree = matchit::Router::new();
        tree.insert(pattern.shape(), ()).unwrap();
        for path in paths {
            let mut values = Vec::new();
            let own = pattern.matches(path, &mut values).then(|| {
                values.iter().map(|&(start, end)| &path[start as usize..end as usize]).collect::<Vec<_>>()
            });
            let of_tree = tree
                .at(path)
                .ok()
                .map(|found| found.params.iter().map(|(_, value)| value).collect::<Vec<_>>());
            assert_eq!(own, of_tree, "{text} {path}");
        }
    }
}

#[test]
fn narrow_patterns_come_before_wide_ones() {
    let mut patterns: Vec<Pattern> =
        ["/{*r}", "/u/{*r}", "/u/{a}", "/u/{a:int}", "/u/{a:uint}", "/u/{a:uuid}", "/u/me"]
            .iter()
            .map(|text| Pattern::parse(text).unwrap())
            .collect();
    let sorted = ["/u/me", "/u/{a:uuid}", "/u/{a:uint}", "/u/{a:int}", "/u/{a}", "/u/{*r}", "/{*r}"];
    patterns.sort_by_key(Pattern::order);
    assert_eq!(patterns.iter().map(|pattern| &*pattern.text).collect::<Vec<_>>(), sorted);
}

#[test]
fn a_path_is_made_of_values() {
    type Values = &'static [(&'static str, &'static str)];
    let cases: &[(&str, Values, Result<&str, &str>)] = &[
        ("/a", &[], Ok("/a")),
        ("/u/{id}", &[("id", "7")], Ok("/u/7")),
        ("/u/{id}", &[("id", "a/b c%é?")], Ok("/u/a%2Fb%20c%25%C3%A9%3F")),
        ("/u/{id:int}", &[("id", "-7")], Ok("/u/-7")),
        ("/u/{id:int}", &[("id", "x")], Err("no value for `id`")),
        ("/{a}/{b}", &[("b", "2"), ("a", "1")], Ok("/1/2")),
        ("/{a}/{b}", &[("a", "1")], Err("`b` needs one value")),
        ("/{a}", &[("a", "1"), ("a", "2")], Err("`a` needs one value")),
        ("/{a}", &[("a", "1"), ("c", "2")], Err("no parameter `c`")),
        ("/{a}", &[("a", "")], Err("no value for `a`")),
        ("/f/{*p}", &[("p", "a/b c")], Ok("/f/a/b%20c")),
        ("/f/{*p}", &[("p", "a/../b")], Err("lead elsewhere")),
        ("/f/{a}", &[("a", "..")], Err("lead elsewhere")),
        ("/f/{a}.", &[("a", ".")], Err("lead elsewhere")),
        ("/f/{a}.x", &[("a", "..")], Ok("/f/...x")),
        ("/{*p}", &[("p", "/evil.example")], Err("lead elsewhere")),
        ("/{*p}", &[("p", "\\evil.example")], Ok("/%5Cevil.example")),
        ("/{{é}}", &[], Ok("/%7B%C3%A9%7D")),
    ];
    for (text, values, expected) in cases {
        match (Pattern::parse(text).unwrap().url(values), expected) {
            (Ok(path), Ok(expected)) => assert_eq!(path, *expected),
            (Err(error), Err(part)) => assert!(format!("{error:?}").contains(part), "{text}: {error:?}"),
            (result, _) => panic!("{text} {values:?}: {result:?}"),
        }
    }
}
