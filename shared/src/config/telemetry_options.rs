//! The options of metrics, traces and log lines, which the section `[telemetry]` can set.

use std::path::PathBuf;

use super::choices::{LogFormat, OtlpProtocol};
use super::metrics_addr::MetricsAddr;
use super::options::options;
use crate::endpoint::Secret;
use crate::telemetry::metrics::push::PushInstance;

options! {
    /// `[telemetry]`: where the metrics of a run are served, written and pushed.
    pub struct MetricsOptions in "telemetry";

    heading "Telemetry";
    /// Address at which metrics and health are served, or `off`; a port alone is on 127.0.0.1
    #[arg(value_name = "ADDRESS:PORT", env = "RECONCILE_METRICS_ADDR")]
    metrics_addr: MetricsAddr, else "off; for a worker 127.0.0.1:9464";
    /// Write the metrics to this file at the end of the run, for node-exporter's textfile collector
    #[arg(value_name = "FILE", value_parser = clap::value_parser!(PathBuf))]
    metrics_file: PathBuf, else "no file";
    /// Push the metrics to this Prometheus Pushgateway at the end of the run
    #[arg(value_name = "URL")]
    push_gateway: Secret, else "none";
    /// Instance label of the pushed metrics; a later push with the same label replaces them
    #[arg(value_name = "NAME")]
    push_instance: PushInstance, else "the host's name";
}

options! {
    /// `[telemetry]`: the OpenTelemetry collector that traces are sent to.
    pub struct TraceOptions in "telemetry";

    heading "Telemetry";
    /// Send traces to the OpenTelemetry collector at http://host:4317, or https:// for TLS
    #[arg(value_name = "URL", env = "RECONCILE_TELEMETRY_OTLP_ENDPOINT", hide_env = true)]
    otlp_endpoint: Secret, else "OTEL_EXPORTER_OTLP_ENDPOINT, or no traces";
    /// Protocol of the collector: grpc or http
    #[arg(value_name = "grpc|http", env = "RECONCILE_TELEMETRY_OTLP_PROTOCOL", hide_env = true)]
    otlp_protocol: OtlpProtocol, else "grpc; http for port 4318";
}

options! {
    /// `[telemetry]`: the form of log lines.
    pub struct LogOptions in "telemetry";

    heading "Telemetry";
    /// Form of the log lines on standard error: human or json
    #[arg(value_name = "FORMAT", global = true, env = "RECONCILE_LOG_FORMAT", hide_env = true)]
    log_format: LogFormat = LogFormat::Human;
}

/// `[telemetry]`: metrics, traces and log lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TelemetryConfig {
    /// Metrics and health.
    pub metrics: MetricsOptions,
    /// Traces.
    pub traces: TraceOptions,
    /// Log lines.
    pub log: LogOptions,
}
