//! Compares and repairs every case under `tests/cases` with the real engine and
//! real databases, as written and with the sides exchanged.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

#[path = "cases/databases.rs"]
mod databases;
#[path = "cases/repaired.rs"]
mod repaired;

use std::collections::BTreeMap;
use std::path::Path;

use tests::cases::{Case, compare, load};

use databases::{Databases, Meeting};

/// Runs `check` for every pair of databases of every case, or of every second one, from the first
/// or from the second.
fn all(
    (first, step): (usize, usize),
    check: impl AsyncFn(&mut Databases, &Case, &Meeting) -> anyhow::Result<()>,
) {
    let cases = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")).unwrap();
    assert!(cases.len() >= 250, "only {} cases were found", cases.len());
    // CASES=word,word: only those whose names hold one, while they are being written.
    let wanted = std::env::var("CASES").unwrap_or_default();
    let wanted: BTreeMap<&String, &Case> = cases
        .iter()
        .filter(|(name, _)| wanted.split(',').any(|word| name.contains(word)))
        .skip(first)
        .step_by(step)
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let failures = runtime.block_on(async {
        let mut databases = Databases::start().await;
        let mut failures = Vec::new();
        for (name, case) in &wanted {
            let mut failed = |error: anyhow::Error| {
                failures.push(format!("{name} ({}): {error:#}", case.about));
            };
            match databases.make(case).await {
                Err(error) => failed(error),
                Ok(meetings) => {
                    for meeting in meetings {
                        if let Err(error) = check(&mut databases, case, &meeting).await {
                            failed(error.context(databases.words(&meeting)));
                            // The databases may keep its tables; those must not fail the next case.
                            break;
                        }
                    }
                }
            }
        }
        failures
    });
    assert!(
        failures.is_empty(),
        "{} failures in {} cases:\n{}",
        failures.len(),
        wanted.len(),
        failures.join("\n")
    );
}

#[test]
fn every_case_comes_out_as_expected() {
    all((0, 1), async |databases, case, meeting| {
        let spec = case.spec(meeting.mirrored)?;
        let answer = compare(databases.engine(meeting), spec).await;
        case.check(&answer, meeting.mirrored)
    });
}

// Two tests, which run side by side.

#[test]
fn every_case_is_repaired_and_taken_back() {
    all((0, 2), repaired::there_and_back);
}

#[test]
fn every_other_case_is_repaired_and_taken_back() {
    all((1, 2), repaired::there_and_back);
}
