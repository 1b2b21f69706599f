//! Claims that name databases, and workers that cannot run the tables.

use super::*;

const BOTH: [&str; 2] = ["source", "target"];

fn finished() -> EventBody {
    EventBody::Finished {
        outcome: Box::new(compared(0)),
        batches: 0,
        duration_ms: 1,
        unconfirmed: Vec::new(),
    }
}

fn target_of(effects: &[Effect]) -> Option<String> {
    effects.iter().find_map(|effect| match effect {
        Effect::Publish(task) => task.databases.last().map(|database| database.id.clone()),
        _ => None,
    })
}

#[test]
fn the_first_claim_decides_and_later_tasks_carry_its_databases() {
    let mut story = Story::new(2, limits(1));
    assert_eq!(target_of(&story.effects), None);
    assert_eq!(story.state.databases(), None);
    let effects = story.event_in((0, 1), "a", "t1", EventBody::Claimed);
    assert!(effects.contains(&Effect::DatabasesKnown));
    let (source, target) = story.state.databases().unwrap();
    assert_eq!((source.id.as_str(), target.id.as_str()), ("s", "t1"));
    let effects = story.event_in((0, 1), "a", "t1", finished());
    assert_eq!(target_of(&effects), Some("t1".to_owned()));
    assert!(!effects.contains(&Effect::DatabasesKnown));
    assert_eq!(story.state.notes(), Vec::<String>::new());
}

#[test]
fn a_claim_with_another_database_is_cancelled_and_the_table_goes_out_again_for_free() {
    let only = Limits {
        max_attempts: NonZeroU32::MIN,
        ..limits(2)
    };
    let mut story = Story::new(2, only);
    story.event_in((0, 1), "a", "t1", EventBody::Claimed);
    let effects = story.event_in((1, 1), "wrong", "t2", EventBody::Claimed);
    assert_eq!(cancels(&effects), [(1, 1)]);
    assert_eq!(published(&effects), [], "not at once");
    // The worker was quick: its result is one of another attempt.
    story.event_in((1, 1), "wrong", "t2", finished());
    assert_eq!(story.status(1), None);
    assert_eq!(published(&story.wait(SECOND)), [(1, 2)]);
    story.event_in((1, 2), "a", "t1", EventBody::Claimed);
    story.event_in((1, 2), "a", "t1", finished());
    assert_eq!(story.status(1), Some(TableStatus::Matched));
    assert_eq!(story.record(1).history, []);
    let notes = story.state.notes();
    assert_eq!(notes.len(), 1);
    for part in ["worker wrong", "`target`", "(t1)", "(t2)"] {
        assert!(notes[0].contains(part), "{part}: {notes:?}");
    }
}

#[test]
fn a_result_that_overtakes_its_claim_counts_only_with_the_databases_of_the_run() {
    let mut story = Story::new(2, limits(2));
    story.event_in((0, 1), "a", "t1", EventBody::Claimed);
    let effects = story.event_in((1, 1), "wrong", "t2", finished());
    assert_eq!((story.status(1), cancels(&effects)), (None, vec![]));
}

#[test]
fn the_right_one_of_two_claims_of_one_attempt_goes_on() {
    let mut story = Story::new(1, limits(1));
    story.event_in((0, 1), "a", "t1", EventBody::Claimed);
    let effects = story.event_in((0, 1), "wrong", "t2", EventBody::Claimed);
    assert_eq!(cancels(&effects), [], "that would stop both");
    story.event_in((0, 1), "wrong", "t2", finished());
    assert_eq!(story.status(0), None);
    story.event_in((0, 1), "a", "t1", finished());
    assert_eq!(story.status(0), Some(TableStatus::Matched));
}

