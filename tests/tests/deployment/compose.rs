//! The compose file: by its schema, and whole.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::{documents_of, path, read};

const FILE: &str = "deploy/docker-compose.yml";

/// The compose file.
pub(crate) fn file() -> Json {
    documents_of(FILE).remove(0)
}

fn entries(section: &Json) -> impl Iterator<Item = (&String, &Json)> {
    section.as_object().into_iter().flatten()
}

#[test]
fn it_is_what_its_specification_allows() {
    let schema: Json = serde_json::from_str(&read("tests/schemas/compose-spec.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut file = file();
    let errors = |file: &Json| -> Vec<String> {
        let errors = validator.iter_errors(file);
        errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect()
    };
    assert_eq!(errors(&file), Vec::<String>::new());
    // A misspelt key is seen.
    file["services"]["worker"]["stop_grace_perod"] = "1s".into();
    assert_eq!(errors(&file).len(), 1, "{:?}", errors(&file));
}

#[test]
fn whatever_a_service_names_is_there() {
    let file = file();
    let named = |entry: &Json| -> String {
        let name = entry.as_str().or_else(|| entry["source"].as_str());
        name.unwrap_or_else(|| panic!("no name: {entry}"))
            .to_owned()
    };
    let mut mounted = 0;
    for (service, definition) in entries(&file["services"]) {
        for section in ["secrets", "configs", "networks"] {
            for entry in definition[section].as_array().into_iter().flatten() {
                let name = named(entry);
                assert!(
                    file[section].get(&name).is_some(),
                    "{service}: no {name} in {section}"
                );
            }
        }
        for (other, _) in entries(&definition["depends_on"]) {
            assert!(
                file["services"].get(other).is_some(),
                "{service} waits for {other}"
            );
        }
        for volume in definition["volumes"].as_array().into_iter().flatten() {
            let volume = volume.as_str().unwrap();
            let source = volume.split(':').next().unwrap();
            match source.strip_prefix("./") {
                Some(directory) => assert!(
                    path(&format!("deploy/{directory}")).exists(),
                    "{service}: {volume}"
                ),
                None => assert!(file["volumes"].get(source).is_some(), "{service}: {volume}"),
            }
            mounted += 1;
        }
        // A variable shows in `docker inspect`; a file does not.
        for (variable, value) in entries(&definition["environment"]) {
            let secret = ["PASSWORD", "SECRET", "KEY", "TOKEN"];
            let secret = secret.iter().any(|word| variable.contains(word));
            assert!(
                !secret || variable.ends_with("_FILE"),
                "{service}: {variable}={value}"
            );
        }
    }
    assert!(mounted > 4, "{mounted} volumes");
    for (name, config) in entries(&file["configs"]) {
        let source = format!("deploy/{}", config["file"].as_str().unwrap());
        assert!(path(&source).is_file(), "{name}: {source}");
    }
}

/// A copy of the script that makes the secrets, with the files that it needs.
fn secrets_script() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    for part in [
        "docker/make-secrets.sh",
        "rabbitmq/with-passwords.sh",
        "rabbitmq/definitions.json",
    ] {
        let to = directory.path().join(part);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(path(&format!("deploy/{part}")), to).unwrap();
    }
    let script = directory.path().join("docker/make-secrets.sh");
    (directory, script)
}

#[test]
fn a_secret_that_could_not_be_made_is_made_later() {
    let (directory, script) = secrets_script();
    // Everything that the scripts call, but for openssl.
    let tools = directory.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    for tool in [
        "base64", "bash", "cat", "chmod", "dirname", "env", "head", "mkdir", "mktemp", "mv", "od",
        "rm", "tr",
    ] {
        let of = ["/usr/bin", "/bin"].map(|place| Path::new(place).join(tool));
        let of = of.iter().find(|file| file.exists()).unwrap();
        std::os::unix::fs::symlink(of, tools.join(tool)).unwrap();
    }
    let definitions = directory.path().join("secrets/rabbitmq_definitions");
    for _ in 0..2 {
        let output = Command::new(&script).env("PATH", &tools).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("openssl"), "{said}");
        assert!(!definitions.exists());
    }
    let output = Command::new(&script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let made = std::fs::read_to_string(definitions).unwrap();
    serde_json::from_str::<Json>(&made).unwrap();
    assert!(!made.contains("\"password_hash\": \"\""), "{made}");
}

#[test]
fn every_secret_is_made_by_the_script() {
    let (directory, script) = secrets_script();
    let make = || {
        let output = Command::new(&script).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    make();
    let file = file();
    let secret = |secret: &Json| {
        let file = secret["file"].as_str().unwrap().to_owned();
        let text = std::fs::read_to_string(directory.path().join(&file));
        text.unwrap_or_else(|error| panic!("{file}: {error}"))
    };
    let all = || -> Vec<String> { entries(&file["secrets"]).map(|(_, s)| secret(s)).collect() };
    let made = all();
    assert!(
        made.len() > 8 && made.iter().all(|text| text.len() >= 32),
        "{made:?}"
    );
    let definitions: Json =
        serde_json::from_str(&secret(&file["secrets"]["rabbitmq_definitions"])).unwrap();
    for user in definitions["users"].as_array().unwrap() {
        assert!(
            !user["password_hash"].as_str().unwrap().is_empty(),
            "{user}"
        );
    }
    // Once more changes nothing: databases that were made keep their passwords.
    make();
    assert_eq!(all(), made);
}

#[test]
fn our_own_containers_may_do_nothing_else() {
    let file = file();
    for service in ["worker", "coordinator", "seed"] {
        let definition = &file["services"][service];
        assert_eq!(definition["cap_drop"][0], "ALL", "{service}");
        assert_eq!(definition["read_only"], true, "{service}");
        assert_eq!(
            definition["security_opt"][0], "no-new-privileges:true",
            "{service}"
        );
        assert!(definition["ports"].is_null(), "{service} has ports");
    }
    // Nothing is reached from other machines.
    for (service, definition) in entries(&file["services"]) {
        for port in definition["ports"].as_array().into_iter().flatten() {
            assert!(
                port.as_str().unwrap().starts_with("127.0.0.1:"),
                "{service}: {port}"
            );
        }
    }
}

#[test]
fn a_worker_may_drain_before_it_is_killed() {
    let worker = &file()["services"]["worker"];
    let arguments = crate::texts(&worker["command"]);
    let drain: u64 = crate::flag_value(&arguments, "--drain-grace")
        .unwrap()
        .parse()
        .unwrap();
    let grace = worker["stop_grace_period"].as_str().unwrap();
    let grace: u64 = grace.trim_end_matches('s').parse().unwrap();
    assert!(grace >= drain + 10, "{grace} s for {drain} s");
}

#[test]
fn commands_on_a_running_project_leave_its_databases_alone() {
    let seed = crate::texts(&file()["services"]["seed"]["command"]);
    assert!(
        seed.iter().any(|argument| argument == "--unless-loaded"),
        "compose starts it again under a run: {seed:?}"
    );
    let documents = [read(FILE), read("docs/operations.md")];
    let command_of = |line: &str| {
        let from = line.find("docker compose ")?;
        Some(line[from..].split('`').next().unwrap().to_owned())
    };
    let commands: Vec<String> = documents
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(command_of)
        .collect();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in &commands {
        let has = |word: &str| command.split_whitespace().any(|other| other == word);
        // What makes the project, and the first run in it, need the others.
        let is_first = has("--build") || command.ends_with(" coordinator");
        assert!(is_first || has("--no-deps"), "{command}");
    }
}

#[test]
fn prometheus_finds_a_run_while_it_goes_on() {
    let coordinator = crate::texts(&file()["services"]["coordinator"]["command"]);
    let address = crate::flag_value(&coordinator, "--metrics-addr").unwrap();
    let scrape = documents_of("deploy/prometheus/prometheus.yml").remove(0);
    let jobs = scrape["scrape_configs"].as_array().unwrap();
    let job = jobs
        .iter()
        .find(|job| job["job_name"] == "reconcile-coordinator")
        .unwrap();
    let looked_for = &job["dns_sd_configs"][0];
    assert_eq!(looked_for["names"][0], "coordinator");
    assert_eq!(address, format!("0.0.0.0:{}", looked_for["port"]));
    // Without it a container of `run` has no name in the network.
    let head = read(FILE);
    let starts_run = |line: &&str| line.ends_with(" coordinator") && line.contains("compose run");
    let line = head.lines().find(starts_run).unwrap();
    assert!(line.contains("--use-aliases"), "{line}");
}

#[test]
fn optional_services_are_off_and_images_have_versions() {
    let file = file();
    for (service, definition) in entries(&file["services"]) {
        let profile = match service.as_str() {
            "rabbitmq" | "worker" => None,
            "coordinator" => Some("job"),
            "sqlserver" | "sqlserver-reader" | "postgres" | "seed" => Some("demo"),
            _ => Some("monitoring"),
        };
        assert_eq!(definition["profiles"][0].as_str(), profile, "{service}");
        // What always runs does not need what is off.
        for (other, dependency) in entries(&definition["depends_on"]) {
            let profiles = &file["services"][other]["profiles"];
            let is_needed = dependency["required"] != false;
            assert!(
                !is_needed || profiles.is_null() || *profiles == definition["profiles"],
                "{service}: {other}"
            );
        }
        if let Some(image) = definition["image"].as_str() {
            let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
            let is_version = tag.contains('.') && !tag.contains("latest");
            assert!(is_version, "{service}: {image}");
        }
    }
}
