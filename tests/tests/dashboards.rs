//! The dashboard and the alerting rules of deploy/, checked with a real Prometheus
//! that scrapes a real run: everything parses, every metric exists, and every
//! panel shows data.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::poll::poll;
use harness::process::Process;
use harness::services::prometheus::installed;
use harness::services::{Broker, Prometheus, shared_rabbitmq};
use serde_json::Value as Json;
use tests::scene::{Gates, Scene, metrics_address};

/// How long to wait for a condition.
const BOUND: Duration = Duration::from_secs(60);

/// The scrape interval.
const INTERVAL: Duration = Duration::from_millis(250);

/// The values that replace the variables of Grafana.
const VARIABLES: [(&str, &str); 2] = [("$__rate_interval", "15s"), ("$instance", ".*")];

fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(path)
}

/// An expression of the dashboard, and where it is.
#[derive(Debug, Clone)]
struct Shown {
    place: String,
    expression: String,
}

fn dashboard() -> Json {
    let text = std::fs::read_to_string(deployed("grafana/dashboards/reconcile.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Every expression of every panel, with the variables replaced.
fn shown() -> Vec<Shown> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut shown = Vec::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array();
        let is_row = panel["type"] == "row";
        assert!(
            is_row || targets.is_some_and(|targets| !targets.is_empty()),
            "{title} has no query"
        );
        for target in targets.into_iter().flatten() {
            let mut expression = target["expr"].as_str().unwrap().to_owned();
            for (variable, value) in VARIABLES {
                expression = expression.replace(variable, value);
            }
            assert!(!expression.contains('$'), "{title}: {expression}");
            shown.push(Shown {
                place: format!("panel {title}"),
                expression,
            });
        }
    }
    shown
}

/// The metrics that an expression names: every word outside of quotes,
/// matchers, ranges and lists of labels that is no function and no operator.
fn metrics_of(expression: &str) -> BTreeSet<String> {
    const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];
    const BEFORE_LABELS: [&str; 6] = [
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
    ];
    let mut metrics = BTreeSet::new();
    let mut rest = expression;
    let past = |text: &'static str, rest: &str, end: char| -> usize {
        rest.find(end).unwrap_or_else(|| panic!("{text} {rest}")) + 1
    };
    while let Some(first) = rest.chars().next() {
        let word = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
            .unwrap_or(rest.len());
        rest = match first {
            '"' => &rest[1 + past("a quote", &rest[1..], '"')..],
            '{' => {
                // A brace in a quoted value would end this too soon, and then the next word fails.
                &rest[past("matchers", rest, '}')..]
            }
            '[' => &rest[past("a range", rest, ']')..],
            'a'..='z' | 'A'..='Z' | '_' => {
                let (name, after) = rest.split_at(word);
                let after = after.trim_start();
                if BEFORE_LABELS.contains(&name) {
                    &after[past("labels", after, ')')..]
                } else {
                    // `sum(…)`, or `sum by (…) (…)`.
                    let is_function = ["(", "by ", "without "]
                        .iter()
                        .any(|next| after.starts_with(next));
                    if !OPERATORS.contains(&name) && !is_function {
                        metrics.insert(name.to_owned());
                    }
                    after
                }
            }
            '0'..='9' => &rest[word..],
            other => &rest[other.len_utf8()..],
        };
    }
    metrics
}

#[test]
fn the_metrics_of_an_expression_are_found() {
    let found = |expression: &str| metrics_of(expression).into_iter().collect::<Vec<_>>();
    assert_eq!(found("sum by (status) (rate(a_total[5m]))"), ["a_total"]);
    assert_eq!(
        found("histogram_quantile(0.9, sum by (le) (b_bucket{x=~\"c|d\"})) > 5e3"),
        ["b_bucket"]
    );
    assert_eq!(
        found("(a == 1) unless on (job, instance) b and sum(c) without (d) > 0 or e offset 5m"),
        ["a", "b", "c", "e"]
    );
}

fn promtool(arguments: &[&str]) -> String {
    let output = Command::new(installed("promtool").unwrap())
        .args(arguments)
        .current_dir(deployed("prometheus"))
        .output()
        .unwrap();
    let printed = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "promtool {arguments:?}: {printed}");
    printed
}

