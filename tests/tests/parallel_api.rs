//! The in-process API: any function over any list of tables, with the
//! guarantees of a run, from an ordinary tokio program.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "parallel_api/gauge.rs"]
mod gauge;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coordinator::parallel::{
    CancellationToken, Comparison, Difference, DifferenceKind, Failure, FailureKind, Findings,
    ParallelError, ParallelOptions, ParallelReconciler, ParallelStats, RowCounts, RunReport,
    RunStatus, Table, TableJob, create_parallel_reconcile_job, parallel_reconciliation_stats,
};
use tests::product::Workplace;
use tokio::runtime::Builder;
use tokio::sync::Barrier;

use gauge::Gauge;

/// How long anything here may take.
const BOUND: Duration = Duration::from_secs(20);

/// How much later than its time something may happen on a busy machine.
const SLACK: Duration = Duration::from_secs(3);

/// The statistics are of the whole process, so tests go one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs a test on a runtime with `threads` threads; 0 is the current one.
fn on_runtime<F: Future<Output = ()>>(threads: usize, test: F) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut builder = match threads {
        0 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = builder
        .worker_threads(threads.max(1))
        .enable_all()
        .build()
        .unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(BOUND, test).await });
    assert!(ended.is_ok(), "not done within {BOUND:?}");
}

fn options() -> ParallelOptions {
    ParallelOptions {
        cancel_grace: Duration::from_millis(50),
        ..ParallelOptions::default()
    }
}

fn reconciler(options: ParallelOptions) -> ParallelReconciler {
    ParallelReconciler::new(options).unwrap()
}

fn table(name: &str) -> Table {
    Table::new(name.parse().unwrap())
}

fn equal() -> Findings {
    Findings::of_counts(7, 7)
}

/// Table to status.
fn statuses(report: &RunReport) -> BTreeMap<&str, &'static str> {
    let results = report.results.iter();
    results
        .map(|result| (result.table.as_str(), result.status.as_str()))
        .collect()
}

fn assert_adds_up(report: &RunReport) {
    let ended =
        report.matched + report.mismatched + report.failed + report.timeout + report.cancelled;
    assert_eq!(ended, report.total_tables, "{report:?}");
    assert_eq!(report.results.len(), report.total_tables, "{report:?}");
    let unverified = report.failed + report.timeout + report.cancelled;
    assert_eq!(report.errors.len(), unverified, "{report:?}");
}

fn error_kind<'a>(report: &'a RunReport, table: &str) -> (&'a str, &'a str) {
    let error = report.errors.iter().find(|error| error.table == table);
    error
        .map(|error| (error.kind.as_str(), error.error.as_str()))
        .unwrap_or_else(|| panic!("no error of {table}: {report:?}"))
}

fn is_idle(stats: &ParallelStats) -> bool {
    (stats.active_runs, stats.active_workers, stats.queue_size) == (0, 0, 0)
}

