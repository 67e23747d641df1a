//! Chapter files of the rulebook: from text to scenarios, and from what happened back to text.
//!
//! Reads and writes lines; what a line means is `words`' affair. The language is described
//! in `tests/matching/README.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One file.
#[derive(Debug)]
pub struct Chapter {
    pub path: PathBuf,
    /// The file as it is, for rewriting.
    pub lines: Vec<String>,
    pub scenarios: Vec<Scenario>,
}

/// A line of text with its place in the file, from 1.
#[derive(Clone, Debug)]
pub struct Line {
    pub number: usize,
    pub text: String,
}

/// A session of trading, with what must come of it.
#[derive(Debug)]
pub struct Scenario {
    pub name: String,
    pub line: usize,
    /// `with` lines: the chapter's, then its own.
    pub world: Vec<Line>,
    /// Whether the same must hold with sides swapped and prices reflected.
    pub mirrored: bool,
    pub steps: Vec<Step>,
}

/// A command (or a look at the book) and the exact lines expected below it.
#[derive(Debug)]
pub struct Step {
    pub line: usize,
    pub command: String,
    pub expected: Vec<String>,
    /// Written with `each`: more than one step or line stands behind a line of the file.
    pub repeated: bool,
}

/// Every chapter of a folder, in order of name.
pub fn chapters(folder: &Path) -> Vec<Chapter> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    paths.iter().map(|path| chapter(path)).collect()
}

fn chapter(path: &Path) -> Chapter {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let scenarios = scenarios(&lines)
        .unwrap_or_else(|(number, why)| panic!("{}:{number}: {why}", path.display()));
    Chapter {
        path: path.to_owned(),
        lines,
        scenarios,
    }
}

/// Scenarios of a file's lines; an error has its line.
pub fn scenarios(lines: &[String]) -> Result<Vec<Scenario>, (usize, String)> {
    let mut chapter_world: Vec<Line> = Vec::new();
    let mut chapter_mirrored = true;
    let mut scenarios: Vec<Scenario> = Vec::new();
    // Steps that the last command line made: with `each` more than one, with its values.
    let mut open: Vec<Binding> = Vec::new();
    for (index, raw) in lines.iter().enumerate() {
        let number = index + 1;
        let text = raw.trim();
        let failed = |why: &str| (number, why.to_owned());
        if text.is_empty() || is_comment(text) {
            continue;
        }
        if let Some(name) = text.strip_prefix("== ") {
            open.clear();
            scenarios.push(Scenario {
                name: name.to_owned(),
                line: number,
                world: chapter_world.clone(),
                mirrored: chapter_mirrored,
                steps: Vec::new(),
            });
            continue;
        }
        if text.starts_with("with ") {
            let line = Line {
                number,
                text: text.to_owned(),
            };
            match scenarios.last_mut() {
                None => chapter_world.push(line),
                Some(scenario) if scenario.steps.is_empty() => scenario.world.push(line),
                Some(_) => return Err(failed("`with` comes before the first command")),
            }
            continue;
        }
        if let Some(why) = text.strip_prefix("not mirrored") {
            if why.strip_prefix(": ").is_none_or(str::is_empty) {
                return Err(failed("say why: `not mirrored: ...`"));
            }
            match scenarios.last_mut() {
                None => chapter_mirrored = false,
                Some(scenario) => scenario.mirrored = false,
            }
            continue;
        }
        let scenario = scenarios
            .last_mut()
            .ok_or_else(|| failed("a command before the first `== scenario`"))?;
        let expanded = expand(text).map_err(|why| (number, why))?;
        let repeated = text.starts_with("each ");
        if !raw.starts_with([' ', '\t']) {
            open.clear();
            for (body, binding) in expanded {
                scenario.steps.push(Step {
                    line: number,
                    command: body,
                    expected: Vec::new(),
                    repeated,
                });
                open.push(binding);
            }
            continue;
        }
        if open.is_empty() {
            return Err(failed("an event before the first command"));
        }
        let first = scenario.steps.len() - open.len();
        for (step, binding) in scenario.steps[first..].iter_mut().zip(&open) {
            step.repeated |= repeated;
            for (body, _) in &expanded {
                let body = binding.fill_in(body);
                step.expected
                    .extend(body.split(" | ").map(|line| line.trim().to_owned()));
            }
        }
    }
    Ok(scenarios)
}

fn is_comment(text: &str) -> bool {
    text == "#" || text.starts_with("# ")
}

/// The variable of an `each` line at one of its values.
#[derive(Clone, Debug, Default)]
struct Binding {
    variable: String,
    value: i64,
}

