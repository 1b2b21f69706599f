//! Makes an outcome fit into one message.
//!
//! The numbers, the checksums and the coverage decide the verdict, so they are sent whole or the
//! table fails. Notes and causes only explain, and are shortened with a note that says so.

use shared::bounds::{shortened, shortened_failure};
use shared::outcome::{Comparison, Failure, FailureKind, Outcome};

/// The most notes, and the most causes, of an outcome that has to be shortened.
const MOST_NOTES: usize = 100;

/// Bytes of the longest note of such an outcome.
const LONGEST_NOTE: usize = 1_024;

/// The same outcome, if it takes at most `room` bytes in JSON, or else a shorter one.
pub(super) fn fitted(outcome: Outcome, room: usize) -> Outcome {
    match outcome {
        Outcome::Failed(failure) => Outcome::Failed(shortened_failure(failure)),
        Outcome::Refused(failure) => Outcome::Refused(shortened_failure(failure)),
        Outcome::Compared(comparison) if size(&comparison) > room => {
            let short = shorten(comparison);
            let size = size(&short);
            if size > room {
                Outcome::Failed(too_large(size, room))
            } else {
                Outcome::Compared(short)
            }
        }
        other => other,
    }
}

/// The failure of a table whose result cannot be sent.
fn too_large(size: usize, room: usize) -> Failure {
    let message = format!(
        "the result has {size} bytes, and a message has room for {room}: raise max_message_size under [broker] of the worker, and that of the broker if it is less"
    );
    Failure::new(FailureKind::BrokerError, message)
}

fn size(comparison: &Comparison) -> usize {
    serde_json::to_vec(comparison)
        .expect("outcomes have string keys and no failing serializers")
        .len()
}

fn shorten(mut comparison: Comparison) -> Comparison {
    shorten_notes(&mut comparison.notes);
    if let Some(repair) = &mut comparison.repair {
        shorten_notes(&mut repair.notes);
    }
    let causes = comparison.causes.len();
    comparison.causes.truncate(MOST_NOTES);
    let left_out = causes - comparison.causes.len();
    if left_out > 0 {
        comparison.notes.push(format!(
            "{left_out} more causes of differences are not listed: they do not fit into one message"
        ));
    }
    comparison
}

fn shorten_notes(notes: &mut Vec<String>) {
    let left_out = notes.len().saturating_sub(MOST_NOTES);
    notes.truncate(MOST_NOTES);
    for note in notes.iter_mut() {
        if let Some(short) = shortened(note, LONGEST_NOTE) {
            *note = short;
        }
    }
    if left_out > 0 {
        notes.push(format!(
            "{left_out} more notes are not listed: they do not fit into one message"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(notes: Vec<String>) -> Comparison {
        Comparison {
            source_count: 1,
            target_count: 1,
            checksums: None,
            rows: None,
            key: Vec::new(),
            notes,
            causes: Vec::new(),
            reads: None,
            repair: None,
            coverage: None,
        }
    }

    #[test]
    fn notes_are_shortened_only_if_the_outcome_is_too_large() {
        let whole = Outcome::Compared(comparison(vec!["n".repeat(2_000); 200]));
        assert_eq!(fitted(whole.clone(), 1 << 20), whole);
        let Outcome::Compared(short) = fitted(whole, 200_000) else {
            panic!("the outcome fails")
        };
        assert!(size(&short) <= 200_000);
        assert_eq!(short.notes.len(), MOST_NOTES + 1);
        assert!(
            short.notes[MOST_NOTES].contains("100 more notes"),
            "{short:?}"
        );
    }

    #[test]
    fn a_result_that_cannot_be_shortened_fails_with_both_numbers() {
        let mut large = comparison(Vec::new());
        large.key = vec!["k".repeat(1_000); 100];
        let Outcome::Failed(failure) = fitted(Outcome::Compared(large), 50_000) else {
            panic!("the outcome does not fail")
        };
        assert!(
            failure.message.contains("50000") && failure.message.contains("max_message_size"),
            "{failure:?}"
        );
    }

    #[test]
    fn a_long_failure_is_cut_always() {
        let long = Failure::new(FailureKind::QueryError, "x".repeat(100_000));
        let Outcome::Failed(short) = fitted(Outcome::Failed(long), usize::MAX) else {
            panic!("the failure is gone")
        };
        assert!(
            short.message.len() <= shared::bounds::LONGEST_FAILURE && short.message.ends_with('…')
        );
    }
}
