//! Log lines: in JSON each line is an object that names its table, and no line
//! holds a secret.

use std::time::Duration;

use harness::process::Process;
use harness::services::{Standin, StandinTls, shared_postgres, shared_rabbitmq};
use serde_json::{Map, Value as Json};
use tests::collector::Collector;
use tests::product::{Workplace, finish};
use tests::scene::Scene;

/// How long anything may take that should happen soon.
const BOUND: Duration = Duration::from_secs(60);

const TABLES: &str = "CREATE TABLE equal (id int PRIMARY KEY, v text); INSERT INTO equal VALUES (1, 'a'); \
    CREATE TABLE only_here (id int PRIMARY KEY);";

/// Every line as an object.
fn objects(stderr: &str) -> Vec<Map<String, Json>> {
    stderr
        .lines()
        .map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}: {stderr}"))
        })
        .collect()
}

#[test]
fn every_line_is_an_object_that_says_what_it_is_about() {
    let scene = Scene::new(TABLES, "CREATE TABLE equal (id int PRIMARY KEY, v text);").unwrap();
    let (collector, broker) = (
        Collector::start().unwrap(),
        shared_rabbitmq().create_vhost().unwrap(),
    );
    let endpoint = collector.grpc_url();
    let traced = |arguments: &[&str], program: &str| {
        let mut command = scene.here.command(program, arguments);
        command.env("RECONCILE_LOG_FORMAT", "json").args([
            "--otlp-endpoint",
            &endpoint,
            "--broker",
            broker.amqp_url(),
        ]);
        Process::start(program, &mut command).unwrap()
    };
    let mut worker = traced(&["--name", "w1"], "reconcile-worker");
    worker.wait_for_line("ready", BOUND).unwrap();
    let mut run = traced(&["run", "--tables", "equal,only_here"], "reconcile");
    run.wait(BOUND).unwrap();
    worker.signal("TERM");
    worker.wait(BOUND).unwrap();

    let report: Json = serde_json::from_str(&run.stdout()).unwrap();
    assert!(!objects(&run.stderr()).is_empty(), "{}", run.stderr());
    let lines = objects(&worker.stderr());
    for line in &lines {
        for field in ["timestamp", "level", "message"] {
            assert!(line.contains_key(field), "{line:?}");
        }
    }
    let about: Vec<&Map<String, Json>> = lines
        .iter()
        .filter(|line| line.contains_key("table"))
        .collect();
    assert_eq!(about.len(), 2, "one line a table: {lines:#?}");
    for line in about {
        assert_eq!(line["run"], report["run_id"], "{line:?}");
        assert_eq!(line["trace_id"], report["trace_id"], "{line:?}");
        assert_eq!(line["attempt"], 1, "{line:?}");
        assert_eq!(line["worker"], "w1", "{line:?}");
        assert_eq!(line["target"], "worker::table", "{line:?}");
        if line["table"] == "equal" {
            assert_eq!(line["level"], "INFO", "{line:?}");
            assert_eq!(line["result"], "mismatched", "{line:?}");
            assert_eq!(line["source_count"], 1, "{line:?}");
        } else {
            assert_eq!(line["table"], "only_here", "{line:?}");
            assert_eq!(line["level"], "WARN", "{line:?}");
            assert_eq!(line["type"], "TableNotFound", "{line:?}");
            let message = line["message"].as_str().unwrap();
            let error = report["errors"][0]["error"].as_str().unwrap();
            assert_eq!(message, format!("failed: {error}"));
        }
    }
}

#[test]
fn a_worker_without_traces_logs_the_trace_that_it_works_for() {
    let scene = Scene::new(TABLES, TABLES).unwrap();
    let (collector, broker) = (
        Collector::start().unwrap(),
        shared_rabbitmq().create_vhost().unwrap(),
    );
    let worker = scene.start_worker(broker.amqp_url(), "w1", 1).unwrap();
    let endpoint = collector.grpc_url();
    let arguments = ["--tables", "equal", "--otlp-endpoint", &endpoint];
    let mut run = scene.start_run(broker.amqp_url(), &arguments).unwrap();
    run.wait(BOUND).unwrap();
    let report: Json = serde_json::from_str(&run.stdout()).unwrap();
    let trace = report["trace_id"].as_str().unwrap();
    let line = worker
        .stderr()
        .lines()
        .find(|line| line.contains("compared"))
        .map(str::to_owned)
        .unwrap();
    assert!(line.contains("[table=equal attempt=1 worker=w1 "), "{line}");
    assert!(line.ends_with(&format!("trace_id={trace}]")), "{line}");
}

