//! Traces of whole runs, as a collector receives them: one trace over all
//! processes, every span in its place, and nothing lost or late when the
//! collector is not there.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::time::Duration;

use harness::process::Process;
use harness::services::{Broker, shared_rabbitmq};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::Value as Json;
use tests::collector::{CollectedSpan, Collector};
use tests::product::{Run, finish, result};
use tests::scene::{Gates, Running, Scene};

/// How long anything may take that should happen soon.
const BOUND: Duration = Duration::from_secs(60);

const ROOT: &str = "parallel_reconcile_tables";
const ATTEMPT: &str = "parallel_reconcile_single_table";

const TABLES: &str = "CREATE TABLE equal (id int PRIMARY KEY, v text); \
    INSERT INTO equal SELECT i, 'v' FROM generate_series(1, 1000) i; \
    CREATE TABLE differs (id int PRIMARY KEY, v text); \
    INSERT INTO differs SELECT i, 'v' FROM generate_series(1, 1000) i; \
    CREATE TABLE changed (id int PRIMARY KEY, v text);";

const CHANGES: &str = "UPDATE differs SET v = 'w' WHERE id IN (777, 778, 779);";

/// Tables of every kind, of which `stuck` never ends.
fn scene() -> Scene {
    let stuck = |wait: &str| format!("CREATE VIEW stuck AS SELECT 1 AS id, {wait}::text AS v;");
    Scene::new(
        &format!("{TABLES}{}", stuck("pg_sleep(600)")),
        // Of `nowhere` the source has none, so that it is always the one to say so.
        &format!(
            "{TABLES}{CHANGES}{}CREATE TABLE nowhere (id int);",
            stuck("''")
        ),
    )
    .unwrap()
}

/// Everything started from here on sends its traces to `endpoint`.
fn send_traces(scene: &Scene, endpoint: &str) {
    let path = scene.here.path().join("reconcile.toml");
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    writeln!(file, "[telemetry]\notlp_endpoint = '{endpoint}'").unwrap();
}

fn broker() -> Broker {
    shared_rabbitmq().create_vhost().unwrap()
}

/// Ends a worker as its operator does.
fn drain(mut worker: Process) -> String {
    worker.signal("TERM");
    let status = worker.wait(BOUND).unwrap();
    assert!(status.success(), "{}", worker.stderr());
    worker.stderr()
}

fn report_of(run: &mut Process) -> (i32, Json) {
    let status = run.wait(BOUND).unwrap();
    let report = serde_json::from_str(&run.stdout())
        .unwrap_or_else(|error| panic!("no report ({error}): {}", run.stderr()));
    (status.code().unwrap(), report)
}

/// Checks what holds for every trace.
struct Trace {
    spans: Vec<CollectedSpan>,
}

impl Trace {
    /// Checks what holds of every trace: one number, one root, every parent
    /// there and around its children, and everything documented.
    fn of(spans: Vec<CollectedSpan>, report: &Json) -> Self {
        let trace = report["trace_id"].as_str().unwrap();
        let roots: Vec<&CollectedSpan> =
            spans.iter().filter(|span| span.parent.is_empty()).collect();
        assert_eq!(roots.len(), 1, "{spans:#?}");
        assert_eq!(roots[0].name, ROOT);
        assert_eq!(roots[0].attribute("run_id"), report["run_id"]);
        for span in &spans {
            assert_eq!(span.trace, trace, "{span:#?}");
            assert!(span.start <= span.end, "{span:#?}");
            if span.parent.is_empty() {
                continue;
            }
            let parent = spans
                .iter()
                .find(|other| other.id == span.parent)
                .unwrap_or_else(|| panic!("no parent of {span:#?} in {spans:#?}"));
            assert!(parent.start <= span.start, "{span:#?} in {parent:#?}");
        }
        let numbers: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
        assert_eq!(numbers.len(), spans.len(), "{spans:#?}");
        check_documented(&spans);
        Self { spans }
    }

    fn root(&self) -> &CollectedSpan {
        self.spans
            .iter()
            .find(|span| span.parent.is_empty())
            .unwrap()
    }

