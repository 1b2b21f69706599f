//! The forms in which connections are pasted: what is accepted, what is refused, and that no
//! message repeats a password.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::*;

/// SQL Server at db:1433, database shop, user sa, password `p@ss`.
const SQL_SERVER: &[&str] = &[
    "mssql://sa:p%40ss@db:1433/shop",
    "mssql://sa:p@ss@db/shop",
    "sqlserver://sa:p%40ss@db/shop",
    "SQLServer://sa:p%40ss@db?database=shop",
    "mssql://sa:p%40ss@db/shop?encrypt=true&applicationName=app",
    "mssql://db/shop?user=sa&password=p%40ss",
    "Server=db;Database=shop;User Id=sa;Password=p@ss",
    "Data Source=tcp:db,1433;Initial Catalog=shop;User ID=sa;Password=p@ss;Encrypt=Mandatory;",
    "addr=db; database = shop ; UID = sa ; PWD = p@ss ; Trusted_Connection=no",
    "Network Address=db;Database='shop';User=sa;Password=\"p@ss\";Pooling=true;MultipleActiveResultSets=False;Connect Timeout=15;Application Name=x;Persist Security Info=False",
    "Driver={ODBC Driver 18 for SQL Server};Server=tcp:db,1433;Database=shop;Uid=sa;Pwd={p@ss};Encrypt=yes;TrustServerCertificate=no;",
    "jdbc:sqlserver://db:1433;databaseName=shop;user=sa;password=p@ss",
    "jdbc:sqlserver://db;databaseName=shop;user=sa;password={p@ss};encrypt=true;trustServerCertificate=false;loginTimeout=15;",
    "jdbc:sqlserver://;serverName=db;portNumber=1433;database=shop;userName=sa;password=p@ss",
];

/// PostgreSQL at db:5432, database shop, user u, password `p@ss`.
const POSTGRES: &[&str] = &[
    "postgres://u:p%40ss@db:5432/shop",
    "postgres://u:p@ss@db/shop",
    "postgresql://u:p%40ss@db/shop?sslmode=verify-full",
    "postgresql://db/shop?user=u&password=p%40ss&application_name=x",
    "postgres://u:p%40ss@db/?dbname=shop",
    "host=db dbname=shop user=u password=p@ss",
    "user = u password='p@ss' host = db port=5432 dbname='shop' connect_timeout=15 sslmode=require",
    "jdbc:postgresql://db:5432/shop?user=u&password=p%40ss",
    "jdbc:postgresql://u:p%40ss@db/shop?ssl=true&currentSchema=public&tcpKeepAlive=true",
    "Host=db;Port=5432;Database=shop;Username=u;Password=p@ss;SSL Mode=VerifyFull",
    "Server=db;Port=5432;Database=shop;User Id=u;Password=p@ss;",
    "Driver={PostgreSQL Unicode};Server=db;Port=5432;Database=shop;Uid=u;Pwd=p@ss;",
];

