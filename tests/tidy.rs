//! Rules of the code base that a compiler does not know: which layer may import which, where `unsafe` may stand, and that
//! every file says what it is.

use std::fs;
use std::path::{Path, PathBuf};

/// Layers of the root crate, and the layers each of them may import. `observe` and `testing` may import all.
const LAYERS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("io", &[]),
    ("conn", &["io", "proto", "error"]),
    ("server", &["conn", "error"]),
    ("client", &["conn", "websocket", "proto", "error"]),
    ("websocket", &["conn", "proto", "error"]),
    ("web", &["server", "websocket", "conn", "proto", "error"]),
    ("error", &["conn"]),
];

/// The only file that holds unsafe code; every other says `#![forbid(unsafe_code)]`, or only lists modules that do.
const UNSAFE_FILE: &str = "runtime/src/buffer.rs";

/// What the protocol may not know: a runtime, sockets, a clock, shared state.
const NOT_IN_PROTO: &[&str] =
    &["async ", "monoio", "ringhttp_runtime", "std::net", "Instant", "Rc<", "RefCell"];

fn sources(below: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join(below), &mut files);
    files.sort();
    let name = |path: &PathBuf| path.strip_prefix(root).expect("below the root").display().to_string();
    files.iter().map(|path| (name(path), fs::read_to_string(path).expect("readable"))).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The lines that are code, without those of test modules.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..end].lines().enumerate().map(|(index, line)| (index + 1, line.trim_start()));
    lines.filter(|(_, line)| !line.starts_with("//"))
}

/// The layer a file belongs to.
fn layer(name: &str) -> &str {
    let rest = name.strip_prefix("src/").expect("a source file");
    rest.split('/').next().and_then(|part| part.split('.').next()).expect("a name")
}

#[test]
fn imports_point_downward() {
    let mut wrong = Vec::new();
    for (name, text) in sources("src") {
        let Some((own, allowed)) = LAYERS.iter().find(|(layer_name, _)| *layer_name == layer(&name)) else {
            continue;
        };
        for (line, code) in code(&text) {
            for (other, _) in LAYERS {
                let imports = code.contains(&format!("crate::{other}::"));
                if imports && other != own && !allowed.contains(other) {
                    wrong.push(format!("{name}:{line}: {own} imports {other}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_protocol_knows_no_runtime() {
    let mut wrong = Vec::new();
    for (name, text) in sources("src/proto") {
        for (line, code) in code(&text) {
            wrong.extend(
                NOT_IN_PROTO
                    .iter()
                    .filter(|word| code.contains(*word))
                    .map(|word| format!("{name}:{line}: {word}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_runtime_knows_no_http() {
    for (name, text) in sources("runtime/src") {
        for (line, code) in code(&text) {
            assert!(!code.contains("http::") && !code.contains("httparse"), "{name}:{line}: {code}");
        }
    }
}

#[test]
fn unsafe_stands_in_one_file() {
    let files = sources("src").into_iter().chain(sources("runtime/src"));
    for (name, text) in files.filter(|(name, _)| name != UNSAFE_FILE && !name.ends_with("tests.rs")) {
        let unsafe_line = code(&text).find(|(_, line)| {
            ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait"].iter().any(|word| line.contains(word))
        });
        assert_eq!(unsafe_line, None, "{name}");
        let only_lists_modules = name.ends_with("lib.rs") || name.ends_with("mod.rs");
        assert!(
            text.contains("#![forbid(unsafe_code)]") || only_lists_modules,
            "{name} does not forbid unsafe code"
        );
    }
}

#[test]
fn every_file_says_what_it_is() {
    for below in ["src", "runtime/src", "tests", "examples", "benches"] {
        for (name, text) in sources(below) {
            assert!(text.starts_with("//!"), "{name} does not begin with a `//!` line");
        }
    }
}