    fn attempt(&self, table: &str, attempt: &str) -> &CollectedSpan {
        let found = self.spans.iter().find(|span| {
            span.name == ATTEMPT
                && span.attribute("table") == table
                && span.attribute("attempt") == attempt
        });
        let span =
            found.unwrap_or_else(|| panic!("no attempt {attempt} at {table} in {:#?}", self.spans));
        assert_eq!(span.parent, self.root().id, "{span:#?}");
        span
    }

    fn children(&self, of: &CollectedSpan) -> Vec<&CollectedSpan> {
        let mut children: Vec<_> = self
            .spans
            .iter()
            .filter(|span| span.parent == of.id)
            .collect();
        children.sort_by_key(|span| span.name.clone());
        children
    }

    fn child(&self, of: &CollectedSpan, name: &str) -> &CollectedSpan {
        let children = self.children(of);
        let mut named = children.iter().filter(|span| span.name == name);
        let child = named
            .next()
            .unwrap_or_else(|| panic!("no {name} in {children:#?}"));
        assert!(named.next().is_none(), "two {name} in {children:#?}");
        child
    }

    fn names(&self, of: &CollectedSpan) -> Vec<&str> {
        self.children(of)
            .iter()
            .map(|span| span.name.as_str())
            .collect()
    }

    /// How often each span is below each other, by their names.
    fn shape(&self) -> BTreeMap<(String, String), usize> {
        let mut shape = BTreeMap::new();
        for span in &self.spans {
            let parent = self.spans.iter().find(|other| other.id == span.parent);
            let parent = parent.map_or("", |parent| &parent.name).to_owned();
            *shape.entry((parent, span.name.clone())).or_default() += 1;
        }
        shape
    }
}

/// Every span and every attribute of it is in the documentation.
fn check_documented(spans: &[CollectedSpan]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/observability.md");
    let page = std::fs::read_to_string(path).unwrap();
    let words: BTreeSet<&str> = page.split('`').skip(1).step_by(2).collect();
    for span in spans {
        let attributes = span.attributes.keys().map(String::as_str);
        let resource = span.resource.keys().map(String::as_str);
        let names = attributes
            .chain(resource.filter(|name| !name.starts_with("telemetry.sdk.")))
            .chain([span.name.as_str()]);
        for name in names {
            assert!(
                words.contains(name),
                "`{name}` is not documented: {span:#?}"
            );
        }
    }
}

/// Waits until the whole of a trace has arrived, which ends with its root.
fn whole_trace(collector: &Collector, attempts: usize, report: &Json) -> Trace {
    let count =
        |spans: &[CollectedSpan], name: &str| spans.iter().filter(|span| span.name == name).count();
    let spans = collector.wait_until("the whole trace", BOUND, |spans| {
        count(spans, ROOT) == 1 && count(spans, ATTEMPT) == attempts
    });
    Trace::of(spans, report)
}

#[test]
fn a_distributed_run_is_one_trace() {
    let (scene, collector, broker) = (scene(), Collector::start().unwrap(), broker());
    send_traces(&scene, &collector.grpc_url());
    let workers =
        ["one", "two"].map(|name| scene.start_worker(broker.amqp_url(), name, 2).unwrap());
    let tables = "equal,differs,nowhere,stuck";
    let mut run = scene
        .start_run(
            broker.amqp_url(),
            &["--tables", tables, "--parallel-timeout", "3"],
        )
        .unwrap();
    let (code, report) = report_of(&mut run);
    assert_eq!(code, 3, "{report:#}");
    let line = format!("trace {}", report["trace_id"].as_str().unwrap());
    assert!(run.stderr().contains(&line), "{}", run.stderr());
    for worker in workers {
        drain(worker);
    }
    let trace = whole_trace(&collector, 4, &report);

    check_root(&trace, &report);
    check_attempts(&trace, &report);
    check_matched(&trace, &report);
    check_mismatched(&trace);
    check_failed(&trace, &report);
    check_timed_out(&trace);
}

