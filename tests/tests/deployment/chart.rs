//! The Helm chart: its values by its schema, and the files that were rendered from it.

use std::process::{Command, Output};

use serde_json::Value as Json;

use crate::kubernetes::{RENDERED, problems};
use crate::{documents_of, path, read};

const CHART: &str = "deploy/helm/reconcile";

/// The files of values with which each file of [`RENDERED`] is rendered.
const VALUES: [&[&str]; 2] = [
    &["deploy/kubernetes/values.yaml"],
    &["deploy/kubernetes/values.yaml", "tests/chart/values.yaml"],
];

/// Replaces and adds values as Helm does: maps are merged, everything else is replaced.
fn merge(into: &mut Json, values: Json) {
    match (into, values) {
        (Json::Object(into), Json::Object(values)) => {
            for (key, value) in values {
                merge(into.entry(key).or_insert(Json::Null), value);
            }
        }
        (into, value) => *into = value,
    }
}

/// The defaults of the chart and the values of some files.
fn values(files: &[&str]) -> Json {
    let mut values = documents_of(&format!("{CHART}/values.yaml")).remove(0);
    for file in files {
        merge(&mut values, documents_of(file).remove(0));
    }
    values
}

#[test]
fn its_schema_knows_every_value_and_no_other() {
    let schema: Json = serde_json::from_str(&read(&format!("{CHART}/values.schema.json"))).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors = |values: &Json| -> Vec<String> {
        let errors = validator.iter_errors(values);
        errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect()
    };
    for files in VALUES {
        assert_eq!(errors(&values(files)), Vec::<String>::new(), "{files:?}");
    }
    // Without an image, a configuration or tables nothing could run.
    let missing = errors(&values(&[])).join(" ");
    for value in [
        "/images/worker/repository",
        "/images/coordinator/repository",
        "/worker/config",
        "/coordinator/config",
        "/coordinator/tables",
    ] {
        assert!(missing.contains(value), "{value}: {missing}");
    }
    // A role that is off needs nothing.
    let mut off = values(&[]);
    for role in ["worker", "coordinator"] {
        off[role]["enabled"] = false.into();
    }
    assert_eq!(errors(&off), Vec::<String>::new());
    for (at, wrong) in [
        ("/worker/replica", Json::from(3)),
        ("/worker/replicas", Json::from("three")),
        ("/images/worker/tag", Json::from("latest")),
        ("/images/worker/digest", Json::from("sha256:12")),
        ("/coordinator/hours", Json::from(0)),
        ("/monitoring/podMonitor/enable", Json::from(true)),
        ("/networkPolicy/brokerPort", Json::from(70_000)),
    ] {
        let mut values = values(VALUES[0]);
        let (parent, key) = at.rsplit_once('/').unwrap();
        values.pointer_mut(parent).unwrap()[key] = wrong;
        assert_eq!(errors(&values).len(), 1, "{at}: {:?}", errors(&values));
    }
}

fn helm(arguments: &[&str], files: &[&str]) -> Option<Output> {
    let mut command = Command::new("helm");
    command.args(arguments).arg(path(CHART));
    for file in files {
        command.arg("--values").arg(path(file));
    }
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("helm: {error}"),
    }
}

/// The objects of a rendered file, by kind and name.
fn in_order(mut objects: Vec<Json>) -> Vec<Json> {
    objects.retain(|object| !object.is_null());
    objects.sort_by_key(|object| format!("{} {}", object["kind"], object["metadata"]["name"]));
    objects
}

#[test]
fn the_rendered_files_are_those_of_the_chart() {
    // Without Helm, the digest shows that a file was not forgotten.
    let script = Command::new(path("deploy/helm/render.sh"))
        .arg("--digest")
        .output()
        .unwrap();
    assert!(script.status.success(), "{script:?}");
    let digest = String::from_utf8(script.stdout).unwrap();
    assert_eq!(digest.trim().len(), 64, "{digest}");
    for (file, values) in RENDERED.into_iter().zip(VALUES) {
        assert!(
            read(file).contains(digest.trim()),
            "the chart has changed since {file} was written: run deploy/helm/render.sh, which needs Helm"
        );
        let template = ["template", "reconcile", "--namespace", "reconcile"];
        let Some(rendered) = helm(&template, values) else {
            continue;
        };
        assert!(rendered.status.success(), "{rendered:?}");
        let rendered = String::from_utf8(rendered.stdout).unwrap();
        let rendered: Vec<Json> = serde_saphyr::from_multiple(&rendered).unwrap();
        assert_eq!(in_order(rendered), in_order(documents_of(file)), "{file}");
        let lint = helm(&["lint", "--strict"], values).unwrap();
        assert!(lint.status.success(), "{lint:?}");
    }
}

#[test]
fn its_alerts_are_those_of_prometheus() {
    let rules = "deploy/prometheus/rules.yml";
    assert_eq!(read(&format!("{CHART}/files/rules.yml")), read(rules));
    let arguments = [
        "template",
        "reconcile",
        "--set",
        "monitoring.prometheusRule.enabled=true",
    ];
    let Some(rendered) = helm(&arguments, VALUES[0]) else {
        return;
    };
    let rendered = String::from_utf8(rendered.stdout).unwrap();
    let rendered: Vec<Json> = serde_saphyr::from_multiple(&rendered).unwrap();
    let rule = rendered
        .into_iter()
        .find(|object| object["kind"] == "PrometheusRule")
        .unwrap();
    assert_eq!(problems(&rule), Vec::<String>::new());
    assert_eq!(rule["spec"], documents_of(rules)[0]);
}