#[test]
fn no_secret_is_in_any_line() {
    let database = shared_postgres().create_database("secrets").unwrap();
    let standin = Standin::start(&database.url(), "secrets", StandinTls::Off).unwrap();
    let host = url::Url::parse(&database.url()).unwrap();
    let (name, port) = (host.host_str().unwrap(), host.port().unwrap());
    let vhost = shared_rabbitmq().create_vhost().unwrap();
    let broker = url::Url::parse(vhost.amqp_url()).unwrap();
    let postgres = format!("postgres://reader:hunter2@{name}:{port}/secrets");
    let mssql = format!(
        "mssql://sa:hunter2@127.0.0.1:{}/secrets?encrypt=false",
        standin.port()
    );
    let here = Workplace::new(&format!(
        "[endpoints.a]\nurl = '{postgres}'\n[endpoints.b]\nurl = '{mssql}'\n\
         [broker]\nurl = 'amqp://reader:hunter2@127.0.0.1:{}/none'\n\
         [telemetry]\notlp_endpoint = 'http://reader:hunter2@127.0.0.1:1/?token=hunter2'\n",
        broker.port().unwrap()
    ));
    let local = ["run", "--local", "--tables", "t"];
    let ends: [(&str, &[&str]); 5] = [
        ("reconcile", &["--source", "a", "--target", "b"]),
        ("reconcile", &["--source", "b", "--target", "a"]),
        (
            "reconcile",
            &["--source-url", &postgres, "--target-url", &mssql],
        ),
        ("reconcile", &["--broker"]),
        ("reconcile-worker", &["--concurrency", "1"]),
    ];
    for (program, flags) in ends {
        for (variable, value) in [("RECONCILE_LOG_FORMAT", "json"), ("RUST_LOG", "trace")] {
            let arguments: Vec<&str> = match (program, flags) {
                ("reconcile", ["--broker"]) => {
                    vec!["run", "--source", "a", "--target", "b", "--tables", "t"]
                }
                ("reconcile", flags) => [&local[..], flags].concat(),
                (_, flags) => flags.to_vec(),
            };
            let mut command = here.command(program, &arguments);
            command.env(variable, value);
            let ended = finish(&mut command);
            assert!(
                ended.code == 2 || ended.code == 3,
                "{arguments:?}: {ended:?}"
            );
            assert!(!ended.stderr.is_empty(), "{arguments:?}: {ended:?}");
            for output in [&ended.stderr, &ended.stdout] {
                assert!(!output.contains("hunter2"), "{arguments:?}: {ended:?}");
            }
        }
    }
}

#[test]
fn no_password_that_works_is_in_any_line() {
    let postgres = shared_postgres();
    let database = postgres.create_database("trace").unwrap();
    let reader = format!("reader_{}", database.name());
    database
        .execute(&format!(
            "CREATE SCHEMA dbo; CREATE TABLE dbo.t (id int PRIMARY KEY); CREATE ROLE \"{reader}\" LOGIN PASSWORD 'hunter2postgres'; \
             GRANT USAGE ON SCHEMA dbo TO PUBLIC; GRANT SELECT ON dbo.t TO PUBLIC"
        ))
        .unwrap();
    let mut source = url::Url::parse(&database.url()).unwrap();
    source.set_username(&reader).unwrap();
    source.set_password(Some("hunter2postgres")).unwrap();
    let standin = Standin::start(&database.url(), "trace", StandinTls::On).unwrap();
    let of_standin = std::fs::read_to_string(standin.password_file()).unwrap();
    let vhost = shared_rabbitmq().create_vhost().unwrap();
    let user = format!("reader-{}", vhost.vhost());
    vhost
        .node()
        .ctl(&["add_user", &user, "hunter2rabbit"])
        .unwrap();
    let permissions = [
        "set_permissions",
        "-p",
        vhost.vhost(),
        &user,
        ".*",
        ".*",
        ".*",
    ];
    vhost.node().ctl(&permissions).unwrap();
    let mut broker = url::Url::parse(vhost.amqp_url()).unwrap();
    broker.set_username(&user).unwrap();
    broker.set_password(Some("hunter2rabbit")).unwrap();
    let here = Workplace::new(&format!(
        "[endpoints.a]\nurl = '{source}?schema=dbo'\n[endpoints.b]\nurl = '{}'\n[broker]\nurl = '{broker}'\n",
        standin.url()
    ));
    let traced = |program: &str, arguments: &[&str]| {
        let mut command = here.command(program, arguments);
        command.env("RUST_LOG", "trace");
        Process::start(program, &mut command).unwrap()
    };
    let tables = ["--source", "a", "--target", "b", "--tables", "t"];
    let mut worker = traced("reconcile-worker", &["--concurrency", "1"]);
    worker.wait_for_line("ready", BOUND).unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", worker.pid())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(
        core[4..6],
        ["0", "0"],
        "a core dump would contain passwords"
    );
    let mut over_broker = traced("reconcile", &[&["run"][..], &tables].concat());
    let mut local = traced("reconcile", &[&["run", "--local"][..], &tables].concat());
    let mut config = traced("reconcile", &["config"]);
    let mut outputs = String::new();
    for process in [&mut over_broker, &mut local, &mut config] {
        let status = process.wait(BOUND).unwrap();
        assert_eq!(status.code(), Some(0), "{}", process.stderr());
        outputs.extend([process.stdout(), process.stderr()]);
    }
    worker.signal("TERM");
    worker.wait(BOUND).unwrap();
    outputs.extend([worker.stdout(), worker.stderr()]);
    vhost.node().ctl(&["delete_user", &user]).unwrap();
    database
        .execute(&format!("DROP ROLE \"{reader}\""))
        .unwrap();

    assert!(outputs.contains("DEBUG"), "{outputs}");
    for secret in ["hunter2postgres", "hunter2rabbit", of_standin.trim()] {
        // As text, and as the bytes that `Debug` prints.
        let bytes: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
        for shown in [secret.to_owned(), bytes.join(", ")] {
            let line = outputs.lines().find(|line| line.contains(&shown));
            assert_eq!(line, None, "{shown}");
        }
    }
}

