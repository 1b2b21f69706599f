//! Single decisions of the state machine, one scenario each.

mod broker;
mod databases;
mod elsewhere;
mod leases;
mod pause;
mod results;
mod story;

use std::num::NonZeroU32;
use std::time::Duration;

use shared::config::FailFast;
use shared::ids::{Attempt, RunId, TableId, WorkerId};
use shared::message::{Control, Event, EventBody, Heartbeat, OwnedWork, StatementPart, WorkId};
use shared::outcome::{Comparison, Difference, DifferenceKind, FailureKind, OpenSession, Outcome};

use super::fleet::MOST_WORKERS;
use super::testing::{compared, failed, limits, spec};
use super::*;
use story::{Story, cancels, published};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_window_holds_the_rest_back_and_the_largest_go_first() {
    let size = |name: &str, priority: i32, rows: Option<u64>| PlannedTable {
        spec: spec(name),
        priority,
        estimated_rows: rows,
    };
    let tables = vec![
        size("a", 0, Some(1)),
        size("b", 0, Some(9)),
        size("c", 0, None),
        size("d", 1, None),
        size("e", 0, Some(9)),
    ];
    let mut story = Story::of(tables, limits(2));
    assert_eq!(published(&story.effects), [(3, 1), (1, 1)]);
    story.claim(3, 1, "w");
    let order = [3, 1, 4, 0].map(|table| published(&story.finish(table, 1, "w", compared(0), 0)));
    assert_eq!(order, [vec![(4, 1)], vec![(0, 1)], vec![(2, 1)], vec![]]);
    let last = story.finish(2, 1, "w", compared(0), 0);
    assert_eq!(last.last(), Some(&Effect::Complete));
    assert_eq!(story.state.counts().matched, 5);
}

#[test]
fn the_window_follows_the_fleet() {
    let mut story = Story::new(
        9,
        Limits {
            window: Window::Fleet,
            ..limits(1)
        },
    );
    assert_eq!(
        published(&story.effects).len(),
        1,
        "one at least, to find out who takes it"
    );
    assert_eq!(published(&story.beat("a", 3, &[])).len(), 2);
    assert_eq!(published(&story.beat("b", 2, &[])).len(), 2);
    assert_eq!(story.state.widest_window(), 5);
    story.wait(16 * SECOND);
    assert_eq!(
        published(&story.finish(0, 1, "a", compared(0), 0)),
        [],
        "the fleet is gone"
    );
}

#[test]
fn what_may_pass_is_tried_again_and_what_cannot_is_not() {
    let mut story = Story::new(2, limits(2));
    story.finish(0, 1, "w", failed(false, true), 0);
    assert_eq!(story.status(0), Some(TableStatus::Failed));
    for attempt in 1..=3 {
        assert_eq!(story.status(1), None);
        story.finish(1, attempt, "w", failed(true, true), 0);
        story.wait(SECOND * 2);
    }
    let record = story.record(1);
    assert_eq!(
        (record.status(), record.attempt, record.history.len()),
        (TableStatus::Failed, Attempt(3), 3)
    );
}

#[test]
fn a_table_that_is_handed_back_goes_out_again_at_once_and_for_free() {
    let mut story = Story::new(
        1,
        Limits {
            max_attempts: NonZeroU32::MIN,
            ..limits(1)
        },
    );
    for attempt in 1..20 {
        story.claim(0, attempt, "w");
        assert_eq!(
            published(&story.finish(0, attempt, "w", Outcome::HandedBack, 0)),
            [(0, attempt + 1)]
        );
    }
    story.finish(0, 20, "w", compared(0), 0);
    assert_eq!(story.status(0), Some(TableStatus::Matched));
}

#[test]
fn the_deadline_runs_from_the_claim_and_is_no_reason_to_end_the_run() {
    let mut story = Story::new(
        2,
        Limits {
            fail_fast: FailFast::Mismatch,
            ..limits(1)
        },
    );
    story.beat("w", 1, &[]);
    story.claim(0, 1, "w");
    let mut effects = Vec::new();
    for _ in 0..60 {
        effects.extend(story.wait(10 * SECOND));
        effects.extend(story.beat("w", 1, &[(0, 1)]));
    }
    assert_eq!(story.status(0), Some(TableStatus::Timeout));
    assert!(cancels(&effects).contains(&(0, 1)));
    assert_eq!(published(&effects), [], "its statements still run");
    let effects = story.finish(0, 1, "w", Outcome::Cancelled { quiet_after_ms: 70 }, 0);
    assert_eq!(
        effects[0],
        Effect::StatementsStopped {
            table: TableId(0),
            after: Duration::from_millis(70)
        }
    );
    assert_eq!(story.record(0).quiet_after, Some(Duration::from_millis(70)));
    assert_eq!(published(&effects), [(1, 1)]);
    assert_eq!(story.state.root_cause(), None);
}

