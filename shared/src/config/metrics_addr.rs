//! Where a process serves its metrics and its health over HTTP.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::masking::mask;

/// Where metrics and health are served over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsAddr {
    /// Nowhere.
    Off,
    /// At this address.
    At(SocketAddr),
}

impl MetricsAddr {
    /// A worker's default: loopback, port 9464.
    pub const WORKER: Self = Self::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464));

    /// The address at which a client on the same machine reaches the server.
    #[must_use]
    pub fn for_client(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => {
                let host = match address.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
                    ip => ip,
                };
                Some(SocketAddr::new(host, address.port()))
            }
        }
    }
}

impl FromStr for MetricsAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text == "off" {
            return Ok(Self::Off);
        }
        // Who can reach a port is the user's decision: a port alone is not reachable from outside.
        let port = text.strip_prefix(':').unwrap_or(text).parse();
        port.map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .or_else(|_| text.parse())
            .map(Self::At)
            .map_err(|_| {
                format!(
                    "`{}` is not an address; write 127.0.0.1:9464, 0.0.0.0:9464 for every interface, [::]:9464 or off",
                    mask(text)
                )
            })
    }
}

impl fmt::Display for MetricsAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_socket_a_port_or_off() {
        let read = |text: &str| text.parse::<MetricsAddr>().map(|addr| addr.to_string());
        assert_eq!(read("127.0.0.1:9000"), Ok("127.0.0.1:9000".to_owned()));
        assert_eq!(read(":9000"), Ok("127.0.0.1:9000".to_owned()));
        assert_eq!(read("9000"), Ok("127.0.0.1:9000".to_owned()));
        assert_eq!(read("0.0.0.0:9000"), Ok("0.0.0.0:9000".to_owned()));
        assert_eq!(read("[::1]:9000"), Ok("[::1]:9000".to_owned()));
        assert_eq!(read("off"), Ok("off".to_owned()));
        for wrong in ["", "90000", "localhost", "127.0.0.1", ":http"] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains("127.0.0.1:9464"), "{error}");
        }
    }

    #[test]
    fn a_client_reaches_every_interface_by_loopback() {
        let client = |text: &str| {
            let addr: MetricsAddr = text.parse().unwrap();
            addr.for_client().map(|address| address.to_string())
        };
        assert_eq!(client("0.0.0.0:1"), Some("127.0.0.1:1".to_owned()));
        assert_eq!(client("[::]:1"), Some("[::1]:1".to_owned()));
        assert_eq!(client("10.1.2.3:1"), Some("10.1.2.3:1".to_owned()));
        assert_eq!(client("off"), None);
    }
}
