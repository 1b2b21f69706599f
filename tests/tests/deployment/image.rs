//! The Dockerfile: small, without root, without secrets.

use std::process::Command;

use dockerfile_parser::{Dockerfile, Instruction};

use crate::{path, read};

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
        let documents = usize::from(name != "seed");
        assert_eq!(
            copied,
            2 + documents,
            "{name}: a directory, the program, its documents"
        );
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

#[test]
fn base_images_are_of_the_current_debian_and_pinned() {
    let dockerfile = Dockerfile::parse(&read(FILE)).unwrap();
    let arguments: Vec<(String, String)> = dockerfile
        .instructions
        .iter()
        .filter_map(Instruction::as_arg)
        .filter_map(|arg| {
            Some((
                arg.name.content.clone(),
                arg.value.as_ref()?.content.clone(),
            ))
        })
        .collect();
    let mut images = 0;
    for (name, image) in &arguments {
        if !name.ends_with("_IMAGE") {
            continue;
        }
        let (tag, digest) = image
            .split_once("@sha256:")
            .unwrap_or_else(|| panic!("{image} is not pinned"));
        assert!(
            digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{image}"
        );
        assert!(
            tag.contains("trixie") || tag.contains("debian13"),
            "{image}"
        );
        images += 1;
    }
    assert_eq!(images, 2, "{arguments:?}");
    // Every stage begins with one of them, or with another stage.
    let mut stages = Vec::new();
    for instruction in &dockerfile.instructions {
        if let Some(from) = instruction.as_from() {
            let image = &from.image.content;
            let variable = image.trim_start_matches("${").trim_end_matches('}');
            let is_argument = arguments.iter().any(|(name, _)| name == variable);
            assert!(is_argument || stages.contains(image), "{image}");
            stages.push(from.alias.as_ref().unwrap().content.clone());
        }
    }
}

#[test]
fn images_contain_the_licenses_that_are_allowed() {
    let list = |file: &str, path: [&str; 2]| -> Vec<String> {
        let table: toml::Table = read(file).parse().unwrap();
        let value = table.get(path[0]).unwrap();
        let list = value.get(path[1]).unwrap_or(value).as_array().unwrap();
        let names = list.iter().map(|name| name.as_str().unwrap().to_owned());
        names.collect()
    };
    // `cargo deny` checks the list; `cargo about` would otherwise fail when an image is built.
    assert_eq!(
        list("about.toml", ["accepted", ""]),
        list("deny.toml", ["licenses", "allow"])
    );
    let ignored = read("deploy/docker/Dockerfile.dockerignore");
    for file in ["about.toml", "about.hbs", "LICENSE"] {
        assert!(
            ignored.lines().any(|line| line == format!("!{file}")),
            "{file}"
        );
    }
}

#[test]
fn the_digests_of_base_images_can_be_renewed() {
    let directory = tempfile::tempdir().unwrap();
    let here = |name: &str| directory.path().join(name);
    for file in ["Dockerfile", "pin.sh"] {
        std::fs::copy(path(&format!("deploy/docker/{file}")), here(file)).unwrap();
    }
    let answer = |text: &str| {
        let script = format!("#!/bin/sh\necho '{text}'\n");
        std::fs::write(here("docker"), script).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(here("docker"), executable).unwrap();
        let searched = format!("{}:/usr/bin:/bin", directory.path().display());
        let mut command = Command::new(here("pin.sh"));
        command.env("PATH", searched).output().unwrap()
    };
    let refused = answer("not found");
    assert!(!refused.status.success(), "{refused:?}");
    assert_eq!(
        std::fs::read_to_string(here("Dockerfile")).unwrap(),
        read(FILE)
    );

    let digest = format!("sha256:{}", "7".repeat(64));
    let renewed = answer(&digest);
    assert!(renewed.status.success(), "{renewed:?}");
    let dockerfile = std::fs::read_to_string(here("Dockerfile")).unwrap();
    assert_eq!(dockerfile.matches(&digest).count(), 2, "{dockerfile}");
    assert_eq!(dockerfile.lines().count(), read(FILE).lines().count());
    let said = String::from_utf8(renewed.stdout).unwrap();
    assert!(
        said.contains("RUST_IMAGE") && said.contains("RUNTIME_IMAGE"),
        "{said}"
    );
}
