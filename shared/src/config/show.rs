//! Writes a configuration the way it could stand in a file, without its secrets.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::endpoint::{DatabaseKind, Endpoint, TlsMode, mask_password};

use super::{BrokerConfig, Config, RunDefaults, TableEntry, TelemetryConfig};
use crate::options::ColumnRule;

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => writeln!(f, "# {}, with the environment over it", file.display())?,
            None => writeln!(f, "# no configuration file; from the environment")?,
        }
        for (name, endpoint) in &self.endpoints {
            writeln!(f, "\n[endpoints.{}]", key(name))?;
            show_endpoint(f, endpoint)?;
        }
        for reason in [&self.source_variables_error, &self.target_variables_error]
            .into_iter()
            .flatten()
        {
            writeln!(f, "\n# {reason}")?;
        }
        if let Some(broker) = &self.broker {
            writeln!(f, "\n[broker]")?;
            show_broker(f, broker)?;
        }
        if self.run != RunDefaults::default() {
            writeln!(f, "\n[run]")?;
            show_run(f, &self.run)?;
        }
        if self.telemetry != TelemetryConfig::default() {
            writeln!(f, "\n[telemetry]")?;
            show_telemetry(f, &self.telemetry)?;
        }
        for table in &self.tables {
            writeln!(f, "\n[[tables]]")?;
            show_table(f, table)?;
        }
        Ok(())
    }
}

fn show_endpoint(f: &mut fmt::Formatter<'_>, endpoint: &Endpoint) -> fmt::Result {
    let engine = match endpoint.engine {
        DatabaseKind::SqlServer => "sqlserver",
        DatabaseKind::Postgres => "postgres",
    };
    let tls = match endpoint.tls.mode {
        TlsMode::Off => "off",
        TlsMode::Prefer => "prefer",
        TlsMode::Require => "require",
    };
    writeln!(f, "engine = \"{engine}\"")?;
    writeln!(f, "host = {}", text(&endpoint.host))?;
    writeln!(f, "port = {}", endpoint.port)?;
    writeln!(f, "database = {}", text(&endpoint.database))?;
    writeln!(f, "user = {}", text(&endpoint.user))?;
    if !endpoint.password.is_empty() {
        writeln!(f, "password = \"***\"")?;
    }
    writeln!(f, "tls = \"{tls}\"")?;
    writeln!(
        f,
        "trust_server_certificate = {}",
        endpoint.tls.trust_server_certificate
    )?;
    entry(f, "ca_file", endpoint.tls.ca_file.as_deref().map(path))?;
    writeln!(f, "schema = {}", text(&endpoint.schema))?;
    entry(f, "max_connections", endpoint.max_connections)?;
    entry(
        f,
        "statement_timeout",
        endpoint.statement_timeout.map(duration),
    )?;
    entry(
        f,
        "connect_timeout",
        Some(duration(endpoint.connect_timeout)),
    )
}

fn show_broker(f: &mut fmt::Formatter<'_>, broker: &BrokerConfig) -> fmt::Result {
    entry(
        f,
        "url",
        broker
            .url
            .as_ref()
            .map(|url| text(&mask_password(url.reveal()))),
    )?;
    entry(f, "prefix", Some(text(&broker.prefix)))?;
    entry(f, "ca_file", broker.ca_file.as_deref().map(path))?;
    entry(
        f,
        "signing_key_file",
        broker.signing_key_file.as_deref().map(path),
    )
}

fn show_run(f: &mut fmt::Formatter<'_>, run: &RunDefaults) -> fmt::Result {
    entry(f, "source", run.source.as_deref().map(text))?;
    entry(f, "target", run.target.as_deref().map(text))?;
    entry(f, "parallel", run.parallel)?;
    entry(f, "parallel_workers", run.parallel_workers)?;
    entry(f, "parallel_timeout", run.parallel_timeout.map(duration))?;
    entry(f, "validate_checksums", run.validate_checksums)?;
    entry(f, "row_level", run.row_level)?;
    entry(f, "row_level_chunk_size", run.row_level_chunk_size)?;
    entry(f, "max_differences", run.max_differences)?;
    entry(f, "pk_columns", run.pk_columns.as_deref().map(list))?;
    entry(f, "max_attempts", run.max_attempts)?;
    entry(f, "claim_timeout", run.claim_timeout.map(duration))?;
    entry(
        f,
        "fail_fast",
        run.fail_fast.map(|value| text(&value.to_string())),
    )?;
    entry(
        f,
        "format",
        run.format.map(|value| text(&value.to_string())),
    )?;
    entry(f, "output", run.output.as_deref().map(path))?;
    entry(f, "heartbeat_period", run.heartbeat_period.map(duration))?;
    entry(f, "state_dir", run.state_dir.as_deref().map(path))?;
    entry(f, "recheck", run.recheck)?;
    entry(f, "recheck_delay", run.recheck_delay.map(duration))?;
    entry(f, "redact", run.redact)?;
    let size = |size: super::ByteSize| text(&size.to_string());
    entry(f, "memory_limit", run.memory_limit.map(size))?;
    entry(f, "spill_limit", run.spill_limit.map(size))?;
    entry(f, "read_uncommitted", run.read_uncommitted)?;
    entry(f, "generate_repair", run.generate_repair)?;
    entry(f, "output_dir", run.output_dir.as_deref().map(path))
}

