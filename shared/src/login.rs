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
    /// An access token of Microsoft Entra ID.
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
    /// The shell command that prints an access token.
    pub token_command: Option<String>,
}

impl Login {
    /// Sets what the parameter `key=value` of a URL defines. Returns false if the key is none of a
    /// login.
    ///
    /// # Errors
    ///
    /// The message says what to write instead.
    pub(crate) fn set_parameter(&mut self, key: &str, value: &str) -> Result<bool, String> {
        match key {
            "auth" => {
                self.method = LoginMethod::from_str(value, false)
                    .map_err(|_| format!("auth={value}: write password, ntlm or token"))?;
            }
            "spn" => self.spn = Some(value.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    }
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

/// The longest name of an instance in bytes (MC-SQLR 2.2.3).
const LONGEST_INSTANCE: usize = 32;

impl Route {
    /// Sets what the parameter `key=value` of a URL defines. Returns false if the key is none of a
    /// route.
    ///
    /// # Errors
    ///
    /// The message says what to write instead.
    pub(crate) fn set_parameter(&mut self, key: &str, value: &str) -> Result<bool, String> {
        match key {
            "instance" if value.is_empty() || value.len() > LONGEST_INSTANCE => {
                return Err(format!(
                    "instance={value}: write the name of an instance, of at most {LONGEST_INSTANCE} bytes"
                ));
            }
            "instance" => self.instance = Some(value.to_owned()),
            "multi_subnet_failover" => {
                self.multi_subnet_failover = match value {
                    "true" | "yes" | "1" => true,
                    "false" | "no" | "0" => false,
                    other => {
                        return Err(format!("{key}={other}: write true or false"));
                    }
                }
            }
            "failover_partner" => {
                partner(value)?;
                self.failover_partner = Some(value.to_owned());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

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
pub(crate) fn partner(text: &str) -> Result<(&str, Option<u16>), String> {
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

    #[test]
    fn parameters_that_are_none_of_a_login_or_route_are_left_to_the_endpoint() {
        let (mut login, mut route) = (Login::default(), Route::default());
        assert_eq!(login.set_parameter("auth", "ntlm"), Ok(true));
        assert_eq!(login.method, LoginMethod::Ntlm);
        assert_eq!(login.set_parameter("encrypt", "true"), Ok(false));
        assert!(login.set_parameter("auth", "windows").is_err());
        assert_eq!(route.set_parameter("instance", "SALES"), Ok(true));
        assert_eq!(route.set_parameter("schema", "dbo"), Ok(false));
        for (key, value) in [
            ("instance", ""),
            ("multi_subnet_failover", "maybe"),
            ("failover_partner", "a:b"),
        ] {
            assert!(route.set_parameter(key, value).is_err(), "{key}={value}");
        }
    }
}
