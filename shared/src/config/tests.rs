//! What a configuration says, and how mistakes in it are answered.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::endpoint::{LoginMethod, TlsMode};
use crate::pattern::TableSelector;

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn parse_text(text: &str) -> Result<Config, ConfigError> {
    parse(Path::new("reconcile.toml"), text, &BTreeMap::new())
}

fn error(text: &str) -> String {
    parse_text(text).unwrap_err().to_string()
}

const FULL: &str = r#"
[endpoints.erp]
engine = "sqlserver"
host = "db.example"
database = "shop"
user = "reader"
password = "hunter2"
tls = "off"
max_connections = 4
statement_timeout = "10m"

[endpoints.copy]
url = "postgres://reader:hunter3@pg.example/shop"
schema = "staging"

[broker]
url = "amqp://guest:hunter4@mq.example:5672/%2f"

[run]
source = "erp"
target = "copy"
parallel_workers = 8
fail_fast = "mismatch"
claim_timeout = "2m"

[[tables]]
source = "sales.orders"
target = "orders"
key = ["id"]
priority = 10
timeout = 30
columns = { exclude = ["rowversion"], map = { OrderNo = "order_number" } }
"#;

#[test]
fn every_section_is_read() {
    let config = parse_text(FULL).unwrap();
    let erp = &config.endpoints["erp"];
    assert_eq!(
        (erp.host.as_str(), erp.port, erp.user.as_str()),
        ("db.example", 1433, "reader")
    );
    assert_eq!(
        (erp.password.reveal(), erp.tls.mode),
        ("hunter2", TlsMode::Off)
    );
    assert_eq!(
        (erp.max_connections, erp.statement_timeout),
        (Some(4), Some(Duration::from_secs(600)))
    );
    assert_eq!(config.endpoints["copy"].schema, "staging");
    assert_eq!(config.broker.as_ref().unwrap().prefix, "reconcile");
    assert_eq!(config.run.parallel_workers.unwrap().get(), 8);
    assert_eq!(config.run.fail_fast, Some(FailFast::Mismatch));
    let table = &config.tables[0];
    assert_eq!(
        (table.source.to_string().as_str(), table.priority),
        ("sales.orders", 10)
    );
    assert_eq!(table.timeout, Some(Duration::from_secs(30)));
    assert_eq!(table.columns.map["OrderNo"], "order_number");
}

#[test]
fn limits_of_messages_can_be_configured_within_bounds() {
    let config =
        parse_text("[broker]\nsigning_max_age = \"12h\"\nmax_message_size = \"512KiB\"\n").unwrap();
    let broker = config.broker.as_ref().unwrap();
    assert_eq!(broker.signing_max_age.as_secs(), 12 * 3600);
    assert_eq!(broker.message_limit(), 512 << 10);
    let shown = config.to_string();
    assert!(shown.contains("max_message_size = \"512KiB\""), "{shown}");
    for size in ["63KiB", "17MiB"] {
        let message = error(&format!("[broker]\nmax_message_size = \"{size}\"\n"));
        assert!(message.contains("from 64KiB to 16MiB"), "{message}");
    }
}

#[test]
fn an_empty_path_is_refused() {
    for text in [
        "[run]\nspill_dir = \"\"\n",
        "[run]\nstate_dir = \"\"\n",
        "[broker]\nca_file = \"\"\n",
    ] {
        let message = error(text);
        assert!(
            message.contains("an empty text is not the name"),
            "{message}"
        );
    }
}

#[test]
fn a_signing_key_and_a_state_directory_can_be_configured() {
    let config = parse_text(
        "[broker]\nsigning_key_file = \"/nowhere/key\"\n[run]\nstate_dir = \"/var/lib/reconcile\"\n",
    )
    .unwrap();
    let broker = config.broker.as_ref().unwrap();
    let error = broker.signing_key().unwrap_err().to_string();
    assert!(error.contains("/nowhere/key"), "{error}");
    assert_eq!(
        config.store.state_dir.as_deref(),
        Some(Path::new("/var/lib/reconcile"))
    );
    let shown = config.to_string();
    assert!(
        shown.contains("signing_key_file = \"/nowhere/key\"")
            && shown.contains("state_dir = \"/var/lib/reconcile\""),
        "{shown}"
    );
}

