//! One fault at a time, at a defined moment: the effect of a deadline, a failure, a
//! lost worker and a changing fleet on a run over RabbitMQ. `chaos` injects many
//! faults at random moments.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::poll::poll;
use harness::process::Process;
use harness::services::{Broker, shared_rabbitmq};
use serde_json::{Value as Json, json};
use tests::product::{check_counts, result};
use tests::proxy::Proxy;
use tests::scene::{Gates, Running, Scene, Watch};

/// How long anything may take that should happen soon.
const BOUND: Duration = Duration::from_secs(60);

/// A private virtual host with workers.
struct Fleet {
    // The workers end before the broker's virtual host does.
    workers: Vec<Process>,
    broker: Broker,
}

impl Fleet {
    fn new() -> Self {
        Self {
            workers: Vec::new(),
            broker: shared_rabbitmq().create_vhost().unwrap(),
        }
    }

    fn of(scene: &Scene, workers: u32, concurrency: u32) -> Self {
        let mut fleet = Self::new();
        for number in 1..=workers {
            fleet.add(scene, &format!("worker-{number}"), concurrency);
        }
        fleet
    }

    fn add(&mut self, scene: &Scene, name: &str, concurrency: u32) {
        self.workers
            .push(scene.start_worker(self.url(), name, concurrency).unwrap());
    }

    fn url(&self) -> &str {
        self.broker.amqp_url()
    }

    fn start_run(&self, scene: &Scene, tables: &str, arguments: &[&str]) -> Process {
        let arguments = [&["--tables", tables][..], arguments].concat();
        scene.start_run(self.url(), &arguments).unwrap()
    }
}

/// Waits for the end of a run; its exit code and its report.
fn finish(run: &mut Process) -> (i32, Json) {
    let status = run.wait(BOUND).unwrap();
    let report = serde_json::from_str(&run.stdout())
        .unwrap_or_else(|error| panic!("no report ({error}): {}", run.stderr()));
    check_counts(&report);
    (status.code().unwrap(), report)
}

/// A view of one row that takes as long as `wait` does.
fn view(name: &str, wait: &str) -> String {
    format!("CREATE VIEW {name} AS SELECT 1 AS id, ({wait})::text AS v;")
}

/// `count` views called `PREFIX0`, `PREFIX1`, …
fn views(prefix: &str, count: u32, wait: &str) -> String {
    (0..count)
        .map(|number| view(&format!("{prefix}{number}"), wait))
        .collect()
}

/// "a0,a1,a2"
fn names(prefix: &str, count: u32) -> String {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// The tables that statements belong to.
fn distinct(running: &[Running]) -> BTreeSet<&str> {
    running
        .iter()
        .map(|running| running.application.as_str())
        .collect()
}

fn runs(table: &str) -> impl Fn(&[Running]) -> bool {
    move |running| running.iter().any(|running| running.reads(table))
}

#[test]
fn a_deadline_ends_the_statement_and_nothing_else() {
    const QUICK: u32 = 12;
    let sql = |wait: &str| view("stuck", wait) + &views("quick", QUICK, "''");
    let scene = Scene::new(&sql("pg_sleep(60)"), &sql("''")).unwrap();
    let (fleet, watch) = (Fleet::of(&scene, 2, 2), scene.watch().unwrap());
    let tables = format!("stuck,{}", names("quick", QUICK));
    let mut run = fleet.start_run(&scene, &tables, &["--parallel-timeout", "2"]);
    watch.wait_until("stuck", BOUND, runs("stuck"));
    let start = Instant::now();
    run.wait_for_line("timeout    stuck", BOUND).unwrap();
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(3),
        "a deadline of 2 s took {took:?}"
    );
    watch.wait_until("quiet", Duration::from_secs(1), <[Running]>::is_empty);

    let (code, report) = finish(&mut run);
    assert_eq!(
        (code, &report["timeout"], &report["matched"]),
        (3, &json!(1), &json!(QUICK)),
        "{report:#}"
    );
    assert_eq!(report["errors"][0]["type"], "TimeoutError", "{report:#}");
    let quiet = result(&report, "stuck")["quiet_after_ms"].as_u64();
    assert!(
        quiet.is_some_and(|quiet| quiet < 1000),
        "the worker confirms that it has stopped: {report:#}"
    );
}