fn parse(text: &str) -> Endpoint {
    Endpoint::from_url("a", text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str) -> String {
    match Endpoint::from_url("a", text) {
        Ok(endpoint) => panic!("{text} is accepted: {endpoint:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn all_forms_of_a_connection_give_equal_endpoints() {
    for forms in [SQL_SERVER, POSTGRES] {
        let first = parse(forms[0]);
        assert_eq!(first.password.reveal(), "p@ss");
        for text in forms {
            assert_eq!(parse(text), first, "{text}");
        }
    }
    let (mssql, postgres) = (parse(SQL_SERVER[0]), parse(POSTGRES[0]));
    assert_eq!(mssql.kind, DatabaseKind::SqlServer);
    assert_eq!((mssql.host.as_str(), mssql.port), ("db", 1433));
    assert_eq!(
        (mssql.database.as_str(), mssql.user.as_str()),
        ("shop", "sa")
    );
    assert_eq!(postgres.kind, DatabaseKind::Postgres);
    assert_eq!((postgres.host.as_str(), postgres.port), ("db", 5432));
    assert_eq!(
        (postgres.database.as_str(), postgres.user.as_str()),
        ("shop", "u")
    );
}

#[test]
fn values_are_quoted_as_each_form_quotes_them() {
    for (text, password) in [
        (
            "Server=h;Database=d;UID=u;PWD=\"a;b=\"\"c\"\"'\"",
            "a;b=\"c\"'",
        ),
        ("Server=h;Database=d;UID=u;PWD='a;\"b''c'", "a;\"b'c"),
        ("Server=h;Database=d;UID=u;PWD={a}", "{a}"),
        ("Driver={x};Server=h;Database=d;UID=u;PWD={a;b}}c}", "a;b}c"),
        ("Driver={x};Server=h;Database=d;UID=u;PWD='a'", "'a'"),
        (
            "jdbc:sqlserver://h;databaseName=d;user=u;password={p@;s}}s}",
            "p@;s}s",
        ),
        ("host=h dbname=d user=u password='a b\\'c\\\\'", "a b'c\\"),
        ("host=h dbname=d user=u password=a\\ b", "a b"),
        ("host=h dbname=d user=u password=a;b", "a;b"),
        ("password='a;b' host=h dbname=d user=u", "a;b"),
        ("postgres://u:a%20b%2f%3F@h/d", "a b/?"),
        ("postgres://h/d?user=u&password=a+b", "a+b"),
        ("jdbc:postgresql://h/d?user=u&password=a+b", "a b"),
        ("mssql://u:a:b@c@h/d", "a:b@c"),
    ] {
        assert_eq!(parse(text).password.reveal(), password, "{text}");
    }
    assert_eq!(parse("mssql://user@server:p@h/d").user, "user@server");
    assert_eq!(parse("mssql://DOM\\u:p@h/d").user, "DOM\\u");
}

#[test]
fn hosts_ports_and_instances_are_found_in_every_form() {
    for (text, host, port) in [
        ("postgres://u@[::1]:5433/d", "::1", 5433),
        ("postgres://u@[::1]/d", "::1", 5432),
        ("host=::1 port=5433 dbname=d user=u", "::1", 5433),
        ("mssql://u:p@[::1]:1444/d", "::1", 1444),
        ("Server=[::1],1444;Database=d;UID=u;PWD=p", "::1", 1444),
        (
            "jdbc:sqlserver://[::1]:1444;databaseName=d;user=u;password=p",
            "::1",
            1444,
        ),
        (
            "postgres://u@localhost/d?host=/run/pg&port=5433",
            "/run/pg",
            5433,
        ),
        ("postgres://u@%2Frun%2Fpg/d", "/run/pg", 5432),
        ("postgresql:///d?host=/run/pg&user=u", "/run/pg", 5432),
        ("host=/run/pg dbname=d user=u", "/run/pg", 5432),
        ("Server=.;Database=d;UID=u;PWD=p", "localhost", 1433),
        (
            "Server=(local),1444;Database=d;UID=u;PWD=p",
            "localhost",
            1444,
        ),
    ] {
        let endpoint = parse(text);
        assert_eq!(
            (endpoint.host.as_str(), endpoint.port),
            (host, port),
            "{text}"
        );
    }
    for text in [
        "Server=db\\INST;Database=d;UID=u;PWD=p",
        "mssql://u:p@db/INST?database=d",
        "mssql://u:p@db\\INST/d",
        "jdbc:sqlserver://db\\INST;databaseName=d;user=u;password=p",
        "jdbc:sqlserver://db;instanceName=INST;databaseName=d;user=u;password=p",
    ] {
        let endpoint = parse(text);
        assert_eq!(endpoint.route.instance.as_deref(), Some("INST"), "{text}");
        assert_eq!(endpoint.server(), "db\\INST");
    }
    assert_eq!(
        parse("Server=db\\INST,1444;Database=d;UID=u;PWD=p")
            .route
            .instance,
        None
    );
}

#[test]
fn tls_is_required_unless_the_text_says_otherwise() {
    for (text, mode) in [
        ("mssql://u:p@127.0.0.1/d", TlsMode::Require),
        ("mssql://u:p@h/d?encrypt=false", TlsMode::Off),
        (
            "Server=h;Database=d;UID=u;PWD=p;Encrypt=Optional",
            TlsMode::Off,
        ),
        ("postgres://u:p@h/d", TlsMode::Require),
        ("postgres://u:p@h/d?sslmode=prefer", TlsMode::Prefer),
        ("postgres://u:p@h/d?sslmode=disable", TlsMode::Off),
        (
            "Host=h;Database=d;Username=u;SSL Mode=Disable",
            TlsMode::Off,
        ),
        ("postgres://u:p@[::1]/d", TlsMode::Off),
        ("host=/run/pg dbname=d user=u", TlsMode::Off),
        (
            "postgres://u@127.0.0.1/d?sslcert=/c.pem&sslkey=/k.pem",
            TlsMode::Require,
        ),
    ] {
        let tls = parse(text).tls;
        assert_eq!(
            (tls.mode, tls.trust_server_certificate),
            (mode, false),
            "{text}"
        );
    }
    let tls = parse("host=h dbname=d user=u sslrootcert=/ca.pem sslcert=/c.pem sslkey=/k.pem").tls;
    assert_eq!(tls.ca_file.as_deref(), Some(Path::new("/ca.pem")));
    let certificate = tls.client_certificate.unwrap();
    assert_eq!(certificate.key, PathBuf::from("/k.pem"));
    assert!(
        parse("Server=h;Database=d;UID=u;PWD=p;TrustServerCertificate=true")
            .tls
            .trust_server_certificate
    );
}

#[test]
fn settings_of_this_program_may_be_in_every_form() {
    for text in [
        "postgres://u@h/d?schema=s&max_connections=3&statement_timeout=60&connect_timeout=5",
        "host=h dbname=d user=u options='-c search_path=s' max_connections=3 statement_timeout=60 connect_timeout=5",
        "Host=h;Database=d;Username=u;Search Path=s;Max_Connections=3;statement_timeout=60;Timeout=5",
        "jdbc:postgresql://h/d?user=u&currentSchema=s&max_connections=3&statement_timeout=60&loginTimeout=5",
    ] {
        let endpoint = parse(text);
        assert_eq!(
            (endpoint.schema.as_str(), endpoint.max_connections),
            ("s", Some(3)),
            "{text}"
        );
        assert_eq!(endpoint.statement_timeout, Some(Duration::from_secs(60)));
        assert_eq!(endpoint.connect_timeout, Duration::from_secs(5));
    }
}

#[test]
fn what_is_refused_is_named_with_what_to_do() {
    for (text, words) in [
        (
            "mysql://u:p@h/d",
            "write mssql://user:password@host:1433/database",
        ),
        ("erp", "host=… dbname=…"),
        ("postgres://u:p@h", "lacks database"),
        ("mssql://h", "lacks database, user"),
        ("Server=h;Database=d", "lacks user"),
        ("mssql://u:a/b@h/d", "/ as %2F"),
        ("mssql://u:a#b@h/d", "# as %23"),
        ("mssql://u:a?b@h/d", "? as %3F"),
        ("mssql://u:a@b/c@h/d", "@ as %40"),
        ("mssql://u:p@h:99999/d", "1 to 65535"),
        (
            "postgres://u:p@h/d?sslmode=maybe",
            "sslmode=maybe: write disable",
        ),
        (
            "postgres://u:p@h/d?slmode=require",
            "did you mean `sslmode`?",
        ),
        ("postgres://u:p@h1:1,h2:2/d", "several hosts"),
        (
            "host=h hostaddr=10.0.0.1 dbname=d user=u",
            "write the address as host",
        ),
        (
            "host=h dbname=d user=u options='-c geqo=off'",
            "write schema=SCHEMA",
        ),
        (
            "host=h dbname=d user=u target_session_attrs=read-write",
            "`target_session_attrs=read-write` is not supported",
        ),
        (
            "host=h dbname=d user=u gssencmode=require",
            "`gssencmode=require` is not supported",
        ),
        ("host=h dbname=d user=u sslcert=/c.pem", "add sslkey"),
        ("host=h dbname=d user=u host=i", "given twice"),
        ("Server=h;Database=d;Integrated Security=SSPI", "auth=ntlm"),
        (
            "Server=h;Database=d;Authentication=Active Directory Default",
            "auth=token",
        ),
        (
            "Server=h;Database=d;UID=u;Failover Partner=a:b",
            "HOST:PORT",
        ),
        ("mssql://db.example/shop?auth=ntlm", "lacks user"),
        ("mssql://u:p@h/d?auth=windows", "ntlm"),
        ("mssql://u:p@h/d?encrypt=maybe", "strict"),
        ("mssql://h/d?auth=token", "no token_command"),
        ("postgres://u:p@h/d?auth=ntlm", "no option `auth`"),
        (
            "Server=h;Database=d;UID=u;PWD=p;ApplicationIntent=ReadWrite",
            "leave it out",
        ),
        (
            "Server=h;Database=d;UID=u;PWD=a;b;Encrypt=true",
            "quote a value",
        ),
        ("Server=h;Database=d;UID=u;PWD=a;b=c", "quote a password"),
        ("Server=h;Foo=1;Database=d;UID=u;PWD=p", "no option `Foo`"),
        ("host=h dbname=d user=u password=a b", "password='a b'"),
        ("host=h dbname=d user=u password='a", "no closing '"),
        ("jdbc:oracle:thin:@h:1521:d", "no kind of database here"),
    ] {
        let message = refusal(text);
        assert!(message.contains(words), "{text}: {message}");
    }
}

#[test]
fn a_connection_says_how_to_log_in_and_to_which_server() {
    let endpoint = parse(
        "mssql://CORP%5Cu:p@db.example/shop?auth=ntlm&spn=MSSQLSvc%2Fdb.example&encrypt=strict&\
         instance=SALES&multi_subnet_failover=true&failover_partner=db2.example:1444",
    );
    assert_eq!(endpoint.login.method, LoginMethod::Ntlm);
    assert_eq!(endpoint.login.spn.as_deref(), Some("MSSQLSvc/db.example"));
    assert_eq!(endpoint.tls.mode, TlsMode::Strict);
    assert_eq!(endpoint.location(), "SQL Server at db.example\\SALES/shop");
    assert!(endpoint.route.multi_subnet_failover);
    assert_eq!(endpoint.route.partner(1433), Some(("db2.example", 1444)));
}

#[test]
fn no_error_repeats_a_password() {
    for text in [
        "mysql://u:hunter2@h/d",
        "mssql://u:hunter2@h",
        "postgres://u:hunter2@h/d?sslmode=maybe",
        "u:hunter2@h/d",
        "mssql://u:hunter2@h:99999/d",
        "mssql://u:hunter2",
        "mssql://u:1433/hunter2@h/d",
        "mssql://u:1433?hunter2@h/d",
        "mssql://u:p@h/d?hunter2=x@h/d",
        "postgres://u:p#hunter2@h/d",
        "postgres://h/d?user=u&password=a&hunter2=b",
        "Server=h;User Id=sa;Password=hunter2",
        "Server=h;Password=a;hunter2",
        "Server=h;Password=a;hunter2=b",
        "Server=h;Password='a'hunter2",
        "jdbc:sqlserver://h;user=sa;password=hunter2",
        "jdbc:sqlserver://h;user=sa;password={a}hunter2",
        "host=h user=u password='hunter2'",
        "host=h user=u password=a hunter2=b",
        "host=h user=u password=a hunter2",
        "host=h password=hunter2 password=hunter3",
    ] {
        let error = refusal(text);
        assert!(!error.contains("hunter"), "{error}");
    }
}

/// A directory with the files that libpq reads, and the variables that name it.
struct Home {
    directory: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

impl Home {
    fn new(variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut variables: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let home = directory.path().display().to_string();
        variables.insert("PGSYSCONFDIR".to_owned(), format!("{home}/system"));
        variables.insert("HOME".to_owned(), home);
        Self {
            directory,
            variables,
        }
    }

    fn write(&self, file: &str, mode: u32, text: &str) {
        let path = self.directory.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn resolve(&self, text: &str) -> Result<Endpoint, EndpointError> {
        let libpq = LibpqEnvironment::from_variables(&self.variables);
        Connection::parse(text).unwrap().into_endpoint("a", &libpq)
    }
}

#[test]
fn libpqs_variables_complete_connections_of_postgresql() {
    let home = Home::new(&[
        ("PGHOST", "db"),
        ("PGPORT", "5433"),
        ("PGDATABASE", "shop"),
        ("PGUSER", "u"),
        ("PGPASSWORD", "hunter2"),
        ("PGSSLMODE", "prefer"),
        ("PGOPTIONS", "-c geqo=off"),
    ]);
    let endpoint = home.resolve("postgres:///").unwrap();
    assert_eq!(endpoint.location(), "PostgreSQL at db:5433/shop");
    assert_eq!(
        (endpoint.user.as_str(), endpoint.password.reveal()),
        ("u", "hunter2")
    );
    assert_eq!(endpoint.tls.mode, TlsMode::Prefer);
    let endpoint = home
        .resolve("host=i port=1 dbname=d user=v password=w sslmode=require")
        .unwrap();
    assert_eq!(endpoint.location(), "PostgreSQL at i:1/d");
    assert_eq!(
        (endpoint.user.as_str(), endpoint.password.reveal()),
        ("v", "w")
    );
    assert_eq!(endpoint.tls.mode, TlsMode::Require);
    let other = home.resolve("mssql://sa@h/d").unwrap();
    assert!(
        other.password.is_empty(),
        "SQL Server has no such variables"
    );
    let wrong = Home::new(&[("PGSSLMODE", "maybe")]);
    let error = wrong.resolve("postgres://u@h/d").unwrap_err().to_string();
    assert!(error.contains("PGSSLMODE: "), "{error}");
}

#[test]
fn a_service_completes_a_connection_before_the_variables_do() {
    let home = Home::new(&[("PGHOST", "elsewhere"), ("PGPASSWORD", "other")]);
    home.write(
        ".pg_service.conf",
        0o644,
        "[erp]\nhost=db\nport=5433\ndbname=shop\nuser=u\n",
    );
    home.write(
        "system/pg_service.conf",
        0o644,
        "[erp]\nhost=no\n[nightly]\nhost=db2\nservice=erp\n",
    );
    let endpoint = home.resolve("service=erp user=v").unwrap();
    assert_eq!(endpoint.location(), "PostgreSQL at db:5433/shop");
    assert_eq!(
        (endpoint.user.as_str(), endpoint.password.reveal()),
        ("v", "other")
    );
    let error = home.resolve("service=none").unwrap_err().to_string();
    assert!(
        error.contains("no service `none`") && error.contains(".pg_service.conf"),
        "{error}"
    );
    let error = home.resolve("service=nightly").unwrap_err().to_string();
    assert!(error.contains("names another service"), "{error}");
}

#[test]
fn the_password_file_is_the_last_source_of_a_password() {
    let home = Home::new(&[]);
    home.write(".pgpass", 0o600, "db:*:*:u:hunter2\n");
    let of = |text: &str| home.resolve(text).unwrap().password;
    assert_eq!(of("postgres://u@db/d").reveal(), "hunter2");
    assert_eq!(of("postgres://u:mine@db/d").reveal(), "mine");
    assert!(of("postgres://u@other/d").is_empty());
    assert!(of("mssql://u@db/d").is_empty());
    home.write("open", 0o644, "*:*:*:*:hunter2\n");
    let open = home.directory.path().join("open");
    let text = format!("host=db dbname=d user=v passfile={}", open.display());
    let endpoint = home.resolve(&text).unwrap();
    assert!(endpoint.password.is_empty());
    assert!(
        endpoint.warnings[0].contains("0600"),
        "{:?}",
        endpoint.warnings
    );
}

/// Accepted connections with `password`, in every form that can have it.
fn accepted(password: &str) -> Vec<String> {
    let encoded = utf8_percent_encode(password, NON_ALPHANUMERIC);
    let doubled = |mark: &str| password.replace(mark, &mark.repeat(2));
    let escaped = password.replace('\\', "\\\\").replace('\'', "\\'");
    vec![
        format!("mssql://u:{encoded}@h/d"),
        format!("sqlserver://h?database=d&user=u&password={encoded}"),
        format!("postgres://u:{encoded}@h/d"),
        format!("jdbc:postgresql://h/d?user=u&password={encoded}"),
        format!(
            "Server=h;Database=d;User Id=u;Password=\"{}\"",
            doubled("\"")
        ),
        format!("Server=h;Pwd='{}';UID=u;Database=d", doubled("'")),
        format!(
            "Driver={{x}};Server=h;Database=d;UID=u;PWD={{{}}}",
            doubled("}")
        ),
        format!(
            "jdbc:sqlserver://h;databaseName=d;user=u;password={{{}}}",
            doubled("}")
        ),
        format!(
            "Host=h;Database=d;Username=u;Password=\"{}\"",
            doubled("\"")
        ),
        format!("host=h dbname=d user=u password='{escaped}'"),
    ]
}

proptest! {
    #[test]
    fn every_form_carries_every_password(password in "[ -~äß€]{1,12}") {
        for text in accepted(&password) {
            let endpoint = Endpoint::from_url("a", &text).unwrap_or_else(|error| panic!("{text}: {error}"));
            prop_assert_eq!(endpoint.password.reveal(), password.as_str(), "{}", text);
        }
    }

    #[test]
    fn no_message_contains_a_part_of_a_password(
        parts in proptest::collection::vec("[QXZ][0-9]{3}", 2..4),
        between in proptest::collection::vec("[ -~]{0,2}", 3),
        end in prop_oneof![Just(""), Just(";Foo=1"), Just("&foo=1"), Just(" foo=1"), Just("?x"), Just(";Port=x")],
    ) {
        let password: String = parts
            .iter()
            .zip(&between)
            .flat_map(|(part, between)| [part.as_str(), between.as_str()])
            .collect();
        let as_they_are = [
            format!("mssql://u:{password}@h/d{end}"),
            format!("postgres://u:{password}@h{end}"),
            format!("Server=h;UID=u;PWD={password}{end}"),
            format!("jdbc:sqlserver://h;user=u;password={password}{end}"),
            format!("host=h user=u password={password}{end}"),
        ];
        let texts = accepted(&password).into_iter().map(|text| text + end);
        for text in texts.chain(as_they_are) {
            // Some are accepted; their passwords may be wrong, but are not shown.
            let shown = match Endpoint::from_url("a", &text) {
                Ok(endpoint) => format!("{endpoint:?} {}", endpoint.location()),
                Err(error) => error.to_string(),
            };
            let written = toml::Value::String(text.clone());
            let file = format!("[endpoints.a]\nurl = {written}\n");
            let configured = match crate::config::parse(Path::new("f"), &file, &BTreeMap::new()) {
                Ok(config) => format!("{config} {config:?}"),
                Err(error) => error.to_string(),
            };
            for part in &parts {
                prop_assert!(!shown.contains(part.as_str()), "{text} gives {shown}");
                prop_assert!(!configured.contains(part.as_str()), "{file} gives {configured}");
            }
        }
    }
}
