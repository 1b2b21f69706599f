//! JDBC URLs of SQL Server: `jdbc:sqlserver://host\instance:port;databaseName=d;user=u`.

use super::connection::Pairs;
use super::semicolons::{self, Quoting};
use crate::secret::Secret;

/// Takes apart what follows `jdbc:sqlserver://`.
///
/// # Errors
///
/// The message contains nothing of the text, which may be part of a password.
pub(super) fn parse(text: &str) -> Result<Pairs, String> {
    let (server, properties) = text.split_once(';').unwrap_or((text, ""));
    let (server, port) = split_port(server.trim().trim_end_matches('/'));
    let mut pairs = Pairs::new();
    let mut push = |name: &str, value: &str| {
        if !value.is_empty() {
            pairs.push((name.to_owned(), Secret::new(value)));
        }
    };
    push("serverName", server);
    push("portNumber", port);
    pairs.extend(semicolons::parse(properties, Quoting::Braces)?);
    Ok(pairs)
}

/// The server and the port after its last colon. An IPv6 address without brackets has no port.
fn split_port(server: &str) -> (&str, &str) {
    match server.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, port),
        _ => (server, ""),
    }
}
