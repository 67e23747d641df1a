//! The arrows: which box of the venue may import which. Reads every source file, strips comments
//! and literals, resolves `crate::`, `super::` and `self::` paths, groups included, and fails on
//! each that the table below does not allow. A new folder fails until it has a row.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// One box (a file or folder of `src`) and what it may import: paths, each with all below it.
/// What a box imports from itself is its own business.
const ARROWS: &[(&str, &[&str])] = &[
    // Pure: commands in, events out.
    ("engine", &["limits"]),
    ("limits", &[]),
    // What talks to the machine and knows nothing of trading.
    ("ring", &[]),
    ("clock", &[]),
    // The log and the threads.
    (
        "sequencer",
        &["agent", "clock", "engine::command", "limits", "ring"],
    ),
    ("agent", &["clock", "engine", "limits", "ring"]),
    ("journal", &["agent", "clock", "engine", "limits", "ring"]),
    // What lives off commands and events.
    (
        "gateway",
        &[
            "agent",
            "clock",
            "engine::command",
            "engine::event",
            "journal::event_log",
            "journal::history",
            "limits",
            "ring",
        ],
    ),
    (
        "market_data",
        &[
            "agent",
            "clock",
            "engine::command",
            "engine::event",
            "journal::event_log",
            "journal::history",
            "limits",
            "ring",
        ],
    ),
    (
        "admin",
        &[
            "clock",
            "engine::command",
            "engine::event",
            "gateway::keystore",
            "limits",
            "market_data",
            "metric_names",
            "store",
            "telemetry",
        ],
    ),
    (
        "store",
        &[
            "clock",
            "engine::command",
            "engine::event",
            "journal::event_log",
            "journal::event_tail",
            "limits",
            "market_data",
            "telemetry::Histogram",
        ],
    ),
    ("shutdown", &["admin"]),
    (
        "telemetry",
        &[
            "engine::command",
            "engine::event",
            "gateway",
            "journal",
            "metric_names",
            "ring",
        ],
    ),
    ("trading_day", &[]),
    ("schedule", &["trading_day"]),
    ("metric_names", &[]),
    // Settings, the demo, and the client side: they name types, the core does not know them.
    (
        "config",
        &[
            "admin::auth",
            "admin::proxies",
            "agent",
            "engine::command",
            "gateway",
            "journal",
            "limits",
            "trading_day",
            "schedule",
            "store::url",
            "store::redis",
        ],
    ),
    ("client", &["gateway::keystore"]),
    (
        "demo",
        &["client", "engine::command", "gateway::keystore", "limits"],
    ),
    // The wiring sees everything; nobody sees the wiring.
    ("topology", &["*"]),
    ("main", &["*"]),
];

/// Nobody but the wiring's own start imports these.
const ROOTS: &[&str] = &["topology", "main"];

/// Crates that pure code may use, and the one part of the protocol it may know.
const ENGINE_CRATES: &[&str] = &["core", "std", "zerocopy", "trading_engine_protocol::types"];
/// What the protocol crate must never come to need: bytes and `now` in, bytes and messages out.
const NOT_IN_PROTOCOL: &[&str] = &[
    "tokio", "mio", "axum", "sqlx", "socket2", "quanta", "rustix",
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `::`
    Step,
    Other(char),
}

