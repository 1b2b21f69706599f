//! Our programs accept the arguments in the manifests and read every shipped
//! configuration.

use std::path::Path;
use std::process::Command;

use tests::product::Workplace;

use crate::{compose, files, flag_value, image, kubernetes, path, read, texts};

/// What people read and type from.
const DOCUMENTS: [&str; 3] = ["docs/operations.md", "docs/security.md", "README.md"];

/// The place, the program and the arguments of a call.
type Call = (String, &'static str, Vec<String>);

/// Every call of our programs in the shipped files.
fn calls() -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let compose = compose::file();
    for (service, program) in [
        ("worker", "reconcile-worker"),
        ("coordinator", "reconcile"),
        ("seed", "tpch"),
    ] {
        let arguments = texts(&compose["services"][service]["command"]);
        calls.push((format!("compose, {service}"), program, arguments));
    }
    for (name, pod) in kubernetes::pods() {
        let program = if name == "worker" {
            "reconcile-worker"
        } else {
            "reconcile"
        };
        let arguments = texts(&pod["spec"]["containers"][0]["args"]);
        calls.push((format!("kubernetes, {name}"), program, arguments));
    }
    for file in files("deploy/systemd", ".service") {
        for line in read(&file).lines() {
            let Some(command) = line.strip_prefix("ExecStart=/usr/local/bin/") else {
                continue;
            };
            let mut words = command.split_whitespace();
            let program = if words.next() == Some("reconcile") {
                "reconcile"
            } else {
                "reconcile-worker"
            };
            let arguments = words.map(|word| word.replace("%i", "1")).collect();
            calls.push((file.clone(), program, arguments));
        }
    }
    let check = image::health_check();
    assert_eq!(check[0], "reconcile-worker");
    calls.push((
        "HEALTHCHECK".to_owned(),
        "reconcile-worker",
        check[1..].to_vec(),
    ));
    // Commands in documents.
    for file in DOCUMENTS {
        for line in commands_of(&read(file)) {
            let mut words = shell_words(&line).into_iter();
            let program = match words.next().unwrap().as_str() {
                "reconcile" => "reconcile",
                "reconcile-worker" => "reconcile-worker",
                _ => continue,
            };
            calls.push((format!("{file}: {line}"), program, words.collect()));
        }
    }
    calls
}

/// The commands in the console blocks of a document, one a line.
fn commands_of(markdown: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    let mut open: Option<String> = None;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            inside = line.trim() == "```console";
        } else if inside {
            let part = match (open.take(), line.trim().split_once("$ ")) {
                (Some(begin), _) => format!("{begin} {}", line.trim()),
                (None, Some((_, command))) => command.to_owned(),
                (None, None) => continue,
            };
            match part.strip_suffix('\\') {
                Some(begin) => open = Some(begin.trim_end().to_owned()),
                None => commands.push(part.split(" #").next().unwrap().trim().to_owned()),
            }
        }
    }
    commands
}

/// The words of a command, quotes removed.
fn shell_words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ') => words.push(String::new()),
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_call_is_accepted() {
    let here = Workplace::new("");
    let calls = calls();
    assert!(calls.len() > 20, "{} calls", calls.len());
    for (place, program, arguments) in &calls {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // Help is printed when all before it was understood.
        let mut command = here.command(program, &[&arguments[..], &["--help"]].concat());
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{place}: {program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    // A flag that does not exist is seen.
    let mut command = here.command("reconcile-worker", &["--drain-gracee=1", "--help"]);
    assert_eq!(command.output().unwrap().status.code(), Some(2));
}

#[test]
fn the_next_run_takes_the_place_of_the_last_at_a_gateway() {
    let pushing: Vec<Call> = calls()
        .into_iter()
        .filter(|(place, _, arguments)| {
            !place.contains(".md") && flag_value(arguments, "--push-gateway").is_some()
        })
        .collect();
    assert_eq!(pushing.len(), 1, "{pushing:?}");
    // In Compose, a variable names the gateway.
    let compose = texts(&compose::file()["services"]["coordinator"]["command"]);
    assert!(
        flag_value(&compose, "--push-instance").is_some(),
        "{compose:?}"
    );
    for (place, _, arguments) in pushing {
        // A container's host name is another one every time.
        let instance = flag_value(&arguments, "--push-instance");
        assert!(instance.is_some_and(|name| !name.is_empty()), "{place}");
    }
}

#[test]
fn every_variable_is_one_that_is_read() {
    let compose = compose::file();
    let mut names: Vec<String> = ["worker", "coordinator"]
        .iter()
        .flat_map(|service| compose["services"][service]["environment"].as_object())
        .flat_map(|variables| variables.keys().cloned())
        .collect();
    for (_, pod) in kubernetes::pods() {
        let variables = &pod["spec"]["containers"][0]["env"];
        let variables = variables.as_array().into_iter().flatten();
        names.extend(variables.map(|variable| variable["name"].as_str().unwrap().to_owned()));
    }
    assert!(names.len() >= 5, "{names:?}");
    let here = Workplace::new("");
    let help = here.reconcile(&["run", "--help"]).stdout;
    let documented = read("docs/observability.md") + &read("docs/configuration.md");
    for name in names {
        assert!(help.contains(&name) || documented.contains(&name), "{name}");
    }
}

/// Makes the files that a configuration names, below `directory`, and points it there.
fn with_files(text: &str, directory: &Path) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else {
            lines.push(line.to_owned());
            continue;
        };
        let is_file = key.trim().ends_with("_file");
        match value.split('"').nth(1) {
            Some(name) if is_file && name.starts_with('/') => {
                let file = directory.join(&name[1..]);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                let content = if key.trim() == "url_file" {
                    "amqps://reconcile:hidden-word@rabbitmq.example:5671/reconcile\n".to_owned()
                } else {
                    "hidden-word-".repeat(6)
                };
                std::fs::write(&file, content).unwrap();
                lines.push(line.replace(name, file.to_str().unwrap()));
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

/// The TOML blocks of a document.
fn toml_blocks(markdown: &str) -> Vec<String> {
    let blocks = markdown.split("```toml\n").skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_configuration_is_read() {
    let mut configurations: Vec<(String, String)> = files("deploy", ".toml")
        .into_iter()
        .map(|file| (file.clone(), read(&file)))
        .collect();
    configurations.extend(
        kubernetes::configured_files()
            .into_iter()
            .filter(|(name, _)| name == "reconcile.toml"),
    );
    assert!(configurations.len() >= 6, "{configurations:?}");
    for file in DOCUMENTS {
        let blocks = toml_blocks(&read(file)).into_iter();
        configurations.extend(blocks.map(|block| (file.to_owned(), block)));
    }
    for (place, text) in configurations {
        let directory = tempfile::tempdir().unwrap();
        let here = Workplace::new(&with_files(&text, directory.path()));
        let mut command = here.command("reconcile", &["config"]);
        // A document's example takes one from the environment.
        let output = command.env("WAREHOUSE_PASSWORD", "x").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{place}: {said}\n{text}");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!shown.contains("hidden-word"), "{place}: {shown}");
    }
}

#[test]
fn scripts_are_what_a_shell_understands() {
    for file in files("deploy", ".sh") {
        let output = Command::new("bash")
            .arg("-n")
            .arg(path(&file))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{file}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