#[test]
fn the_rules_pass_prometheus_own_checks_and_their_tests() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "--lint-fatal", "rules.yml"]);
    promtool(&["test", "rules", "rules_test.yml"]);
    let (rules, tests) = (
        std::fs::read_to_string(deployed("prometheus/rules.yml")).unwrap(),
        std::fs::read_to_string(deployed("prometheus/rules_test.yml")).unwrap(),
    );
    let alerts: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert_eq!(alerts.len(), 9, "{alerts:?}");
    for alert in alerts {
        let heading = format!("alertname: {alert}\n");
        let of_alert = tests.split(&heading).skip(1);
        let (silent, fires): (Vec<_>, Vec<_>) =
            of_alert.partition(|test| test.trim_start().starts_with("exp_alerts: []"));
        assert!(!silent.is_empty(), "nothing tests that {alert} is silent");
        assert!(!fires.is_empty(), "nothing tests that {alert} fires");
    }
}

/// Checks what every rule must contain for an operator.
fn check_alert(rule: &Json) {
    let name = rule["name"].as_str().unwrap();
    let text = |place: &Json, key: &str| {
        let text = place[key].as_str().unwrap_or_default().to_owned();
        assert!(!text.is_empty(), "{name} has no {key}: {rule:#}");
        text
    };
    let severity = text(&rule["labels"], "severity");
    assert!(
        ["critical", "warning"].contains(&severity.as_str()),
        "{name}: {severity}"
    );
    text(&rule["annotations"], "summary");
    text(&rule["annotations"], "description");
    assert_eq!(
        text(&rule["annotations"], "runbook_url"),
        format!("docs/operations.md#{}", name.to_lowercase())
    );
}

/// How many tables are compared before the dashboard is checked.
const QUICK: u32 = 6;

/// A run that Prometheus scrapes, together with its workers. The quick tables
/// wait at gate 0 for Prometheus, the table `held` at gate 1 for the end of the test.
struct WatchedRun {
    gates: Gates,
    prometheus: Prometheus,
    run: Process,
    _workers: Vec<Process>,
    _broker: Broker,
    _scene: Scene,
}

impl WatchedRun {
    fn start() -> Self {
        let scene = watched_scene();
        let gates = Gates::closed(&scene.source, 2).unwrap();
        let broker = shared_rabbitmq().create_vhost().unwrap();
        let mut workers = Vec::new();
        let mut targets = Vec::new();
        for number in 1..=2 {
            let name = format!("worker-{number}");
            let (worker, address) = scene
                .start_watched_worker(broker.amqp_url(), &name, 2)
                .unwrap();
            workers.push(worker);
            targets.push(("reconcile-worker", address));
        }
        let quick = (0..QUICK).map(|number| format!("quick{number}"));
        let tables: Vec<String> = quick.chain(["held".to_owned()]).collect();
        let arguments = [
            "--tables",
            &tables.join(","),
            "--metrics-addr",
            "127.0.0.1:0",
        ];
        let mut run = scene.start_run(broker.amqp_url(), &arguments).unwrap();
        targets.push(("reconcile-coordinator", metrics_address(&mut run).unwrap()));
        let targets: Vec<(&str, &str)> = targets
            .iter()
            .map(|(job, address)| (*job, address.as_str()))
            .collect();
        let rules = deployed("prometheus/rules.yml");
        let prometheus = Prometheus::start(&targets, INTERVAL, &rules).unwrap();
        Self {
            gates,
            prometheus,
            run,
            _workers: workers,
            _broker: broker,
            _scene: scene,
        }
    }

    /// The rules, as the server has read them.
    fn rules(&self) -> Vec<Json> {
        let read = self.prometheus.api("rules", &[]).unwrap();
        let groups = read["groups"].as_array().unwrap();
        let of = |group: &Json| group["rules"].as_array().unwrap().clone();
        groups.iter().flat_map(of).collect()
    }
}

fn watched_scene() -> Scene {
    let view = |name: &str, gate: &str, rows: u32| {
        format!(
            "CREATE VIEW {name} AS SELECT row AS id FROM (SELECT {gate} OFFSET 0) wait, generate_series(1, {rows}) row;"
        )
    };
    let quick = |gate: &str, rows: u32| -> String {
        (0..QUICK)
            .map(|number| view(&format!("quick{number}"), gate, rows))
            .collect()
    };
    Scene::new(
        &(quick("gate(0)", 9000) + &view("held", "gate(1)", 1)),
        &(quick("0", 9003) + &view("held", "1", 1)),
    )
    .unwrap()
    .with_short_leases()
}

