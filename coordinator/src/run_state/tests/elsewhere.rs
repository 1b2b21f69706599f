//! Failures whose reason lies in one worker, and workers that are lost with several tables.

use shared::outcome::{Failure, FailureOrigin};

use super::*;

const BOTH: [&str; 2] = ["source", "target"];

fn refused_login() -> Failure {
    Failure::new(FailureKind::AuthenticationError, "password refused")
        .in_origin(FailureOrigin::Endpoint("target".to_owned()))
}

fn unreachable() -> Failure {
    Failure::new(FailureKind::ConnectionError, "no route to host")
        .in_origin(FailureOrigin::Endpoint("target".to_owned()))
}

fn avoid_of(effects: &[Effect]) -> Vec<String> {
    effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Publish(task) => Some(task.avoid.iter().map(ToString::to_string).collect()),
            _ => None,
        })
        .unwrap_or_default()
}

fn failure_of(story: &Story, table: u32) -> Failure {
    match &story.record(table).verdict {
        Verdict::Failed(failure) => failure.clone(),
        other => panic!("{other:?}"),
    }
}

impl Story {
    fn fails(&mut self, work: (u32, u32), worker: &str, failure: Failure) -> Vec<Effect> {
        self.claim(work.0, work.1, worker);
        self.finish(work.0, work.1, worker, Outcome::Failed(failure), 0)
    }

    fn refuses(&mut self, work: (u32, u32), worker: &str, failure: Failure) -> Vec<Effect> {
        self.finish(work.0, work.1, worker, Outcome::Refused(failure), 0)
    }
}

#[test]
fn a_table_that_failed_for_a_reason_of_the_worker_is_tried_on_another_one_for_free() {
    let only = Limits {
        max_attempts: NonZeroU32::MIN,
        ..limits(1)
    };
    let mut story = Story::new(1, only);
    story.beat_with("bad", &BOTH);
    story.beat_with("good", &BOTH);
    story.fails((0, 1), "bad", refused_login());
    let effects = story.wait(SECOND);
    assert_eq!(published(&effects), [(0, 2)]);
    assert_eq!(avoid_of(&effects), ["bad"]);
    for attempt in 2..50 {
        story.refuses((0, attempt), "bad", refused_login());
        assert_eq!(published(&story.wait(2 * SECOND)), [(0, attempt + 1)]);
        story.beat_with("bad", &BOTH);
        story.beat_with("good", &BOTH);
    }
    story.event_in((0, 50), "good", "t", EventBody::Claimed);
    story.finish(0, 50, "good", compared(0), 0);
    assert_eq!(story.status(0), Some(TableStatus::Matched));
    assert_eq!(story.record(0).history.len(), 1, "returns are no attempts");
}

#[test]
fn a_reason_that_all_workers_have_ends_the_table_with_it() {
    let mut story = Story::new(2, limits(2));
    story.beat_with("one", &BOTH);
    story.beat_with("two", &BOTH);
    story.wait(3 * SECOND);
    story.fails((0, 1), "one", refused_login());
    assert_eq!(published(&story.wait(SECOND)), [(0, 2)]);
    story.fails((0, 2), "two", refused_login());
    let failure = failure_of(&story, 0);
    assert_eq!(failure.kind, FailureKind::AuthenticationError);
    for part in ["worker two", "worker one", "password refused"] {
        assert!(failure.message.contains(part), "{failure}");
    }
    assert_eq!(story.record(0).history.len(), 2);
    // A worker that returns the table without trying has the same reason.
    story.refuses((1, 1), "one", refused_login());
    story.wait(SECOND);
    story.refuses((1, 2), "two", refused_login());
    assert_eq!(failure_of(&story, 1).kind, FailureKind::AuthenticationError);
    assert!(story.state.is_complete());
}

#[test]
fn a_database_that_no_worker_reaches_costs_an_attempt_a_round() {
    let mut story = Story::new(1, limits(1));
    story.beat_with("one", &BOTH);
    story.beat_with("two", &BOTH);
    story.wait(3 * SECOND);
    let mut attempt = 1;
    for round in 1..=3 {
        for worker in ["one", "two"] {
            assert_eq!(story.status(0), None, "in round {round}");
            story.fails((0, attempt), worker, unreachable());
            attempt += 1;
            for _ in 0..8 {
                story.wait(4 * SECOND);
                story.beat_with("one", &BOTH);
                story.beat_with("two", &BOTH);
            }
        }
    }
    assert_eq!(failure_of(&story, 0).kind, FailureKind::ConnectionError);
}