#[test]
fn telemetry_can_be_configured_by_file_and_variable() {
    let text = "[telemetry]\nmetrics_addr = \":9000\"\nmetrics_file = \"/var/m.prom\"\npush_gateway = \"http://u:hunter5@push:9091\"\npush_instance = \"nightly\"\n";
    let config = parse_text(text).unwrap();
    let shown = config.to_string();
    for line in [
        "[telemetry]",
        "metrics_addr = \"127.0.0.1:9000\"",
        "metrics_file = \"/var/m.prom\"",
        "push_gateway = \"http://***@push:9091\"",
        "push_instance = \"nightly\"",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let variables = environment(&[("RECONCILE_TELEMETRY_METRICS_ADDR", "off")]);
    let config = parse(Path::new("reconcile.toml"), text, &variables).unwrap();
    assert_eq!(
        config.telemetry.metrics.metrics_addr,
        Some(MetricsAddr::Off)
    );
    let message = error("[telemetry]\npush_instance = \"a/b\"\n");
    assert!(message.contains("`a/b` is not a name"), "{message}");
    let message = error("[telemetry]\nmetrics_adr = \":1\"\n");
    assert!(
        message.contains("did you mean `metrics_addr`?"),
        "{message}"
    );
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    let message = error("[run]\nsource = \"a\"\n  paralel_workers = 3\n");
    assert_eq!(
        message,
        "reconcile.toml:3:3: unknown key `run.paralel_workers`; did you mean `parallel_workers`?"
    );
    let message = error("[endpoints.a]\nulr = \"x\"\n");
    assert!(message.contains("did you mean `url`?"), "{message}");
    let message = error("[endpoint.a]\nurl = \"x\"\n");
    assert!(
        message.contains("unknown key `endpoint`; did you mean `endpoints`?"),
        "{message}"
    );
    let message = error("[[tables]]\nsource = \"a\"\ncolumns = { inclde = [] }\n");
    assert!(
        message.contains("3:13: unknown key `tables[1].columns.inclde`; did you mean `include`?"),
        "{message}"
    );
    let message = error("[broker]\nzzz = 1\n");
    assert!(
        message.contains("known are url, url_file, prefix, ca_file"),
        "{message}"
    );
}

#[test]
fn a_wrong_value_says_what_would_be_right() {
    let message = error("[run]\nparallel_workers = 0\n");
    assert_eq!(
        message,
        "reconcile.toml:2:1: `run.parallel_workers`: `0` is not a whole number above 0"
    );
    assert!(error("[run]\nformat = \"jsn\"\n").contains("did you mean `json`?"));
    assert!(error("[run]\nclaim_timeout = \"soon\"\n").contains("write 500ms, 30s, 5m or 1h"));
    assert!(error("[run]\nclaim_timeout = 0\n").contains("above zero"));
    assert!(error("run = 3\n").contains("write its keys under [run]"));
    assert!(error("[run\n").starts_with("reconcile.toml:1:"));
    assert!(error("[[tables]]\ntarget = \"a\"\n").contains("lacks `source`"));
}

#[test]
fn an_endpoint_has_one_description() {
    assert!(
        error("[endpoints.a]\nengine = \"postgres\"\nhost = \"h\"\n")
            .contains("lacks database, user")
    );
    assert!(
        error("[endpoints.a]\nurl = \"postgres://u@h/d\"\nhost = \"h\"\n")
            .contains("keep one of the two")
    );
    let two = "[endpoints.a]\nurl = \"postgres://u@h/d\"\npassword = \"x\"\npassword_env = \"Y\"\n";
    assert!(error(two).contains("keep one"));
    let unset = "[endpoints.a]\nurl = \"postgres://u@h/d\"\npassword_env = \"NOT_SET\"\n";
    assert!(error(unset).contains("the variable NOT_SET is not set"));
}

#[test]
fn parts_with_special_characters_survive() {
    let text = "[endpoints.a]\nengine = \"postgres\"\nhost = \"/var/run/pg\"\ndatabase = \"d/b?#%\"\nuser = \"DOM\\\\us@er\"\n";
    let endpoint = &parse_text(text).unwrap().endpoints["a"];
    assert_eq!(
        (
            endpoint.host.as_str(),
            endpoint.database.as_str(),
            endpoint.user.as_str()
        ),
        ("/var/run/pg", "d/b?#%", "DOM\\us@er")
    );
}

#[test]
fn variables_go_over_the_file() {
    let variables = environment(&[
        ("RECONCILE_RUN_PARALLEL_WORKERS", "16"),
        ("RECONCILE_ENDPOINTS_ERP_PASSWORD", "other"),
        ("RECONCILE_ENDPOINTS_NEW_ONE_URL", "postgres://u@h/d"),
        ("RECONCILE_BROKER_PREFIX", "mine"),
        ("PATH", "/bin"),
    ]);
    let config = parse(Path::new("f"), FULL, &variables).unwrap();
    assert_eq!(config.run.parallel_workers.unwrap().get(), 16);
    assert_eq!(config.endpoints["erp"].password.reveal(), "other");
    assert_eq!(config.endpoints["new_one"].host, "h");
    assert_eq!(config.broker.unwrap().prefix, "mine");
}

#[test]
fn a_mistyped_variable_is_not_ignored() {
    let variables = environment(&[("RECONCILE_RUN_PARALLEL_WORKER", "16")]);
    let message = parse(Path::new("f"), "", &variables)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("did you mean `RECONCILE_RUN_PARALLEL_WORKERS`?"),
        "{message}"
    );
    let variables = environment(&[("RECONCILE_RUN_PARALLEL_WORKERS", "many")]);
    let message = parse(Path::new("f"), "", &variables)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "environment variable RECONCILE_RUN_PARALLEL_WORKERS: `run.parallel_workers`: `many` is not a whole number above 0"
    );
}

