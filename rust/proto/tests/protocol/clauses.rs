//! docs/WIRE.md and the tests it names.

const WIRE: &str = include_str!("../../../../docs/WIRE.md");

macro_rules! sources {
    ($($path:literal,)*) => { [$(include_str!($path),)*] };
}

const SOURCES: [&str; 30] = sources![
    "abuse.rs",
    "credit.rs",
    "greeting.rs",
    "limits.rs",
    "messages.rs",
    "model.rs",
    "requests.rs",
    "split.rs",
    "streams.rs",
    "table.rs",
    "timing.rs",
    "vectors.rs",
    "zeebe.rs",
    "../../../engine/tests/zeebe.rs",
    "../../src/assembly.rs",
    "../../src/codec.rs",
    "../../src/credit.rs",
    "../../src/error.rs",
    "../../src/fault.rs",
    "../../src/frame.rs",
    "../../src/lanes.rs",
    "../../src/metadata.rs",
    "../../src/overhead.rs",
    "../../src/stream.rs",
    "../../src/subjects.rs",
    "../../src/zeebe/asked.rs",
    "../../src/zeebe/compression.rs",
    "../../src/zeebe/heartbeat.rs",
    "../../src/zeebe/served.rs",
    "../../src/zeebe/wire.rs",
];

fn is_test_name(word: &str) -> bool {
    let digits = word.strip_prefix("w_").or(word.strip_prefix('t'));
    digits.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

#[test]
fn every_clause_names_a_test_and_every_named_test_exists() {
    for clause in WIRE.split("\n**W-").skip(1) {
        let number = clause.split(' ').next().unwrap();
        let names: Vec<&str> = clause
            .split('`')
            .filter(|word| is_test_name(word))
            .collect();
        assert!(!names.is_empty(), "W-{number} names no test");
        for name in names {
            let defined = format!("fn {name}(");
            assert!(
                SOURCES.iter().any(|source| source.contains(&defined)),
                "W-{number}: {name}"
            );
        }
    }
}

#[test]
fn every_test_of_a_clause_is_named_by_it() {
    for source in SOURCES {
        for line in source
            .lines()
            .filter_map(|line| line.trim().strip_prefix("fn w_"))
        {
            let name = format!("w_{}", line.split('(').next().unwrap());
            assert!(
                WIRE.contains(&format!("`{name}`")),
                "docs/WIRE.md does not name {name}"
            );
        }
    }
}
