//! Prints a configuration as a file that would be read as the same, without its secrets.

use std::fmt;

use crate::endpoint::Endpoint;
use crate::options::ColumnRule;

use super::options::line;
use super::value::ToToml;
use super::{BrokerConfig, Config, TableEntry};

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => writeln!(f, "# {}, with the environment over it", file.display())?,
            None => writeln!(f, "# no configuration file; from the environment")?,
        }
        for (name, endpoint) in &self.endpoints {
            write_section(
                f,
                &format!("[endpoints.{}]", key(name)),
                &[of_endpoint(endpoint)],
            )?;
        }
        for reason in [&self.source_variables_error, &self.target_variables_error]
            .into_iter()
            .flatten()
        {
            writeln!(f, "\n# {reason}")?;
        }
        if let Some(broker) = &self.broker {
            write_section(f, "[broker]", &[of_broker(broker)])?;
        }
        let (run, telemetry) = (&self.run, &self.telemetry);
        let run = [run.to_toml(), self.report.to_toml(), self.store.to_toml()];
        write_section(f, "[run]", &run)?;
        let telemetry = [
            telemetry.metrics.to_toml(),
            telemetry.traces.to_toml(),
            telemetry.log.to_toml(),
        ];
        write_section(f, "[telemetry]", &telemetry)?;
        for table in &self.tables {
            write_section(f, "[[tables]]", &[of_table(table)])?;
        }
        Ok(())
    }
}

/// Writes a heading and its lines; nothing when there are no lines.
fn write_section(f: &mut fmt::Formatter<'_>, heading: &str, lines: &[String]) -> fmt::Result {
    let lines = lines.concat();
    if lines.is_empty() {
        return Ok(());
    }
    write!(f, "\n{heading}\n{lines}")
}

fn of_endpoint(endpoint: &Endpoint) -> String {
    [
        line("engine", Some(&endpoint.engine)),
        line("host", Some(&endpoint.host)),
        line("port", Some(&endpoint.port)),
        line("database", Some(&endpoint.database)),
        line("user", Some(&endpoint.user)),
        line("password", (!endpoint.password.is_empty()).then_some("***")),
        line("tls", Some(&endpoint.tls.mode)),
        line(
            "trust_server_certificate",
            Some(&endpoint.tls.trust_server_certificate),
        ),
        line("ca_file", endpoint.tls.ca_file.as_ref()),
        line("schema", Some(&endpoint.schema)),
        line("max_connections", endpoint.max_connections.as_ref()),
        line("statement_timeout", endpoint.statement_timeout.as_ref()),
        line("connect_timeout", Some(&endpoint.connect_timeout)),
    ]
    .concat()
}

fn of_broker(broker: &BrokerConfig) -> String {
    [
        line("url", broker.url.as_ref()),
        line("prefix", Some(&broker.prefix)),
        line("ca_file", broker.ca_file.as_ref()),
        line("signing_key_file", broker.signing_key_file.as_ref()),
    ]
    .concat()
}

fn of_table(table: &TableEntry) -> String {
    let columns = &table.columns;
    let names = |names: &Vec<String>| (!names.is_empty()).then(|| names.clone());
    let soft_delete = table.soft_delete.as_ref();
    let mut lines = vec![
        line("source", Some(&table.source)),
        line("target", table.target.as_ref()),
        line("key", table.key.as_ref()),
        line(
            "priority",
            Some(&table.priority).filter(|priority| **priority != 0),
        ),
        line("timeout", table.timeout.as_ref()),
        line("columns.include", names(&columns.include).as_ref()),
        line("columns.exclude", names(&columns.exclude).as_ref()),
    ];
    for (source, target) in &columns.map {
        lines.push(line(&format!("columns.map.{}", key(source)), Some(target)));
    }
    lines.push(line("where.source", table.filters.source.as_ref()));
    lines.push(line("where.target", table.filters.target.as_ref()));
    lines.push(line("soft_delete.column", soft_delete.map(|it| &it.column)));
    lines.push(line(
        "soft_delete.value",
        soft_delete.and_then(|it| it.value.as_ref()),
    ));
    for (column, rule) in &table.rules {
        lines.push(of_rule(&format!("rules.{}", key(column)), rule));
    }
    lines.concat()
}

/// The options of a rule have the names that they have in messages.
fn of_rule(name: &str, rule: &ColumnRule) -> String {
    let mut lines = String::new();
    let values = serde_json::to_value(rule).unwrap_or_default();
    for (option, value) in values.as_object().into_iter().flatten() {
        match value {
            serde_json::Value::Null | serde_json::Value::Bool(false) => {}
            serde_json::Value::Object(parts) => {
                for (part, value) in parts {
                    lines.push_str(&format!("{name}.{option}.{part} = {value}\n"));
                }
            }
            value => lines.push_str(&format!("{name}.{option} = {value}\n")),
        }
    }
    lines
}

/// A key, in quotes where TOML requires them.
fn key(name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare {
        name.to_owned()
    } else {
        name.to_toml()
    }
}
