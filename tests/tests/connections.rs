//! The ways to a database and to its password, against a real PostgreSQL server: every form of a
//! connection, Unix sockets, IPv6, libpq's variables and files, password files, commands and the
//! prompt.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use harness::executable::binary;
use harness::services::{Database, Postgres, Standin, StandinTls, shared_rabbitmq};
use shared::endpoint::Endpoint;
use tests::product::{Run, Workplace, finish};

/// How long the terminal may stay silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a table, and a directory in which the product runs.
struct Scene {
    server: Postgres,
    database: Database,
    login: Endpoint,
    here: Workplace,
}

impl Scene {
    fn new() -> Self {
        let server = Postgres::start().unwrap();
        let database = server.create_database("shop").unwrap();
        database
            .execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')")
            .unwrap();
        let login = Endpoint::from_url("e", &database.url()).unwrap();
        Self {
            server,
            database,
            login,
            here: Workplace::new(""),
        }
    }

    fn password(&self) -> &str {
        self.login.password.reveal()
    }

    /// The URL without its password.
    fn url(&self) -> String {
        let Endpoint { user, port, .. } = &self.login;
        format!("postgres://{user}@127.0.0.1:{port}/shop")
    }

    /// Compares the table with itself over two connections that are both written as `url`.
    fn compare(&self, url: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let urls = ["--source-url", url, "--target-url", url];
        self.run(&[&urls[..], arguments].concat(), variables)
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let usual = [
            "run",
            "--tables",
            "t",
            "--row-level",
            "--allow-same",
            "--no-store",
        ];
        let arguments = [&usual[..], arguments].concat();
        let mut command = self.here.command("reconcile", &arguments);
        command.env("HOME", self.here.path());
        command.envs(variables.iter().copied());
        finish(&mut command)
    }

    /// Writes a file of the working directory that only this user can read.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.here.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn assert_equal(&self, what: &str, run: &Run) {
        assert_eq!(run.code, 0, "{what}: {run:?}");
        assert!(run.stdout.contains("EQUAL: "), "{what}: {run:?}");
        self.assert_hidden(what, run);
    }

    fn assert_hidden(&self, what: &str, run: &Run) {
        let shown = format!("{}{}", run.stdout, run.stderr);
        assert!(!shown.contains(self.password()), "{what}: {run:?}");
    }
}

#[test]
fn a_database_is_reached_by_every_form_of_its_connection() {
    let scene = Scene::new();
    let Endpoint {
        user,
        port,
        password,
        ..
    } = &scene.login;
    let password = password.reveal();
    let socket = scene.server.socket_directory().display();
    for url in [
        format!("postgres://{user}:{password}@127.0.0.1:{port}/shop"),
        format!("postgresql://{user}:{password}@localhost:{port}/shop?sslmode=disable"),
        format!("jdbc:postgresql://127.0.0.1:{port}/shop?user={user}&password={password}"),
        format!("host=127.0.0.1 port={port} dbname=shop user={user} password='{password}'"),
        format!("Host=127.0.0.1;Port={port};Database=shop;Username={user};Password=\"{password}\""),
        format!("host={socket} port={port} dbname=shop user={user} password={password}"),
        format!("postgres://{user}:{password}@localhost:{port}/shop?host={socket}"),
    ] {
        scene.assert_equal(&url, &scene.compare(&url, &[], &[]));
    }
}