/// The span of the run.
fn check_root(trace: &Trace, report: &Json) {
    let root = trace.root();
    assert_eq!(root.service, "reconcile-coordinator");
    assert_eq!(root.attribute("table_count"), "4");
    assert_eq!(
        root.attribute("max_workers"),
        report["max_workers"].to_string()
    );
    assert_eq!(root.attribute("status"), "INCOMPLETE");
    assert_eq!(root.attribute("timeout"), "1");
    assert_eq!(root.status, StatusCode::Error, "{root:#?}");
}

/// What holds for the attempt at every table.
fn check_attempts(trace: &Trace, report: &Json) {
    for table in ["equal", "differs", "nowhere", "stuck"] {
        let attempt = trace.attempt(table, "1");
        assert_eq!(attempt.service, "reconcile-worker");
        assert_eq!(attempt.kind, SpanKind::Consumer);
        assert_eq!(attempt.attribute("run"), report["run_id"]);
        assert_eq!(attempt.attribute("target"), table);
        let seconds: f64 = attempt.attribute("duration_seconds").parse().unwrap();
        assert!(seconds > 0.0 && seconds < 60.0, "{attempt:#?}");
        // Of a table that was not verified the report names the worker in its error.
        let worker = attempt.attribute("worker");
        assert!(["one", "two"].contains(&worker), "{attempt:#?}");
        assert_eq!(attempt.resource["service.instance.id"], worker);
        assert!(attempt.links.is_empty(), "{attempt:#?}");
    }
}

/// The attempt at the table that is equal.
fn check_matched(trace: &Trace, report: &Json) {
    let equal = trace.attempt("equal", "1");
    assert_eq!(equal.attribute("worker"), result(report, "equal")["worker"]);
    assert_eq!(equal.attribute("status"), "success");
    assert_eq!(equal.attribute("result"), "matched");
    assert_eq!(equal.attribute("source_count"), "1000");
    assert_eq!(equal.status, StatusCode::Unset, "{equal:#?}");
    assert_eq!(
        trace.names(equal),
        ["describe", "scan.source", "scan.target"]
    );
    for (side, endpoint) in [("scan.source", "source"), ("scan.target", "target")] {
        let scan = trace.child(equal, side);
        assert_eq!(scan.kind, SpanKind::Client);
        assert_eq!(scan.attribute("rows"), "1000");
        assert_eq!(scan.attribute("db.system"), "postgresql");
        assert_eq!(scan.attribute("endpoint"), endpoint);
        let statement = scan.attribute("db.query.text");
        assert!(statement.starts_with("SELECT \"id\""), "{scan:#?}");
        assert!(statement.ends_with("\"equal\""), "{scan:#?}");
    }
}

/// The attempt at the table that differs.
fn check_mismatched(trace: &Trace) {
    let differs = trace.attempt("differs", "1");
    assert_eq!(differs.attribute("status"), "success");
    assert_eq!(differs.attribute("result"), "mismatched");
    assert_eq!(differs.attribute("differences"), "3");
    assert_eq!(differs.status, StatusCode::Unset, "{differs:#?}");
    assert_eq!(
        trace.names(differs),
        ["decode", "describe", "locate", "scan.source", "scan.target"]
    );
    let locate = trace.child(differs, "locate");
    assert_eq!(locate.attribute("differences"), "3");
    assert_eq!(trace.names(locate), ["scan.source", "scan.target"]);
    let statement = trace
        .child(locate, "scan.source")
        .attribute("db.query.text");
    assert!(statement.contains(" WHERE "), "{statement}");
    assert!(statement.contains('?'), "{statement}");
    assert!(!statement.contains("77"), "{statement}");
}

/// The attempt at the table that does not exist.
fn check_failed(trace: &Trace, report: &Json) {
    let nowhere = trace.attempt("nowhere", "1");
    assert_eq!(nowhere.attribute("status"), "failed");
    assert_eq!(nowhere.attribute("result"), "failed");
    assert_eq!(trace.names(nowhere), ["describe"]);
    let error = &report["errors"][0];
    assert_eq!(error["table"], "nowhere", "{report:#}");
    for span in [nowhere, trace.child(nowhere, "describe")] {
        assert_eq!(span.status, StatusCode::Error, "{span:#?}");
        assert_eq!(span.message, error["error"], "{span:#?}");
        let exception = span.exception().unwrap();
        assert_eq!(exception["exception.type"], error["type"], "{span:#?}");
        assert_eq!(exception["exception.message"], error["error"], "{span:#?}");
    }
}