#[test]
fn the_first_failure_silences_the_whole_fleet() {
    const STUCK: u32 = 19;
    let stuck = views("stuck", STUCK, "pg_sleep(60)");
    let broken = "CREATE VIEW broken AS SELECT 1 / (gate(0) - 0) AS id, '' AS v;";
    let scene = Scene::new(
        &format!("{broken}{stuck}"),
        &format!("{}{stuck}", view("broken", "''")),
    )
    .unwrap();
    let (fleet, watch) = (Fleet::of(&scene, 4, 4), scene.watch().unwrap());
    let gates = Gates::closed(&scene.source, 1).unwrap();
    let tables = format!("broken,{}", names("stuck", STUCK));
    let mut run = fleet.start_run(&scene, &tables, &["--fail-fast"]);
    watch.wait_until("16 tables at once", BOUND, |running| {
        distinct(running).len() == 16 && running.len() == 31
    });

    gates.open(0).unwrap();
    let start = Instant::now();
    watch.wait_until("quiet", Duration::from_secs(1), <[Running]>::is_empty);
    let took = start.elapsed();

    let (code, report) = finish(&mut run);
    assert_eq!(
        (code, &report["failed"], &report["cancelled"]),
        (3, &json!(1), &json!(STUCK)),
        "{report:#}"
    );
    assert_eq!(report["root_cause"]["table"], "broken", "{report:#}");
    let answered = report["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|result| result["quiet_after_ms"].is_u64())
        .count();
    assert_eq!(
        answered, 15,
        "every worker confirms what it stopped, after {took:?}: {report:#}"
    );
}

/// Takes one of so many slots until the end of the transaction. More
/// transactions at once are an error, which fails the table.
const SLOT: &str = "CREATE FUNCTION slot(allowed int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
        FOR number IN 1..allowed LOOP
            IF pg_try_advisory_xact_lock(1000 + number) THEN RETURN number; END IF;
        END LOOP;
        RAISE EXCEPTION 'more than % tables at once', allowed;
    END $$;";

#[test]
fn workers_that_come_later_take_their_share_and_the_limit_holds() {
    const TABLES: u32 = 30;
    let source = format!(
        "{SLOT}{}",
        views(
            "slow",
            TABLES,
            "SELECT '' FROM (SELECT slot(3), pg_sleep(0.4)) AS wait"
        )
    );
    let scene = Scene::new(&source, &views("slow", TABLES, "''")).unwrap();
    let mut fleet = Fleet::new();
    let mut run = fleet.start_run(
        &scene,
        &names("slow", TABLES),
        &["--parallel-workers", "3", "--claim-timeout", "60s"],
    );
    let submitted = poll(BOUND, || {
        let arguments = [
            "list_queues",
            "--vhost",
            fleet.broker.vhost(),
            "name",
            "messages",
        ];
        let queues = fleet.broker.node().ctl(&arguments).unwrap();
        queues.contains("reconcile.tasks\t3").then_some(())
    });
    assert!(submitted.is_some(), "the first tables wait for a worker");

    let (watch, over) = (scene.watch().unwrap(), AtomicBool::new(false));
    let (code, report, most) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(&watch, &over));
        // Also when an assertion fails: the sampler must end.
        let end = EndOnDrop(&over);
        fleet.add(&scene, "first", 2);
        run.wait_for_line("matched", BOUND).unwrap();
        fleet.add(&scene, "second", 2);
        fleet.add(&scene, "third", 2);
        let (code, report) = finish(&mut run);
        drop(end);
        (code, report, sampler.join().unwrap())
    });
    assert_eq!(
        (code, &report["matched"]),
        (0, &json!(TABLES)),
        "{report:#}"
    );
    assert!(most >= 3, "only {most} tables at once, of 3 allowed");
    let mut shares: BTreeMap<&str, u32> = BTreeMap::new();
    for result in report["results"].as_array().unwrap() {
        *shares
            .entry(result["worker"].as_str().unwrap())
            .or_default() += 1;
    }
    assert!(
        shares.len() == 3 && shares.values().all(|&share| share >= 3),
        "every worker takes its share: {shares:?}"
    );
}

/// Ends the sampling.
struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The most tables that were seen in the databases at once. Both databases
/// cannot be queried in the same instant, so the number may be too large.
fn sample(watch: &Watch, over: &AtomicBool) -> usize {
    let mut most = 0;
    while !over.load(Ordering::Acquire) {
        most = most.max(distinct(&watch.running().unwrap()).len());
    }
    most
}