#[test]
fn the_variables_of_the_database_images_make_default_endpoints() {
    let variables = environment(&[
        ("SQLSERVER_HOST", "ms"),
        ("SQLSERVER_PORT", "1444"),
        ("SQLSERVER_DATABASE", "d"),
        ("SQLSERVER_USER", "sa"),
        ("SQLSERVER_PASSWORD", "p@ss"),
        ("SQLSERVER_TRUST_SERVER_CERTIFICATE", "true"),
        ("POSTGRES_HOST", "pg"),
    ]);
    let config = parse(Path::new("f"), "", &variables).unwrap();
    assert_eq!(config.run.source.as_deref(), Some("sqlserver"));
    let source = &config.endpoints["sqlserver"];
    assert_eq!((source.port, source.password.reveal()), (1444, "p@ss"));
    assert!(source.tls.trust_server_certificate);
    assert_eq!(config.run.target, None);
    assert_eq!(
        config.target_variables_error.as_deref(),
        Some("POSTGRES_HOST is set but POSTGRES_DB and POSTGRES_USER is not")
    );
}

#[test]
fn what_is_shown_is_the_same_configuration_without_its_secrets() {
    let config = parse_text(FULL).unwrap();
    let shown = config.to_string();
    for secret in ["hunter2", "hunter3", "hunter4"] {
        assert!(
            !shown.contains(secret) && !format!("{config:?}").contains(secret),
            "{shown}"
        );
    }
    let mut again = parse_text(&shown).unwrap();
    for (name, endpoint) in &config.endpoints {
        again.endpoints.get_mut(name).unwrap().password = endpoint.password.clone();
    }
    assert_eq!(again.endpoints, config.endpoints);
    assert_eq!(again.run, config.run);
    assert_eq!(again.tables, config.tables);
}

#[test]
fn tables_and_rules_may_be_patterns() {
    let text = r#"
[run]
exclude = ["dbo.tmp_*", "\"a,b\""]

[[tables]]
source = "sales.*"
target = "archive.*_copy"
key = ["id"]

[[rules]]
tables = "sales.*"
columns = "*_at"
type = "datetime2"
precision = 3

[[rules]]
type = "nchar"
trim = "end"
tolerance = { absolute = "0.5" }
"#;
    let config = parse_text(text).unwrap();
    assert!(matches!(config.tables[0].source, TableSelector::Pattern(_)));
    let rule = &config.rules[0].rule;
    assert!(rule.columns.as_ref().unwrap().matches("Created_At"));
    assert_eq!(
        (rule.declared.as_deref(), rule.rule.precision),
        (Some("datetime2"), Some(3))
    );
    let again = parse_text(&config.to_string()).unwrap();
    assert_eq!((again.tables, again.rules), (config.tables, config.rules));
    assert_eq!(again.run.exclude, config.run.exclude);
    for (text, word) in [
        ("[[tables]]\nsource = 'a*'\ntarget = 'b'\n", "`b` is one"),
        (
            "[[tables]]\nsource = 'a'\ntarget = 'b*'\n",
            "none that it can stand for",
        ),
        ("[[tables]]\nsource = 'a[b'\n", "without `]`"),
        ("[[rules]]\ntables = 'a'\ntrim = 'end'\n", "lacks `columns`"),
        ("[[rules]]\ncolumns = 'a'\n", "has no rule"),
        (
            "[[rules]]\ncolumns = 'a'\ntirm = 'end'\n",
            "did you mean `trim`?",
        ),
        (
            "[[rules]]\ncolumns = '[z-a]*'\ntrim = 'end'\n",
            "before it begins",
        ),
        (
            "[[rules]]\ncolumns = 'a'\nprecision = 8\n",
            "above 7 digits",
        ),
    ] {
        let message = error(text);
        assert!(message.contains(word), "{text}: {message}");
    }
}