fn show_telemetry(f: &mut fmt::Formatter<'_>, telemetry: &TelemetryConfig) -> fmt::Result {
    entry(
        f,
        "metrics_addr",
        telemetry.metrics_addr.map(|addr| text(&addr.to_string())),
    )?;
    entry(
        f,
        "metrics_file",
        telemetry.metrics_file.as_deref().map(path),
    )?;
    entry(
        f,
        "push_gateway",
        telemetry
            .push_gateway
            .as_ref()
            .map(|url| text(&mask_password(url.reveal()))),
    )?;
    entry(
        f,
        "push_instance",
        telemetry
            .push_instance
            .as_ref()
            .map(|instance| text(&instance.to_string())),
    )?;
    entry(
        f,
        "otlp_endpoint",
        telemetry
            .otlp_endpoint
            .as_ref()
            .map(|url| text(&mask_password(url.reveal()))),
    )?;
    entry(
        f,
        "otlp_protocol",
        telemetry
            .otlp_protocol
            .map(|protocol| text(&protocol.to_string())),
    )?;
    entry(
        f,
        "log_format",
        telemetry.log_format.map(|format| text(&format.to_string())),
    )
}

fn show_table(f: &mut fmt::Formatter<'_>, table: &TableEntry) -> fmt::Result {
    entry(f, "source", Some(text(&table.source.to_string())))?;
    entry(
        f,
        "target",
        table
            .target
            .as_ref()
            .map(|target| text(&target.to_string())),
    )?;
    entry(f, "key", table.key.as_deref().map(list))?;
    entry(
        f,
        "priority",
        (table.priority != 0).then_some(table.priority),
    )?;
    entry(f, "timeout", table.timeout.map(duration))?;
    let columns = &table.columns;
    entry(
        f,
        "columns.include",
        (!columns.include.is_empty()).then(|| list(&columns.include)),
    )?;
    entry(
        f,
        "columns.exclude",
        (!columns.exclude.is_empty()).then(|| list(&columns.exclude)),
    )?;
    for (source, target) in &columns.map {
        writeln!(f, "columns.map.{} = {}", key(source), text(target))?;
    }
    entry(f, "where.source", table.filters.source.as_deref().map(text))?;
    entry(f, "where.target", table.filters.target.as_deref().map(text))?;
    if let Some(soft_delete) = &table.soft_delete {
        entry(f, "soft_delete.column", Some(text(&soft_delete.column)))?;
        entry(
            f,
            "soft_delete.value",
            soft_delete.value.as_deref().map(text),
        )?;
    }
    for (column, rule) in &table.rules {
        show_rule(f, &format!("rules.{}", key(column)), rule)?;
    }
    Ok(())
}

fn show_rule(f: &mut fmt::Formatter<'_>, name: &str, rule: &ColumnRule) -> fmt::Result {
    // The words of the configuration are those of the messages.
    let Ok(serde_json::Value::Object(values)) = serde_json::to_value(rule) else {
        return Err(fmt::Error);
    };
    for (option, value) in values {
        match value {
            serde_json::Value::Null | serde_json::Value::Bool(false) => {}
            serde_json::Value::Object(parts) => {
                for (part, value) in parts {
                    writeln!(f, "{name}.{option}.{part} = {value}")?;
                }
            }
            value => writeln!(f, "{name}.{option} = {value}")?,
        }
    }
    Ok(())
}

fn entry(f: &mut fmt::Formatter<'_>, key: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| writeln!(f, "{key} = {value}"))
}

fn text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn path(path: &Path) -> String {
    text(&path.to_string_lossy())
}

fn list(texts: &[String]) -> String {
    format!(
        "[{}]",
        texts
            .iter()
            .map(|one| text(one))
            .collect::<Vec<_>>()
            .join(", ")
    )
}

fn duration(duration: Duration) -> String {
    text(&humantime::format_duration(duration).to_string())
}

/// A key, in quotes where TOML wants them.
fn key(name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { name.to_owned() } else { text(name) }
}