/// The attempt at the table that takes too long.
fn check_timed_out(trace: &Trace) {
    let stuck = trace.attempt("stuck", "1");
    assert_eq!(stuck.attribute("status"), "timeout");
    assert_eq!(stuck.attribute("result"), "timeout");
    assert_eq!(stuck.status, StatusCode::Error);
    assert_eq!(stuck.exception().unwrap()["exception.type"], "TimeoutError");
    let scan = trace.child(stuck, "scan.source");
    assert_eq!(scan.attribute("rows"), "", "{scan:#?}");
}

#[test]
fn a_second_attempt_links_to_the_first() {
    let held = "CREATE VIEW held AS SELECT 1 AS id, gate(0)::text AS v;";
    let open = "CREATE VIEW held AS SELECT 1 AS id, '0'::text AS v;";
    let scene = Scene::new(held, open).unwrap().with_short_leases();
    let (collector, broker) = (Collector::start().unwrap(), broker());
    send_traces(&scene, &collector.grpc_url());
    let gates = Gates::closed(&scene.source, 1).unwrap();
    let watch = scene.watch().unwrap();
    let reads = |running: &[Running]| running.iter().any(|one| one.reads("held"));

    let mut first = scene.start_worker(broker.amqp_url(), "first", 1).unwrap();
    let mut run = scene
        .start_run(broker.amqp_url(), &["--tables", "held"])
        .unwrap();
    // The first attempt loses its session, and says so.
    let running = watch.wait_until("reading", BOUND, reads);
    let reading = running.iter().find(|one| one.reads("held")).unwrap();
    watch.terminate(reading).unwrap();
    let before = reading.pid;
    // The second one loses its worker, which cannot say anything any more.
    watch.wait_until("reading again", BOUND, |running| {
        running
            .iter()
            .any(|one| one.reads("held") && one.pid != before)
    });
    // The worker sends its spans before it ends.
    let told = collector.wait_until("a failed attempt", BOUND, |spans| {
        spans.iter().any(|span| span.name == ATTEMPT)
    });
    first.kill();
    let second = scene.start_worker(broker.amqp_url(), "second", 1).unwrap();
    gates.open(0).unwrap();
    let (code, report) = report_of(&mut run);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(result(&report, "held")["attempt"], 3, "{report:#}");
    drain(second);
    let spans = collector.wait_until("the whole trace", BOUND, |spans| {
        spans.iter().any(|span| span.name == ROOT)
            && spans.iter().filter(|span| span.name == ATTEMPT).count() == 2
    });

    let trace = report["trace_id"].as_str().unwrap();
    let attempts: BTreeMap<&str, &CollectedSpan> = spans
        .iter()
        .filter(|span| span.name == ATTEMPT)
        .map(|span| (span.attribute("attempt"), span))
        .collect();
    let (one, three) = (attempts["1"], attempts["3"]);
    assert_eq!(one.attribute("status"), "failed", "{told:#?}");
    assert_eq!(one.status, StatusCode::Error, "{one:#?}");
    assert!(one.links.is_empty(), "{one:#?}");
    assert_eq!(three.attribute("result"), "matched");
    assert_eq!(three.attribute("worker"), "second");
    // The link names the lost attempt, whose worker sent its span with the claim.
    let root = spans.iter().find(|span| span.name == ROOT).unwrap();
    let [(linked_trace, linked)] = three.links.as_slice() else {
        panic!("not one link: {three:#?}");
    };
    assert_eq!(linked_trace, trace);
    assert!(
        ![&one.id, &three.id, &root.id].contains(&linked),
        "{spans:#?}"
    );
}

