//! PostgreSQL's password file, `~/.pgpass` (PostgreSQL's documentation, "The Password File").

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// The directories in which servers create their sockets by default. The file names them `localhost`.
const SOCKET_DIRECTORIES: [&str; 3] = ["/run/postgresql", "/var/run/postgresql", "/tmp"];

/// What an entry of the file must match.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The password of the first entry that matches; `None` if there is none, or no file.
///
/// # Errors
///
/// When the file is not used, because others may have read or written it, or cannot be read.
pub(super) fn find(path: &Path, login: &Login<'_>) -> Result<Option<Secret>, String> {
    let ignored =
        |reason: &str| format!("the password file {} is ignored: {reason}", path.display());
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ignored(&error.to_string())),
    };
    if !metadata.is_file() {
        return Err(ignored("it is no regular file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(ignored(
            "its group or others have access to it; give it the permissions 0600",
        ));
    }
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| ignored(&error.to_string()))?;
    Ok(password(&text, login))
}

fn password(text: &str, login: &Login<'_>) -> Option<Secret> {
    let port = login.port.to_string();
    let is_default_socket = SOCKET_DIRECTORIES.contains(&login.host);
    let matches = |field: &str, wanted: &str| field == "*" || unescape(field) == wanted;
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| fields(line.trim_end_matches('\r')))
        .find(|fields| match fields.as_slice() {
            [host, entry_port, database, user, _, ..] => {
                (matches(host, login.host) || (is_default_socket && unescape(host) == "localhost"))
                    && matches(entry_port, &port)
                    && matches(database, login.database)
                    && matches(user, login.user)
            }
            _ => false,
        })
        .map(|fields| Secret::new(unescape(fields[4])))
}

/// The fields of a line, with their escapes.
fn fields(line: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut start = 0;
    let mut is_escaped = false;
    for (at, c) in line.char_indices() {
        if c == ':' && !is_escaped {
            fields.push(&line[start..at]);
            start = at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    fields.push(&line[start..]);
    fields
}

/// The field without the backslashes before colons and backslashes.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => text.extend(rest.next()),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# host:5432:d:u:comment\nother:*:*:*:no\nhost:5433:*:u:by port\nhost:*:d\\:b:u:a\\:b\\\\c:rest\n*:*:*:u:any host\nlocalhost:*:shop:x:socket\nshort:1\n";

    fn found(host: &str, port: u16, database: &str, user: &str) -> Option<String> {
        let login = Login {
            host,
            port,
            database,
            user,
        };
        password(FILE, &login).map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn the_first_entry_that_matches_decides() {
        assert_eq!(found("host", 5433, "d", "u").as_deref(), Some("by port"));
        assert_eq!(found("host", 5432, "d:b", "u").as_deref(), Some("a:b\\c"));
        assert_eq!(found("host", 5432, "d", "u").as_deref(), Some("any host"));
        assert_eq!(found("other", 1, "d", "u").as_deref(), Some("no"));
        assert_eq!(found("host", 5432, "d", "x"), None);
    }

    #[test]
    fn sockets_in_the_default_directory_are_entries_of_localhost() {
        assert_eq!(
            found("/var/run/postgresql", 5432, "shop", "x").as_deref(),
            Some("socket")
        );
        assert_eq!(found("/srv/socket", 5432, "shop", "x"), None);
    }

    #[test]
    fn a_file_that_others_can_access_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pgpass");
        let login = Login {
            host: "h",
            port: 1,
            database: "d",
            user: "u",
        };
        assert_eq!(find(&path, &login), Ok(None));
        std::fs::write(&path, "*:*:*:*:hunter2\n").unwrap();
        for (mode, is_used) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = find(&path, &login);
            assert_eq!(found.is_ok(), is_used, "{mode:o}");
            if let Err(reason) = found {
                assert!(
                    reason.contains("0600") && !reason.contains("hunter2"),
                    "{reason}"
                );
            }
        }
    }
}
