//! The systemd units, by systemd's own checks.

use std::process::{Command, Output};

use harness::executable::binary;
use tempfile::TempDir;
use tests::product::Workplace;

use crate::{files, read};

const DIRECTORY: &str = "deploy/systemd";

/// The units in a private directory, with the programs of this build instead of
/// installed ones, because systemd checks that they exist.
fn installed() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for file in files(DIRECTORY, "") {
        let mut text = read(&file);
        for program in ["reconcile-worker", "reconcile"] {
            text = text.replace(
                &format!("ExecStart=/usr/local/bin/{program} "),
                &format!("ExecStart={} ", binary(program).unwrap().display()),
            );
        }
        let name = file.rsplit('/').next().unwrap();
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn analyze(directory: &TempDir, arguments: &[&str]) -> Output {
    Command::new("systemd-analyze")
        .args(arguments)
        .current_dir(directory.path())
        .env("SYSTEMD_LOG_LEVEL", "warning")
        .output()
        .expect("systemd-analyze is installed (Debian package systemd)")
}

#[test]
fn systemd_understands_every_line() {
    let directory = installed();
    let units = [
        "./reconcile-worker@1.service",
        "./reconcile-run.service",
        "./reconcile-run.timer",
    ];
    let verify = |directory: &TempDir| {
        let output = analyze(directory, &[&["verify", "--man=no"], &units[..]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Of the machine's own units something may be said too.
        let ours: Vec<String> = said
            .lines()
            .filter(|line| line.contains("reconcile"))
            .map(str::to_owned)
            .collect();
        (output.status.success(), ours)
    };
    assert_eq!(verify(&directory), (true, Vec::new()));

    // A misspelt setting is seen.
    let worker = directory.path().join("reconcile-worker@.service");
    let text = std::fs::read_to_string(&worker).unwrap();
    std::fs::write(&worker, text.replace("NoNewPrivileges=", "NoNewPrivilegs=")).unwrap();
    let (_, said) = verify(&directory);
    assert!(
        said.iter().any(|line| line.contains("NoNewPrivilegs")),
        "{said:?}"
    );
}

#[test]
fn units_are_confined() {
    let directory = installed();
    for unit in ["./reconcile-worker@1.service", "./reconcile-run.service"] {
        // Of 10, where a service without any setting has 9.6; --threshold counts tenths.
        let output = analyze(
            &directory,
            &["security", "--offline=true", "--threshold=20", unit],
        );
        assert!(
            output.status.success(),
            "{unit}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

#[test]
fn secrets_are_handed_over_as_credentials_and_metrics_see_proc() {
    for file in files(DIRECTORY, ".service") {
        let unit = read(&file);
        let values = |key: &str| -> Vec<String> {
            let values = unit.lines().filter_map(|line| line.strip_prefix(key));
            values.map(str::to_owned).collect()
        };
        let loaded: Vec<String> = values("LoadCredential=")
            .iter()
            .map(|credential| credential.split(':').next().unwrap().to_owned())
            .collect();
        let here = Workplace::new("");
        let mut command = here.command("reconcile", &["config"]);
        let mut given = Vec::new();
        for variable in values("Environment=") {
            let (name, value) = variable.split_once('=').unwrap();
            let Some(credential) = value.strip_prefix("%d/").map(str::to_owned) else {
                continue;
            };
            let path = here.path().join(&credential);
            std::fs::write(
                &path,
                "amqps://reconcile:0123456789abcdef0123456789abcdef@rabbit/x",
            )
            .unwrap();
            command.env(name, &path);
            if let Some(endpoint) = name.strip_prefix("RECONCILE_ENDPOINTS_") {
                let endpoint = endpoint.strip_suffix("_PASSWORD_FILE").unwrap();
                command.env(
                    format!("RECONCILE_ENDPOINTS_{endpoint}_URL"),
                    "postgres://u@h/d?sslmode=require",
                );
            }
            given.push(credential);
        }
        assert_eq!(loaded, given, "{file}");
        assert!(given.len() >= 2, "{file}");
        // The variables are those of the configuration.
        let output = command.output().unwrap();
        assert!(output.status.success(), "{file}: {output:?}");
        assert!(!values("LimitNOFILE=").is_empty(), "{file}");
        // procfs without /proc/stat has no time of boot: process_start_time_seconds would be 0.
        assert!(values("ProcSubset=").is_empty(), "{file}");
    }
}

#[test]
fn a_worker_may_drain_before_it_is_killed() {
    let unit = read("deploy/systemd/reconcile-worker@.service");
    let line = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key}"))
    };
    let arguments: Vec<String> = line("ExecStart=")
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let drain: u64 = crate::flag_value(&arguments, "--drain-grace")
        .unwrap()
        .parse()
        .unwrap();
    let stop: u64 = line("TimeoutStopSec=")
        .trim_end_matches('s')
        .parse()
        .unwrap();
    assert!(stop >= drain + 30, "{stop} s for {drain} s");
}

#[test]
fn a_run_shows_its_metrics_where_no_worker_does() {
    let address = |unit: &str| {
        let text = read(unit);
        let words: Vec<String> = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .unwrap()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        crate::flag_value(&words, "--metrics-addr").unwrap()
    };
    let worker = address("deploy/systemd/reconcile-worker@.service");
    let run = address("deploy/systemd/reconcile-run.service");
    let workers: Vec<String> = (1..=9)
        .map(|number| worker.replace("%i", &number.to_string()))
        .collect();
    assert!(!workers.contains(&run), "{run} is one of {workers:?}");
}
