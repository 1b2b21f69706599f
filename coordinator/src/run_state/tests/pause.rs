//! Pauses.

use super::*;

/// What the store keeps of a table that has not ended.
fn kept(story: &Story, table: u32) -> OpenTable {
    story.state.open_table(TableId(table)).unwrap()
}

#[test]
fn a_pause_stops_every_attempt_and_ends_no_table() {
    let mut story = Story::new(4, limits(2));
    story.claim(0, 1, "w");
    let effects = story.tell(Input::Pause);
    assert_eq!(effects[0], Effect::Notice(Notice::Pausing));
    assert_eq!(cancels(&effects), [(0, 1), (1, 1)]);
    for table in 0..4 {
        let open = kept(&story, table);
        assert!(
            open.is_stopped && open.published == Attempt::FIRST,
            "{open:?}"
        );
    }
    let cancelled = Outcome::Cancelled { quiet_after_ms: 3 };
    let effects = story.finish(0, 1, "w", cancelled, 0);
    assert_eq!(effects, [], "a claim of table 1 may still be in transit");
    let effects = story.wait(SECOND);
    assert_eq!(effects, [Effect::Paused]);
    let paused = story.state.paused().unwrap();
    assert_eq!((paused.counts.total(), paused.tables), (0, 4));
    assert_eq!(paused.warning(), None);
    assert_eq!(
        story.tell(Input::Cancel),
        [],
        "it has left this coordinator"
    );
}

#[test]
fn a_result_that_arrives_during_a_pause_counts() {
    let mut story = Story::new(2, limits(1));
    story.claim(0, 1, "w");
    story.tell(Input::Pause);
    let effects = story.finish(0, 1, "w", compared(0), 0);
    assert!(effects.contains(&Effect::Paused), "{effects:?}");
    assert_eq!(story.status(0), Some(TableStatus::Matched));
    assert_eq!(story.state.paused().unwrap().counts.matched, 1);
    // With the last table the run has ended instead.
    let mut story = Story::new(1, limits(1));
    story.claim(0, 1, "w");
    story.tell(Input::Pause);
    let effects = story.finish(0, 1, "w", compared(0), 0);
    assert!(effects.contains(&Effect::Complete), "{effects:?}");
    assert_eq!(story.state.paused(), None);
}

#[test]
fn a_pause_waits_for_a_worker_that_had_just_claimed() {
    let mut story = Story::new(1, limits(1));
    story.tell(Input::Pause);
    let effects = story.claim(0, 1, "w");
    assert_eq!(cancels(&effects), [(0, 1)]);
    assert_eq!(story.wait(SECOND), [], "its statements may run");
    let cancelled = Outcome::Cancelled { quiet_after_ms: 3 };
    let effects = story.finish(0, 1, "w", cancelled, 0);
    assert_eq!(effects.last(), Some(&Effect::Paused));
}

#[test]
fn a_worker_that_does_not_answer_is_named() {
    let mut story = Story::new(1, limits(1));
    story.claim(0, 1, "w");
    story.tell(Input::Pause);
    assert_eq!(cancels(&story.beat("w", 1, &[(0, 1)])), [(0, 1)]);
    let effects = story.wait(story.state.limits.cancel_grace);
    assert_eq!(effects.last(), Some(&Effect::Paused), "{effects:?}");
    let warning = story.state.paused().unwrap().warning().unwrap();
    assert!(warning.contains('w'), "{warning}");
}

#[test]
fn a_session_that_may_still_run_is_named() {
    let mut story = Story::new(2, limits(1));
    story.claim(0, 1, "w");
    story.tell(Input::Pause);
    let stopped = EventBody::Finished {
        outcome: Box::new(Outcome::Cancelled { quiet_after_ms: 9 }),
        batches: 0,
        duration_ms: 5,
        unconfirmed: vec![OpenSession {
            endpoint: "erp".to_owned(),
            number: 57,
            name: "reconcile 1 dbo.t #00ff".to_owned(),
        }],
    };
    story.event(0, 1, "w", stopped);
    let warning = story.state.paused().unwrap().warning().unwrap();
    assert!(warning.contains("erp"), "{warning}");
}

#[test]
fn a_cancellation_ends_a_pause_and_not_the_reverse() {
    let mut story = Story::new(3, limits(1));
    story.claim(0, 1, "w");
    story.tell(Input::Pause);
    story.tell(Input::Cancel);
    assert_eq!(story.status(2), Some(TableStatus::Cancelled));
    story.tell(Input::Pause);
    let cancelled = Outcome::Cancelled { quiet_after_ms: 3 };
    let effects = story.finish(0, 1, "w", cancelled, 0);
    assert_eq!(effects.last(), Some(&Effect::Complete));
    assert_eq!(story.state.counts().cancelled, 3);
}

#[test]
fn a_lost_broker_ends_a_pause_without_failures() {
    let mut story = Story::new(2, limits(1));
    story.claim(0, 1, "w");
    story.tell(Input::Pause);
    let effects = story.tell(Input::Disconnected {
        reason: "gone".to_owned(),
    });
    assert_eq!(effects, [Effect::Paused]);
    assert_eq!(story.state.counts().total(), 0);
}
