//! The Kubernetes manifests: by the API's own types, without a field that they
//! do not know, and whole.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::{documents_of, files, flag_value, path, texts};

#[path = "keda.rs"]
mod keda;

const DIRECTORY: &str = "deploy/kubernetes";

/// Every object of the manifests, with its file.
fn objects() -> Vec<(String, Json)> {
    let files = files(DIRECTORY, ".yaml").into_iter();
    files
        .flat_map(|file| {
            let documents = documents_of(&file).into_iter();
            documents
                .map(|document| (file.clone(), document))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn object(kind: &str) -> Json {
    let found = objects()
        .into_iter()
        .find(|(_, object)| object["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind}")).1
}

/// The pods that the manifests make, with what they are made by.
pub(crate) fn pods() -> Vec<(&'static str, Json)> {
    vec![
        ("worker", object("Deployment")["spec"]["template"].clone()),
        (
            "coordinator",
            object("CronJob")["spec"]["jobTemplate"]["spec"]["template"].clone(),
        ),
    ]
}

/// What of `written` is not in `understood`.
fn lost(written: &Json, understood: &Json, at: &str, into: &mut Vec<String>) {
    match (written, understood) {
        (Json::Object(written), Json::Object(understood)) => {
            for (key, value) in written {
                let at = format!("{at}.{key}");
                match understood.get(key) {
                    Some(other) => lost(value, other, &at, into),
                    None => into.push(at),
                }
            }
        }
        (Json::Array(written), Json::Array(understood)) if written.len() == understood.len() => {
            for (position, (value, other)) in written.iter().zip(understood).enumerate() {
                lost(value, other, &format!("{at}[{position}]"), into);
            }
        }
        (written, understood) if written == understood => {}
        _ => into.push(format!("{at} = {written}, understood as {understood}")),
    }
}

/// What is not understood when `object` is read as a `T`.
fn misunderstood<T: DeserializeOwned + Serialize>(object: &Json) -> Vec<String> {
    match serde_json::from_value::<T>(object.clone()) {
        Ok(typed) => {
            let mut fields = Vec::new();
            lost(
                object,
                &serde_json::to_value(typed).unwrap(),
                "",
                &mut fields,
            );
            fields
        }
        Err(error) => vec![error.to_string()],
    }
}

fn problems(object: &Json) -> Vec<String> {
    match object["kind"].as_str().unwrap_or_default() {
        "Namespace" => misunderstood::<Namespace>(object),
        "Deployment" => misunderstood::<Deployment>(object),
        "Service" => misunderstood::<Service>(object),
        "PodDisruptionBudget" => misunderstood::<PodDisruptionBudget>(object),
        "CronJob" => misunderstood::<CronJob>(object),
        "PersistentVolumeClaim" => misunderstood::<PersistentVolumeClaim>(object),
        "NetworkPolicy" => misunderstood::<NetworkPolicy>(object),
        "ScaledObject" => misunderstood::<keda::ScaledObject>(object),
        "TriggerAuthentication" => misunderstood::<keda::TriggerAuthentication>(object),
        "Kustomization" | "Component" => misunderstood::<keda::Kustomization>(object),
        other => vec![format!("unknown kind `{other}`")],
    }
}

#[test]
fn the_api_understands_every_field() {
    let objects = objects();
    assert!(objects.len() >= 12, "{} objects", objects.len());
    for (file, object) in &objects {
        assert_eq!(
            problems(object),
            Vec::<String>::new(),
            "{file}: {}",
            object["kind"]
        );
    }
    // A misspelt field and a wrong type are seen.
    let mut deployment = object("Deployment");
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 1.into();
    assert_eq!(
        problems(&deployment),
        [".spec.template.spec.terminationGracePeriod"]
    );
    let mut deployment = object("Deployment");
    deployment["spec"]["replicas"] = "two".into();
    assert_eq!(problems(&deployment).len(), 1);
}

#[test]
fn pods_may_do_nothing_else() {
    for (name, pod) in pods() {
        let spec = &pod["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(
            spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
            "{name}"
        );
        for container in spec["containers"].as_array().unwrap() {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(security["capabilities"]["drop"][0], "ALL", "{name}");
            let resources = &container["resources"];
            assert!(resources["limits"]["memory"].is_string(), "{name}");
            assert!(resources["requests"]["cpu"].is_string(), "{name}");
            // Secrets come as files.
            let from_secrets = container.to_string().contains("secretKeyRef");
            assert!(!from_secrets && container["envFrom"].is_null(), "{name}");
        }
    }
}

#[test]
fn whatever_a_pod_mounts_is_there() {
    let kustomization = object("Kustomization");
    let generated: Vec<&Json> = kustomization["configMapGenerator"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    for (name, pod) in pods() {
        let volumes = pod["spec"]["volumes"].as_array().unwrap();
        for container in pod["spec"]["containers"].as_array().unwrap() {
            for mount in container["volumeMounts"].as_array().unwrap() {
                let found = volumes.iter().any(|volume| volume["name"] == mount["name"]);
                assert!(found, "{name}: {mount}");
            }
            assert!(container["volumeMounts"].as_array().unwrap().len() == volumes.len());
        }
        for volume in volumes {
            if let Some(map) = volume["configMap"]["name"].as_str() {
                let made = generated.iter().find(|made| made["name"] == map);
                let made = made.unwrap_or_else(|| panic!("{name}: no {map}"));
                for file in texts(&made["files"]) {
                    let source = file.rsplit('=').next().unwrap().to_owned();
                    assert!(path(&format!("{DIRECTORY}/{source}")).is_file(), "{file}");
                }
            }
            if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
                assert_eq!(object("PersistentVolumeClaim")["metadata"]["name"], claim);
            }
        }
    }
    for resource in texts(&kustomization["resources"]) {
        assert!(
            path(&format!("{DIRECTORY}/{resource}")).exists(),
            "{resource}"
        );
    }
    let listed = texts(&kustomization["resources"]).len();
    let shipped = std::fs::read_dir(path(DIRECTORY)).unwrap().flatten();
    let shipped = shipped.filter(|entry| entry.path().extension().is_some_and(|e| e == "yaml"));
    assert_eq!(shipped.count(), listed + 1, "some manifest is not listed");
}

#[test]
fn selectors_find_pods() {
    let labels: Vec<Json> = pods()
        .into_iter()
        .map(|(_, pod)| pod["metadata"]["labels"].clone())
        .collect();
    let mut checked = 0;
    for (file, object) in objects() {
        let selector = match object["kind"].as_str().unwrap() {
            "Deployment" | "PodDisruptionBudget" => &object["spec"]["selector"]["matchLabels"],
            "Service" => &object["spec"]["selector"],
            "NetworkPolicy" => &object["spec"]["podSelector"]["matchLabels"],
            _ => continue,
        };
        // Without labels: every pod.
        assert!(
            selector.is_null() || labels.contains(selector),
            "{file}: {selector}"
        );
        checked += 1;
    }
    assert!(checked >= 6, "{checked} selectors");
}

#[test]
fn a_worker_may_drain_and_is_probed() {
    let deployment = object("Deployment");
    let spec = &deployment["spec"]["template"]["spec"];
    let container = &spec["containers"][0];
    let arguments = texts(&container["args"]);
    let drain: u64 = flag_value(&arguments, "--drain-grace")
        .unwrap()
        .parse()
        .unwrap();
    let grace = spec["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace >= drain + 30, "{grace} s for {drain} s");
    for (probe, page) in [
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ] {
        let get = &container[probe]["httpGet"];
        assert_eq!(get["path"], page, "{probe}");
        assert_eq!(get["port"], container["ports"][0]["name"], "{probe}");
    }
    let address = flag_value(&arguments, "--metrics-addr").unwrap();
    let port = container["ports"][0]["containerPort"].to_string();
    assert!(address.ends_with(&format!(":{port}")), "{address}, {port}");
    assert!(container["lifecycle"].is_null(), "SIGTERM alone is a drain");
}

#[test]
fn keda_counts_what_workers_can_take() {
    let scaled = object("ScaledObject");
    let worker = texts(&object("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]);
    let coordinator = texts(
        &object("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"],
    );
    let number = |arguments: &[String], flag: &str| -> u64 {
        flag_value(arguments, flag).unwrap().parse().unwrap()
    };
    let concurrency = number(&worker, "--concurrency");
    let spec = &scaled["spec"];
    assert_eq!(
        spec["advanced"]["scalingModifiers"]["target"],
        concurrency.to_string()
    );
    assert_eq!(
        spec["maxReplicaCount"].as_u64().unwrap() * concurrency,
        number(&coordinator, "--parallel-workers"),
        "so many tables are in the queue at most"
    );
    assert_eq!(
        spec["scaleTargetRef"]["name"],
        object("Deployment")["metadata"]["name"]
    );
    let formula = &spec["advanced"]["scalingModifiers"]["formula"];
    for trigger in spec["triggers"].as_array().unwrap() {
        let name = trigger["name"].as_str().unwrap();
        assert!(formula.as_str().unwrap().contains(name), "{name}");
    }
}

#[test]
fn what_pods_show_can_be_scraped() {
    let all = |kind: &str| -> Vec<Json> {
        let objects = objects().into_iter().map(|(_, object)| object);
        objects.filter(|object| object["kind"] == kind).collect()
    };
    for (name, pod) in pods() {
        let container = &pod["spec"]["containers"][0];
        let address = flag_value(&texts(&container["args"]), "--metrics-addr").unwrap();
        let (port, labels) = (&container["ports"][0], &pod["metadata"]["labels"]);
        let number = &port["containerPort"];
        assert!(
            address.ends_with(&format!(":{number}")),
            "{name}: {address}"
        );
        let service = all("Service")
            .into_iter()
            .find(|service| &service["spec"]["selector"] == labels)
            .unwrap_or_else(|| panic!("no service of {name}"));
        let annotations = &service["metadata"]["annotations"];
        assert_eq!(annotations["prometheus.io/scrape"], "true", "{name}");
        assert_eq!(annotations["prometheus.io/port"], number.to_string());
        assert_eq!(service["spec"]["ports"][0]["targetPort"], port["name"]);
        let policy = all("NetworkPolicy")
            .into_iter()
            .find(|policy| &policy["spec"]["podSelector"]["matchLabels"] == labels)
            .unwrap_or_else(|| panic!("no policy of {name}"));
        assert_eq!(
            &policy["spec"]["ingress"][0]["ports"][0]["port"], number,
            "{name}"
        );
    }
}