#[test]
fn the_only_worker_of_a_process_fails_at_once_as_any_failure_does() {
    let alone = Limits {
        lone_worker: true,
        ..limits(2)
    };
    let mut story = Story::new(2, alone);
    story.fails((0, 1), "w", refused_login());
    assert_eq!(failure_of(&story, 0), refused_login());
    assert_eq!(story.state.window(), 2, "it goes on with the other tables");
}

#[test]
fn a_worker_that_answers_late_or_is_being_replaced_is_waited_for() {
    // Begin: the other worker has not answered yet.
    let mut story = Story::new(2, limits(2));
    story.fails((0, 1), "bad", refused_login());
    assert_eq!(story.status(0), None);
    story.beat_with("bad", &BOTH);
    story.beat_with("good", &BOTH);
    story.wait(SECOND);
    story.event_in((0, 2), "good", "t", EventBody::Claimed);
    story.finish(0, 2, "good", compared(0), 0);
    // Rolling restart: the good one drains.
    story.wait(3 * SECOND);
    story.tell(Input::Heartbeat(Heartbeat {
        worker: WorkerId::named("good"),
        draining: true,
        ..busy()
    }));
    story.refuses((1, 1), "bad", refused_login());
    assert_eq!(story.status(1), None);
    let mut attempts = 1;
    while story.status(1).is_none() {
        attempts += 1;
        story.beat_with("bad", &BOTH);
        assert_eq!(published(&story.wait(SECOND)), [(1, attempts)]);
        story.refuses((1, attempts), "bad", refused_login());
    }
    assert_eq!(failure_of(&story, 1).kind, FailureKind::AuthenticationError);
    assert!((50..80).contains(&attempts), "{attempts}");
}

#[test]
fn a_worker_that_has_compared_again_may_try_the_table_again() {
    let mut story = Story::new(2, limits(2));
    story.beat_with("one", &BOTH);
    story.beat_with("two", &BOTH);
    story.wait(3 * SECOND);
    story.fails((0, 1), "one", unreachable());
    story.wait(SECOND);
    story.event_in((1, 1), "one", "t", EventBody::Claimed);
    story.finish(1, 1, "one", compared(0), 0);
    let effects = story.fails((0, 2), "two", refused_login());
    assert_eq!(story.status(0), None, "{effects:?}");
    let effects = story.wait(SECOND);
    assert_eq!(avoid_of(&effects), ["two"]);
}

#[test]
fn workers_that_fail_do_not_widen_the_window() {
    let mut story = Story::new(20, limits(16));
    story.beat_with("bad", &BOTH);
    story.beat_with("good", &BOTH);
    for table in 0..16 {
        story.refuses((table, 1), "bad", refused_login());
    }
    story.wait(2 * SECOND);
    assert_eq!(story.state.outstanding(), 4);
}

#[test]
fn tables_beside_the_one_that_ends_workers_lose_no_attempt() {
    let mut story = Story::new(8, limits(4));
    let mut attempts = [1_u32; 8];
    let mut losses = 0;
    let mut owned: Vec<(u32, u32)> = Vec::new();
    let mut queue: Vec<(u32, u32)> = published(&story.effects);
    while !story.state.is_complete() {
        let worker = format!("w{losses}");
        for (table, attempt) in queue.drain(..) {
            attempts[table as usize] = attempt;
            story.claim(table, attempt, &worker);
            owned.push((table, attempt));
        }
        story.beat(&worker, 4, &owned);
        if owned.iter().any(|&(table, _)| table == 3) {
            losses += 1;
            owned.clear();
            queue.extend(published(&story.wait(25 * SECOND)));
            // The next worker is there before the retries are due.
            story.beat(&format!("w{losses}"), 4, &[]);
        } else if let Some((table, attempt)) = owned.pop() {
            queue.extend(published(&story.finish(
                table,
                attempt,
                &worker,
                compared(0),
                0,
            )));
        }
        story.beat(&format!("w{losses}"), 4, &owned);
        queue.extend(published(&story.wait(4 * SECOND)));
        assert!(losses < 10, "{attempts:?}");
    }
    assert_eq!(story.state.counts().matched, 7);
    let failure = failure_of(&story, 3);
    assert_eq!(failure.kind, FailureKind::WorkerLost);
    assert!(failure.message.contains("more memory"), "{failure}");
    let counted = |table: u32| {
        let history = &story.state.record(TableId(table)).unwrap().history;
        let counted = history
            .iter()
            .filter(|failed| failed.failure.counts_against_budget);
        counted.count()
    };
    for table in 0..8 {
        assert_eq!(
            counted(table),
            if table == 3 { 3 } else { 0 },
            "table {table}"
        );
    }
}
