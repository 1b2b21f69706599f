//! The broker's users of deploy/rabbitmq can do what a run needs, over TLS, and no more.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::services::{RabbitMq, free_port, shared_postgres};
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tests::product::{Workplace, result};

use crate::{path, read};

const BOUND: Duration = Duration::from_secs(60);

/// A channel, and the connection that it ends with.
struct Session {
    channel: Channel,
    _connection: Connection,
}

/// A broker as deploy/rabbitmq describes it.
struct Described {
    broker: RabbitMq,
    tls_port: u16,
    directory: TempDir,
}

impl Described {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let here = |name: &str| directory.path().join(name);
        write_certificates(directory.path());
        let mut script = Command::new(path("deploy/rabbitmq/with-passwords.sh"));
        for user in ["admin", "coordinator", "worker", "monitor"] {
            std::fs::write(here(user), format!("password-of-{user}")).unwrap();
            script.arg(format!("reconcile-{user}={}", here(user).display()));
        }
        let output = script.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        std::fs::write(here("definitions.json"), output.stdout).unwrap();
        std::fs::write(here("signing.key"), "0123456789abcdef".repeat(4)).unwrap();

        let tls_port = free_port();
        let configuration = read("deploy/rabbitmq/rabbitmq.conf")
            // The harness listens in clear, to see when the broker is ready.
            .replace("listeners.tcp = none\n", "")
            .replace("disk_free_limit.absolute = 2GB\n", "")
            .replace(
                "listeners.ssl.default = 5671",
                &format!("listeners.ssl.default = 127.0.0.1:{tls_port}"),
            )
            .replace("/etc/rabbitmq/tls", directory.path().to_str().unwrap())
            .replace("/etc/rabbitmq", directory.path().to_str().unwrap());
        let broker = RabbitMq::start_with(&configuration).unwrap();
        Self {
            broker,
            tls_port,
            directory,
        }
    }

    fn broker_section(&self, user: &str) -> String {
        format!(
            "[broker]\nurl = 'amqps://reconcile-{user}:password-of-{user}@127.0.0.1:{}/reconcile'\n\
             ca_file = '{directory}/ca.pem'\nsigning_key_file = '{directory}/signing.key'\n",
            self.tls_port,
            directory = self.directory.path().display(),
        )
    }

    async fn session(&self, user: &str) -> Session {
        let url = format!(
            "amqp://reconcile-{user}:password-of-{user}@127.0.0.1:{}/reconcile",
            self.broker.port()
        );
        let connection = Connection::connect(&url, ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        Session {
            channel,
            _connection: connection,
        }
    }

    fn queue_length(&self, queue: &str) -> String {
        let list = ["list_queues", "--vhost", "reconcile", "name", "messages"];
        let queues = self.broker.ctl(&list).unwrap();
        let line = queues.lines().find(|line| line.starts_with(queue));
        line.unwrap_or_else(|| panic!("no {queue} in {queues}"))
            .to_owned()
    }
}

fn write_certificates(directory: &Path) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let server = server.signed_by(&key, &issuer).unwrap();
    for (name, text) in [
        ("ca.pem", authority_pem),
        ("server.pem", server.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        std::fs::write(directory.join(name), text).unwrap();
    }
}

/// Whether an operation was refused because of missing permissions.
fn is_refused<T>(result: Result<T, lapin::Error>) -> bool {
    result.is_err_and(|error| error.to_string().contains("ACCESS"))
}

async fn consume(session: Session, queue: &str) -> Result<(), lapin::Error> {
    let options = BasicConsumeOptions::default();
    let consume =
        session
            .channel
            .basic_consume(queue.into(), "".into(), options, FieldTable::default());
    consume.await.map(drop)
}

async fn publish(session: Session, exchange: &str) -> Result<(), lapin::Error> {
    let channel = &session.channel;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let confirm =
        channel.basic_publish(exchange.into(), "worker".into(), options, b"x", properties);
    confirm.await?.await.map(drop)
}

