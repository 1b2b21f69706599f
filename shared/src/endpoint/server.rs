//! The server of a SQL Server connection: `tcp:host\instance,port`, as Microsoft's drivers write it.

/// The parts of a server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) instance: Option<String>,
    pub(super) port: Option<u16>,
}

/// Parses `[tcp:]host[\instance][,port]`; `.` and `(local)` are this machine.
///
/// # Errors
///
/// The message says what is not supported, or what to write.
pub(super) fn parse(text: &str) -> Result<Server, String> {
    let address = match text.trim().split_once(':') {
        Some((protocol, address)) if protocol.eq_ignore_ascii_case("tcp") => address.trim(),
        Some((protocol, _)) if is_protocol(protocol) => {
            return Err(format!(
                "the server's protocol `{protocol}:` is not supported; connect by TCP: tcp:host,1433"
            ));
        }
        _ => text.trim(),
    };
    if address.starts_with("\\\\") {
        return Err("named pipes are not supported; connect by TCP: tcp:host,1433".to_owned());
    }
    let (name, port) = match address.rsplit_once(',') {
        Some((name, port)) => (name.trim(), Some(parse_port(port)?)),
        None => (address, None),
    };
    let (host, instance) = match name.split_once('\\') {
        Some((host, instance)) => (host.trim(), Some(instance.trim())),
        None => (name, None),
    };
    if host.eq_ignore_ascii_case("(localdb)") {
        return Err("LocalDB is not supported; connect to a server by TCP".to_owned());
    }
    let host = match host {
        "." | "(local)" => "localhost",
        host => host.trim_start_matches('[').trim_end_matches(']'),
    };
    if host.contains(['@', '/', '?', '#', ';', '=', ' '])
        || host.matches(':').count() == 1
        || instance.is_some_and(str::is_empty)
    {
        return Err(
            "the server is no name and no address; write host, host,port or host\\instance"
                .to_owned(),
        );
    }
    Ok(Server {
        host: host.to_owned(),
        // The default instance has a name, and the port decides where both are given.
        instance: instance
            .filter(|name| port.is_none() && !name.eq_ignore_ascii_case("MSSQLSERVER"))
            .map(str::to_owned),
        port,
    })
}

fn is_protocol(word: &str) -> bool {
    ["np", "lpc", "admin", "via", "http"]
        .iter()
        .any(|protocol| word.eq_ignore_ascii_case(protocol))
}

/// A TCP port. The message does not repeat the text, which may be part of a password.
///
/// # Errors
///
/// When the text is no number from 1 to 65535.
pub(super) fn parse_port(text: &str) -> Result<u16, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| "the port is no number from 1 to 65535".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, instance: Option<&str>, port: Option<u16>) -> Server {
        Server {
            host: host.to_owned(),
            instance: instance.map(str::to_owned),
            port,
        }
    }

    #[test]
    fn servers_are_parsed_as_microsofts_drivers_write_them() {
        for (text, expected) in [
            ("db", server("db", None, None)),
            (
                "tcp:db.example,1444",
                server("db.example", None, Some(1444)),
            ),
            ("TCP: db , 1444 ", server("db", None, Some(1444))),
            ("db\\INST", server("db", Some("INST"), None)),
            ("db\\INST,1444", server("db", None, Some(1444))),
            ("db\\mssqlserver", server("db", None, None)),
            (".", server("localhost", None, None)),
            (
                ".\\SQLEXPRESS",
                server("localhost", Some("SQLEXPRESS"), None),
            ),
            ("(local)", server("localhost", None, None)),
            ("::1,1433", server("::1", None, Some(1433))),
            ("[fe80::1]", server("fe80::1", None, None)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_servers_are_refused_with_what_to_write() {
        for (text, words) in [
            ("np:\\\\.\\pipe\\sql\\query", "connect by TCP"),
            ("\\\\h\\pipe\\sql", "connect by TCP"),
            ("(localdb)\\v11", "LocalDB"),
            ("db:1433", "host,port"),
            ("db,port", "1 to 65535"),
            ("db,0", "1 to 65535"),
            ("db\\", "host\\instance"),
            ("u@db", "no address"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
