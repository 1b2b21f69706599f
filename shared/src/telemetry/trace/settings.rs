//! The destination of traces: flags override the environment, which overrides the
//! configuration.

use std::fmt;

use clap::Args;
use url::Url;

use crate::config::{OtlpProtocol, TraceOptions, parse_choice};
use crate::endpoint::Secret;

/// The standard port for OTLP over HTTP.
const HTTP_PORT: u16 = 4318;

/// The path for traces at HTTP collectors.
const TRACES_PATH: &str = "v1/traces";

/// The flags of a program that sends traces.
#[derive(Debug, Clone, Default, Args)]
pub struct TraceFlags {
    /// The collector.
    #[command(flatten)]
    pub collector: TraceOptions,
    /// Send traces to a Jaeger agent that only accepts Thrift over UDP, host:6831
    #[cfg(feature = "jaeger-thrift")]
    #[arg(
        long,
        value_name = "HOST:PORT",
        conflicts_with_all = ["otlp_endpoint", "otlp_protocol"],
        help_heading = "Telemetry"
    )]
    pub jaeger_agent: Option<String>,
}

/// The destination of traces. `Display` omits user, password, path and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To an OpenTelemetry collector.
    Otlp {
        /// Its address; for HTTP with the path.
        url: Url,
        /// Its protocol.
        protocol: OtlpProtocol,
    },
    /// To a Jaeger agent, HOST:PORT, as Thrift over UDP.
    #[cfg(feature = "jaeger-thrift")]
    JaegerAgent(String),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Otlp { url, .. } => {
                let host = url.host_str().unwrap_or_default();
                let port = url.port_or_known_default().unwrap_or_default();
                write!(f, "{}://{host}:{port}", url.scheme())
            }
            #[cfg(feature = "jaeger-thrift")]
            Self::JaegerAgent(agent) => write!(f, "udp://{agent}"),
        }
    }
}

/// Why traces cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The address or the protocol is invalid.
    #[error("{place}: {reason}")]
    Setting {
        /// The flag, variable or key.
        place: &'static str,
        /// Why.
        reason: String,
    },
    /// Refused by the exporter, which reads variables such as `OTEL_EXPORTER_OTLP_HEADERS`.
    #[error("{0}")]
    Exporter(String),
}

impl TraceError {
    /// Whether the cause is a variable that other programs use as well.
    #[must_use]
    pub fn is_of_environment(&self) -> bool {
        match self {
            Self::Setting { place, .. } => place.starts_with("OTEL_"),
            Self::Exporter(_) => true,
        }
    }
}

impl Destination {
    /// The destination that `flags`, the variables of OpenTelemetry or `config` name, in
    /// this order; none when none of them names an endpoint, `OTEL_SDK_DISABLED` is
    /// `true`, or `OTEL_TRACES_EXPORTER` is `none`.
    ///
    /// # Errors
    ///
    /// When the address or the protocol is invalid.
    pub fn resolve(
        flags: &TraceFlags,
        config: &TraceOptions,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, TraceError> {
        let variable = |name: &'static str| {
            environment(name)
                .filter(|value| !value.trim().is_empty())
                .map(|value| (name, value))
        };
        let is = |name, wanted: &str| {
            variable(name).is_some_and(|(_, value)| value.trim().eq_ignore_ascii_case(wanted))
        };
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        #[cfg(feature = "jaeger-thrift")]
        if let Some(agent) = &flags.jaeger_agent {
            return Ok(Some(Self::JaegerAgent(agent.clone())));
        }
        let endpoint_of = |options: &TraceOptions| {
            let endpoint = options.otlp_endpoint.as_ref().map(Secret::reveal);
            endpoint
                .filter(|endpoint| !endpoint.is_empty())
                .map(str::to_owned)
        };
        let flag = endpoint_of(&flags.collector);
        let own = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        // By OpenTelemetry's rules this variable has the full address, all others its base.
        let is_base = flag.is_some() || own.is_none();
        let endpoint = flag
            .map(|endpoint| ("--otlp-endpoint", endpoint))
            .or(own)
            .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"))
            .or_else(|| Some(("otlp_endpoint", endpoint_of(config)?)));
        let Some((place, endpoint)) = endpoint else {
            return Ok(None);
        };
        let mut url =
            parse_endpoint(&endpoint).map_err(|reason| TraceError::Setting { place, reason })?;
        let protocol = match flags.collector.otlp_protocol {
            Some(protocol) => Some(protocol),
            None => variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
                .or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"))
                .map(|(place, value)| {
                    parse_choice(&value).map_err(|reason| TraceError::Setting { place, reason })
                })
                .transpose()?
                .or(config.otlp_protocol),
        };
        let protocol = protocol.unwrap_or(match url.port() {
            Some(HTTP_PORT) => OtlpProtocol::Http,
            _ => OtlpProtocol::Grpc,
        });
        if protocol == OtlpProtocol::Http && is_base {
            let path = url.path().trim_end_matches('/');
            if !path.ends_with(TRACES_PATH) {
                let path = format!("{path}/{TRACES_PATH}");
                url.set_path(&path);
            }
        }
        Ok(Some(Self::Otlp { url, protocol }))
    }
}