#[test]
fn a_stop_that_a_database_did_not_confirm_is_not_quiet() {
    let mut story = Story::new(1, limits(1));
    story.beat("w", 1, &[]);
    story.claim(0, 1, "w");
    story.tell(Input::Cancel);
    let session = OpenSession {
        endpoint: "erp".to_owned(),
        number: 57,
        name: "reconcile 1 dbo.t #00ff".to_owned(),
    };
    let stopped = EventBody::Finished {
        outcome: Box::new(Outcome::Cancelled { quiet_after_ms: 9 }),
        batches: 0,
        duration_ms: 5,
        unconfirmed: vec![session.clone()],
    };
    story.event(0, 1, "w", stopped);
    let record = story.record(0);
    assert_eq!(record.status(), TableStatus::Cancelled);
    assert_eq!(
        (record.quiet_after, record.unconfirmed.as_slice()),
        (None, [session].as_slice())
    );
}

#[test]
fn a_stopping_worker_is_not_waited_for_without_end() {
    let mut story = Story::new(1, limits(1));
    story.claim(0, 1, "w");
    for _ in 0..60 {
        story.wait(10 * SECOND);
        story.beat("w", 1, &[(0, 1)]);
    }
    assert!(!story.state.is_complete());
    assert!(story.wait(10 * SECOND).contains(&Effect::Complete));
}

#[test]
fn fail_fast_has_one_root_cause() {
    let mut story = Story::new(
        5,
        Limits {
            fail_fast: FailFast::Error,
            ..limits(3)
        },
    );
    for table in 0..2 {
        story.claim(table, 1, "w");
    }
    let effects = story.finish(0, 1, "w", failed(false, true), 0);
    assert!(effects.contains(&Effect::Control(Control::CancelRun {
        run: story.state.run()
    })));
    assert_eq!(
        [2, 3, 4].map(|table| story.status(table)),
        [Some(TableStatus::Cancelled); 3]
    );
    assert_eq!(
        story.status(1),
        None,
        "it runs, and its answer is waited for"
    );
    story.finish(1, 1, "w", failed(false, true), 0);
    assert_eq!(
        story.state.root_cause().map(|cause| cause.table),
        Some(TableId(0))
    );
    assert_eq!(
        (story.state.counts().failed, story.state.counts().cancelled),
        (2, 3)
    );
    assert!(!story.state.is_complete(), "a claim may be on its way");
    story.wait(SECOND);
    assert!(story.state.is_complete());
}

#[test]
fn a_difference_ends_the_run_only_when_asked() {
    for (fail_fast, ends) in [
        (FailFast::Off, false),
        (FailFast::Error, false),
        (FailFast::Mismatch, true),
    ] {
        let mut story = Story::new(
            2,
            Limits {
                fail_fast,
                ..limits(1)
            },
        );
        story.finish(0, 1, "w", compared(1), 0);
        // The counted difference was not listed, which max_differences may ask for.
        assert_eq!(story.status(0), Some(TableStatus::Mismatched));
        assert_eq!(story.state.is_complete(), ends, "{fail_fast:?}");
    }
}

#[test]
fn a_cancelled_run_waits_for_answers_but_not_without_end() {
    let mut story = Story::new(4, limits(3));
    for table in 0..3 {
        story.claim(table, 1, "w");
    }
    story.tell(Input::Cancel);
    story.finish(0, 1, "w", compared(0), 0);
    story.finish(1, 1, "w", failed(true, true), 0);
    assert_eq!(
        story.status(0),
        Some(TableStatus::Matched),
        "a result is a result"
    );
    assert_eq!(
        story.status(1),
        Some(TableStatus::Cancelled),
        "it would have been tried again"
    );
    assert!(story.wait(9 * SECOND).is_empty());
    assert!(story.wait(SECOND).contains(&Effect::Complete));
    assert_eq!(story.status(2), Some(TableStatus::Cancelled));
    assert_eq!(story.state.cancel_reason(), Some(CancelReason::Requested));
}

#[test]
fn work_that_was_claimed_while_the_run_was_cancelled_is_waited_for() {
    let mut story = Story::new(2, limits(2));
    story.claim(0, 1, "w");
    story.tell(Input::Cancel);
    assert_eq!(cancels(&story.claim(1, 1, "w")), [(1, 1)]);
    story.finish(0, 1, "w", Outcome::Cancelled { quiet_after_ms: 1 }, 0);
    assert!(!story.state.is_complete());
    story.finish(1, 1, "w", Outcome::Cancelled { quiet_after_ms: 1 }, 0);
    story.wait(SECOND);
    assert!(story.state.is_complete());
}