#[test]
fn a_retried_failure_is_linked_by_its_number() {
    let held = "CREATE VIEW held AS SELECT 1 AS id, gate(0)::text AS v;";
    let open = "CREATE VIEW held AS SELECT 1 AS id, '0'::text AS v;";
    let scene = Scene::new(held, open).unwrap();
    let (collector, broker) = (Collector::start().unwrap(), broker());
    send_traces(&scene, &collector.grpc_url());
    let gates = Gates::closed(&scene.source, 1).unwrap();
    let watch = scene.watch().unwrap();
    let worker = scene.start_worker(broker.amqp_url(), "only", 1).unwrap();
    let mut run = scene
        .start_run(broker.amqp_url(), &["--tables", "held"])
        .unwrap();
    let running = watch.wait_until("reading", BOUND, |running| {
        running.iter().any(|one| one.reads("held"))
    });
    let reading = running.iter().find(|one| one.reads("held")).unwrap();
    // A session is known by the number of its trace.
    watch.terminate(reading).unwrap();
    gates.open(0).unwrap();
    let (code, report) = report_of(&mut run);
    assert_eq!(code, 0, "{report:#}");
    let trace_id = report["trace_id"].as_str().unwrap();
    assert_eq!(
        reading.application,
        format!("reconcile {trace_id} held"),
        "{report:#}"
    );
    drain(worker);
    let trace = whole_trace(&collector, 2, &report);
    let (first, second) = (trace.attempt("held", "1"), trace.attempt("held", "2"));
    assert_eq!(second.links, [(trace_id.to_owned(), first.id.clone())]);
    let scan = trace.child(first, "scan.source");
    assert_eq!(scan.status, StatusCode::Error, "{scan:#?}");
}

#[test]
fn a_cancelled_run_leaves_its_whole_trace() {
    let (scene, collector, broker) = (scene(), Collector::start().unwrap(), broker());
    send_traces(&scene, &collector.grpc_url());
    let worker = scene.start_worker(broker.amqp_url(), "only", 1).unwrap();
    let mut run = scene
        .start_run(broker.amqp_url(), &["--tables", "stuck"])
        .unwrap();
    let watch = scene.watch().unwrap();
    watch.wait_until("reading", BOUND, |running| {
        running.iter().any(|one| one.reads("stuck"))
    });
    let cancel = scene.here.reconcile(&["cancel", "latest"]);
    assert_eq!(cancel.code, 0, "{cancel:?}");
    let (code, report) = report_of(&mut run);
    assert_eq!(code, 130, "{report:#}");
    // The coordinator has sent its own before it ended.
    assert_eq!(collector.spans().len(), 1, "{:#?}", collector.spans());
    drain(worker);
    let trace = whole_trace(&collector, 1, &report);
    let root = trace.root();
    assert_eq!(root.attribute("cancelled"), "1");
    assert_eq!(root.exception().unwrap()["exception.type"], "Interrupted");
    let stuck = trace.attempt("stuck", "1");
    assert_eq!(stuck.attribute("status"), "failed");
    assert_eq!(stuck.attribute("result"), "cancelled");
    // A requested cancellation is not an error.
    assert_eq!(stuck.status, StatusCode::Unset, "{stuck:#?}");
    assert_eq!(
        trace.names(stuck),
        ["describe", "scan.source", "scan.target"]
    );
}

/// A run in this process, with some variables.
fn local_run(scene: &Scene, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command: Command = scene.here.command(
        "reconcile",
        &[
            &["run", "--local", "--tables", "equal,differs,nowhere"][..],
            arguments,
        ]
        .concat(),
    );
    command.envs(variables.iter().copied());
    finish(&mut command)
}

#[test]
fn the_same_spans_arrive_over_http_and_over_grpc() {
    let scene = scene();
    let [grpc, http] = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ]
    .map(|protocol| {
        let collector = Collector::start().unwrap();
        let endpoint = match protocol.1 {
            "grpc" => collector.grpc_url(),
            _ => collector.http_url(),
        };
        let variables = [
            protocol,
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.version=of-the-operator",
            ),
        ];
        let run = local_run(&scene, &[], &variables);
        assert_eq!(run.code, 3, "{run:?}");
        // Nothing is waited for: all of it was sent before the process ended.
        let spans = collector.spans();
        for span in &spans {
            assert_eq!(span.resource["service.version"], "of-the-operator");
        }
        Trace::of(spans, &run.report())
    });
    assert_eq!(grpc.shape(), http.shape());
    // The run; three tables described; two scanned; one decoded, located and fetched from both sides.
    let expected = 1 + 3 + 3 + 2 * 2 + 1 + 1 + 2;
    assert_eq!(grpc.spans.len(), expected, "{:#?}", grpc.shape());
}