#[test]
fn a_task_that_is_returned_goes_out_again_after_growing_pauses() {
    let mut story = Story::new(1, limits(1));
    story.beat_with("a", &BOTH);
    story.beat_with("bare", &["source"]);
    let mut pauses = Vec::new();
    for attempt in 1..=300 {
        story.returns((0, attempt), "bare", FailureKind::UnknownEndpoint);
        let begin = story.now;
        story.beat_with("a", &BOTH);
        while published(&story.tell(Input::Tick)).is_empty() {
            story.now = story.state.next_wakeup().unwrap();
        }
        pauses.push(story.now.since(begin));
    }
    assert_eq!(story.status(0), None, "no number of returns fails a table");
    assert_eq!(pauses[0], Duration::from_millis(10));
    assert_eq!(pauses[299], SECOND);
    story.claim(0, 301, "a");
    story.finish(0, 301, "a", compared(0), 0);
    assert_eq!(story.status(0), Some(TableStatus::Matched));
    assert_eq!(story.state.notes(), Vec::<String>::new());
}

#[test]
fn workers_that_cannot_run_the_tables_do_not_widen_the_window() {
    let mut story = Story::new(20, limits(16));
    assert_eq!(published(&story.effects).len(), 16);
    story.beat_with("a", &BOTH);
    story.beat_with("bare", &["other"]);
    for table in 0..16 {
        story.returns((table, 1), "bare", FailureKind::UnknownEndpoint);
    }
    assert_eq!(published(&story.wait(2 * SECOND)).len(), 4);
}

#[test]
fn a_run_whose_workers_lack_the_endpoint_says_so_and_ends() {
    let mut story = Story::new(2, limits(1));
    story.confirm_all();
    let mut effects = story.returns((0, 1), "bare", FailureKind::UnknownEndpoint);
    for _ in 0..20 {
        effects.extend(story.beat_with("bare", &["source", "third"]));
        effects.extend(story.wait(4 * SECOND));
    }
    assert_eq!(published(&effects), [], "no worker could run it");
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Notice(Notice::NoFitWorker(_)))),
        "{effects:?}"
    );
    assert!(story.state.is_complete());
    let Verdict::Failed(failure) = &story.record(1).verdict else {
        panic!("it failed")
    };
    assert_eq!(failure.kind, FailureKind::NoWorkerError);
    for part in [
        "queue q",
        "for 1m",
        "worker bare",
        "`target`",
        "source, third",
    ] {
        assert!(failure.message.contains(part), "{part}: {failure}");
    }
}

#[test]
fn a_run_whose_only_live_worker_has_another_database_ends_and_says_why() {
    let mut story = Story::new(2, limits(1));
    story.event_in((0, 1), "a", "t1", EventBody::Claimed);
    story.event_in((0, 1), "a", "t1", finished());
    let mut published_attempts = 0;
    for _ in 0..100 {
        story.beat_with("wrong", &BOTH);
        let attempt = story.state.tables[1].attempt.0;
        let wrong = FailureKind::OtherDatabase;
        story.returns((1, attempt), "wrong", wrong);
        published_attempts += published(&story.wait(SECOND)).len();
    }
    assert!(published_attempts < 100, "{published_attempts}");
    let Verdict::Failed(failure) = &story.record(1).verdict else {
        panic!("it failed")
    };
    assert_eq!(failure.kind, FailureKind::NoWorkerError);
    assert!(
        failure.message.contains("worker wrong: it has another one"),
        "{failure}"
    );
    assert_eq!(story.status(0), Some(TableStatus::Matched));
}

#[test]
fn a_worker_that_was_corrected_counts_again() {
    let mut story = Story::new(2, limits(1));
    story.event_in((0, 1), "a", "t1", EventBody::Claimed);
    story.event_in((0, 1), "a", "t1", finished());
    story.returns((1, 1), "b", FailureKind::OtherDatabase);
    assert_eq!(published(&story.wait(SECOND)), [(1, 2)]);
    story.event_in((1, 2), "b", "t1", EventBody::Claimed);
    story.event_in((1, 2), "b", "t1", finished());
    assert_eq!(story.status(1), Some(TableStatus::Matched));
}

#[test]
fn a_result_without_databases_is_noted_once_databases_are_known() {
    let mut story = Story::new(2, limits(1));
    story.claim(0, 1, "old");
    story.finish(0, 1, "old", compared(0), 0);
    assert_eq!(story.state.notes(), Vec::<String>::new());
    story.event_in((1, 1), "a", "t1", EventBody::Claimed);
    assert_eq!(story.state.notes().len(), 1);
    assert!(story.state.notes()[0].contains("worker old"));
}
