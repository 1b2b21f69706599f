//! How the client of an endpoint logs in, and how it finds the server. Only SQL Server has a
//! choice; PostgreSQL asks the client for what its `pg_hba.conf` says.

use clap::ValueEnum;

/// What a login proves its identity with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LoginMethod {
    /// User and password of the database server itself.
    #[default]
    Password,
    /// User and password of a Windows domain: NTLMv2.
    Ntlm,
    /// An access token of Microsoft Entra ID, which `token_command` prints.
    Token,
}

impl LoginMethod {
    /// Whether the endpoint must name a user.
    #[must_use]
    pub fn needs_user(self) -> bool {
        matches!(self, Self::Password | Self::Ntlm)
    }
}

/// How the client logs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// What it proves its identity with.
    pub method: LoginMethod,
    /// The service principal name of the server, which NTLM names to it. `None`:
    /// `MSSQLSvc/HOST:PORT`.
    pub spn: Option<String>,
}

/// How the client finds the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// The named instance, whose port SQL Server Browser tells. `None` if the endpoint names a
    /// port.
    pub instance: Option<String>,
    /// Connects to all addresses of the host at once, and uses the first that answers.
    pub multi_subnet_failover: bool,
    /// The host, with or without a port, that is tried when the endpoint's host does not serve the
    /// database.
    pub failover_partner: Option<String>,
}

impl Route {
    /// Host and port of the failover partner, with `default_port` if none is written.
    #[must_use]
    pub fn partner(&self, default_port: u16) -> Option<(&str, u16)> {
        let (host, port) = partner(self.failover_partner.as_deref()?).ok()?;
        Some((host, port.unwrap_or(default_port)))
    }
}

/// Host and port of `HOST`, `HOST:PORT` or `HOST,PORT`.
///
/// # Errors
///
/// The message says what to write instead.
pub(super) fn partner(text: &str) -> Result<(&str, Option<u16>), String> {
    let wrong = || format!("failover_partner={text}: write HOST or HOST:PORT");
    let (host, port) = match text.rsplit_once([':', ',']) {
        // An IPv6 address without a port.
        Some((rest, _)) if rest.contains(':') && !rest.ends_with(']') => (text, None),
        Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() || host.contains(['\\', '/', '@', ' ']) {
        return Err(wrong());
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_partner_has_a_host_and_perhaps_a_port() {
        for (text, expected) in [
            ("sql2", Some(("sql2", None))),
            ("sql2.example:1444", Some(("sql2.example", Some(1444)))),
            ("sql2,1444", Some(("sql2", Some(1444)))),
            ("[::1]:1444", Some(("::1", Some(1444)))),
            ("fe80::1", Some(("fe80::1", None))),
            ("", None),
            ("sql2:port", None),
            ("sql2\\SALES", None),
        ] {
            assert_eq!(partner(text).ok(), expected, "{text}");
        }
    }
}