#[test]
fn sql_server_is_reached_by_every_form_of_its_connection() {
    let scene = Scene::new();
    scene
        .database
        .execute("CREATE SCHEMA dbo; CREATE TABLE dbo.t AS TABLE t; ALTER TABLE dbo.t ADD PRIMARY KEY (id)")
        .unwrap();
    let standin = Standin::start(&scene.database.url(), "shop", StandinTls::On).unwrap();
    let password = std::fs::read_to_string(standin.password_file()).unwrap();
    let (port, password) = (standin.port(), password.trim_end());
    let target = format!("{}?schema=dbo", scene.database.url());
    let compare = |url: &str, arguments: &[&str]| {
        let urls = ["--source-url", url, "--target-url", &target];
        let run = scene.run(&[&urls[..], arguments].concat(), &[]);
        scene.assert_equal(url, &run);
        let shown = format!("{}{}", run.stdout, run.stderr);
        assert!(!shown.contains(password), "{url}: {run:?}");
    };
    for url in [
        format!(
            "Server=tcp:127.0.0.1,{port};Database=shop;User Id=sa;Password=\"{password}\";Encrypt=true;TrustServerCertificate=true;Application Name=x"
        ),
        format!(
            "Driver={{ODBC Driver 18 for SQL Server}};Server=127.0.0.1,{port};Database=shop;UID=sa;PWD={{{password}}};Encrypt=yes;TrustServerCertificate=yes"
        ),
        format!(
            "jdbc:sqlserver://127.0.0.1:{port};databaseName=shop;user=sa;password={{{password}}};encrypt=true;trustServerCertificate=true"
        ),
        format!(
            "sqlserver://sa:{password}@127.0.0.1:{port}?database=shop&TrustServerCertificate=true"
        ),
    ] {
        compare(&url, &[]);
    }
    let file = standin.password_file();
    let authority = standin.ca_file();
    let url = format!(
        "mssql://sa@127.0.0.1:{port}/shop?ca_file={}",
        authority.display()
    );
    compare(&url, &["--source-password-file", file.to_str().unwrap()]);
}

#[test]
fn a_server_is_reached_by_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6 loopback address");
        return;
    }
    let scene = Scene::new();
    scene
        .database
        .execute("ALTER SYSTEM SET listen_addresses = '127.0.0.1,::1'")
        .unwrap();
    // The server does not wait for the disk when it commits.
    scene.database.execute("CHECKPOINT").unwrap();
    scene.server.kill().unwrap();
    scene.server.restart().unwrap();
    let Endpoint { user, port, .. } = &scene.login;
    let password = scene.password();
    for url in [
        format!("postgres://{user}:{password}@[::1]:{port}/shop"),
        format!("host=::1 port={port} dbname=shop user={user} password={password}"),
    ] {
        scene.assert_equal(&url, &scene.compare(&url, &[], &[]));
    }
}

#[test]
fn a_password_need_not_be_in_the_url() {
    let scene = Scene::new();
    let Endpoint { user, port, .. } = &scene.login;
    let (url, password) = (scene.url(), scene.password());
    let refused = scene.compare(&url, &[], &[]);
    assert_eq!(refused.code, 3, "{refused:?}");

    let file = scene.write("password", &format!("{password}\n"));
    let file = file.to_str().unwrap();
    let files = [
        "--source-password-file",
        file,
        "--target-password-file",
        file,
    ];
    scene.assert_equal("files", &scene.compare(&url, &files, &[]));
    let variables = [
        ("RECONCILE_SOURCE_PASSWORD", password),
        ("RECONCILE_TARGET_PASSWORD", password),
    ];
    scene.assert_equal("variables", &scene.compare(&url, &[], &variables));
    let variables = [("PGPASSWORD", password)];
    scene.assert_equal("PGPASSWORD", &scene.compare(&url, &[], &variables));

    let pass_file = scene.write(
        ".pgpass",
        &format!("127.0.0.1:{port}:*:{user}:{password}\n"),
    );
    scene.assert_equal("~/.pgpass", &scene.compare(&url, &[], &[]));
    std::fs::set_permissions(pass_file, Permissions::from_mode(0o644)).unwrap();
    let ignored = scene.compare(&url, &[], &[]);
    assert_eq!(ignored.code, 3, "{ignored:?}");
    assert!(ignored.stderr.contains("0600"), "{ignored:?}");
    scene.assert_hidden("~/.pgpass", &ignored);

    let service = format!(
        "[shop]\nhost=127.0.0.1\nport={port}\nuser={user}\npassword={password}\ndbname=shop\n"
    );
    scene.write(".pg_service.conf", &service);
    scene.assert_equal("a service", &scene.compare("service=shop", &[], &[]));
    let absent = scene.compare("service=absent", &[], &[]);
    assert_eq!(absent.code, 2, "{absent:?}");
    assert!(absent.stderr.contains("no service `absent`"), "{absent:?}");
}

#[test]
fn libpqs_variables_describe_the_target() {
    let scene = Scene::new();
    let Endpoint { user, port, .. } = &scene.login;
    let port = port.to_string();
    let variables = [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", port.as_str()),
        ("PGDATABASE", "shop"),
        ("PGUSER", user),
        ("PGPASSWORD", scene.password()),
    ];
    let run = scene.run(&["--source-url", "postgres:///"], &variables);
    scene.assert_equal("libpq's variables", &run);
}