#[test]
fn variables_of_open_telemetry_name_sample_and_switch_off() {
    let scene = scene();
    let collector = Collector::start().unwrap();
    let endpoint = collector.grpc_url();
    let flag = ["--otlp-endpoint", endpoint.as_str()];
    for variable in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ] {
        let run = local_run(&scene, &flag, &[variable]);
        assert_eq!(run.code, 3, "{run:?}");
        assert_eq!(collector.spans().len(), 0, "{:#?}", collector.spans());
    }
    let run = local_run(&scene, &flag, &[("OTEL_SERVICE_NAME", "nightly")]);
    let spans = collector.spans();
    assert!(!spans.is_empty(), "{run:?}");
    assert!(
        spans.iter().all(|span| span.service == "nightly"),
        "{spans:#?}"
    );
}

/// A report without the fields that differ in every run.
fn comparable(run: &Run) -> Json {
    let mut report = run.report();
    for field in ["run_id", "timestamp", "duration_seconds", "trace_id"] {
        report.as_object_mut().unwrap().remove(field);
    }
    for list in ["results", "errors"] {
        for entry in report[list].as_array_mut().unwrap() {
            for field in [
                "worker",
                "duration_seconds",
                "source_read",
                "target_read",
                "source_checksum",
                "target_checksum",
                "checksum_key",
            ] {
                entry.as_object_mut().unwrap().remove(field);
            }
        }
    }
    report
}

#[test]
fn a_collector_that_is_not_there_costs_one_warning() {
    let scene = scene();
    let without = local_run(&scene, &[], &[]);
    assert_eq!(without.report()["trace_id"], Json::Null);
    // A port without a listener, and a listener that never answers.
    let (closed, silent) = (
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
    );
    let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
    let (refusing, silent_address) = (address(&closed), address(&silent));
    drop(closed);
    for protocol in ["grpc", "http"] {
        for (endpoint, limit) in [
            (&refusing, Duration::from_secs(3)),
            // The end of a process waits 3 s, and the machine may be busy.
            (&silent_address, Duration::from_secs(6)),
        ] {
            let flags = ["--otlp-endpoint", endpoint, "--otlp-protocol", protocol];
            let run = local_run(&scene, &flags, &[]);
            assert_eq!(run.code, without.code, "{run:?}");
            assert_eq!(comparable(&run), comparable(&without));
            let warnings: Vec<&str> = run
                .stderr
                .lines()
                .filter(|line| line.contains("WARN") || line.contains("ERROR"))
                .collect();
            assert_eq!(warnings.len(), 1, "{}", run.stderr);
            let expected = format!("cannot export traces to {endpoint}");
            assert!(warnings[0].contains(&expected), "{warnings:?}");
            assert!(
                run.elapsed < without.elapsed + limit,
                "{protocol} {endpoint}: {:?} and not {:?}",
                run.elapsed,
                without.elapsed
            );
        }
    }
}

#[test]
fn an_endpoint_that_is_none_is_refused_but_not_what_a_whole_machine_is_told() {
    let scene = scene();
    for variable in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ] {
        let endpoint = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1");
        let variables = match variable.0 {
            "OTEL_EXPORTER_OTLP_PROTOCOL" => vec![variable, endpoint],
            _ => vec![variable],
        };
        let run = local_run(&scene, &[], &variables);
        assert_eq!(run.code, 3, "{run:?}");
        let warning = format!("cannot export traces: {}", variable.0);
        assert!(run.stderr.contains(&warning), "{run:?}");
    }
    let run = local_run(&scene, &["--otlp-endpoint", "localhost:4317"], &[]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("http://host:4317"), "{run:?}");
}
