//! Claims and leases: when a worker owns a table, and when no longer.

use super::*;

#[test]
fn a_lease_expires_only_when_the_worker_was_asked_and_silent() {
    let mut story = Story::new(1, limits(1));
    story.confirm_all();
    story.beat("w", 1, &[]);
    story.claim(0, 1, "w");
    for _ in 0..10 {
        story.wait(10 * SECOND);
        story.beat("w", 1, &[(0, 1)]);
    }
    assert_eq!(
        published(&story.effects).len(),
        1,
        "heartbeats renew the lease"
    );
    assert_eq!(
        story
            .state
            .activities()
            .next()
            .map(|activity| activity.source_rows),
        Some(3)
    );

    // The broker was away: no heartbeat arrives, and the question is not taken either.
    story.now = story.now.after(16 * SECOND);
    let asked = story.tell(Input::Tick);
    assert!(asked.contains(&Effect::Control(Control::Announce)));
    story.now = story.now.after(100 * SECOND);
    assert_eq!(published(&story.tell(Input::Tick)), []);
    story.tell(Input::Announced);
    story.beat("w", 1, &[(0, 1)]);
    assert_eq!(published(&story.wait(9 * SECOND)), [], "the worker lives");

    let effects = story.wait(30 * SECOND);
    assert_eq!(published(&effects), [(0, 2)]);
    assert_eq!(cancels(&effects), [(0, 1)]);
}

#[test]
fn a_claim_without_any_heartbeat_expires_and_uses_the_budget_up() {
    let mut story = Story::new(1, limits(1));
    for attempt in 1..=3 {
        story.confirm_all();
        story.claim(0, attempt, "w");
        story.wait(30 * SECOND);
    }
    let record = story.record(0);
    assert_eq!(record.status(), TableStatus::Failed);
    assert!(
        record
            .history
            .iter()
            .all(|attempt| attempt.failure.kind == FailureKind::WorkerLost)
    );
}

#[test]
fn two_claims_of_one_attempt_are_two_leases_and_one_result() {
    let mut story = Story::new(1, limits(1));
    story.beat("a", 1, &[]);
    story.claim(0, 1, "a");
    let effects = story.claim(0, 1, "b");
    assert_eq!(
        cancels(&effects),
        [],
        "cancelling the attempt would hit both"
    );
    // The first worker lost its delivery and does not run; the second one continues.
    for _ in 0..4 {
        story.wait(7 * SECOND);
        story.beat("b", 1, &[(0, 1)]);
    }
    assert_eq!(published(&story.effects), [(0, 1)]);
    story.finish(0, 1, "b", compared(0), 0);
    assert_eq!(story.status(0), Some(TableStatus::Matched));
    assert!(story.state.is_complete());
}

#[test]
fn the_loser_of_two_claims_is_stopped_and_waited_for() {
    let mut story = Story::new(2, limits(1));
    story.claim(0, 1, "a");
    story.claim(0, 1, "b");
    assert_eq!(
        published(&story.finish(0, 1, "a", failed(true, true), 0)),
        [],
        "b continues"
    );
    story.claim(0, 1, "c");
    let effects = story.finish(0, 1, "b", compared(0), 0);
    assert_eq!(cancels(&effects), [(0, 1)]);
    assert_eq!(published(&effects), [], "c still loads the databases");
    let effects = story.finish(0, 1, "c", Outcome::Cancelled { quiet_after_ms: 40 }, 0);
    assert_eq!(published(&effects), [(1, 1)]);
    assert_eq!(story.status(0), Some(TableStatus::Matched));
}
