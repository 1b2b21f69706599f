//! URLs: `mssql://user:password@host:port/database?option=value` and those of PostgreSQL.
//!
//! Users paste passwords as they are. A URL with such a password is taken apart only where no
//! other reading is possible, so that no part of a password is taken for a host.

use percent_encoding::percent_decode_str;

use super::connection::Pairs;
use crate::secret::Secret;

/// What to write where a user or a password contains characters that separate parts of a URL.
const ESCAPES: &str =
    "in a user or password, write @ as %40, / as %2F, ? as %3F, # as %23, : as %3A and % as %25";

/// The parts of a URL, decoded.
#[derive(Debug, Default)]
pub(super) struct UrlParts {
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    /// Host and port as they are written: their form differs between databases.
    pub(super) server: String,
    /// What follows the first slash.
    pub(super) path: String,
    pub(super) options: Pairs,
}

/// Takes apart what follows `scheme://`. With `plus_is_blank`, a plus sign in a value of an
/// option is a blank, as in forms of HTML.
///
/// # Errors
///
/// The message contains nothing of the text, which may be part of a password.
pub(super) fn parse(text: &str, plus_is_blank: bool) -> Result<UrlParts, String> {
    if text.contains('#') {
        return Err(ESCAPES.to_owned());
    }
    let end = text.find(['/', '?']).unwrap_or(text.len());
    let (authority, after) = text.split_at(end);
    let (before_query, query) = after.split_once('?').unwrap_or((after, ""));
    let (login, server) = match authority.rsplit_once('@') {
        Some((login, server)) => (Some(login), server),
        None => (None, authority),
    };
    if before_query.contains('@') || (query.contains('@') && !is_query(query)) {
        return Err(ESCAPES.to_owned());
    }
    let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
        Some((user, password)) => (decode(user)?, decode(password)?),
        None => (String::new(), String::new()),
    };
    let mut options = Pairs::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            "an option of the URL is no name=value; in a value, write & as %26".to_owned()
        })?;
        let value = if plus_is_blank {
            decode(&value.replace('+', " "))?
        } else {
            decode(value)?
        };
        options.push((decode(name)?, Secret::new(value)));
    }
    Ok(UrlParts {
        user: Some(user).filter(|user| !user.is_empty()),
        password: Some(Secret::new(password)).filter(|password| !password.is_empty()),
        server: decode(server)?,
        path: decode(before_query.trim_start_matches('/'))?,
        options,
    })
}

/// Whether `query`, which contains `@`, is no end of a password: the sign is in the value of a
/// user or a password.
fn is_query(query: &str) -> bool {
    query
        .split('&')
        .filter(|pair| pair.contains('@'))
        .all(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            let is_login = ["user", "username", "password"].contains(&name.to_lowercase().as_str());
            // A host may follow the sign only at the end of a password.
            is_login && !pair.contains('/') && !pair.contains(':')
        })
}

fn decode(part: &str) -> Result<String, String> {
    percent_decode_str(part)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| format!("a part is not UTF-8 after decoding %XX; {ESCAPES}"))
}