#[test]
fn two_runs_over_the_same_workers_do_not_disturb_each_other() {
    const TABLES: u32 = 10;
    let broken = "CREATE VIEW broken AS SELECT 1 / (gate(0) - 0) AS id, '' AS v;";
    let source = views("slow", TABLES, "pg_sleep(0.1)") + &view("held", "gate(1)") + broken;
    let target = views("slow", TABLES, "''") + &view("held", "'1'") + &view("broken", "''");
    let scene = Scene::new(&source, &target).unwrap();
    let (fleet, watch) = (Fleet::of(&scene, 2, 3), scene.watch().unwrap());
    let gates = Gates::closed(&scene.source, 2).unwrap();
    let slow = names("slow", TABLES);
    let mut lasting = fleet.start_run(&scene, &format!("held,{slow}"), &[]);
    watch.wait_until("the first run", BOUND, runs("held"));
    let mut failing = fleet.start_run(&scene, &format!("broken,held,{slow}"), &["--fail-fast"]);
    watch.wait_until("both runs", BOUND, |running| {
        let held: Vec<Running> = running
            .iter()
            .filter(|running| running.reads("held"))
            .cloned()
            .collect();
        runs("broken")(running) && distinct(&held).len() == 2
    });

    gates.open(0).unwrap();
    let (code, report) = finish(&mut failing);
    assert_eq!((code, &report["failed"]), (3, &json!(1)), "{report:#}");
    assert_eq!(report["root_cause"]["table"], "broken", "{report:#}");
    assert_eq!(result(&report, "held")["status"], "cancelled", "{report:#}");

    watch.wait_until("the first run alone", BOUND, |running| {
        running
            .iter()
            .filter(|running| running.reads("held"))
            .count()
            == 1
    });
    gates.open(1).unwrap();
    let (code, report) = finish(&mut lasting);
    assert_eq!(
        (code, &report["matched"]),
        (0, &json!(TABLES + 1)),
        "{report:#}"
    );
    for result in report["results"].as_array().unwrap() {
        assert_eq!(result["attempt"], 1, "undisturbed: {result:#}");
    }
}

