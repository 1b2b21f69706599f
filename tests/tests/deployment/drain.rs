//! An orchestrator stops a worker that has been drained.

use std::time::Duration;

use harness::poll::poll;
use harness::services::shared_rabbitmq;
use tests::product::{check_counts, result};
use tests::scene::{Gates, Scene};

const BOUND: Duration = Duration::from_secs(60);

#[test]
fn a_signal_after_a_drain_costs_nothing() {
    let view = |gate: &str| format!("CREATE VIEW slow AS SELECT {gate} AS id");
    let scene = Scene::new(&view("gate(0)"), &view("0")).unwrap();
    let gates = Gates::closed(&scene.source, 1).unwrap();
    let vhost = shared_rabbitmq().create_vhost().unwrap();
    let broker = vhost.amqp_url();
    let mut worker = scene.start_worker(broker, "w", 1).unwrap();
    let mut run = scene.start_run(broker, &["--tables", "slow"]).unwrap();
    let watch = scene.watch().unwrap();
    watch.wait_until("the table begins", BOUND, |running| {
        running.iter().any(|statement| statement.reads("slow"))
    });

    let drained = scene.here.reconcile(&["drain", "w", "--broker", broker]);
    assert_eq!(drained.code, 0, "{drained:?}");
    worker.signal("TERM");
    // It has gone on: the gate is closed, and it still answers.
    let mut listed = String::new();
    let answers = poll(BOUND, || {
        let workers = scene.here.reconcile(&["workers", "--broker", broker]);
        listed = workers.stdout;
        listed.contains("draining").then_some(())
    });
    assert!(answers.is_some(), "{listed}\n{}", worker.stderr());

    gates.open(0).unwrap();
    let status = worker.wait(BOUND).unwrap();
    assert_eq!(status.code(), Some(0), "{}", worker.stderr());
    assert_eq!(run.wait(BOUND).unwrap().code(), Some(0), "{}", run.stderr());
    let report = serde_json::from_str(&run.stdout()).unwrap();
    check_counts(&report);
    assert_eq!(result(&report, "slow")["attempt"], 1, "{report:#}");
}
