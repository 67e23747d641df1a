//! The rulebook of the venue, run: every file of `tests/matching/` is a chapter, every scenario in
//! it a session of trading with the exact events it must cause. The language is described in
//! `tests/matching/README.md`.
//!
//! Scenario text → typed commands → the real `Engine` → its events as lines → compared. After every
//! command `checks` looks at what must always hold; every scenario is run again from its
//! command bytes, and again in the mirror.
//!
//! `ONLY=text` runs the scenarios with that in their names; `CHAPTERS=folder` those of another folder; `BLESS=1` writes what happened into the
//! files, to be read before it is believed.

#[allow(dead_code, unreachable_pub)]
#[path = "support/scenario/mod.rs"]
mod scenario;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use scenario::run::{Outcome, run};
use scenario::text::{Chapter, Scenario, chapters, rewritten, scenarios, side_by_side};
use trading_engine_protocol::types::Reason;

fn rulebook() -> Vec<Chapter> {
    chapters(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matching"))
}

/// `None` = as written.
fn complaint(
    chapter: &Chapter,
    scenario: &Scenario,
    outcome: &Outcome,
    how: &str,
) -> Option<String> {
    if outcome.is_as_expected(scenario) {
        return None;
    }
    // As the reader types it.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = chapter.path.strip_prefix(root).unwrap_or(&chapter.path);
    let path = path.display();
    let mut text = format!("{path}:{}: {}{how}\n", scenario.line, scenario.name);
    if let Some((line, why)) = &outcome.trouble {
        text += &format!("  {path}:{line}: {why}\n");
    }
    Some(text + &side_by_side(scenario, &outcome.actual))
}

/// What stands in the file below each command that caused something else. Lines that stand for many
/// are left to their author.
fn blessing(scenario: &Scenario, outcome: &Outcome) -> BTreeMap<usize, Vec<String>> {
    if outcome.trouble.is_some() {
        return BTreeMap::new();
    }
    scenario
        .steps
        .iter()
        .zip(&outcome.actual)
        .filter(|(step, actual)| !step.repeated && step.expected != **actual)
        .map(|(step, actual)| (step.line, actual.clone()))
        .collect()
}

#[test]
fn the_engine_keeps_the_rulebook() {
    let bless = std::env::var("BLESS").is_ok_and(|bless| bless == "1");
    let on_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(
        !(bless && on_ci),
        "BLESS=1 is for authors: CI never changes what is expected"
    );
    let only = std::env::var("ONLY").ok();
    let mut failures = Vec::new();
    let (mut ran, mut mirrored) = (0, 0);
    let elsewhere = std::env::var("CHAPTERS").ok();
    let all = elsewhere.map_or_else(rulebook, |folder| chapters(Path::new(&folder)));
    for chapter in &all {
        let mut blessed = BTreeMap::new();
        for scenario in &chapter.scenarios {
            if only
                .as_ref()
                .is_some_and(|only| !scenario.name.contains(only.as_str()))
            {
                continue;
            }
            ran += 1;
            let outcome = run(scenario, false);
            if let Some(failure) = complaint(chapter, scenario, &outcome, "") {
                failures.push(failure);
                blessed.append(&mut blessing(scenario, &outcome));
                continue;
            }
            if scenario.mirrored {
                mirrored += 1;
                let outcome = run(scenario, true);
                let how = " (in the mirror)";
                failures.extend(complaint(chapter, scenario, &outcome, how));
            }
        }
        if bless && !blessed.is_empty() {
            println!("{}: {} blessed", chapter.path.display(), blessed.len());
            std::fs::write(&chapter.path, rewritten(chapter, &blessed)).unwrap();
        }
    }
    println!("{ran} scenarios, {mirrored} also in the mirror");
    assert!(
        failures.is_empty(),
        "{} of {ran} scenarios fail\n\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn scenario_names_are_told_apart() {
    let mut names = BTreeSet::new();
    for chapter in &rulebook() {
        assert!(!chapter.scenarios.is_empty(), "{:?}", chapter.path);
        for scenario in &chapter.scenarios {
            assert!(names.insert(scenario.name.clone()), "{}", scenario.name);
        }
    }
}

/// Reasons of the core that no scenario can reach today, and why.
const UNREACHED_REASONS: &[(Reason, &str)] = &[
    (
        Reason::OrderIdExhausted,
        "2^40 orders would have to be entered first",
    ),
    (
        Reason::AmendmentCapacity,
        "65,536 trades of a day would have to be amended first: tests/engine_desk.rs does",
    ),
    (
        Reason::SequenceNotAvailable,
        "the core keeps no messages: whoever reads the event log knows from where it begins",
    ),
];

#[test]
fn every_reason_of_the_core_is_reached() {
    let mut reached = BTreeSet::new();
    for chapter in &rulebook() {
        for scenario in &chapter.scenarios {
            reached.extend(run(scenario, false).reasons);
        }
    }
    for reason in Reason::ALL {
        // Those between are the doors'.
        if !matches!(reason.code(), 1..140 | 200..) {
            continue;
        }
        let excused = UNREACHED_REASONS.iter().find(|(known, _)| known == reason);
        match excused {
            None => assert!(reached.contains(reason), "no scenario reaches {reason:?}"),
            Some((_, why)) => assert!(
                !reached.contains(reason),
                "{reason:?} is reached, though listed as: {why}"
            ),
        }
    }
}

/// Rows of the failure catalogue without a scenario, and why.
const ROWS_WITHOUT_SCENARIO: &[(u32, &str)] = &[
    (
        29,
        "no float is in the engine's types; the extremes are under row 28",
    ),
    (
        31,
        "a matter of endurance: the differential test drives millions of commands",
    ),
    (34, "a matter of cost: benches/engine.rs"),
    (36, "a matter of CI"),
];

#[test]
fn every_row_of_the_failure_catalogue_has_a_scenario() {
    let mut rows = BTreeSet::new();
    for chapter in &rulebook() {
        for line in &chapter.lines {
            if let Some((row, _)) = line
                .strip_prefix("# Row ")
                .and_then(|rest| rest.split_once(':'))
            {
                rows.insert(row.parse::<u32>().expect("# Row number: ..."));
            }
        }
    }
    for row in 1..=36 {
        let excused = ROWS_WITHOUT_SCENARIO.iter().any(|(known, _)| *known == row);
        assert!(rows.contains(&row) != excused, "row {row}");
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The harness can fail: a line too many, one too few, a wrong one, and each with its place.
#[test]
fn a_wrong_expectation_is_shown_side_by_side() {
    let text = "== One order\nA buy 1 @ 100 #a1\n    a1 accepted, open 2\nbook\n    buy 100: 1 (1)";
    let all = scenarios(&lines(text)).unwrap();
    let outcome = run(&all[0], false);
    assert!(!outcome.is_as_expected(&all[0]));
    assert_eq!(outcome.actual[0], ["a1 accepted, open 1"]);
    let diff = side_by_side(&all[0], &outcome.actual);
    assert!(diff.contains("!     a1 accepted, open 2 "), "{diff}");
    assert!(diff.contains("| a1 accepted, open 1\n"), "{diff}");
    assert!(!diff.contains("!     buy"), "{diff}");
}

#[test]
fn blessing_keeps_comments_and_everything_else() {
    let text = "# Chapter\n\n== One\nA buy 1 @ 100 #a1\n    # why\n    wrong\n    more\n\n# end\n";
    let chapter = Chapter {
        path: "chapter.txt".into(),
        lines: lines(text),
        scenarios: scenarios(&lines(text)).unwrap(),
    };
    let scenario = &chapter.scenarios[0];
    let blessed = blessing(scenario, &run(scenario, false));
    assert_eq!(
        rewritten(&chapter, &blessed),
        "# Chapter\n\n== One\nA buy 1 @ 100 #a1\n    # why\n    a1 accepted, open 1\n\n# end\n"
    );
}

#[test]
fn a_line_that_cannot_be_read_is_named() {
    for (line, why) in [
        ("A buy 1 @ 100", "no #id"),
        ("A buy 1 @ 100.5 #a1", "only `refuse`"),
        ("A buy 1 @ 100 soon #a1", "word \"soon\" is unknown"),
        ("A fly #a1", "verb \"fly\" is unknown"),
        ("A cancel order a7 #a2", "no order a7"),
        ("sleep", "command \"sleep\" is unknown"),
        ("time -5s", "neither"),
        ("time 08:59", "never goes back"),
        ("book NONE", "symbol"),
    ] {
        let all = scenarios(&lines(&format!("== Wrong\n{line}"))).unwrap();
        let (number, text) = run(&all[0], false).trouble.expect(line);
        assert_eq!(number, 2);
        assert!(text.contains(why), "{line}: {text}");
    }
}