#[test]
fn a_command_prints_the_password_once_for_an_endpoint() {
    let scene = Scene::new();
    let (url, password) = (scene.url(), scene.password());
    let runs = scene.here.path().join("runs");
    let endpoint = |name: &str, script: &str| {
        format!(
            "[endpoints.{name}]\nurl = '{url}'\npassword_command = ['/bin/sh', '-c', \"{script}\"]\n"
        )
    };
    let prints = format!("echo run >> {}; echo '{password}'", runs.display());
    let fails = format!("echo 'denied: password={password}' >&2; exit 7");
    let configuration = [
        endpoint("a", &prints),
        endpoint("b", &prints),
        endpoint("c", &fails),
    ];
    scene.write("reconcile.toml", &configuration.concat());
    let run = scene.run(&["--source", "a", "--target", "b"], &[]);
    scene.assert_equal("a command", &run);
    assert_eq!(std::fs::read_to_string(&runs).unwrap().lines().count(), 2);

    let failed = scene.run(&["--source", "a", "--target", "c"], &[]);
    assert_eq!(failed.code, 3, "{failed:?}");
    let shown = format!("{}{}", failed.stdout, failed.stderr);
    for words in ["exit status: 7", "denied: password=***"] {
        assert!(shown.contains(words), "{failed:?}");
    }
    scene.assert_hidden("a command that fails", &failed);
}

#[test]
fn a_worker_takes_passwords_from_the_sources_of_its_own_configuration() {
    let scene = Scene::new();
    let broker = shared_rabbitmq().create_vhost().unwrap();
    let Endpoint { user, port, .. } = &scene.login;
    let file = scene.write("password", scene.password());
    let file = file.display();
    let url = format!("host=127.0.0.1 port={port} dbname=shop user={user}");
    let configuration = format!(
        "[endpoints.a]\nurl = '{url}'\npassword_command = ['cat', '{file}']\n\
         [endpoints.b]\nurl = '{url}'\npassword_file = '{file}'\n"
    );
    scene.write("reconcile.toml", &configuration);
    let broker = ["--broker", broker.amqp_url()];
    let _worker = scene.here.worker(&broker);
    let run = scene.run(
        &[&broker[..], &["--source", "a", "--target", "b"]].concat(),
        &[],
    );
    scene.assert_equal("a worker", &run);
}

/// `reconcile` with these arguments on a terminal of its own, whose name is in the file `terminal`.
fn on_terminal(here: &Workplace, arguments: &str) -> Command {
    let program = binary("reconcile").unwrap();
    let line = format!("tty > terminal; exec {} {arguments}", program.display());
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(here.path());
    for (name, value) in here.command("reconcile", &[]).get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script.env("HOME", here.path()).env("SHELL", "/bin/sh");
    script
}

/// Waits until the terminal does not show what is typed.
fn wait_until_hidden(here: &Workplace) {
    let terminal = std::fs::read_to_string(here.path().join("terminal")).unwrap();
    let start = Instant::now();
    loop {
        let settings = Command::new("stty")
            .args(["-a", "-F", terminal.trim()])
            .output()
            .unwrap();
        if String::from_utf8_lossy(&settings.stdout).contains(" -echo ") {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{settings:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_user_at_a_terminal_is_asked_for_the_password() {
    let scene = Scene::new();
    let url = scene.url();
    let arguments = format!(
        "run --source-url '{url}' --target-url '{url}' --tables t --row-level --allow-same --no-store"
    );
    let mut child = on_terminal(&scene.here, &arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let (sender, printed) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut shown = String::new();
    let mut answered = 0;
    while let Ok(bytes) = printed.recv_timeout(PATIENCE) {
        shown.push_str(&String::from_utf8_lossy(&bytes));
        let asked = shown.matches("Password of ").count();
        if asked > answered && shown.trim_end().ends_with(':') {
            answered = asked;
            wait_until_hidden(&scene.here);
            writeln!(input, "{}", scene.password()).unwrap();
        }
    }
    drop(input);
    // Ends also a program that went silent.
    child.kill().ok();
    let status = child.wait().unwrap();
    reader.join().unwrap();
    assert_eq!(answered, 2, "{status}: {shown}");
    assert!(
        status.success() && shown.contains("1 matched"),
        "{status}: {shown}"
    );
    assert!(!shown.contains(scene.password()), "{shown}");
}