#[test]
fn a_task_that_kills_its_worker_is_not_tried_for_ever() {
    const QUICK: u32 = 6;
    let source = view("poison", "gate(0)") + &views("quick", QUICK, "''");
    let target = view("poison", "0") + &views("quick", QUICK, "''");
    let scene = Scene::new(&source, &target).unwrap().with_short_leases();
    let (mut fleet, watch) = (Fleet::new(), scene.watch().unwrap());
    let _gates = Gates::closed(&scene.source, 1).unwrap();
    let tables = format!("{},poison", names("quick", QUICK));
    // One table at a time: the lost worker ran nothing else.
    fleet.add(&scene, "victim-1", 1);
    let mut run = fleet.start_run(&scene, &tables, &["--max-attempts", "3"]);
    let mut known = BTreeSet::new();
    for attempt in 1..=3 {
        // What a killed worker ran may go on in the database for a while.
        let fresh = |running: &Running| running.reads("poison") && !known.contains(&running.pid);
        let running = watch.wait_until("poisoned anew", BOUND, |running| running.iter().any(fresh));
        known.extend(running.iter().map(|running| running.pid));
        fleet.workers.last_mut().unwrap().kill();
        fleet.add(&scene, &format!("victim-{}", attempt + 1), 1);
    }
    let (code, report) = finish(&mut run);
    assert_eq!(
        (code, &report["failed"], &report["matched"]),
        (3, &json!(1), &json!(QUICK)),
        "{report:#}"
    );
    let error = &report["errors"][0];
    assert_eq!(
        (&error["table"], &error["type"], &error["attempt"]),
        (&json!("poison"), &json!("WorkerLost"), &json!(3))
    );
    let mut workers: Vec<&Json> = error["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| &attempt["worker"])
        .collect();
    workers.push(&error["worker"]);
    assert_eq!(
        workers,
        ["victim-1", "victim-2", "victim-3"],
        "the history of its attempts: {error:#}"
    );
}

#[test]
fn tables_that_ran_beside_each_other_on_a_lost_worker_lose_no_attempt() {
    const TABLES: u32 = 4;
    let source = views("gated", TABLES, "gate(0)");
    let target = views("gated", TABLES, "0");
    let scene = Scene::new(&source, &target).unwrap().with_short_leases();
    let (mut fleet, watch) = (Fleet::new(), scene.watch().unwrap());
    let gates = Gates::closed(&scene.source, 1).unwrap();
    fleet.add(&scene, "lost", TABLES);
    let tables = names("gated", TABLES);
    let mut run = fleet.start_run(&scene, &tables, &["--max-attempts", "1"]);
    watch.wait_until("all claimed", BOUND, |running| {
        let reading = |running: &&Running| running.statement.starts_with("COPY");
        let tables = running.iter().filter(reading).map(|of| &of.application);
        tables.collect::<BTreeSet<_>>().len() == TABLES as usize
    });
    fleet.workers[0].kill();
    fleet.add(&scene, "heir", TABLES);
    gates.open(0).unwrap();
    let (code, report) = finish(&mut run);
    assert_eq!(
        (code, &report["matched"]),
        (0, &json!(TABLES)),
        "{report:#}"
    );
    for result in report["results"].as_array().unwrap() {
        assert_eq!(
            (&result["worker"], &result["attempt"]),
            (&json!("heir"), &json!(2)),
            "{result:#}"
        );
    }
}

/// The first worker is stopped while it compares ten rows; meanwhile there are
/// eleven, its lease expires and another worker takes the table. When it wakes
/// up it finishes, *before* the other one, and says "ten".
#[test]
fn the_result_of_a_worker_that_lost_its_lease_does_not_count() {
    // A worker that sees ten rows waits at gate 0, one that sees eleven at gate 1.
    let rows = "CREATE TABLE data AS SELECT id FROM generate_series(1, 10) id;";
    let fenced = "CREATE VIEW fenced AS SELECT data.id FROM \
        (SELECT gate((SELECT count(*) - 10 FROM data)::int)) AS wait, data;";
    let source = format!("{rows}{fenced}{}", view("held", "gate(2)"));
    let target = format!(
        "{rows}CREATE VIEW fenced AS SELECT * FROM data;{}",
        view("held", "2")
    );
    let scene = Scene::new(&source, &target).unwrap().with_short_leases();
    let (mut fleet, watch) = (Fleet::new(), scene.watch().unwrap());
    let gates = Gates::closed(&scene.source, 3).unwrap();
    let port = url::Url::parse(fleet.url()).unwrap().port().unwrap();
    let proxy = Proxy::to(port).unwrap();
    let mut sleeper = scene
        .start_worker(&proxy.through(fleet.url()), "sleeper", 2)
        .unwrap();
    let mut run = fleet.start_run(&scene, "fenced,held", &["--parallel-workers", "2"]);
    watch.wait_until("compared by the first worker", BOUND, |running| {
        runs("fenced")(running) && runs("held")(running)
    });
    sleeper.signal("STOP");
    for database in [&scene.source, &scene.target] {
        database.execute("INSERT INTO data VALUES (11)").unwrap();
    }
    fleet.add(&scene, "other", 2);
    run.wait_for_line("lost       fenced: worker sleeper", BOUND)
        .unwrap();
    watch.wait_until("compared by both workers", BOUND, |running| {
        running
            .iter()
            .filter(|running| running.reads("fenced"))
            .count()
            == 2
    });

    // The worker receives the cancellation only after it has its result.
    proxy.cut();
    gates.open(0).unwrap();
    watch.wait_until("finished in the first session", BOUND, |running| {
        running
            .iter()
            .filter(|running| running.reads("fenced"))
            .count()
            == 1
    });
    sleeper.signal("CONT");
    sleeper.signal("TERM");
    let drained = sleeper.wait(BOUND).unwrap();
    assert_eq!(
        drained.code(),
        Some(0),
        "all that it had to say is said: {}",
        sleeper.stderr()
    );
    assert!(
        !run.stderr().contains("matched    fenced"),
        "a stale result counted: {}",
        run.stderr()
    );

    gates.open(1).unwrap();
    gates.open(2).unwrap();
    let (code, report) = finish(&mut run);
    assert_eq!((code, &report["matched"]), (0, &json!(2)), "{report:#}");
    let fenced = result(&report, "fenced");
    assert_eq!(
        (
            &fenced["worker"],
            &fenced["attempt"],
            &fenced["source_count"]
        ),
        (&json!("other"), &json!(2), &json!(11)),
        "{report:#}"
    );
}

#[test]
fn what_a_killed_worker_ran_ends_in_the_database() {
    let scene = Scene::new(&view("stuck", "pg_sleep(600)"), &view("stuck", "''"))
        .unwrap()
        .with_short_leases();
    let (mut fleet, watch) = (Fleet::of(&scene, 1, 1), scene.watch().unwrap());
    let mut run = fleet.start_run(&scene, "stuck", &["--max-attempts", "1"]);
    watch.wait_until("stuck", BOUND, runs("stuck"));
    fleet.workers[0].kill();
    watch.wait_until("quiet", Duration::from_secs(20), <[Running]>::is_empty);
    let (code, report) = finish(&mut run);
    assert_eq!(
        (code, &report["errors"][0]["type"]),
        (3, &json!("WorkerLost")),
        "{report:#}"
    );
}