/// Polls until `condition` is met; the last state is in the message of the failure.
fn wait_until(what: &str, condition: &dyn Fn() -> Result<(), String>) {
    let mut last = String::new();
    let done = poll(BOUND, || condition().map_err(|state| last = state).ok());
    assert!(done.is_some(), "not {what} within {BOUND:?}: {last}");
}

/// Runs the quick tables while Prometheus watches.
fn compare_quick_tables(watched: &WatchedRun) {
    let WatchedRun { prometheus, .. } = watched;
    wait_until("watching all three", &|| {
        let up = prometheus.query("up == 1")?;
        (up.len() == 3).then_some(()).ok_or(format!("{up:?}"))
    });
    watched.gates.open(0).unwrap();
    wait_until("seeing rows being read", &|| {
        let rows = prometheus.query("sum(rate(reconcile_rows_scanned_total[15s])) > 0")?;
        (!rows.is_empty()).then_some(()).ok_or(format!("{rows:?}"))
    });
    let mismatched = format!("sum(reconcile_tables_total{{status=\"mismatched\"}}) == {QUICK}");
    wait_until("at the held table", &|| {
        let found = prometheus.query(&mismatched)?;
        let log = || watched.run.stderr();
        (!found.is_empty()).then_some(()).ok_or_else(log)
    });
}

fn check_panels(prometheus: &Prometheus, shown: &[Shown]) {
    assert!(shown.len() > 30, "{}", shown.len());
    for Shown { place, expression } in shown {
        wait_until(&format!("{place} with data from {expression}"), &|| {
            let series = prometheus
                .query(expression)
                .unwrap_or_else(|error| panic!("{place}: {expression}: {error}"));
            (!series.is_empty()).then_some(()).ok_or_else(String::new)
        });
    }
}

/// Checks the rules and returns their expressions by their names.
fn check_rules(watched: &WatchedRun) -> BTreeMap<String, String> {
    let alerts = watched.rules();
    assert_eq!(alerts.len(), 9, "{alerts:#?}");
    let mut expressions = BTreeMap::new();
    for rule in &alerts {
        check_alert(rule);
        let (name, expression) = (rule["name"].as_str(), rule["query"].as_str());
        let (name, expression) = (name.unwrap(), expression.unwrap());
        watched
            .prometheus
            .query(expression)
            .unwrap_or_else(|error| panic!("{name}: {expression}: {error}"));
        expressions.insert(format!("alert {name}"), expression.to_owned());
    }
    wait_until("evaluated without an error, and one alert on", &|| {
        let rules = watched.rules();
        let healthy = rules.iter().all(|rule| rule["health"] == "ok");
        let firing: Vec<_> = rules
            .iter()
            .filter(|rule| rule["state"] == "firing")
            .map(|rule| rule["name"].as_str().unwrap())
            .collect();
        (healthy && firing == ["ReconcileDifferencesFound"])
            .then_some(())
            .ok_or(format!("{rules:#?}"))
    });
    expressions
}

/// The metrics whose labels the variables of the dashboard list.
fn variables() -> BTreeMap<String, String> {
    let variables = dashboard()["templating"]["list"].clone();
    let mut expressions = BTreeMap::new();
    for variable in variables.as_array().unwrap() {
        if let Some(query) = variable["definition"].as_str() {
            let inside = query.trim_start_matches("label_values(");
            let metric = inside.split(',').next().unwrap();
            expressions.insert(format!("variable {}", variable["name"]), metric.to_owned());
        }
    }
    expressions
}

fn check_that_metrics_exist(prometheus: &Prometheus, expressions: &BTreeMap<String, String>) {
    let known: BTreeSet<String> = prometheus.metric_names().unwrap().into_iter().collect();
    for (place, expression) in expressions {
        let metrics = metrics_of(expression);
        assert!(!metrics.is_empty(), "{place} uses no metric");
        for metric in metrics {
            assert!(known.contains(&metric), "{place}: {metric} does not exist");
        }
    }
}

#[test]
fn every_panel_and_every_alert_works_during_a_run() {
    let mut watched = WatchedRun::start();
    compare_quick_tables(&watched);
    let shown = shown();
    check_panels(&watched.prometheus, &shown);
    let mut expressions = check_rules(&watched);
    expressions.extend(variables());
    for Shown { place, expression } in shown {
        expressions.insert(format!("{place}: {expression}"), expression);
    }
    check_that_metrics_exist(&watched.prometheus, &expressions);

    watched.gates.open(1).unwrap();
    let status = watched.run.wait(BOUND).unwrap();
    assert_eq!(status.code(), Some(1), "{}", watched.run.stderr());
}
