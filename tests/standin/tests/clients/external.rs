//! The clients that are separate programs: python3-tds and `tsql`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::fixture::{DATABASE, PASSWORD, USER};

/// Sends requests to python3-tds and returns its answers; the first is that of the login.
pub(crate) async fn pytds(port: u16, extra: Value, requests: Vec<Value>) -> Vec<Value> {
    let mut login = json!({
        "host": "127.0.0.1", "port": port, "user": USER, "password": PASSWORD, "database": DATABASE,
    });
    let (Value::Object(fields), Value::Object(extra)) = (&mut login, extra) else {
        panic!("the extra settings are not an object");
    };
    fields.extend(extra);
    let mut input = format!("{login}\n");
    for request in requests {
        input.push_str(&format!("{request}\n"));
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/pytds_client.py");
    // Debian's packages need Debian's Python, which may not be the first on PATH.
    let output = output(
        Command::new("/usr/bin/python3").arg(script),
        input,
        "python3-tds (and python3-openssl)",
    )
    .await;
    output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Sends a batch to FreeTDS's `tsql` and returns its output: a line per row, with tabs between
/// the columns.
pub(crate) async fn tsql(port: u16, batch: &str) -> String {
    // The output must not depend on the settings of the machine.
    tsql_with(port, Path::new("/dev/null"), batch).await
}

/// [`tsql`] with a settings file.
pub(crate) async fn tsql_with(port: u16, settings: &Path, batch: &str) -> String {
    let mut command = tsql_command((USER, PASSWORD), port, settings);
    output(&mut command, of_tsql(batch), "freetds-bin").await
}

/// Whether `tsql` can log in. A user with a domain logs in with NTLM.
pub(crate) async fn tsql_logs_in(user: (&str, &str), port: u16) -> bool {
    let mut command = tsql_command(user, port, Path::new("/dev/null"));
    let ended = end_of(&mut command, of_tsql("SELECT 1"), "freetds-bin").await;
    ended.status.success()
}

fn of_tsql(batch: &str) -> String {
    format!("{batch}\ngo\nexit\n")
}

fn tsql_command((user, password): (&str, &str), port: u16, settings: &Path) -> Command {
    let mut command = Command::new("tsql");
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    command.args(["-U", user, "-P", password, "-D", DATABASE, "-o", "fhq"]);
    command.env("TDSVER", "7.4").env("FREETDSCONF", settings);
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// Runs a client to its end and returns its standard output.
async fn output(command: &mut Command, input: String, package: &str) -> String {
    let output = end_of(command, input, package).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !errors.contains("ModuleNotFoundError"),
        "install the Debian package {package}: {errors}"
    );
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

async fn end_of(command: &mut Command, input: String, package: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("cannot run {command:?}: {error}; install the Debian package {package}")
        });
    let mut stdin = child.stdin.take().unwrap();
    // The server under test runs on this runtime, so the runtime must not be blocked.
    tokio::task::spawn_blocking(move || {
        // A client that has already exited reports the reason itself.
        stdin.write_all(input.as_bytes()).ok();
        drop(stdin);
    })
    .await
    .unwrap();
    tokio::task::spawn_blocking(|| child.wait_with_output().unwrap())
        .await
        .unwrap()
}