/// Words and punctuation, without comments, strings, characters and lifetimes.
fn tokens(source: &str) -> Vec<Token> {
    let text: Vec<char> = source.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    let starts =
        |at: usize, what: &str| what.chars().eq(text[at..].iter().take(what.len()).copied());
    while at < text.len() {
        let c = text[at];
        if starts(at, "//") {
            while at < text.len() && text[at] != '\n' {
                at += 1;
            }
        } else if starts(at, "/*") {
            let mut depth = 0;
            loop {
                if starts(at, "/*") {
                    depth += 1;
                    at += 2;
                } else if starts(at, "*/") {
                    depth -= 1;
                    at += 2;
                } else {
                    at += 1;
                }
                if depth == 0 || at >= text.len() {
                    break;
                }
            }
        } else if c == '"' {
            at += 1;
            while at < text.len() && text[at] != '"' {
                at += if text[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if c == '\'' {
            // A character ends with a quote; a lifetime does not.
            let end = if text.get(at + 1) == Some(&'\\') {
                (at + 3..text.len()).find(|&end| text[end] == '\'')
            } else {
                (text.get(at + 2) == Some(&'\'')).then_some(at + 2)
            };
            at = end.unwrap_or(at) + 1;
        } else if c.is_alphanumeric() || c == '_' {
            let start = at;
            while at < text.len() && (text[at].is_alphanumeric() || text[at] == '_') {
                at += 1;
            }
            let word: String = text[start..at].iter().collect();
            let hashes = text[at..].iter().take_while(|&&c| c == '#').count();
            let raw = matches!(word.as_str(), "r" | "br" | "cr");
            if raw && text.get(at + hashes) == Some(&'"') {
                let close = format!("\"{}", "#".repeat(hashes));
                at += hashes + 1;
                while at < text.len() && !starts(at, &close) {
                    at += 1;
                }
                at += close.len();
            } else {
                out.push(Token::Word(word));
            }
        } else if starts(at, "::") {
            out.push(Token::Step);
            at += 2;
        } else {
            if !c.is_whitespace() {
                out.push(Token::Other(c));
            }
            at += 1;
        }
    }
    out
}

/// Every path that starts at `tokens[at]`, groups expanded, and where it ends.
fn paths(tokens: &[Token], at: usize) -> (Vec<Vec<String>>, usize) {
    match tokens.get(at) {
        Some(Token::Word(word)) => {
            if tokens.get(at + 1) != Some(&Token::Step) {
                return (vec![vec![word.clone()]], at + 1);
            }
            let (below, end) = paths(tokens, at + 2);
            let all = below.into_iter().map(|mut path| {
                path.insert(0, word.clone());
                path
            });
            (all.collect(), end)
        }
        Some(Token::Other('{')) => {
            let mut all = Vec::new();
            let mut at = at + 1;
            while at < tokens.len() && tokens[at] != Token::Other('}') {
                match &tokens[at] {
                    Token::Other(',') => at += 1,
                    Token::Word(word) if word == "as" => at += 2,
                    _ => {
                        let (one, end) = paths(tokens, at);
                        all.extend(one);
                        at = end.max(at + 1);
                    }
                }
            }
            (all, at + 1)
        }
        _ => (vec![Vec::new()], at),
    }
}

/// Paths into this crate that a file names, from the crate's root.
fn imports(module: &[&str], source: &str) -> BTreeSet<Vec<String>> {
    let tokens = tokens(source);
    let mut out = BTreeSet::new();
    // Where each open brace stands: the module it opened, if it did.
    let mut braces: Vec<Option<String>> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        match &tokens[at] {
            Token::Other('{') => {
                let opened = match at.checked_sub(2).map(|start| &tokens[start..at]) {
                    Some([Token::Word(keyword), Token::Word(name)]) if keyword == "mod" => {
                        Some(name.clone())
                    }
                    _ => None,
                };
                braces.push(opened);
            }
            Token::Other('}') => {
                braces.pop();
            }
            Token::Word(word)
                if matches!(word.as_str(), "crate" | "super" | "self")
                    && before != Some(&Token::Step)
                    && tokens.get(at + 1) == Some(&Token::Step) =>
            {
                let here = module.iter().map(|name| (*name).to_owned());
                let here: Vec<String> = here.chain(braces.iter().flatten().cloned()).collect();
                let (found, _) = paths(&tokens, at);
                out.extend(found.iter().map(|path| resolve(&here, path)));
            }
            _ => {}
        }
        at += 1;
    }
    out.retain(|path| !path.is_empty());
    out
}

fn resolve(here: &[String], path: &[String]) -> Vec<String> {
    let mut at = here.to_vec();
    for word in path {
        match word.as_str() {
            "crate" => at.clear(),
            "super" => {
                at.pop();
            }
            "self" => {}
            name => at.push(name.to_owned()),
        }
    }
    at
}

/// What a file uses from other crates, such as `std::sync::Arc`.
fn crates(source: &str) -> BTreeSet<Vec<String>> {
    let tokens = tokens(source);
    let word = |at: usize, word: &str| tokens.get(at) == Some(&Token::Word(word.to_owned()));
    let mut out = BTreeSet::new();
    for at in (0..tokens.len()).filter(|&at| word(at, "use")) {
        out.extend(paths(&tokens, at + 1).0);
    }
    // A module or macro of this file may be named without `self`.
    let own = |first: &str| {
        let declared = |at: usize| {
            word(at, "mod") && word(at + 1, first) || word(at, "macro_rules") && word(at + 2, first)
        };
        matches!(first, "crate" | "super" | "self") || (0..tokens.len()).any(declared)
    };
    out.retain(|path| path.first().is_some_and(|first| !own(first)));
    out
}

fn is_below(path: &[String], allowed: &str) -> bool {
    allowed == "*"
        || allowed
            .split("::")
            .enumerate()
            .all(|(at, part)| path.get(at).is_some_and(|word| word == part))
}

#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    path: String,
    why: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} imports {}: {}", self.file, self.path, self.why)
    }
}

