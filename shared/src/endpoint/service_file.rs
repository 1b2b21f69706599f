//! PostgreSQL's file of services, `pg_service.conf` (PostgreSQL's documentation, "The Connection
//! Service File").

use std::io::ErrorKind;
use std::path::Path;

use zeroize::Zeroizing;

use super::connection::Pairs;
use crate::secret::Secret;

/// The options of a service; `None` if the file does not exist or does not have it.
///
/// # Errors
///
/// When the file cannot be read, or a line of the service is no option.
pub(super) fn find(path: &Path, service: &str) -> Result<Option<Pairs>, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&Zeroizing::new(text), service)
            .map_err(|reason| format!("{}: {reason}", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

fn parse(text: &str, service: &str) -> Result<Option<Pairs>, String> {
    let mut found: Option<Pairs> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            if found.is_some() {
                break;
            }
            if line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) == Some(service) {
                found = Some(Pairs::new());
            }
            continue;
        }
        let Some(pairs) = &mut found else { continue };
        if line.starts_with("ldap") {
            return Err(format!("line {number}: look-ups by LDAP are not supported"));
        }
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| format!("line {number} is no option=value"))?;
        pairs.push((name.trim().to_owned(), Secret::new(value.trim())));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# services\n[other]\nhost=x\n\n[erp]\nhost = db \nport=5433\n# a comment\npassword=a=b c\n[last]\nnothing\n";

    #[test]
    fn a_service_has_the_options_below_its_name() {
        let pairs = parse(FILE, "erp").unwrap().unwrap();
        let shown: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.reveal()))
            .collect();
        assert_eq!(
            shown,
            [("host", "db"), ("port", "5433"), ("password", "a=b c")]
        );
        assert_eq!(parse(FILE, "er").unwrap(), None);
        assert_eq!(
            parse(FILE, "last").unwrap_err(),
            "line 11 is no option=value"
        );
    }
}
