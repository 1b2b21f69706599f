//! A side that is given as a URL on the command line, and where its password comes from: the URL,
//! a file, a variable, libpq's variables and files, or a prompt.

use std::io::{self, IsTerminal as _};

use shared::config::{Config, read_secret};
use shared::endpoint::{Connection, Endpoint, Secret};

use super::flags::SideUrl;
use super::usage::UsageError;

/// The endpoint of `--source-url` or `--target-url`. Asks for a password that is not known, if
/// there is a terminal.
pub(super) fn endpoint_of_url(
    side: &'static str,
    url: SideUrl<'_>,
    config: &Config,
) -> Result<Endpoint, UsageError> {
    let unusable = |reason| UsageError::Url { side, reason };
    let mut connection = Connection::parse(url.url.reveal()).map_err(unusable)?;
    let variable = match side {
        "source" => &config.source_password,
        _ => &config.target_password,
    };
    connection.password = match (connection.password, url.password_file) {
        (Some(_), Some(_)) => return Err(UsageError::TwoPasswords { side }),
        (Some(password), None) => Some(password),
        (None, Some(file)) => {
            let read = read_secret(file);
            Some(read.map_err(|reason| UsageError::PasswordFile { side, reason })?)
        }
        (None, None) => variable.clone(),
    };
    let is_known = connection.password.is_some();
    let mut endpoint = connection
        .into_endpoint(side, &config.libpq)
        .map_err(unusable)?;
    for warning in &endpoint.warnings {
        tracing::warn!("--{side}-url: {warning}");
    }
    if !is_known && endpoint.lacks_password() && has_terminal() {
        endpoint.password = prompt(side, &endpoint)?;
    }
    Ok(endpoint)
}

/// Whether a user can read a question and answer it.
fn has_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for the password of the endpoint's user. It is not shown while it is typed.
fn prompt(side: &'static str, endpoint: &Endpoint) -> Result<Secret, UsageError> {
    let question = format!(
        "Password of {} for the {side}, {}: ",
        endpoint.user,
        endpoint.location()
    );
    rpassword::prompt_password(question)
        .map(Secret::new)
        .map_err(|reason| UsageError::Prompt { side, reason })
}
