//! Services start, are private, and leave nothing behind, also when the process
//! that started them is killed.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::poll::poll;
use harness::process::{Process, run_to_end};
use harness::services::{Postgres, RabbitMq, shared_postgres};

const BOUND: Duration = Duration::from_secs(20);

fn gone(pid: u32) -> bool {
    !Path::new("/proc").join(pid.to_string()).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_is_private_and_leaves_nothing() {
    let server = Postgres::start().unwrap();
    let (pid, directory) = (server.pid(), server.socket_directory().to_owned());
    {
        let database = server.create_database("mine").unwrap();
        let client = database.connect().await.unwrap();
        let name: String = client
            .query_one("SELECT current_database()::text", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(name, "mine");
    }
    let client = harness::services::database::connect(&server.url())
        .await
        .unwrap();
    let left = client
        .query("SELECT 1 FROM pg_database WHERE datname = 'mine'", &[])
        .await
        .unwrap();
    assert!(left.is_empty(), "the database was not dropped");

    server.kill().unwrap();
    assert!(gone(pid));
    server.restart().unwrap();
    assert_ne!(server.pid(), pid);
    let pid = server.pid();
    drop(server);
    assert!(gone(pid));
    assert!(!directory.exists(), "{} is left", directory.display());
}

#[test]
fn a_rabbitmq_can_be_stopped_crashed_and_started_again() {
    let broker = RabbitMq::start().unwrap();
    let directory = broker.node().directory().to_owned();
    let url = broker.node().create_vhost("a-test").unwrap();
    assert!(url.ends_with("/a-test"), "{url}");
    let vhosts = broker.ctl(&["list_vhosts", "name"]).unwrap();
    assert!(vhosts.lines().any(|line| line == "a-test"), "{vhosts}");

    broker.stop_app().unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", broker.port())).is_err());
    broker.start_app().unwrap();

    let pid = broker.pid();
    broker.kill().unwrap();
    assert!(gone(pid));
    broker.restart().unwrap();
    let vhosts = broker.ctl(&["list_vhosts", "name"]).unwrap();
    assert!(
        vhosts.lines().any(|line| line == "a-test"),
        "after the crash: {vhosts}"
    );

    let pid = broker.pid();
    drop(broker);
    assert!(gone(pid));
    assert!(!directory.exists(), "{} is left", directory.display());
}

#[test]
fn shared_databases_do_not_meet() {
    let (one, two) = (
        shared_postgres().create_database("t").unwrap(),
        shared_postgres().create_database("t").unwrap(),
    );
    assert_ne!(one.name(), two.name());
    one.execute("CREATE TABLE only_here (a int)").unwrap();
    assert!(two.execute("SELECT * FROM only_here").is_err());
}

#[test]
fn a_killed_owner_takes_its_services_along() {
    let mut services = Process::start(
        "services",
        Command::new(env!("CARGO_BIN_EXE_services")).arg("--no-rabbitmq"),
    )
    .unwrap();
    let printed = poll(BOUND, || {
        Some(services.stdout()).filter(|text| text.contains("SERVICES_READY"))
    });
    let printed = printed
        .unwrap_or_else(|| panic!("not ready; {}\n{}", services.stdout(), services.stderr()));
    let value = |name: &str| {
        let line = printed
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("no {name} in {printed}"))
            .to_owned()
    };
    let pid: u32 = value("POSTGRES_PID").parse().unwrap();
    let directory = value("POSTGRES_SOCKET_DIR");
    assert!(!gone(pid));
    services.kill();
    poll(BOUND, || gone(pid).then_some(())).expect("the server outlives its owner");
    poll(BOUND, || (!Path::new(&directory).exists()).then_some(()))
        .expect("the directory outlives its owner");
}

#[test]
fn services_end_with_their_standard_input_and_on_sigterm() {
    // Standard input is empty, but without --exit-with-stdin that means nothing.
    let ended = run_to_end(
        "services",
        Command::new(env!("CARGO_BIN_EXE_services")).args(["--no-rabbitmq", "--exit-with-stdin"]),
        BOUND,
    )
    .unwrap();
    assert!(ended.status.success(), "{}", ended.stderr);

    let mut services = Process::start(
        "services",
        Command::new(env!("CARGO_BIN_EXE_services")).arg("--no-rabbitmq"),
    )
    .unwrap();
    poll(BOUND, || {
        services.stdout().contains("SERVICES_READY").then_some(())
    })
    .expect("not ready");
    services.signal("TERM");
    assert!(services.wait(BOUND).unwrap().success());
}

#[test]
fn a_process_is_watched() {
    let mut talker = Process::start(
        "talker",
        Command::new("sh").args(["-c", "echo one >&2; echo out; echo two >&2; exit 3"]),
    )
    .unwrap();
    assert_eq!(talker.wait_for_line("tw", BOUND).unwrap(), "two");
    assert_eq!(talker.wait(BOUND).unwrap().code(), Some(3));
    assert_eq!(talker.stdout(), "out\n");
    let error = talker
        .wait_for_line("three", BOUND)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("two") && error.contains("exit status: 3"),
        "{error}"
    );

    let mut sleeper = Process::start("sleeper", Command::new("sleep").arg("600")).unwrap();
    let error = sleeper
        .wait(Duration::from_millis(50))
        .unwrap_err()
        .to_string();
    assert!(error.contains("still ran"), "{error}");
    let pid = sleeper.pid();
    drop(sleeper);
    assert!(gone(pid));
}