#[test]
fn a_connection_string_in_the_wrong_place_is_masked() {
    let url = "postgres://u:hunter2@h/d";
    let ado = "Server=h;User Id=sa;Password=hunter2;Encrypt=true";
    let here = Workplace::new("");
    let mut ends = Vec::new();
    for arguments in [
        &["run", url][..],
        &["run", ado],
        &[
            "run", "--local", "--tables", "t", "--source", url, "--target", url,
        ],
        &["run", "--tables", url, "--source", "a", "--target", "b"],
        &[
            "run",
            "--tables",
            "t",
            "--source-url",
            ado,
            "--target-url",
            url,
        ],
        &[
            "run", "--tables", "t", "--broker", ado, "--source", "a", "--target", "b",
        ],
        &[
            "run",
            "--tables",
            "t",
            "--broker",
            "u:hunter2@h",
            "--source",
            url,
            "--target",
            "b",
        ],
        &["run", "--metrics-addr", "http://u:hunter2@h:1"],
        &["run", "--timeout", ado],
        &[url],
        &["resume", url],
        &["drain", url],
    ] {
        ends.push(finish(&mut here.command("reconcile", arguments)));
    }
    for arguments in [&[url][..], &["--broker", ado], &["--metrics-addr", url]] {
        ends.push(finish(&mut here.command("reconcile-worker", arguments)));
    }
    for configuration in [
        format!("[endpoints.a]\nurl = \"{ado}\""),
        format!("[endpoints]\na = \"{url}\""),
        format!(
            "[endpoints.a]\nengine = \"postgres\"\nhost = \"{url}\"\ndatabase = \"d\"\nuser = \"u\""
        ),
        format!("[endpoints.a]\nengine = \"{ado}\""),
        format!("[endpoints.a]\nurl = \"postgres://u@h/d\"\ntls = \"{ado}\""),
        "[endpoints.a]\nurl = \"postgres://u@h/d\"\npassword_env = \"hunter2\"".to_owned(),
        "[endpoints.a]\nurl = \"postgres://u:p@h/d?hunter2=x@h/d\"".to_owned(),
        format!("[run]\nsource = \"{url}\"\ntimeout = \"{url}\""),
        format!("[telemetry]\nmetrics_addr = \"{url}\""),
        format!("[telemetry]\npush_gateway = \"{ado}\"\notlp_endpoint = \"https://hunter2@h\""),
        format!("[broker]\nurl = \"{ado}\""),
        "[broker]\nurl = \"u:hunter2@h\"".to_owned(),
    ] {
        let here = Workplace::new(&configuration);
        ends.push(here.reconcile(&["config"]));
    }
    for ended in ends {
        let output = format!("{}{}", ended.stdout, ended.stderr);
        assert!(
            !output.is_empty() && !output.contains("hunter2"),
            "{ended:?}"
        );
    }
}
