//! Where traces are sent: flags over environment over configuration.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use url::Url;

use crate::config::TelemetryConfig;

/// The port that collectors speak OTLP over HTTP on.
const HTTP_PORT: u16 = 4318;

/// What HTTP collectors take traces under.
const TRACES_PATH: &str = "v1/traces";

/// The flags of a program that sends traces.
#[derive(Debug, Clone, Default, Args)]
pub struct TraceFlags {
    /// Send traces to the OpenTelemetry collector at http://host:4317, or https:// for TLS
    /// [default: OTEL_EXPORTER_OTLP_ENDPOINT, or `otlp_endpoint` under [telemetry]]
    #[arg(
        long,
        env = "RECONCILE_TELEMETRY_OTLP_ENDPOINT",
        hide_env = true,
        value_name = "URL",
        help_heading = "Seen from outside"
    )]
    pub otlp_endpoint: Option<String>,
    /// What the collector speaks: grpc or http [default: grpc, but http to port 4318]
    #[arg(
        long,
        env = "RECONCILE_TELEMETRY_OTLP_PROTOCOL",
        hide_env = true,
        value_name = "grpc|http",
        help_heading = "Seen from outside"
    )]
    pub otlp_protocol: Option<OtlpProtocol>,
    /// Send traces to a Jaeger agent that only speaks Thrift over UDP, host:6831
    #[cfg(feature = "jaeger-thrift")]
    #[arg(
        long,
        value_name = "HOST:PORT",
        conflicts_with_all = ["otlp_endpoint", "otlp_protocol"],
        help_heading = "Seen from outside"
    )]
    pub jaeger_agent: Option<String>,
}

/// What a collector speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, with Protobuf bodies.
    Http,
}

impl FromStr for OtlpProtocol {
    type Err = String;

    /// Also takes the words of `OTEL_EXPORTER_OTLP_PROTOCOL`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "grpc" => Ok(Self::Grpc),
            "http" | "http/protobuf" => Ok(Self::Http),
            _ => Err(format!("`{text}` is not one of grpc, http")),
        }
    }
}

impl fmt::Display for OtlpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        })
    }
}

/// Where traces go. Shown without what may be secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To an OpenTelemetry collector.
    Otlp {
        /// Its address; for HTTP with the path.
        url: Url,
        /// What it speaks.
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
    /// Not an address.
    #[error("{place}: {reason}")]
    Endpoint {
        /// Where it was given.
        place: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Not a protocol.
    #[error("{place}: {reason}")]
    Protocol {
        /// Where it was given.
        place: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Refused by the exporter, which reads variables such as `OTEL_EXPORTER_OTLP_HEADERS`.
    #[error("{0}")]
    Exporter(String),
}

impl TraceError {
    /// Whether variables are to blame that are not of this program alone.
    #[must_use]
    pub fn is_of_environment(&self) -> bool {
        match self {
            Self::Endpoint { place, .. } | Self::Protocol { place, .. } => {
                place.starts_with("OTEL_")
            }
            Self::Exporter(_) => true,
        }
    }
}

impl Destination {
    /// Where `flags`, the variables of OpenTelemetry and `config` want the
    /// traces to go, in this order; none when nothing names an endpoint, or
    /// `OTEL_SDK_DISABLED` is `true`, or `OTEL_TRACES_EXPORTER` is `none`.
    ///
    /// # Errors
    ///
    /// When what decides is not understood.
    pub fn resolve(
        flags: &TraceFlags,
        config: &TelemetryConfig,
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
        let flag = flags
            .otlp_endpoint
            .clone()
            .filter(|endpoint| !endpoint.is_empty());
        let own = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        // The variable for traces alone is used as it is; all others are the base.
        let is_base = flag.is_some() || own.is_none();
        let endpoint = flag
            .map(|endpoint| ("--otlp-endpoint", endpoint))
            .or(own)
            .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"))
            .or_else(|| {
                let endpoint = config.otlp_endpoint.as_ref()?;
                Some(("otlp_endpoint", endpoint.reveal().to_owned()))
            });
        let Some((place, endpoint)) = endpoint else {
            return Ok(None);
        };
        let mut url =
            parse_endpoint(&endpoint).map_err(|reason| TraceError::Endpoint { place, reason })?;
        let protocol = match flags.otlp_protocol {
            Some(protocol) => Some(protocol),
            None => variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
                .or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"))
                .map(|(place, value)| {
                    value
                        .parse()
                        .map_err(|reason| TraceError::Protocol { place, reason })
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

/// The address of a collector; or what is wrong with `text`, without repeating
/// what may be secret.
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
    use crate::endpoint::Secret;

    fn resolve(
        flag: Option<&str>,
        variables: &[(&str, &str)],
        configured: Option<&str>,
    ) -> Result<Option<String>, String> {
        let flags = TraceFlags {
            otlp_endpoint: flag.map(str::to_owned),
            ..TraceFlags::default()
        };
        let config = TelemetryConfig {
            otlp_endpoint: configured.map(Secret::new),
            ..TelemetryConfig::default()
        };
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        Destination::resolve(&flags, &config, |name| {
            variables.get(name).map(|value| (*value).to_owned())
        })
        .map(|destination| {
            destination.map(|destination| match destination {
                Destination::Otlp { url, protocol } => format!("{protocol} {url}"),
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
    fn the_protocol_is_said_or_guessed_from_the_port_and_http_has_a_path() {
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
    fn what_is_wrong_is_named_without_its_secrets() {
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
