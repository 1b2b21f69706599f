//! Prints a configuration as a file that would be read as the same, without its secrets.

use std::fmt;

use serde_json::{Value as Json, json};

use crate::endpoint::{Endpoint, LoginMethod};
use crate::options::GeneralRule;

use super::options::line;
use super::value::ToToml;
use super::{BrokerConfig, Config, RuleEntry, TableEntry};

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
        for warning in self.warnings() {
            writeln!(f, "\n# {warning}")?;
        }
        if let Some(broker) = &self.broker {
            write_section(f, "[broker]", &[of_broker(broker)])?;
        }
        let (run, telemetry) = (&self.run, &self.telemetry);
        let run = [
            run.to_toml(),
            self.report.to_toml(),
            self.progress.to_toml(),
            self.store.to_toml(),
        ];
        write_section(f, "[run]", &run)?;
        write_section(f, "[check]", &[self.check.to_toml()])?;
        write_section(f, "[limits]", &[self.limits.to_toml()])?;
        let telemetry = [
            telemetry.metrics.to_toml(),
            telemetry.traces.to_toml(),
            telemetry.log.to_toml(),
        ];
        write_section(f, "[telemetry]", &telemetry)?;
        for table in &self.tables {
            write!(f, "\n{table}")?;
        }
        for rule in &self.rules {
            write!(f, "\n{rule}")?;
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
    let password = (!endpoint.password.is_empty()).then(|| "***".to_owned());
    let (login, route) = (&endpoint.login, &endpoint.route);
    let auth = (login.method != LoginMethod::Password).then_some(&login.method);
    let user = (!endpoint.user.is_empty()).then_some(&endpoint.user);
    let command_key = match login.method {
        LoginMethod::Token => "token_command",
        LoginMethod::Password | LoginMethod::Ntlm => "password_command",
    };
    // Its arguments may be secrets.
    let command = endpoint.secret_command.as_ref().map(|command| {
        let words = command.words();
        let hidden = words[1..].iter().map(|_| "***".to_owned());
        words
            .iter()
            .take(1)
            .cloned()
            .chain(hidden)
            .collect::<Vec<_>>()
    });
    let certificate = endpoint.tls.client_certificate.as_ref();
    let port = route.instance.is_none().then_some(&endpoint.port);
    [
        line("engine", Some(&endpoint.kind)),
        line("host", Some(&endpoint.host)),
        line("port", port),
        line("instance", route.instance.as_ref()),
        line("database", Some(&endpoint.database)),
        line("user", user),
        line("password", password.as_ref()),
        line(command_key, command.as_ref()),
        line("auth", auth),
        line("spn", login.spn.as_ref()),
        line(
            "multi_subnet_failover",
            route.multi_subnet_failover.then_some(&true),
        ),
        line("failover_partner", route.failover_partner.as_ref()),
        line("tls", Some(&endpoint.tls.mode)),
        line(
            "trust_server_certificate",
            Some(&endpoint.tls.trust_server_certificate),
        ),
        line("ca_file", endpoint.tls.ca_file.as_ref()),
        line("ssl_cert", certificate.map(|it| &it.certificate)),
        line("ssl_key", certificate.map(|it| &it.key)),
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
        line("signing_max_age", Some(&broker.signing_max_age)),
        line("max_message_size", Some(&broker.max_message_size)),
    ]
    .concat()
}

impl fmt::Display for TableEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let priority = (self.priority != 0).then_some(&self.priority);
        let lines = [
            line("source", Some(&self.source)),
            line("target", self.target.as_ref()),
            line("key", self.key.as_ref()),
            line("priority", priority),
            line("timeout", self.timeout.as_ref()),
            serialized("columns", &json!(self.columns)),
            serialized("where", &json!(self.filters)),
            serialized("soft_delete", &json!(self.soft_delete)),
            serialized("rules", &json!(self.rules)),
        ];
        write!(f, "[[tables]]\n{}", lines.concat())
    }
}

impl fmt::Display for RuleEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GeneralRule {
            columns,
            declared,
            rule,
        } = &self.rule;
        let lines = [
            line("tables", self.tables.as_ref()),
            line("columns", columns.as_ref()),
            line("type", declared.as_ref()),
        ];
        write!(f, "[[rules]]\n{}", lines.concat())?;
        match json!(rule) {
            Json::Object(parts) => parts
                .iter()
                .try_for_each(|(part, value)| f.write_str(&serialized(&key(part), value))),
            _ => Ok(()),
        }
    }
}

/// The lines of options whose names in messages are their keys in the configuration.
fn serialized(name: &str, value: &Json) -> String {
    match value {
        Json::Null | Json::Bool(false) => String::new(),
        Json::Array(values) if values.is_empty() => String::new(),
        Json::Object(parts) => parts
            .iter()
            .map(|(part, value)| serialized(&format!("{name}.{}", key(part)), value))
            .collect(),
        value => format!("{name} = {value}\n"),
    }
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
        name.to_owned().to_toml()
    }
}