#[test]
fn a_run_without_workers_says_so_and_ends() {
    let mut story = Story::new(2, limits(1));
    story.confirm_all();
    let hints = story.wait(6 * SECOND);
    assert_eq!(hints, [Effect::Notice(Notice::NoWorkerYet)]);
    let effects = story.wait(60 * SECOND);
    assert!(effects.contains(&Effect::Notice(Notice::NothingClaimed { workers: 0 })));
    assert!(effects.contains(&Effect::Complete));
    for table in 0..2 {
        let Verdict::Failed(failure) = &story.record(table).verdict else {
            panic!("it failed")
        };
        assert_eq!(failure.kind, FailureKind::NoWorkerError);
        assert!(failure.message.contains("queue q after 1m"), "{failure}");
    }
}

#[test]
fn a_run_whose_workers_are_busy_elsewhere_waits() {
    let mut story = Story::new(1, limits(1));
    story.confirm_all();
    let mut effects = Vec::new();
    for _ in 0..100 {
        effects.extend(story.wait(5 * SECOND));
        effects.extend(story.tell(Input::Heartbeat(busy())));
    }
    assert!(effects.contains(&Effect::Notice(Notice::NothingClaimed { workers: 1 })));
    assert_eq!((story.status(0), published(&effects).len()), (None, 0));
}

fn busy() -> Heartbeat {
    let work = WorkId {
        run: RunId::generate(),
        table: TableId(0),
        attempt: Attempt::FIRST,
    };
    Heartbeat {
        worker: WorkerId::named("busy"),
        host: "h".to_owned(),
        pid: 1,
        version: "0".to_owned(),
        capacity: 1,
        draining: false,
        period_ms: 5_000,
        owned: vec![OwnedWork {
            work,
            source_rows: 0,
            target_rows: 0,
            phase: None,
            expected_rows: None,
        }],
        endpoints: None,
        unavailable: Vec::new(),
        checked: None,
    }
}

#[test]
fn workers_without_end_are_not_tracked() {
    let mut fleet = Fleet::new(SECOND, [], Time::START);
    for number in 0..MOST_WORKERS + 100 {
        let worker = WorkerId::named(format!("w{number}"));
        fleet.mark_unfit(&worker, "it lacks an endpoint".to_owned());
        let heartbeat = Heartbeat { worker, ..busy() };
        fleet.heartbeat(&heartbeat, Time::START);
    }
    assert_eq!(fleet.len(), MOST_WORKERS);
}

#[test]
fn a_run_without_tables_is_complete_at_once() {
    let story = Story::new(0, limits(1));
    assert_eq!(story.effects.last(), Some(&Effect::Complete));
}

#[test]
fn the_second_table_of_one_target_fails() {
    let found = |target: &str| {
        let Outcome::Compared(mut comparison) = compared(0) else {
            panic!("it is a comparison")
        };
        comparison.coverage = Some(Box::new(shared::coverage::Coverage {
            target_table: target.to_owned(),
            ..shared::coverage::Coverage::default()
        }));
        Outcome::Compared(comparison)
    };
    let planned = |name: &str, condition: Option<&str>| {
        let mut planned = PlannedTable::new(spec(name));
        planned.spec.options.filters.target = condition.map(str::to_owned);
        planned
    };
    let tables = vec![
        planned("Users", None),
        planned("orders", None),
        planned("users", None),
        planned("part 1", Some("n = 1")),
        planned("part 2", Some("n = 2")),
        planned("part 2 again", Some("n = 2")),
    ];
    let mut story = Story::of(tables, limits(6));
    for (table, target) in [
        (0, "public.users"),
        (1, "public.orders"),
        (2, "public.users"),
    ]
    .into_iter()
    .chain([(3, "p.all"), (4, "p.all"), (5, "p.all")])
    {
        story.finish(table, 1, "w", found(target), 0);
    }
    let counts = story.state.counts();
    assert_eq!((counts.matched, counts.failed), (4, 2));
    for (table, names) in [
        (2, ["Users", "users", "public.users"]),
        (5, ["part 2", "again", "p.all"]),
    ] {
        let Verdict::Failed(failure) = &story.state.record(TableId(table)).unwrap().verdict else {
            panic!("table {table} failed")
        };
        assert_eq!(failure.kind, FailureKind::SharedTarget);
        for name in names {
            assert!(failure.message.contains(name), "{}", failure.message);
        }
    }
}
