//! Faults that take minutes: many in one run, and a table that takes longer than
//! the broker's limit for unacknowledged deliveries.

use std::process::Command;
use std::time::Duration;

use harness::executable::binary;
use harness::process::{Process, run_to_end};
use harness::services::RabbitMq;
use serde_json::json;
use tests::product::{check_counts, result};
use tests::scene::Scene;

/// Every kind of fault, several times over, at moments that a fixed seed chooses.
#[test]
fn thirty_faults_change_no_answer() {
    let arguments = ["--tables", "200", "--faults", "30", "--seed", "1"];
    let mut command = Command::new(binary("chaos").unwrap());
    command.args(arguments);
    let chaos = run_to_end("chaos", &mut command, Duration::from_secs(600)).unwrap();
    assert_eq!(
        (chaos.status.code(), chaos.stdout.lines().last()),
        (Some(0), Some("lost=0 duplicated=0 differing=0")),
        "{}{}",
        chaos.stdout,
        chaos.stderr
    );
}

/// RabbitMQ closes a channel whose delivery is unacknowledged for longer than
/// its `consumer_timeout`, of which a minute is the least.
#[test]
fn a_table_may_take_longer_than_the_broker_waits_for_an_acknowledgement() {
    let broker = RabbitMq::start_with("consumer_timeout = 60000").unwrap();
    let view = |wait: &str| format!("CREATE VIEW long AS SELECT 1 AS id, ({wait})::text AS v");
    let scene = Scene::new(&view("pg_sleep(150)"), &view("''")).unwrap();
    let worker = scene
        .start_worker(&broker.amqp_url(), "patient", 1)
        .unwrap();
    let mut run: Process = scene
        .start_run(&broker.amqp_url(), &["--tables", "long"])
        .unwrap();
    let status = run.wait(Duration::from_secs(240)).unwrap();
    let report = serde_json::from_str(&run.stdout()).unwrap();
    check_counts(&report);
    let long = result(&report, "long");
    assert_eq!(
        (status.code(), &long["status"], &long["attempt"]),
        (Some(0), &json!("matched"), &json!(1)),
        "{report:#}{}",
        worker.stderr()
    );
    assert!(
        long["duration_seconds"].as_f64().unwrap() >= 150.0,
        "{report:#}"
    );
    for (who, said) in [("worker", worker.stderr()), ("coordinator", run.stderr())] {
        assert!(
            !said.contains("lost the connection") && !said.contains("ERROR"),
            "the broker closed nothing of the {who}: {said}"
        );
    }
}
