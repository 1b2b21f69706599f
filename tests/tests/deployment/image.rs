//! The Dockerfile: small, without root, without secrets.

use dockerfile_parser::{Dockerfile, Instruction};

use crate::read;

const FILE: &str = "deploy/docker/Dockerfile";

/// Instructions that the parser does not distinguish, and their arguments.
fn others(instructions: &[&Instruction]) -> Vec<(String, String)> {
    let others = instructions.iter().filter_map(|other| other.as_misc());
    others
        .map(|other| {
            (
                other.instruction.content.to_ascii_uppercase(),
                other.arguments.to_string().trim().to_owned(),
            )
        })
        .collect()
}

/// The stages of the Dockerfile, by name.
fn stages() -> Vec<(String, Vec<(String, String)>)> {
    let dockerfile = Dockerfile::parse(&read(FILE)).unwrap();
    let stages = dockerfile.iter_stages();
    stages
        .map(|stage| {
            let name = stage.name.clone().unwrap_or_default();
            (name, others(&stage.instructions))
        })
        .collect()
}

/// The command of the worker's health check, in exec form.
pub(crate) fn health_check() -> Vec<String> {
    let stages = stages();
    let (_, worker) = stages.iter().find(|(name, _)| name == "worker").unwrap();
    let (_, check) = worker
        .iter()
        .find(|(name, _)| name == "HEALTHCHECK")
        .expect("the worker's image has a health check");
    let (_, command) = check
        .split_once("CMD")
        .expect("the health check is a command");
    serde_json::from_str(command.trim()).expect("exec form: there is no shell in the image")
}

#[test]
fn every_target_that_is_built_is_there() {
    let stages = stages();
    let compose = crate::compose::file();
    let mut targets = 0;
    for definition in compose["services"].as_object().unwrap().values() {
        if let Some(target) = definition["build"]["target"].as_str() {
            assert!(stages.iter().any(|(name, _)| name == target), "{target}");
            assert_eq!(format!("deploy/{}", "docker/Dockerfile"), FILE);
            assert_eq!(definition["build"]["dockerfile"], FILE);
            targets += 1;
        }
    }
    assert_eq!(targets, 3);
}

#[test]
fn what_runs_is_not_root_and_holds_the_program_alone() {
    let dockerfile = Dockerfile::parse(&read(FILE)).unwrap();
    let stages = dockerfile.stages();
    for name in ["worker", "coordinator", "seed"] {
        // From the image to its base within this file.
        let mut chain = vec![stages.get_by_name(name).unwrap()];
        while let Some(base) = chain[chain.len() - 1].instructions[0]
            .as_from()
            .and_then(|from| stages.get_by_name(&from.image.content))
        {
            chain.push(base);
        }
        let instructions: Vec<&Instruction> = chain
            .iter()
            .flat_map(|stage| stage.instructions.iter().copied())
            .collect();
        let others = others(&instructions);
        let users: Vec<&str> = others
            .iter()
            .filter(|(instruction, _)| instruction == "USER")
            .map(|(_, user)| user.as_str())
            .collect();
        assert_eq!(users, ["65532:65532"], "{name}");
        let mut copied = 0;
        for instruction in &instructions {
            match instruction {
                Instruction::Run(_) => panic!("{name}: the runtime image has no shell"),
                Instruction::Copy(copy) => {
                    let from = copy.flags.iter().find(|flag| flag.name.content == "from");
                    let from = &from.expect("copied from a stage").value.content;
                    assert!(from.starts_with("build"), "{name}: from {from}");
                    copied += 1;
                }
                _ => {}
            }
        }
        assert_eq!(copied, 2, "{name}: a directory and the program");
        assert!(
            instructions.iter().any(|one| one.as_entrypoint().is_some()),
            "{name}"
        );
    }
}

#[test]
fn no_layer_holds_a_secret() {
    let dockerfile = Dockerfile::parse(&read(FILE)).unwrap();
    for instruction in &dockerfile.instructions {
        let names: Vec<String> = match instruction {
            Instruction::Arg(arg) => vec![arg.name.content.clone()],
            Instruction::Env(env) => env.vars.iter().map(|var| var.key.content.clone()).collect(),
            Instruction::Misc(other) => {
                assert_ne!(other.instruction.content.to_ascii_uppercase(), "ADD");
                continue;
            }
            _ => continue,
        };
        for name in names {
            let secret = ["PASS", "SECRET", "TOKEN", "KEY", "URL"];
            assert!(!secret.iter().any(|word| name.contains(word)), "{name}");
        }
    }
    // What is not named is not sent to the builder: deploy/secrets is not.
    let ignored = read("deploy/docker/Dockerfile.dockerignore");
    let lines: Vec<&str> = ignored
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(lines[0], "*");
    assert!(!ignored.contains("!deploy"), "{ignored}");
}
