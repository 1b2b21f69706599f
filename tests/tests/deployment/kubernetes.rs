//! The Kubernetes objects of the chart: by the API's own types, without a field that they
//! do not know, and whole.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::{documents_of, flag_value, path, texts};

#[path = "extensions.rs"]
mod extensions;

/// The chart as an example of values makes it, and with every optional part.
pub(crate) const RENDERED: [&str; 2] = ["deploy/kubernetes/reconcile.yaml", EVERYTHING];

const EVERYTHING: &str = "tests/chart/rendered.yaml";

fn object(file: &str, kind: &str) -> Json {
    let found = documents_of(file)
        .into_iter()
        .find(|object| object["kind"] == kind);
    found.unwrap_or_else(|| panic!("{file}: no {kind}"))
}

/// The pods that the objects of a file make, with their roles.
fn pods_of(file: &str) -> [(&'static str, Json); 2] {
    let job = &object(file, "CronJob")["spec"]["jobTemplate"]["spec"];
    [
        (
            "worker",
            object(file, "Deployment")["spec"]["template"].clone(),
        ),
        ("coordinator", job["template"].clone()),
    ]
}

/// The pods of every file, with their roles.
pub(crate) fn pods() -> Vec<(&'static str, Json)> {
    RENDERED.into_iter().flat_map(pods_of).collect()
}

/// The files in the config maps, with their names.
pub(crate) fn configured_files() -> Vec<(String, String)> {
    let objects = RENDERED.into_iter().flat_map(documents_of);
    objects
        .filter(|object| object["kind"] == "ConfigMap")
        .flat_map(|map| map["data"].as_object().unwrap().clone())
        .map(|(name, text)| (name, text.as_str().unwrap().to_owned()))
        .collect()
}

fn arguments_of(pod: &Json) -> Vec<String> {
    texts(&pod["spec"]["containers"][0]["args"])
}

fn number(arguments: &[String], flag: &str) -> u64 {
    flag_value(arguments, flag).unwrap().parse().unwrap()
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

pub(crate) fn problems(object: &Json) -> Vec<String> {
    match object["kind"].as_str().unwrap_or_default() {
        "Namespace" => misunderstood::<Namespace>(object),
        "ConfigMap" => misunderstood::<ConfigMap>(object),
        "Deployment" => misunderstood::<Deployment>(object),
        "PodDisruptionBudget" => misunderstood::<PodDisruptionBudget>(object),
        "CronJob" => misunderstood::<CronJob>(object),
        "PersistentVolumeClaim" => misunderstood::<PersistentVolumeClaim>(object),
        "NetworkPolicy" => misunderstood::<NetworkPolicy>(object),
        "ScaledObject" => misunderstood::<extensions::ScaledObject>(object),
        "TriggerAuthentication" => misunderstood::<extensions::TriggerAuthentication>(object),
        "Kustomization" => misunderstood::<extensions::Kustomization>(object),
        "PodMonitor" => misunderstood::<extensions::PodMonitor>(object),
        "PrometheusRule" => misunderstood::<extensions::PrometheusRule>(object),
        other => vec![format!("unknown kind `{other}`")],
    }
}

#[test]
fn the_api_understands_every_field() {
    let kustomize =
        ["namespace", "kustomization"].map(|name| format!("deploy/kubernetes/{name}.yaml"));
    let files = RENDERED
        .into_iter()
        .chain(kustomize.iter().map(String::as_str));
    let mut objects = 0;
    for file in files {
        for object in documents_of(file) {
            let kind = &object["kind"];
            assert_eq!(problems(&object), Vec::<String>::new(), "{file}: {kind}");
            objects += 1;
        }
    }
    assert!(objects >= 20, "{objects} objects");
    // A misspelt field and a wrong type are seen.
    let mut deployment = object(EVERYTHING, "Deployment");
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 1.into();
    assert_eq!(
        problems(&deployment),
        [".spec.template.spec.terminationGracePeriod"]
    );
    let mut deployment = object(EVERYTHING, "Deployment");
    deployment["spec"]["replicas"] = "two".into();
    assert_eq!(problems(&deployment).len(), 1);
}

#[test]
fn kustomize_has_what_it_names() {
    let kustomization = documents_of("deploy/kubernetes/kustomization.yaml").remove(0);
    for resource in texts(&kustomization["resources"]) {
        assert!(
            path(&format!("deploy/kubernetes/{resource}")).is_file(),
            "{resource}"
        );
    }
    let images: Vec<String> = pods_of(RENDERED[0])
        .iter()
        .map(|(_, pod)| {
            pod["spec"]["containers"][0]["image"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    for image in kustomization["images"].as_array().unwrap() {
        let name = format!("{}:", image["name"].as_str().unwrap());
        assert!(
            images.iter().any(|used| used.starts_with(&name)),
            "{image}: {images:?}"
        );
    }
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
    // OpenShift refuses numbers that it has not assigned.
    let [plain, openshift] =
        RENDERED.map(|file| pods_of(file)[0].1["spec"]["securityContext"].clone());
    assert_eq!(plain["runAsUser"], 65532);
    for number in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert!(openshift[number].is_null(), "{openshift}");
    }
}

#[test]
fn whatever_a_pod_mounts_is_there() {
    for file in RENDERED {
        let named = |kind: &str, name: &Json| {
            let mut objects = documents_of(file).into_iter();
            objects
                .find(|object| object["kind"] == kind && object["metadata"]["name"] == *name)
                .unwrap_or_else(|| panic!("{file}: no {kind} {name}"))
        };
        for (name, pod) in pods_of(file) {
            let volumes = pod["spec"]["volumes"].as_array().unwrap();
            let mounts = pod["spec"]["containers"][0]["volumeMounts"]
                .as_array()
                .unwrap();
            assert_eq!(mounts.len(), volumes.len(), "{name}");
            for mount in mounts {
                let found = volumes.iter().any(|volume| volume["name"] == mount["name"]);
                assert!(found, "{name}: {mount}");
            }
            for volume in volumes {
                let (map, claim) = (
                    &volume["configMap"]["name"],
                    &volume["persistentVolumeClaim"]["claimName"],
                );
                if !map.is_null() {
                    let files = named("ConfigMap", map)["data"].clone();
                    for argument in arguments_of(&pod) {
                        if let Some((_, file)) = argument.split_once("=/etc/reconcile/") {
                            assert!(files[file].is_string(), "{name}: no {file} in {map}");
                        }
                    }
                }
                if !claim.is_null() {
                    named("PersistentVolumeClaim", claim);
                }
            }
        }
    }
}

/// Whether a selector's labels are among those of an object.
fn selects(labels: &Json, of: &Json) -> bool {
    let labels = labels.as_object().expect("a selector has labels");
    !labels.is_empty() && labels.iter().all(|(key, value)| of[key] == *value)
}

#[test]
fn selectors_find_pods() {
    let mut checked = 0;
    for file in RENDERED {
        let pods = pods_of(file);
        for object in documents_of(file) {
            let (selector, expected) = match object["kind"].as_str().unwrap() {
                "Deployment" | "PodDisruptionBudget" => {
                    (&object["spec"]["selector"]["matchLabels"], 1)
                }
                "PodMonitor" => (&object["spec"]["selector"]["matchLabels"], 2),
                "NetworkPolicy" => (&object["spec"]["podSelector"]["matchLabels"], 1),
                _ => continue,
            };
            let found = pods
                .iter()
                .filter(|(_, pod)| selects(selector, &pod["metadata"]["labels"]));
            assert_eq!(found.count(), expected, "{file}: {selector}");
            checked += 1;
        }
        let spread = &pods[0].1["spec"]["topologySpreadConstraints"];
        for constraint in spread.as_array().unwrap() {
            let labels = &constraint["labelSelector"]["matchLabels"];
            assert!(
                selects(labels, &pods[0].1["metadata"]["labels"]),
                "{file}: {constraint}"
            );
        }
    }
    assert_eq!(checked, 9);
}

#[test]
fn a_worker_may_drain_and_is_probed() {
    for file in RENDERED {
        let [(_, pod), _] = pods_of(file);
        let container = &pod["spec"]["containers"][0];
        let arguments = arguments_of(&pod);
        let drain = number(&arguments, "--drain-grace");
        let grace = pod["spec"]["terminationGracePeriodSeconds"]
            .as_u64()
            .unwrap();
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
        assert!(container["lifecycle"].is_null(), "SIGTERM alone is a drain");
    }
}

#[test]
fn temporary_files_are_on_a_disk_with_room_for_every_table() {
    for file in RENDERED {
        let [(_, worker), (_, coordinator)] = pods_of(file);
        let volumes = worker["spec"]["volumes"].as_array().unwrap();
        let spill = volumes
            .iter()
            .find(|volume| volume["name"] == "spill")
            .unwrap();
        assert!(spill["emptyDir"]["medium"].is_null(), "{spill}");
        let gibibytes =
            |text: &str, unit: &str| -> u64 { text.strip_suffix(unit).unwrap().parse().unwrap() };
        let size = gibibytes(spill["emptyDir"]["sizeLimit"].as_str().unwrap(), "Gi");
        let limit = flag_value(&arguments_of(&coordinator), "--spill-limit").unwrap();
        let tables = number(&arguments_of(&worker), "--concurrency");
        assert!(
            size >= tables * gibibytes(&limit, "GiB"),
            "{file}: {size} GiB for {tables} times {limit}"
        );
        let limits = &worker["spec"]["containers"][0]["resources"]["limits"];
        assert!(
            gibibytes(limits["ephemeral-storage"].as_str().unwrap(), "Gi") > size,
            "{file}"
        );
    }
}

#[test]
fn a_run_survives_the_eviction_of_its_coordinator() {
    for file in RENDERED {
        let cron = object(file, "CronJob")["spec"].clone();
        assert_eq!(cron["concurrencyPolicy"], "Forbid");
        let job = &cron["jobTemplate"]["spec"];
        let pod = &job["template"];
        let within = flag_value(&arguments_of(pod), "--resume-within").unwrap();
        let hours: u64 = within.strip_suffix('h').unwrap().parse().unwrap();
        assert_eq!(job["activeDeadlineSeconds"], json!(hours * 3600), "{file}");
        assert_eq!(
            pod["spec"]["restartPolicy"], "Never",
            "podFailurePolicy needs it"
        );
        assert_eq!(job["podReplacementPolicy"], "Failed");
        assert!(job["backoffLimit"].as_u64().unwrap() > 0);
        let rules = job["podFailurePolicy"]["rules"].as_array().unwrap();
        // A result is final: differences, not verified, cancelled. 143 is none.
        assert_eq!(rules[0]["action"], "FailJob");
        assert_eq!(rules[0]["onExitCodes"]["values"], json!([1, 3, 130]));
        assert_eq!(
            rules[0]["onExitCodes"]["containerName"],
            pod["spec"]["containers"][0]["name"]
        );
        assert_eq!(rules[1]["action"], "Ignore");
        assert_eq!(rules[1]["onPodConditions"][0]["type"], "DisruptionTarget");
        // What a run needs to be continued outlives the pod.
        let state = flag_value(&arguments_of(pod), "--state-dir").unwrap();
        let mounts = pod["spec"]["containers"][0]["volumeMounts"]
            .as_array()
            .unwrap();
        let mount = mounts
            .iter()
            .find(|mount| mount["mountPath"] == *state)
            .unwrap();
        let volumes = pod["spec"]["volumes"].as_array().unwrap();
        let volume = volumes
            .iter()
            .find(|volume| volume["name"] == mount["name"])
            .unwrap();
        assert!(volume["persistentVolumeClaim"].is_object(), "{volume}");
    }
}

/// The egress rules of a role's policy.
fn egress(file: &str, role: &str) -> Vec<Json> {
    let mut policies = documents_of(file)
        .into_iter()
        .filter(|object| object["kind"] == "NetworkPolicy");
    let name = format!("reconcile-{role}");
    let policy = policies
        .find(|policy| policy["metadata"]["name"] == *name)
        .unwrap();
    policy["spec"]["egress"].as_array().unwrap().clone()
}

/// Whether a rule allows a port to a peer; `None`: to every address.
fn allows(rules: &[Json], peer: Option<&Json>, port: &Json) -> bool {
    rules.iter().any(|rule| {
        let ports = rule["ports"].as_array().unwrap();
        let is_peer = match (peer, rule["to"].as_array()) {
            (None, peers) => peers.is_none(),
            (Some(peer), peers) => peers.is_some_and(|peers| peers.contains(peer)),
        };
        is_peer && ports.contains(port)
    })
}

#[test]
fn policies_allow_names_broker_and_databases() {
    let tcp = |port: u16| json!({"protocol": "TCP", "port": port});
    let udp = |port: u16| json!({"protocol": "UDP", "port": port});
    let namespace = |name: &str| json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}});
    let block = |cidr: &str| json!({"ipBlock": {"cidr": cidr}});
    for file in RENDERED {
        for role in ["worker", "coordinator"] {
            let rules = egress(file, role);
            for (peer, port) in [
                (namespace("kube-system"), udp(53)),
                (block("169.254.20.10/32"), udp(53)),
                (block("169.254.20.10/32"), tcp(53)),
                (namespace("openshift-dns"), udp(5353)),
                (namespace("openshift-dns"), tcp(5353)),
            ] {
                assert!(
                    allows(&rules, Some(&peer), &port),
                    "{file}, {role}: {peer} {port}"
                );
            }
        }
    }
    let [example, everything] = RENDERED;
    let (worker, coordinator) = (egress(example, "worker"), egress(example, "coordinator"));
    assert!(allows(&worker, None, &tcp(1433)) && allows(&worker, None, &tcp(5671)));
    assert!(allows(&coordinator, None, &tcp(5671)) && !allows(&coordinator, None, &tcp(1433)));
    let redirect = json!({"protocol": "TCP", "port": 11000, "endPort": 11999});
    assert!(!allows(&worker, None, &redirect));
    let databases = block("10.0.2.0/24");
    for role in ["worker", "coordinator"] {
        let rules = egress(everything, role);
        assert!(allows(&rules, Some(&databases), &redirect), "{role}");
        assert!(
            !allows(&rules, None, &tcp(1433)) && !allows(&rules, None, &tcp(5671)),
            "{role}"
        );
    }
}

#[test]
fn keda_counts_what_workers_can_take() {
    let scaled = object(EVERYTHING, "ScaledObject");
    let [(_, worker), (_, coordinator)] = pods_of(EVERYTHING);
    let concurrency = number(&arguments_of(&worker), "--concurrency");
    let spec = &scaled["spec"];
    assert_eq!(
        spec["advanced"]["scalingModifiers"]["target"],
        concurrency.to_string()
    );
    assert_eq!(
        spec["maxReplicaCount"].as_u64().unwrap() * concurrency,
        number(&arguments_of(&coordinator), "--parallel-workers"),
        "so many tables are in the queue at most"
    );
    let deployment = object(EVERYTHING, "Deployment");
    assert_eq!(
        spec["scaleTargetRef"]["name"],
        deployment["metadata"]["name"]
    );
    assert!(
        deployment["spec"]["replicas"].is_null(),
        "KEDA sets the number of replicas"
    );
    let formula = &spec["advanced"]["scalingModifiers"]["formula"];
    for trigger in spec["triggers"].as_array().unwrap() {
        let name = trigger["name"].as_str().unwrap();
        assert!(formula.as_str().unwrap().contains(name), "{name}");
    }
}

#[test]
fn what_pods_show_can_be_scraped() {
    for file in RENDERED {
        for (role, pod) in pods_of(file) {
            let port = &pod["spec"]["containers"][0]["ports"][0];
            let address = flag_value(&arguments_of(&pod), "--metrics-addr").unwrap();
            assert_eq!(
                address,
                format!("0.0.0.0:{}", port["containerPort"]),
                "{role}"
            );
            let labels = &pod["metadata"]["labels"];
            let policy = documents_of(file)
                .into_iter()
                .find(|object| {
                    object["kind"] == "NetworkPolicy"
                        && selects(&object["spec"]["podSelector"]["matchLabels"], labels)
                })
                .unwrap_or_else(|| panic!("no policy of {role}"));
            assert_eq!(
                policy["spec"]["ingress"][0]["ports"][0]["port"], port["containerPort"],
                "{role}"
            );
        }
    }
    for (role, pod) in pods_of(EVERYTHING) {
        let (annotations, port) = (
            &pod["metadata"]["annotations"],
            &pod["spec"]["containers"][0]["ports"][0],
        );
        assert_eq!(annotations["prometheus.io/scrape"], "true", "{role}");
        assert_eq!(
            annotations["prometheus.io/port"],
            port["containerPort"].to_string()
        );
        let endpoints = &object(EVERYTHING, "PodMonitor")["spec"]["podMetricsEndpoints"];
        assert_eq!(endpoints[0]["port"], port["name"], "{role}");
    }
}

#[test]
fn optional_parts_are_off() {
    for object in documents_of(RENDERED[0]) {
        let kind = object["kind"].as_str().unwrap();
        let optional = [
            "ScaledObject",
            "TriggerAuthentication",
            "PodMonitor",
            "PrometheusRule",
        ];
        assert!(!optional.contains(&kind), "{kind}");
    }
    for (role, pod) in pods_of(RENDERED[0]) {
        assert!(
            pod["spec"]["containers"][0]["env"].is_null(),
            "{role}: traces"
        );
        assert_eq!(
            flag_value(&arguments_of(&pod), "--push-gateway"),
            None,
            "{role}"
        );
    }
}