#[test]
fn a_missing_file_is_an_error_only_when_it_was_named() {
    let missing = Path::new("there/is/no/such/file.toml");
    assert!(matches!(
        load_with(Some(missing), &BTreeMap::new()),
        Err(ConfigError::Unreadable { .. })
    ));
}

#[test]
fn a_rule_takes_words_and_a_zone_where_they_have_a_meaning() {
    let rule = |options: &str| {
        let text = format!("{FULL}\n[tables.rules.v]\n{options}");
        parse_text(&text)
    };
    let config = rule("as = 'boolean-text'\ntrue_words = ['J']\nfalse_words = ['N', '']").unwrap();
    let read = &config.tables[0].rules["v"];
    assert_eq!(read.true_words, ["J"]);
    assert_eq!(read.false_words, ["N", ""]);
    let config = rule("zone = 'Europe/Berlin'\nprecision = 3").unwrap();
    let read = &config.tables[0].rules["v"];
    assert_eq!(read.zone.as_deref(), Some("Europe/Berlin"));
    for (options, words) in [
        ("true_words = ['J']", "as = \"boolean-text\""),
        ("as = 'hex'\nfalse_words = ['N']", "as = \"boolean-text\""),
        (
            "as = 'utc'\nzone = 'Europe/Berlin'",
            "cannot have `zone` together",
        ),
        (
            "as_text = true\nzone = 'Europe/Berlin'",
            "cannot have `zone` together",
        ),
        ("as = 'boolean'", "boolean-text"),
    ] {
        let error = rule(options).unwrap_err().to_string();
        assert!(error.contains(words), "{options}: {error}");
    }
}

#[test]
fn a_rule_without_the_newest_options_is_read_by_older_workers() {
    // They refuse fields that they do not know.
    let written = serde_json::to_string(&crate::options::ColumnRule::default()).unwrap();
    for field in ["true_words", "false_words", "zone"] {
        assert!(!written.contains(field), "{written}");
    }
}

#[test]
fn an_endpoint_says_how_to_log_in_and_how_the_server_is_found() {
    let parts = "[endpoints.erp]\nengine = 'sqlserver'\nhost = 'sql1'\ndatabase = 'erp'\n";
    let text = format!(
        "{parts}instance = 'SALES'\ntoken_command = ['print-token', '--secret', 'hunter2']\n\
         auth = 'token'\nmulti_subnet_failover = true\nfailover_partner = 'sql2:1444'\n\
         tls = 'strict'\n"
    );
    let config = parse_text(&text).unwrap();
    let erp = &config.endpoints["erp"];
    assert_eq!(erp.login.method, LoginMethod::Token);
    assert_eq!((erp.user.as_str(), erp.tls.mode), ("", TlsMode::Strict));
    assert_eq!(erp.route.instance.as_deref(), Some("SALES"));
    assert_eq!(erp.route.partner(1433), Some(("sql2", 1444)));
    assert!(erp.route.multi_subnet_failover);
    let shown = config.to_string();
    for line in [
        "instance = \"SALES\"",
        "auth = \"token\"",
        "token_command = [\"print-token\", \"***\", \"***\"]",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(
        !shown.contains("hunter2") && !shown.contains("port ="),
        "{shown}"
    );

    let url = "[endpoints.erp]\nurl = 'mssql://sql1/erp?auth=token'\n";
    let postgres = "[endpoints.copy]\nurl = 'postgres://u:p@pg1/copy'\n";
    for (text, mentions) in [
        (url.to_owned(), "no token_command"),
        (
            format!("{parts}user = 'u'\ninstance = ''\n"),
            "name of an instance",
        ),
        (
            format!("{parts}user = 'u'\nfailover_partner = 'a b'\n"),
            "HOST:PORT",
        ),
        (format!("{parts}auth = 'ntlm'\n"), "lacks user"),
        (
            format!("{parts}user = 'D\\u'\nauth = 'ntlm'\ntoken_command = ['x']\n"),
            "not auth",
        ),
        (format!("{url}instance = 'SALES'\n"), "keep one"),
        (format!("{postgres}tls = 'strict'\n"), "only SQL Server"),
        (format!("{postgres}token_command = ['x']\n"), "not auth"),
    ] {
        let error = error(&text);
        assert!(error.contains(mentions), "{error}");
    }
}
