//! The list of metrics in `docs/observability.md` is that of the product: a
//! metric that is not documented fails here, and so does one that is only that.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::services::prometheus::installed;
use tests::scene::{Gates, Scene, metrics_address};

use super::{BOUND, gated, scrape, table, until_shown};

/// Type and labels of a metric.
type Kind = (String, BTreeSet<String>);

/// Rows of the tables: | `name` | type | `label`, `label` | …
fn documented() -> BTreeMap<String, Kind> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/observability.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut metrics = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let [
            "",
            name,
            kind @ ("counter" | "gauge" | "histogram"),
            labels,
            ..,
        ] = cells[..]
        {
            let name = name.trim_matches('`').to_owned();
            let labels = labels
                .split(',')
                .map(|label| label.trim().trim_matches('`').to_owned())
                .filter(|label| !label.is_empty())
                .collect();
            let twice = metrics.insert(name.clone(), (kind.to_owned(), labels));
            assert_eq!(twice, None, "{name} is documented twice");
        }
    }
    metrics
}

/// The metrics of an exposition.
fn exposed(text: &str) -> BTreeMap<String, Kind> {
    let mut metrics: BTreeMap<String, Kind> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), (kind.to_owned(), BTreeSet::new())))
        .collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else {
            continue;
        };
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|part| name.strip_suffix(part))
            .find(|name| metrics.contains_key(*name))
            .unwrap_or(name);
        let (labels, _) = rest.rsplit_once('}').unwrap();
        let labels = labels
            .split(',')
            .map(|label| label.split_once('=').unwrap().0.to_owned())
            .filter(|label| label != "le");
        metrics.get_mut(name).unwrap().1.extend(labels);
    }
    metrics
}

#[test]
fn every_metric_is_documented_and_every_documented_one_exists() {
    let scene = Scene::new(
        &(table("first", 1) + &gated("second", 0, 1)),
        &(table("first", 1) + &table("second", 1)),
    )
    .unwrap();
    let gates = Gates::closed(&scene.source, 1).unwrap();
    // One process is coordinator and worker, and so has all there is.
    let arguments = ["run", "--no-store", "--tables", "first,second"];
    let mut run = scene
        .here
        .start(&[&arguments[..], &["--metrics-addr", "127.0.0.1:0"]].concat());
    let address = metrics_address(&mut run).unwrap();
    until_shown(
        &address,
        &[("reconcile_tables_total{status=\"matched\"}", 1.0)],
    );
    // The metric of a worker appears with its first heartbeat.
    let text = harness::poll::poll(BOUND, || {
        let text = scrape(&address);
        text.contains("heartbeat_age").then_some(text)
    })
    .unwrap();
    gates.open(0).unwrap();
    assert_eq!(run.wait(BOUND).unwrap().code(), Some(0), "{}", run.stderr());

    let (exposed, documented) = (exposed(&text), documented());
    for (name, kind) in &exposed {
        assert_eq!(documented.get(name), Some(kind), "{name} as documented");
    }
    for name in documented.keys() {
        assert!(exposed.contains_key(name), "{name} does not exist");
    }
    check_style(&text);
}

/// Prometheus' own opinion on names, units and helps.
fn check_style(text: &str) {
    let mut promtool = Command::new(installed("promtool").unwrap())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && said.is_empty(), "{said}");
}