/// Parses the address of a collector. Errors do not repeat `text`, which may contain a
/// password.
fn parse_endpoint(text: &str) -> Result<Url, String> {
    let wrong = |what: String| {
        Err(format!(
            "{what}; write http://host:4317, or http://host:4318 for OTLP over HTTP, with https:// for TLS"
        ))
    };
    match Url::parse(text.trim()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(url) => wrong(format!("`{}` is neither http nor https", url.scheme())),
        Err(error) => wrong(format!("not a URL ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn resolve(
        flag: Option<&str>,
        variables: &[(&str, &str)],
        configured: Option<&str>,
    ) -> Result<Option<String>, String> {
        let options = |endpoint: Option<&str>| TraceOptions {
            otlp_endpoint: endpoint.map(Secret::new),
            otlp_protocol: None,
        };
        let flags = TraceFlags {
            collector: options(flag),
            #[cfg(feature = "jaeger-thrift")]
            jaeger_agent: None,
        };
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        Destination::resolve(&flags, &options(configured), |name| {
            variables.get(name).map(|value| (*value).to_owned())
        })
        .map(|destination| {
            destination.map(|destination| match destination {
                Destination::Otlp { url, protocol } => format!("{protocol:?} {url}").to_lowercase(),
                #[cfg(feature = "jaeger-thrift")]
                Destination::JaegerAgent(agent) => agent,
            })
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_sent_unless_an_endpoint_is_named() {
        assert_eq!(resolve(None, &[], None), Ok(None));
        assert_eq!(
            resolve(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], None),
            Ok(None)
        );
        for off in [
            ("OTEL_SDK_DISABLED", "TRUE"),
            ("OTEL_TRACES_EXPORTER", "none"),
        ] {
            assert_eq!(resolve(Some("http://a:4317"), &[off], None), Ok(None));
        }
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_configuration() {
        let all = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4317"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4317"),
        ];
        let wanted = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(
            resolve(Some("http://flag:4317"), &all, Some("http://file:4317")),
            wanted("grpc http://flag:4317/")
        );
        assert_eq!(
            resolve(None, &all, Some("http://file:4317")),
            wanted("grpc http://traces:4317/")
        );
        assert_eq!(
            resolve(None, &all[1..], Some("http://file:4317")),
            wanted("grpc http://all:4317/")
        );
        assert_eq!(
            resolve(None, &[], Some("http://file:4317")),
            wanted("grpc http://file:4317/")
        );
    }

    #[test]
    fn the_protocol_is_given_or_follows_from_the_port_and_http_has_a_path() {
        let wanted = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(
            resolve(Some("http://a:4318"), &[], None),
            wanted("http http://a:4318/v1/traces")
        );
        assert_eq!(
            resolve(Some("http://a:4318/otlp/"), &[], None),
            wanted("http http://a:4318/otlp/v1/traces")
        );
        let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        assert_eq!(
            resolve(Some("https://a/v1/traces"), &[http], None),
            wanted("http https://a/v1/traces")
        );
        let as_it_is = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a:9/x");
        assert_eq!(
            resolve(None, &[http, as_it_is], None),
            wanted("http http://a:9/x")
        );
    }

    #[test]
    fn errors_name_the_setting_without_its_secrets() {
        let error = resolve(Some("kafka://me:hunter2@a:1"), &[], None).unwrap_err();
        assert!(error.starts_with("--otlp-endpoint: "), "{error}");
        assert!(error.contains("http://host:4317"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        let protocol = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
        let error = resolve(Some("http://a:1"), &[protocol], None).unwrap_err();
        assert!(error.contains("OTEL_EXPORTER_OTLP_PROTOCOL"), "{error}");
        let shown = Destination::Otlp {
            url: Url::parse("https://me:hunter2@a/x?token=hunter2").unwrap(),
            protocol: OtlpProtocol::Grpc,
        };
        assert_eq!(shown.to_string(), "https://a:443");
    }
}
