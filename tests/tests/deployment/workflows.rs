//! The hosted workflows: without unknown fields, and they call only scripts,
//! functions and actions that exist.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::{documents_of, files, path, read};

/// The actions that the workflows may use.
const ACTIONS: [&str; 2] = ["actions/checkout@v4", "actions/cache@v4"];

/// The commands that every runner has.
const COMMANDS: [&str; 3] = ["cargo fmt", "cargo clippy", "rustup component"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields that are read are known")]
struct Workflow {
    name: String,
    on: BTreeMap<String, Json>,
    permissions: BTreeMap<String, String>,
    concurrency: Json,
    defaults: Json,
    env: BTreeMap<String, String>,
    jobs: BTreeMap<String, Job>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "fields that are read are known")]
struct Job {
    runs_on: String,
    container: Option<String>,
    timeout_minutes: u32,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields that are read are known")]
struct Step {
    name: Option<String>,
    uses: Option<String>,
    with: Option<BTreeMap<String, String>>,
    run: Option<String>,
}

#[test]
fn workflows_call_only_what_exists() {
    let workflows = files(".github/workflows", ".yml");
    assert!(!workflows.is_empty());
    for workflow in &workflows {
        for document in documents_of(workflow) {
            let parsed: Workflow = serde_json::from_value(document)
                .unwrap_or_else(|error| panic!("{workflow}: {error}"));
            let writes = parsed
                .permissions
                .values()
                .filter(|access| *access != "read");
            assert_eq!(writes.count(), 0, "{workflow}: {:?}", parsed.permissions);
            for step in parsed.jobs.values().flat_map(|job| &job.steps) {
                check_step(step);
            }
        }
    }
}

fn check_step(step: &Step) {
    match (&step.uses, &step.run) {
        (Some(action), None) => assert!(ACTIONS.contains(&action.as_str()), "{action}"),
        (None, Some(script)) => {
            let mut known: Vec<String> = Vec::new();
            for line in script.lines().filter(|line| !line.trim().is_empty()) {
                check_command(line.trim(), &mut known);
            }
        }
        _ => panic!("a step either uses an action or runs a script: {step:?}"),
    }
}

/// Checks a line of a step. `functions` are those of the scripts that it has read.
fn check_command(line: &str, functions: &mut Vec<String>) {
    let mut words = line.split_whitespace();
    let command = words.next().unwrap();
    if command == "." {
        let script = words.next().unwrap();
        functions.extend(functions_of(script));
    } else if let Some(script) = command.strip_prefix("./") {
        assert!(path(script).is_file(), "{script} does not exist");
    } else if command == "\"$tool\"" {
        assert!(functions.iter().any(|known| known == "need_tool"), "{line}");
    } else {
        let is_function = functions.iter().any(|known| known == command);
        let is_command = COMMANDS.iter().any(|known| line.starts_with(known));
        assert!(is_function || is_command, "unknown command: {line}");
    }
}

/// The functions that a script of the repository defines.
fn functions_of(script: &str) -> Vec<String> {
    let text = read(script);
    let names = text.lines().filter_map(|line| line.split_once("() "));
    names.map(|(name, _)| name.to_owned()).collect()
}