/// What a file under `src` imports against the arrows.
fn violations(file: &str, source: &str) -> Vec<Violation> {
    let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let module: Vec<&str> = stem.split('/').collect();
    let own = module[0];
    if matches!(stem, "lib" | "main") {
        return Vec::new();
    }
    let violation = |path: &[String], why| Violation {
        file: file.to_owned(),
        path: path.join("::"),
        why,
    };
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == own) else {
        return vec![violation(&[], "a box without a row in the table")];
    };
    let mut out = Vec::new();
    for path in imports(&module, source) {
        if path[0] == own {
            continue;
        }
        if ROOTS.contains(&path[0].as_str()) {
            out.push(violation(&path, "nobody imports the wiring"));
        } else if !allowed.iter().any(|allowed| is_below(&path, allowed)) {
            out.push(violation(&path, "against the arrows"));
        }
    }
    if own == "engine" {
        for path in crates(source) {
            if !ENGINE_CRATES.iter().any(|allowed| is_below(&path, allowed)) {
                out.push(violation(&path, "the engine is pure"));
            }
        }
    }
    out
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
    out
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn nothing_imports_against_the_arrows() {
    let folder = root().join("src");
    let files = sources(&folder);
    assert!(files.len() > 20, "the sources were not found");
    let all: Vec<String> = files
        .iter()
        .flat_map(|path| {
            let name = path.strip_prefix(&folder).unwrap().display().to_string();
            violations(&name, &std::fs::read_to_string(path).unwrap())
        })
        .map(|violation| violation.to_string())
        .collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

#[test]
fn the_protocol_stays_free_of_sockets_and_runtimes() {
    let manifest = std::fs::read_to_string(root().join("protocol/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    for banned in NOT_IN_PROTOCOL {
        assert!(
            !dependencies.contains_key(*banned),
            "protocol depends on {banned}"
        );
    }
    for path in sources(&root().join("protocol/src")) {
        for import in crates(&std::fs::read_to_string(&path).unwrap()) {
            let socket = import.starts_with(&["std".into(), "net".into()]);
            let file = import.starts_with(&["std".into(), "fs".into()]);
            assert!(!socket && !file, "{} uses {import:?}", path.display());
        }
    }
}

#[test]
fn the_check_sees_every_way_to_import() {
    let check = |file, source: &str, expected: &[&str]| {
        let found: Vec<String> = violations(file, source)
            .into_iter()
            .map(|violation| violation.path)
            .collect();
        assert_eq!(found, expected, "{file}: {source}");
    };
    check(
        "engine/matching.rs",
        "use crate::ring::Writer;",
        &["ring::Writer"],
    );
    check(
        "engine/matching.rs",
        "use crate::{limits::A, clock::{B, C}};",
        &["clock::B", "clock::C"],
    );
    check(
        "engine/book.rs",
        "use crate::{limits::A as B, ring as r};",
        &["ring"],
    );
    check("engine/mod.rs", "pub use super::journal;", &["journal"]);
    check(
        "engine/mod.rs",
        "mod tests { use super::*; use super::super::ring::Full; }",
        &["ring::Full"],
    );
    check(
        "engine/book.rs",
        "fn f() { crate::clock::now() }",
        &["clock::now"],
    );
    check(
        "engine/book.rs",
        "use std::time::Instant; use tokio::net;",
        &["tokio::net"],
    );
    check(
        "engine/book.rs",
        "use trading_engine_protocol::{types::A, fix::B};",
        &["trading_engine_protocol::fix::B"],
    );
    check(
        "gateway/fix.rs",
        "use crate::engine::{Engine, event};",
        &["engine::Engine"],
    );
    check(
        "gateway/fix.rs",
        "use crate::topology::Venue;",
        &["topology::Venue"],
    );
    check(
        "admin/mod.rs",
        "use crate::topology::Venue;",
        &["topology::Venue"],
    );
    check(
        "ring/bytes.rs",
        "use super::Cursor; use crate::limits::A;",
        &["limits::A"],
    );
    check("orphan/mod.rs", "", &[""]);
    // What only looks like an import.
    check(
        "engine/book.rs",
        "/// [`crate::ring::Writer`]\n/* use crate::clock; /* */ */",
        &[],
    );
    check(
        "engine/book.rs",
        "const A: &str = \"use crate::clock; \\\" \"; const B: char = '\"';",
        &[],
    );
    check(
        "engine/book.rs",
        "const A: &str = r#\"\" crate::clock::x\"#; fn f<'a>(_: &'a u8) {}",
        &[],
    );
    check("engine/book.rs", "pub(crate) fn f() { self::g(); }", &[]);
    check(
        "topology.rs",
        "use crate::engine::Engine; use crate::gateway::Gateway;",
        &[],
    );
}
