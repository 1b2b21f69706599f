//! Which results count, and which of their rows and statements are kept.

use super::*;

#[test]
fn a_result_without_all_its_differences_is_no_result() {
    let mut story = Story::new(1, limits(1));
    let row = Difference {
        kind: DifferenceKind::Modified,
        key: serde_json::Map::new(),
        columns: Vec::new(),
    };
    let batch = |batch: u32| EventBody::Differences {
        batch,
        rows: vec![row.clone()],
    };
    story.claim(0, 1, "w");
    story.event(0, 1, "w", batch(0));
    story.event(0, 1, "w", batch(0));
    story.finish(0, 1, "w", compared(2), 2);
    assert_eq!(story.status(0), None);
    assert_eq!(published(&story.wait(SECOND)), [(0, 2)]);
    story.event(0, 2, "w", batch(1));
    story.event(0, 1, "w", batch(5));
    story.event(0, 2, "w", batch(0));
    story.finish(0, 2, "w", compared(2), 2);
    let record = story.record(0);
    assert_eq!(
        (record.status(), record.attempt),
        (TableStatus::Mismatched, Attempt(2))
    );
    assert!(
        matches!(&record.verdict, Verdict::Compared { differences, .. } if differences.len() == 2)
    );
    assert_eq!(
        record.history[0].failure.kind,
        FailureKind::IncompleteResult
    );
}

#[test]
fn all_rows_are_kept_and_the_first_ones_are_listed() {
    let limits = Limits {
        listed_rows: Some(3),
        ..limits(1)
    };
    let mut story = Story::new(1, limits);
    let row = |id: u32| Difference {
        kind: DifferenceKind::Modified,
        key: serde_json::Map::from_iter([("id".to_owned(), id.into())]),
        columns: Vec::new(),
    };
    let batch = |batch: u32| EventBody::Differences {
        batch,
        rows: vec![row(2 * batch), row(2 * batch + 1)],
    };
    story.claim(0, 1, "w");
    // A batch that is delivered twice is kept once.
    for number in [0, 1, 1, 2] {
        story.event(0, 1, "w", batch(number));
    }
    story.finish(0, 1, "w", compared(6), 3);
    let kept = story.effects.iter().filter_map(|effect| match effect {
        Effect::KeepRows { rows, .. } => Some(rows.clone()),
        _ => None,
    });
    let all: Vec<Difference> = (0..6).map(row).collect();
    assert_eq!(kept.flatten().collect::<Vec<_>>(), all);
    let Verdict::Compared { differences, .. } = &story.record(0).verdict else {
        panic!("{:?}", story.record(0));
    };
    assert_eq!(*differences, all[..3]);
}

#[test]
fn a_result_that_is_not_deep_enough_does_not_count() {
    let mut story = Story::new(1, limits(1));
    let shallow = Outcome::Compared(Comparison {
        source_count: 1,
        target_count: 1,
        checksums: None,
        rows: None,
        key: Vec::new(),
        notes: Vec::new(),
        causes: Vec::new(),
        reads: None,
        repair: None,
        coverage: None,
    });
    story.finish(0, 1, "w", shallow, 0);
    assert_eq!(story.status(0), Some(TableStatus::Failed));
}

#[test]
fn the_first_result_of_the_current_attempt_counts() {
    let mut story = Story::new(1, limits(1));
    story.claim(0, 1, "a");
    story.finish(0, 1, "a", failed(true, true), 0);
    story.wait(SECOND);
    assert_eq!(
        cancels(&story.claim(0, 1, "late")),
        [(0, 1)],
        "a stale claim is refused"
    );
    story.finish(0, 1, "late", compared(1), 0);
    assert_eq!(story.status(0), None);
    story.claim(0, 2, "b");
    story.finish(0, 2, "b", compared(0), 0);
    story.finish(0, 2, "b", compared(1), 0);
    assert_eq!(story.status(0), Some(TableStatus::Matched));
}

#[test]
fn parts_of_a_statement_are_kept_once_and_all_of_them_are_needed() {
    let part = |batch: u32| EventBody::RepairPart {
        batch,
        part: StatementPart {
            first: 0,
            offset: u64::from(batch),
            total: 2,
            text: "x".to_owned(),
        },
    };
    let mut story = Story::new(1, limits(1));
    story.claim(0, 1, "w");
    for batch in [1, 1, 0] {
        story.event(0, 1, "w", part(batch));
    }
    story.finish(0, 1, "w", compared(1), 3);
    assert_eq!(story.status(0), None, "a part is missing");
    story.wait(SECOND);
    for batch in [0, 1] {
        story.event(0, 2, "w", part(batch));
    }
    story.finish(0, 2, "w", compared(1), 2);
    assert_eq!(story.record(0).attempt, Attempt(2));
    let is_kept = |effect: &&Effect| matches!(effect, Effect::KeepRepairPart { .. });
    assert_eq!(story.effects.iter().filter(is_kept).count(), 4);
}
