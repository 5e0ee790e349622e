//! Every clause of docs/GOSSIP.md is named by a test.

use std::collections::BTreeSet;
use std::path::Path;

fn numbers(text: &str, prefix: &str) -> BTreeSet<u32> {
    let parts = text.split(prefix).skip(1);
    let digits = parts.map(|part| {
        part.split(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap_or("")
    });
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

fn sources(folder: &Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            found.push_str(&std::fs::read_to_string(path).expect("a source"));
        }
    }
}

#[test]
fn every_clause_is_named_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let clauses = std::fs::read_to_string(root.join("../../docs/GOSSIP.md")).expect("the page");
    let mut tests = String::new();
    for folder in ["src", "tests", "../gossip/src", "../gossip/tests"] {
        sources(&root.join(folder), &mut tests);
    }
    let (stated, named) = (numbers(&clauses, "**G-"), numbers(&tests, "fn g_"));
    assert!(stated.len() > 20, "the page has lost its clauses");
    let missing: Vec<&u32> = stated.difference(&named).collect();
    assert!(missing.is_empty(), "no test names {missing:?}");
    let unknown: Vec<&u32> = named.difference(&stated).collect();
    assert!(
        unknown.is_empty(),
        "tests name {unknown:?}, which the page does not have"
    );
}