impl Binding {
    /// Replaces `{n}`, `{n+2}`, `{10-n}`; braces with another variable are left alone.
    fn fill_in(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((inside, behind)) = after.split_once('}') else {
                break;
            };
            out.push_str(before);
            match self.evaluate(inside) {
                Some(value) => out.push_str(&value.to_string()),
                None => out.push_str(&format!("{{{inside}}}")),
            }
            rest = behind;
        }
        out + rest
    }

    /// Sums and differences of the variable and numbers, from left to right.
    fn evaluate(&self, sum: &str) -> Option<i64> {
        let mut total = 0;
        let mut sign = 1;
        let mut rest = sum;
        loop {
            let end = rest.find(['+', '-']).unwrap_or(rest.len());
            let term = rest[..end].trim();
            let value = if term == self.variable {
                self.value
            } else {
                term.parse().ok()?
            };
            total += sign * value;
            sign = match rest[end..].chars().next() {
                None => return Some(total),
                Some('-') => -1,
                Some(_) => 1,
            };
            rest = &rest[end + 1..];
        }
    }
}

/// `each n 1..3: text` as three texts, anything else as itself.
fn expand(text: &str) -> Result<Vec<(String, Binding)>, String> {
    let Some(rest) = text.strip_prefix("each ") else {
        return Ok(vec![(text.to_owned(), Binding::default())]);
    };
    let wrong = || "write `each n 1..9: ...`".to_owned();
    let (head, body) = rest.split_once(": ").ok_or_else(wrong)?;
    let (variable, range) = head.split_once(' ').ok_or_else(wrong)?;
    let (from, to) = range.split_once("..").ok_or_else(wrong)?;
    let from: i64 = from.parse().map_err(|_| wrong())?;
    let to: i64 = to.parse().map_err(|_| wrong())?;
    let values: Vec<i64> = if from <= to {
        (from..=to).collect()
    } else {
        (to..=from).rev().collect()
    };
    Ok(values
        .into_iter()
        .map(|value| {
            let binding = Binding {
                variable: variable.to_owned(),
                value,
            };
            (binding.fill_in(body), binding)
        })
        .collect())
}

/// The file with other lines below some of its commands. Comments stay where they are: one between
/// two events stays behind as many events as it was.
pub fn rewritten(chapter: &Chapter, blessed: &BTreeMap<usize, Vec<String>>) -> String {
    let mut out = String::new();
    let mut index = 0;
    while index < chapter.lines.len() {
        let line = &chapter.lines[index];
        index += 1;
        out.push_str(line);
        out.push('\n');
        let Some(events) = blessed.get(&index) else {
            continue;
        };
        let mut events = events.iter();
        while let Some(old) = chapter.lines.get(index) {
            if !old.starts_with([' ', '\t']) || old.trim().is_empty() {
                break;
            }
            index += 1;
            if is_comment(old.trim()) {
                out.push_str(old);
                out.push('\n');
            } else if let Some(event) = events.next() {
                out.push_str(&format!("    {event}\n"));
            }
        }
        for event in events {
            out.push_str(&format!("    {event}\n"));
        }
    }
    out
}

/// How far from a difference a very long block of events is still shown.
const NEARBY: usize = 20;

/// The whole scenario, expected lines on the left, actual ones on the right, `!` where they differ.
pub fn side_by_side(scenario: &Scenario, actual: &[Vec<String>]) -> String {
    let mut out = format!("  {:<60}   {}\n", "EXPECTED", "ACTUAL");
    for (index, step) in scenario.steps.iter().enumerate() {
        out.push_str(&format!("  {}\n", step.command));
        let Some(actual) = actual.get(index) else {
            out.push_str("      (not reached)\n");
            continue;
        };
        let pairs = aligned(&step.expected, actual);
        for (index, (left, right)) in pairs.iter().enumerate() {
            // Long stretches that agree say nothing.
            let around = &pairs[index.saturating_sub(NEARBY)..pairs.len().min(index + NEARBY)];
            if around.len() == 2 * NEARBY && around.iter().all(|(left, right)| left == right) {
                continue;
            }
            let mark = if left == right { ' ' } else { '!' };
            let [left, right] = [left, right].map(|line| line.map_or("", |line| line.as_str()));
            out.push_str(&format!("{mark}     {left:<56} | {right}\n"));
        }
    }
    out
}

type Pair<'a> = (Option<&'a String>, Option<&'a String>);

/// Equal lines side by side, by the longest common subsequence; changed ones paired in order.
fn aligned<'a>(left: &'a [String], right: &'a [String]) -> Vec<Pair<'a>> {
    let width = right.len() + 1;
    let mut common = vec![0u32; (left.len() + 1) * width];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            common[i * width + j] = if left[i] == right[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < left.len() || j < right.len() {
        let of = |i: usize, j: usize| common[i * width + j];
        if i < left.len()
            && j < right.len()
            && (left[i] == right[j] || of(i, j) == of(i + 1, j + 1))
        {
            pairs.push((Some(&left[i]), Some(&right[j])));
            i += 1;
            j += 1;
        } else if j == right.len() || i < left.len() && of(i + 1, j) == of(i, j) {
            pairs.push((Some(&left[i]), None));
            i += 1;
        } else {
            pairs.push((None, Some(&right[j])));
            j += 1;
        }
    }
    pairs
}