/// Waits until the statistics are as they should be.
async fn stats_become(what: &str, fits: impl Fn(&ParallelStats) -> bool) {
    let end = Instant::now() + SLACK;
    loop {
        let stats = parallel_reconciliation_stats();
        if fits(&stats) {
            return;
        }
        assert!(Instant::now() < end, "{what} is not so: {stats:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What happens to a table is in its name.
async fn play(job: TableJob, cancel: CancellationToken) -> Result<Findings, Failure> {
    match job.source.name.as_str() {
        "equal" => Ok(equal()),
        "different" => Ok(Findings::of_counts(7, 8)),
        "broken" => Err(Failure::new(
            FailureKind::TableNotFound,
            "there is no such table",
        )),
        "panics" => panic!("boom"),
        "slow" => {
            cancel.cancelled().await;
            Err(Failure::new(FailureKind::from("QueryCancelled"), "stopped"))
        }
        _ => pending().await,
    }
}

fn every_state_is_reported(threads: usize) {
    on_runtime(threads, async {
        let before = parallel_reconciliation_stats();
        let short = Duration::from_millis(60);
        let report = reconciler(options())
            .run(
                [
                    table("equal"),
                    table("different").target("sales.other".parse().unwrap()),
                    table("broken"),
                    table("panics"),
                    table("slow").timeout(short),
                    table("deaf").timeout(short),
                ],
                play,
            )
            .await
            .unwrap();
        let after = parallel_reconciliation_stats();
        assert_eq!(
            statuses(&report),
            BTreeMap::from([
                ("equal", "matched"),
                ("different", "mismatched"),
                ("broken", "failed"),
                ("panics", "failed"),
                ("slow", "timeout"),
                ("deaf", "timeout"),
            ])
        );
        assert_adds_up(&report);
        assert_eq!(report.status, RunStatus::Incomplete);
        assert_eq!(report.root_cause, None, "a timeout or panic ends no run");
        assert_eq!(report.results[1].target, "sales.other");
        assert_eq!(
            error_kind(&report, "broken"),
            ("TableNotFound", "there is no such table")
        );
        let (kind, message) = error_kind(&report, "panics");
        assert_eq!(kind, "Panic");
        assert!(message.contains("boom"), "{message}");
        assert_eq!(error_kind(&report, "slow").0, "TimeoutError");
        assert!(is_idle(&after), "{after:?}");
        assert_eq!(
            [
                after.matched - before.matched,
                after.mismatched - before.mismatched,
                after.failed - before.failed,
                after.timeout - before.timeout,
                after.cancelled - before.cancelled,
                after.total() - before.total(),
            ],
            [1, 1, 2, 2, 0, 6]
        );
    });
}

#[test]
fn every_state_is_reported_on_a_runtime_with_threads() {
    every_state_is_reported(2);
}

#[test]
fn every_state_is_reported_on_a_current_thread_runtime() {
    every_state_is_reported(0);
}

#[test]
fn a_timeout_drops_a_function_that_does_not_listen() {
    on_runtime(2, async {
        let gauge = Arc::<Gauge>::default();
        let inside = Arc::clone(&gauge);
        let begin = Instant::now();
        let timeout = Duration::from_millis(200);
        let report = reconciler(ParallelOptions {
            timeout_per_table: timeout,
            ..options()
        })
        .run(["deaf"], move |job, _| {
            let inside = inside.enter();
            async move {
                assert_eq!(job.timeout, timeout);
                let _inside = inside;
                pending::<Result<Comparison, Failure>>().await
            }
        })
        .await
        .unwrap();
        let took = begin.elapsed();
        assert_eq!(gauge.now(), 0, "the function still lives");
        assert_eq!(statuses(&report), BTreeMap::from([("deaf", "timeout")]));
        assert!(took >= timeout && took < timeout + SLACK, "{took:?}");
        assert!(report.results[0].quiet_after_ms.is_some(), "{report:?}");
    });
}

#[test]
fn a_timeout_reaches_a_function_that_listens_before_it_is_dropped() {
    on_runtime(0, async {
        let cleaned = Arc::new(AtomicU32::new(0));
        let cleaning = Arc::clone(&cleaned);
        let report = reconciler(ParallelOptions {
            timeout_per_table: Duration::from_millis(50),
            cancel_grace: SLACK,
            ..ParallelOptions::default()
        })
        .run(["slow"], move |_, cancel| {
            let cleaning = Arc::clone(&cleaning);
            async move {
                cancel.cancelled().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                cleaning.fetch_add(1, Ordering::SeqCst);
                Err::<Comparison, _>("stopped")
            }
        })
        .await
        .unwrap();
        assert_eq!(statuses(&report), BTreeMap::from([("slow", "timeout")]));
        assert_eq!(cleaned.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_blocking_function_neither_holds_the_run_nor_makes_room() {
    on_runtime(2, async {
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let blocked = Mutex::new(blocked);
        let begin = Instant::now();
        let report = reconciler(ParallelOptions {
            max_workers: 1,
            timeout_per_table: Duration::from_millis(50),
            ..options()
        })
        .run(["blocks"], move |_, _| {
            // Before there is a future at all.
            let released = blocked.lock().unwrap().recv_timeout(BOUND);
            async move { released.map(|()| equal()) }
        })
        .await
        .unwrap();
        assert_eq!(statuses(&report), BTreeMap::from([("blocks", "timeout")]));
        assert!(begin.elapsed() < SLACK * 3, "{:?}", begin.elapsed());
        let stats = parallel_reconciliation_stats();
        assert_eq!(
            (stats.active_runs, stats.active_workers),
            (0, 1),
            "it runs, and that is what is measured"
        );
        release.send(()).unwrap();
        stats_become("idle", is_idle).await;
    });
}

#[test]
fn the_first_failure_ends_the_run_and_is_its_cause() {
    on_runtime(2, async {
        let gauge = Arc::<Gauge>::default();
        let inside = Arc::clone(&gauge);
        let others_run = Arc::new(Barrier::new(3));
        let names: Vec<String> = (0..50).map(|number| format!("t{number}")).collect();
        let before = parallel_reconciliation_stats();
        let report = reconciler(ParallelOptions {
            max_workers: 3,
            fail_fast: true,
            ..options()
        })
        .run(&names, move |job, cancel| {
            let inside = inside.enter();
            let others_run = Arc::clone(&others_run);
            async move {
                let _inside = inside;
                others_run.wait().await;
                if job.source.name == "t1" {
                    return Err("the first".to_owned());
                }
                cancel.cancelled().await;
                Err::<Comparison, _>("a consequence".to_owned())
            }
        })
        .await
        .unwrap();
        assert_adds_up(&report);
        assert_eq!((report.failed, report.cancelled), (1, 49), "{report:?}");
        let cause = report.root_cause.unwrap();
        assert_eq!(
            (
                cause.table.as_str(),
                cause.kind.as_str(),
                cause.error.as_str()
            ),
            ("t1", "ReconcileError", "the first")
        );
        assert!(!report.interrupted);
        assert_eq!(gauge.begun.load(Ordering::SeqCst), 3);
        assert_eq!(gauge.now(), 0);
        let after = parallel_reconciliation_stats();
        assert_eq!(after.cancelled - before.cancelled, 49);
        assert!(is_idle(&after), "{after:?}");
    });
}

#[test]
fn a_difference_or_a_timeout_does_not_end_a_fail_fast_run() {
    on_runtime(0, async {
        let report = reconciler(ParallelOptions {
            max_workers: 1,
            fail_fast: true,
            ..options()
        })
        .run(
            [
                table("different").priority(2),
                table("slow").timeout(Duration::from_millis(20)).priority(1),
                table("equal"),
            ],
            play,
        )
        .await
        .unwrap();
        assert_eq!(
            statuses(&report),
            BTreeMap::from([
                ("different", "mismatched"),
                ("slow", "timeout"),
                ("equal", "matched")
            ])
        );
    });
}

#[test]
fn a_thousand_tables_never_run_more_than_allowed_at_a_time() {
    on_runtime(2, async {
        let workers = 7;
        let gauge = Arc::<Gauge>::default();
        let inside = Arc::clone(&gauge);
        let measured = Arc::new(AtomicUsize::new(0));
        let most = Arc::clone(&measured);
        // The first tables wait for each other, so that as many as may run do.
        let all_there = Arc::new(Barrier::new(workers));
        let names: Vec<String> = (0..1000).map(|number| format!("s.t{number}")).collect();
        let before = parallel_reconciliation_stats();
        let report = reconciler(ParallelOptions {
            max_workers: 7,
            ..options()
        })
        .run(&names, move |_, _| {
            let inside = inside.enter();
            let most = Arc::clone(&most);
            let all_there = Arc::clone(&all_there);
            async move {
                let inside = inside;
                if inside.number <= workers {
                    all_there.wait().await;
                }
                // Those that would be too many get the chance to come in.
                tokio::task::yield_now().await;
                let active = parallel_reconciliation_stats().active_workers;
                most.fetch_max(usize::try_from(active).unwrap(), Ordering::SeqCst);
                Ok::<_, Failure>(equal())
            }
        })
        .await
        .unwrap();
        assert_eq!((report.matched, report.total_tables), (1000, 1000));
        assert_eq!(report.status, RunStatus::Pass);
        assert_eq!(report.max_workers, 7);
        assert_eq!(gauge.begun.load(Ordering::SeqCst), 1000);
        assert_eq!(gauge.most.load(Ordering::SeqCst), workers);
        assert_eq!(measured.load(Ordering::SeqCst), workers);
        let after = parallel_reconciliation_stats();
        assert_eq!(after.matched - before.matched, 1000);
        assert!(is_idle(&after), "{after:?}");
    });
}

#[test]
fn dropping_a_run_cancels_it() {
    for threads in [0, 2] {
        on_runtime(threads, async {
            let gauge = Arc::<Gauge>::default();
            let inside = Arc::clone(&gauge);
            let before = parallel_reconciliation_stats();
            let names: Vec<String> = (0..20).map(|number| format!("t{number}")).collect();
            let reconciler = reconciler(ParallelOptions {
                max_workers: 3,
                ..options()
            });
            let run = reconciler.run(&names, move |_, _| {
                let inside = inside.enter();
                async move {
                    let _inside = inside;
                    pending::<Result<Comparison, Failure>>().await
                }
            });
            tokio::select! {
                ended = run => panic!("ended by itself: {ended:?}"),
                () = stats_become("three run, the others wait", |stats| {
                    (stats.active_runs, stats.active_workers, stats.queue_size) == (1, 3, 17)
                }) => {}
            }
            gauge.empty().await;
            stats_become("idle", is_idle).await;
            assert_eq!(gauge.begun.load(Ordering::SeqCst), 3);
            let after = parallel_reconciliation_stats();
            assert_eq!(after.cancelled - before.cancelled, 20);
        });
    }
}

#[test]
fn a_runtime_that_goes_away_takes_its_runs_along() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let job = create_parallel_reconcile_job(options(), ["endless", "deaf"], play).unwrap();
    runtime.spawn(async move { job.run().await.map(drop) });
    runtime.block_on(stats_become("two run", |stats| stats.active_workers == 2));
    drop(runtime);
    let observer = Builder::new_current_thread().enable_all().build().unwrap();
    observer.block_on(stats_become("idle", is_idle));
}

#[test]
fn a_token_ends_a_run_with_its_report() {
    on_runtime(2, async {
        let cancel = CancellationToken::new();
        let job =
            create_parallel_reconcile_job(options(), ["equal", "endless", "deaf"], play).unwrap();
        let (report, ()) = tokio::join!(job.run_until(&cancel), async {
            stats_become("two run", |stats| {
                (stats.active_workers, stats.queue_size) == (2, 0)
            })
            .await;
            cancel.cancel();
        });
        let report = report.unwrap();
        assert_eq!((report.matched, report.cancelled), (1, 2), "{report:?}");
        assert!(report.interrupted);
        let stats = parallel_reconciliation_stats();
        assert!(is_idle(&stats), "{stats:?}");
        // The job can run again, and the next run is notified at once.
        let report = job.run_until(&cancel).await.unwrap();
        assert_adds_up(&report);
        assert!(report.interrupted, "{report:?}");
    });
}

#[test]
fn a_job_runs_many_times_also_at_the_same_time() {
    on_runtime(2, async {
        let calls = Arc::new(AtomicU32::new(0));
        let called = Arc::clone(&calls);
        let job = create_parallel_reconcile_job(options(), ["a", "b", "c"], move |_, _| {
            let call = called.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, Failure>(Findings::of_counts(call.into(), call.into())) }
        })
        .unwrap();
        job.run().await.unwrap();
        let reports = futures::future::join_all((0..5).map(|_| job.run())).await;
        let runs: Vec<RunReport> = reports.into_iter().map(Result::unwrap).collect();
        assert!(runs.iter().all(|report| report.matched == 3), "{runs:?}");
        let mut ids: Vec<_> = runs.iter().map(|report| &report.run_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 5);
        assert_eq!(calls.load(Ordering::SeqCst), 18);
    });
}

#[test]
fn a_failure_that_may_pass_is_tried_again() {
    on_runtime(2, async {
        let report = reconciler(ParallelOptions {
            max_attempts: 2,
            ..options()
        })
        .run(["recovers", "stays"], |job, _| async move {
            if job.source.name == "recovers" && job.attempt.0 == 2 {
                return Ok(equal());
            }
            Err(Failure::new(
                FailureKind::ConnectionError,
                format!("lost at attempt {}", job.attempt),
            ))
        })
        .await
        .unwrap();
        assert_eq!(
            statuses(&report),
            BTreeMap::from([("recovers", "matched"), ("stays", "failed")])
        );
        assert_eq!(report.results[0].attempt, 2);
        assert_eq!(
            error_kind(&report, "stays"),
            ("ConnectionError", "lost at attempt 2")
        );
        assert_eq!(report.errors[0].history.len(), 1);
    });
}

#[test]
fn differing_rows_are_reported_and_contradictions_are_not_a_match() {
    let difference = Difference {
        kind: DifferenceKind::Extra,
        key: serde_json::Map::from_iter([("id".to_owned(), 1.into())]),
        columns: Vec::new(),
    };
    let listed = difference.clone();
    on_runtime(2, async move {
        let report = reconciler(options())
            .run(["differs", "contradicts"], move |job, _| {
                let differences = vec![listed.clone()];
                async move {
                    let extra = u64::from(job.source.name == "differs");
                    let mut findings = Findings::of_counts(7, 7 + extra);
                    findings.comparison.rows = Some(RowCounts {
                        missing: 0,
                        extra,
                        modified: 0,
                        settled: 0,
                        truncated: false,
                    });
                    Ok::<_, Failure>(Findings {
                        differences,
                        ..findings
                    })
                }
            })
            .await
            .unwrap();
        assert_eq!(
            statuses(&report),
            BTreeMap::from([("differs", "mismatched"), ("contradicts", "failed")])
        );
        assert_eq!(report.results[0].differences, [difference]);
        assert_eq!(error_kind(&report, "contradicts").0, "InconsistentFindings");
    });
}

/// A pool or connection of the caller works in the function, and outlives the run.
#[test]
fn the_function_runs_on_the_callers_runtime() {
    on_runtime(0, async {
        let here = std::thread::current().id();
        let (kept, mut tasks) = tokio::sync::mpsc::unbounded_channel();
        let over = CancellationToken::new();
        let when_over = over.clone();
        reconciler(options())
            .run(["a"], move |_, _| {
                assert_eq!(std::thread::current().id(), here);
                let (kept, over) = (kept.clone(), when_over.clone());
                async move {
                    kept.send(tokio::spawn(async move {
                        over.cancelled().await;
                        5
                    }))
                    .unwrap();
                    Ok::<_, Failure>(equal())
                }
            })
            .await
            .unwrap();
        over.cancel();
        assert_eq!(tasks.recv().await.unwrap().await.unwrap(), 5);
    });
}

#[test]
fn the_command_line_estimates_too() {
    let workplace = Workplace::new("this is no configuration, and none is needed");
    let estimate = |line: &str| workplace.reconcile(&line.split(' ').collect::<Vec<_>>());
    for (line, workers) in [
        (
            "estimate --tables 20 --seconds 60 --budget 300 --max-workers 10",
            "4\n",
        ),
        (
            "estimate --tables 50 --seconds 90 --budget 15m --max-workers 10",
            "5\n",
        ),
    ] {
        let run = estimate(line);
        assert_eq!((run.code, run.stdout.as_str()), (0, workers), "{run:?}");
    }
    for (line, word) in [
        (
            "estimate --tables 50 --seconds 90 --budget 0",
            "budget is 0 s",
        ),
        (
            "estimate --tables 50 --seconds 90 --budget -1",
            "budget is -1 s",
        ),
        (
            "estimate --tables 50 --seconds nan --budget 1",
            "takes NaN s",
        ),
        (
            "estimate --tables 50 --seconds 90 --budget 15m --max-workers 3",
            "3 workers take 1500 s",
        ),
        ("estimate --tables -1 --seconds 1 --budget 1", "--tables"),
        ("estimate --tables 1 --seconds 1", "--budget"),
    ] {
        let run = estimate(line);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
        assert!(run.stderr.contains(word), "{line}: {run:?}");
    }
}

#[test]
fn what_cannot_be_run_is_refused_before_it_begins() {
    on_runtime(0, async {
        let refused = |tables: Vec<Table>| {
            create_parallel_reconcile_job(options(), tables, play)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(refused(Vec::new()), "the list of tables is empty");
        assert_eq!(
            refused(vec![table("a"), table("b"), table("a")]),
            "a is listed twice"
        );
        assert!(refused(vec![table("a").timeout(Duration::ZERO)]).contains("timeout of a is zero"),);
        let error = create_parallel_reconcile_job(options(), ["a.b.c"], play).unwrap_err();
        assert!(matches!(error, ParallelError::TableName(_)), "{error}");
        let none = ParallelOptions {
            max_workers: 0,
            ..options()
        };
        let error = create_parallel_reconcile_job(none, ["a"], play).unwrap_err();
        assert!(matches!(error, ParallelError::Options(_)), "{error}");
    });
    let job = create_parallel_reconcile_job(options(), ["equal"], play).unwrap();
    let outside = futures::executor::block_on(job.run());
    assert!(
        matches!(outside, Err(ParallelError::NoRuntime)),
        "{outside:?}"
    );
}
