//! A broker that has stopped accepting messages because it lacks memory.

use harness::services::RabbitMq;
use tests::product::Run;

use super::*;

/// How long a command may take: to connect, to give up, and to end.
const LIMIT: Duration = Duration::from_secs(20);

fn set_alarm(broker: &RabbitMq, watermark: &str, expected: bool) {
    broker
        .ctl(&["set_vm_memory_high_watermark", watermark])
        .unwrap();
    let mut last = String::new();
    let set = poll(BOUND, || {
        last = broker.ctl(&["eval", "rabbit_alarm:get_alarms()."]).unwrap();
        (last.contains("memory") == expected).then_some(())
    });
    assert!(set.is_some(), "the alarms are {last}");
}

#[test]
fn commands_end_with_the_reason_while_the_broker_accepts_nothing() {
    let scene = Scene::new(GATED, OPEN).unwrap();
    let broker = RabbitMq::start().unwrap();
    let url = broker.amqp_url();
    let watch = scene.watch().unwrap();
    let gates = Gates::closed(&scene.source, 1).unwrap();
    let _worker = scene.start_worker(&url, "w", 1).unwrap();
    let mut run = scene.start_run(&url, &["--tables", "held"]).unwrap();
    watch.wait_until("reading", BOUND, |running| {
        running.iter().any(|running| running.reads("held"))
    });
    let stranger = shared::ids::RunId::generate().to_string();

    set_alarm(&broker, "0.0001", true);
    let command = |arguments: &[&str]| -> Run {
        let ended = tests::product::finish(&mut scene.here.command("reconcile", arguments));
        assert!(
            ended.elapsed < LIMIT,
            "{arguments:?} took too long: {ended:?}"
        );
        ended
    };
    for arguments in [&["workers"][..], &["drain", "w"], &["cancel", &stranger]] {
        let ended = command(&[arguments, &["--broker", &url]].concat());
        assert_eq!(ended.code, 2, "{arguments:?}: {ended:?}");
        let says = ["stopped accepting messages", "memory", "alarm"];
        assert!(
            says.iter().all(|part| ended.stderr.contains(part)),
            "{arguments:?}: {ended:?}"
        );
    }
    let status = command(&["status", "latest"]);
    assert_eq!(status.code, 0, "{status:?}");
    // The request goes through the store too.
    let cancelled = command(&["cancel", "latest", "--broker", &url]);
    assert_eq!(cancelled.code, 0, "{cancelled:?}");

    set_alarm(&broker, "0.4", false);
    let (code, report) = finish(&mut run);
    assert_eq!(code, 130, "{report:#}");
    drop(gates);
}