#[test]
fn each_user_can_do_its_part_of_a_run_and_no_more() {
    let described = Described::start();
    let databases = ["source", "target"].map(|side| {
        let database = shared_postgres().create_database(side).unwrap();
        database
            .execute("CREATE TABLE one (id int PRIMARY KEY); INSERT INTO one SELECT generate_series(1, 100); CREATE TABLE two (id int PRIMARY KEY, t text); INSERT INTO two VALUES (1, 'a')")
            .unwrap();
        database
    });
    databases[1].execute("UPDATE two SET t = 'b'").unwrap();
    let worker_place = Workplace::new(&format!(
        "{}[endpoints.source]\nurl = '{}'\n[endpoints.target]\nurl = '{}'\n",
        described.broker_section("worker"),
        databases[0].url(),
        databases[1].url()
    ));
    // The coordinator knows only the names of the endpoints.
    let coordinator = Workplace::new(&format!(
        "{}[run]\nsource = 'source'\ntarget = 'target'\nrow_level = true\nformat = 'json'\n",
        described.broker_section("coordinator")
    ));
    let mut worker = worker_place.worker(&["--name", "w"]);
    let run = coordinator.reconcile(&["run", "--tables", "public.one,public.two"]);
    let report = run.report();
    assert_eq!(
        result(&report, "public.one")["status"],
        "matched",
        "{run:?}"
    );
    assert_eq!(result(&report, "public.two")["modified"], 1, "{run:?}");
    assert_eq!(run.code, 1);
    // The coordinator's user may also send an administrator's commands.
    let drained = coordinator.reconcile(&["drain", "w"]);
    assert_eq!(drained.code, 0, "{drained:?}");
    assert!(worker.wait(BOUND).unwrap().success());
    assert!(
        described.queue_length("reconcile.dead").ends_with("\t0"),
        "{}",
        described.queue_length("reconcile.dead")
    );
    for said in [&run.stderr, &worker.stderr()] {
        assert!(!said.contains("ACCESS_REFUSED"), "{said}");
    }

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(check_permissions(&described));
}

/// Tries what each user must not do, and what it must be able to do.
async fn check_permissions(described: &Described) {
    // A refusal closes its channel: a new one for each.
    let session = async |user: &str| described.session(user).await;
    assert!(is_refused(
        consume(session("coordinator").await, "reconcile.tasks").await
    ));
    assert!(is_refused(
        publish(session("coordinator").await, "reconcile.events").await
    ));
    assert!(is_refused(
        publish(session("coordinator").await, "reconcile.presence").await
    ));
    assert!(is_refused(
        publish(session("worker").await, "reconcile.control").await
    ));
    assert!(is_refused(
        consume(session("worker").await, "reconcile.dead").await
    ));
    assert!(is_refused(
        consume(session("monitor").await, "reconcile.tasks").await
    ));
    assert!(is_refused(publish(session("monitor").await, "").await));
    for user in ["worker", "monitor"] {
        let session = session(user).await;
        let declared = session.channel.queue_declare(
            "reconcile.run.x".into(),
            QueueDeclareOptions::durable(),
            FieldTable::default(),
        );
        assert!(is_refused(declared.await), "{user}");
    }

    // An autoscaler reads the length of the queue.
    let monitor = session("monitor").await;
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let tasks =
        monitor
            .channel
            .queue_declare("reconcile.tasks".into(), passive, FieldTable::default());
    assert_eq!(tasks.await.unwrap().message_count(), 0);
    // The part of each user in a run.
    publish(session("worker").await, "reconcile.presence")
        .await
        .unwrap();
    publish(session("coordinator").await, "reconcile.control")
        .await
        .unwrap();
}

#[test]
fn a_coordinator_without_a_queue_of_tasks_says_who_makes_it() {
    let described = Described::start();
    let tasks = || {
        let list = ["list_queues", "--vhost", "reconcile", "name", "arguments"];
        let queues = described.broker.ctl(&list).unwrap();
        let line = queues
            .lines()
            .find(|line| line.starts_with("reconcile.tasks"));
        let line = line.unwrap_or_else(|| panic!("no queue of tasks in {queues}"));
        // The broker lists them in any order.
        let mut arguments: Vec<String> = line
            .split(['{', '}'])
            .filter(|part| part.starts_with('"'))
            .map(str::to_owned)
            .collect();
        arguments.sort();
        arguments
    };
    let imported = tasks();
    let delete = ["delete_queue", "--vhost", "reconcile", "reconcile.tasks"];
    described.broker.ctl(&delete).unwrap();

    let coordinator = Workplace::new(&described.broker_section("coordinator"));
    let refused = coordinator.reconcile(&["workers"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("start a worker first"),
        "{refused:?}"
    );

    let worker_place = Workplace::new(&format!(
        "{}[endpoints.source]\nurl = 'postgres://u@127.0.0.1/x'\n",
        described.broker_section("worker")
    ));
    let _worker = worker_place.worker(&["--name", "w"]);
    // The definitions hold what a worker declares, to the last argument.
    assert_eq!(tasks(), imported);
    assert!(imported.len() >= 4, "{imported:?}");
    let found = coordinator.reconcile(&["workers"]);
    assert_eq!(found.code, 0, "{found:?}");

    // A tag would show every virtual host to a user with this password.
    let users = described.broker.ctl(&["list_users"]).unwrap();
    let monitor = users
        .lines()
        .find(|line| line.starts_with("reconcile-monitor"));
    assert!(monitor.unwrap().ends_with("[]"), "{users}");
}
