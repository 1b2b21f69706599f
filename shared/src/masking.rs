//! Hides users, passwords and tokens in text that is, or may be, a connection string: URLs,
//! ADO.NET, ODBC, JDBC, libpq's `key=value`, and what only resembles them.
//!
//! A secret may contain every character that separates the parts of such a text. In doubt more is
//! hidden: only values of known harmless keys are shown.

use std::borrow::Cow;
use std::ops::Range;

/// What replaces a secret.
const MASK: &str = "***";

/// The user and password of the examples in this program's own messages.
const EXAMPLE: &str = "user:password";

/// Keys whose values are shown, without spaces, `_`, `-` and `.`.
const HARMLESS: [&str; 52] = [
    "addr",
    "address",
    "applicationintent",
    "applicationname",
    "authmechanism",
    "cafile",
    "channelmax",
    "commandtimeout",
    "connectionlifetime",
    "connectiontimeout",
    "connecttimeout",
    "currentschema",
    "database",
    "databasename",
    "datasource",
    "dbname",
    "driver",
    "encrypt",
    "engine",
    "failoverpartner",
    "framemax",
    "heartbeat",
    "host",
    "hostaddr",
    "hostnameincertificate",
    "initialcatalog",
    "instancename",
    "integratedsecurity",
    "logintimeout",
    "maxconnections",
    "maxpoolsize",
    "minpoolsize",
    "multipleactiveresultsets",
    "multisubnetfailover",
    "networkaddress",
    "persistsecurityinfo",
    "pooling",
    "port",
    "portnumber",
    "provider",
    "schema",
    "searchpath",
    "server",
    "servername",
    "servercertificate",
    "ssl",
    "sslmode",
    "sslrootcert",
    "statementtimeout",
    "targetsessionattrs",
    "trustedconnection",
    "trustservercertificate",
];

/// Keys of users, written as [`HARMLESS`].
const USERS: [&str; 5] = ["login", "uid", "user", "userid", "username"];

/// The ends of keys whose values are secret, written as [`HARMLESS`].
const SECRET_ENDS: [&str; 14] = [
    "accesskey",
    "accountkey",
    "apikey",
    "authorization",
    "credential",
    "credentials",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    "secretkey",
    "sharedaccesssignature",
    "token",
];

/// The longest key that is recognised, in bytes.
const LONGEST_KEY: usize = 48;

/// `text`, which as a whole is meant as a connection string or may be one by mistake, without
/// users, passwords, tokens and the values of unknown keys. A text that has nothing of a connection
/// string is returned as it is.
#[must_use]
pub fn mask(text: &str) -> String {
    let mut hidden = values(text);
    if let Some(end) = text.rfind('@') {
        match text.find("://") {
            Some(scheme) if scheme < end => hidden.push(scheme + 3..end),
            _ if starts_with_key(text) => {}
            _ => hidden.push(0..end),
        }
    } else {
        hidden.extend(wrong_port(text));
    }
    apply(text, hidden).into_owned()
}

/// What stands in place of a URL's port and is no number: a password without its host.
fn wrong_port(text: &str) -> Option<Range<usize>> {
    let start = text.find("://")? + 3;
    let length = text[start..]
        .find(['/', '?', ';'])
        .unwrap_or(text.len() - start);
    let authority = &text[start..start + length];
    let (host, port) = authority.rsplit_once(':')?;
    let is_wrong = !port.contains(']') && !port.bytes().all(|byte| byte.is_ascii_digit());
    is_wrong.then(|| start + host.len() + 1..start + length)
}

/// `text`, a sentence that may quote connection strings, without the users and passwords of URLs
/// and the values of keys such as `password`. Where a quotation ends cannot be known for certain:
/// text of a user goes through [`mask`] before it becomes part of a sentence.
#[must_use]
pub fn mask_in_prose(text: &str) -> Cow<'_, str> {
    let mut hidden = Vec::new();
    for (scheme, _) in text.match_indices("://") {
        let start = scheme + 3;
        let word = &text[start..end_of_word(text, start)];
        if let Some(length) = word.rfind('@')
            && &word[..length] != EXAMPLE
        {
            hidden.push(start..start + length);
        }
    }
    for (equals, _) in text.match_indices('=') {
        let key = text[..equals].trim_end();
        let key = &key[start_of_key(key, |byte| byte != b' ')..];
        if !is_secret(&plain(key)) {
            continue;
        }
        let start = start_of_value(text, equals + 1);
        let end = match text[start..].chars().next() {
            Some(quote @ ('"' | '\'' | '{')) => end_of_quotation(text, start, quote),
            _ => end_of_word(text, start),
        };
        if start < end {
            hidden.push(start..end);
        }
    }
    apply(text, hidden)
}

/// `message`, which quotes `quoted`, text of a user. It is masked if there is a sign of a secret.
#[must_use]
pub fn mask_quoted(message: &str, quoted: &str) -> String {
    if quoted.contains('@') || matches!(mask_in_prose(quoted), Cow::Owned(_)) {
        message.replace(quoted, &mask(quoted))
    } else {
        message.to_owned()
    }
}

/// The values of all keys that are not known as harmless. A value ends before the next known key,
/// because it may contain everything else.
fn values(text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('=') {
        let equals = at + found;
        let shown = ends_with_harmless(&text[at..equals]);
        at = equals + 1;
        if !shown {
            let end = end_of_secret(text, at);
            if at < end {
                hidden.push(at..end);
            }
            at = end;
        }
    }
    hidden
}

fn end_of_secret(text: &str, from: usize) -> usize {
    let start = start_of_value(text, from);
    let unquoted = match text[start..].chars().next() {
        Some(quote @ ('"' | '\'' | '{')) => end_of_quotation(text, start, quote),
        _ => start,
    };
    text[unquoted..]
        .match_indices(|c: char| matches!(c, ';' | '&' | '?') || c.is_whitespace())
        .find(|(at, separator)| starts_with_key(&text[unquoted + at + separator.len()..]))
        .map_or(text.len(), |(at, _)| unquoted + at)
}

/// The position after the closing quotation mark; the end of the text if there is none.
fn end_of_quotation(text: &str, start: usize, quote: char) -> usize {
    let close = if quote == '{' { b'}' } else { quote as u8 };
    let bytes = text.as_bytes();
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte != close => at += 1,
            _ if bytes.get(at + 1) == Some(&close) => at += 2,
            _ => return at + 1,
        }
    }
    text.len()
}

fn start_of_value(text: &str, from: usize) -> usize {
    text.len() - text[from..].trim_start_matches(' ').len()
}

/// Where a word that began at `start` ends in a sentence.
fn end_of_word(text: &str, start: usize) -> usize {
    text[start..]
        .find(|c: char| c.is_whitespace() || matches!(c, '`' | '"' | '\'' | ';' | '&' | ')'))
        .map_or(text.len(), |at| start + at)
}

/// Whether `text` begins with a known key and `=`.
fn starts_with_key(text: &str) -> bool {
    let text = text.trim_start();
    let length = text
        .bytes()
        .take(LONGEST_KEY)
        .take_while(|byte| is_of_key(*byte))
        .count();
    let key = plain(&text[..length]);
    text[length..].starts_with('=') && (is_harmless(&key) || is_user(&key) || is_secret(&key))
}

/// Whether the words before an equals sign end in a key whose value may be shown.
fn ends_with_harmless(before: &str) -> bool {
    let before = before.trim_end();
    let run = &before[start_of_key(before, |_| true)..];
    let starts = run.match_indices(' ').map(|(at, _)| at + 1);
    std::iter::once(0)
        .chain(starts)
        .any(|start| is_harmless(&plain(&run[start..])))
}

/// Where the key at the end of `text` begins, of bytes that `is_part` accepts too.
fn start_of_key(text: &str, is_part: impl Fn(u8) -> bool) -> usize {
    let length = text
        .bytes()
        .rev()
        .take(LONGEST_KEY)
        .take_while(|byte| is_of_key(*byte) && is_part(*byte))
        .count();
    text.len() - length
}

fn is_of_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'_' | b'-' | b'.')
}

fn plain(key: &str) -> String {
    key.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn is_harmless(key: &str) -> bool {
    HARMLESS.contains(&key)
}

fn is_user(key: &str) -> bool {
    USERS.contains(&key)
}

fn is_secret(key: &str) -> bool {
    matches!(key, "pass" | "sig") || SECRET_ENDS.iter().any(|end| key.ends_with(end))
}

fn apply(text: &str, mut hidden: Vec<Range<usize>>) -> Cow<'_, str> {
    if hidden.is_empty() {
        return Cow::Borrowed(text);
    }
    hidden.sort_by_key(|range| range.start);
    let mut masked = String::with_capacity(text.len());
    let mut last: Option<usize> = None;
    for Range { start, end } in hidden {
        if last.is_none_or(|last| last < start) {
            masked.push_str(&text[last.unwrap_or(0)..start]);
            masked.push_str(MASK);
        }
        last = last.max(Some(end));
    }
    masked.push_str(&text[last.unwrap_or(0)..]);
    Cow::Owned(masked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_secret_stays() {
        for (text, masked) in [
            ("erp", "erp"),
            ("127.0.0.1:9464", "127.0.0.1:9464"),
            ("postgres://h:5432/d", "postgres://h:5432/d"),
            (
                "postgres://u:p@h:5432/d?sslmode=require&password=p&schema=s",
                "postgres://***@h:5432/d?sslmode=require&password=***&schema=s",
            ),
            ("https://token@collector:4317", "https://***@collector:4317"),
            (
                "Server=tcp:h,1433;Initial Catalog=d;User Id=sa;Password=a b;Encrypt=true",
                "Server=tcp:h,1433;Initial Catalog=d;User Id=***;Password=***;Encrypt=true",
            ),
            (
                "host=h dbname=d user=u password='a b' sslmode=require",
                "host=h dbname=d user=*** password=*** sslmode=require",
            ),
            (
                "jdbc:sqlserver://h:1433;databaseName=d;user=sa;password={p@;s}}s};encrypt=true",
                "jdbc:sqlserver://***;encrypt=true",
            ),
            ("u:p@h/d", "***@h/d"),
            ("https://h/?sig=abc&x=y", "https://h/?sig=***"),
            ("mssql://u:p/d", "mssql://u:***/d"),
            ("mssql://[::1]/d", "mssql://[::1]/d"),
        ] {
            assert_eq!(mask(text), masked, "{text}");
            assert_eq!(mask(masked), masked, "{text}");
        }
    }

    #[test]
    fn a_sentence_keeps_everything_else() {
        for (text, masked) in [
            ("no table `a=b@c` in x", "no table `a=b@c` in x"),
            (
                "`amqp://u:p@h/` is not one; write amqp://user:password@host:5672/vhost",
                "`amqp://***@h/` is not one; write amqp://user:password@host:5672/vhost",
            ),
            (
                "refused (Password=hunter2), and pwd = \"a b\" too",
                "refused (Password=***), and pwd = *** too",
            ),
            ("p_partkey=18 was skipped", "p_partkey=18 was skipped"),
        ] {
            assert_eq!(mask_in_prose(text), masked);
            assert_eq!(mask_in_prose(masked), masked);
        }
    }

    /// The ways to write a connection string with `secret` as password or token, each with the
    /// characters that the secret cannot have there.
    fn written(secret: &str) -> Vec<(String, &'static str)> {
        let escaped = |mark: char| secret.replace(mark, &format!("{mark}{mark}"));
        let encoded: String =
            percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC)
                .to_string();
        vec![
            (
                format!("postgres://u:{secret}@h:5432/d?sslmode=require"),
                "",
            ),
            (format!("mssql://{secret}@h/d"), ""),
            (format!("mysql://u:{secret}@h"), ""),
            (format!("u:{secret}@h/d"), "="),
            (
                format!("postgres://h/d?user=u&password={encoded}&sslmode=x"),
                "",
            ),
            (format!("postgres://h/d?password={secret}"), ""),
            (format!("https://h/v1?token={secret}"), ""),
            (
                format!("Server=h;Database=d;User Id=u;Password={secret};Encrypt=true"),
                ";",
            ),
            (format!("Server=h;Password={secret}"), ";"),
            (
                format!("server = h ; PWD = \"{}\" ; encrypt = no", escaped('"')),
                "\\",
            ),
            (format!("Server=h;Pwd='{}';Encrypt=no", escaped('\'')), "\\"),
            (
                format!(
                    "Driver={{ODBC Driver 18}};Server=h;UID=u;PWD={{{}}}",
                    escaped('}')
                ),
                "\\",
            ),
            (
                format!("jdbc:sqlserver://h:1433;user=u;password={secret};encrypt=true"),
                ";",
            ),
            (
                format!("jdbc:postgresql://h/d?user=u&password={secret}"),
                "&",
            ),
            (format!("host=h user=u password={secret} dbname=d"), " "),
            (
                format!(
                    "host=h password='{}' dbname=d",
                    secret.replace('\\', "\\\\").replace('\'', "\\'")
                ),
                "",
            ),
            (
                format!("Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey={secret}"),
                ";",
            ),
            (format!("AccountName=n;AccountKey={secret};X=y"), ";"),
        ]
    }

    proptest! {
        #[test]
        fn no_part_of_a_secret_is_shown(
            parts in proptest::collection::vec("[QXZ][0-9]{3}", 2..4),
            between in proptest::collection::vec("[ -~äß€]{0,3}", 3),
        ) {
            let secret: String = parts
                .iter()
                .zip(&between)
                .flat_map(|(part, between)| [part.as_str(), between.as_str()])
                .collect();
            let secret = secret.trim_end();
            for (text, excluded) in written(secret) {
                if secret.contains(|c| excluded.contains(c)) {
                    continue;
                }
                let masked = mask(&text);
                for part in &parts {
                    prop_assert!(!masked.contains(part.as_str()), "{text} became {masked}");
                }
                prop_assert_eq!(mask(&masked), masked.clone());
            }
        }

        #[test]
        fn secrets_without_separators_are_hidden_in_sentences(secret in "[QXZ][!#$%*+./0-9:<>?A-Z^_|~-]{5,12}") {
            for (text, _) in written(&secret) {
                if text.starts_with("u:") {
                    continue;
                }
                let sentence = format!("cannot use `{text}`: write something else");
                let masked = mask_in_prose(&sentence);
                prop_assert!(!masked.contains(&secret), "{sentence} became {masked}");
                prop_assert!(masked.ends_with("`: write something else"), "{masked}");
            }
        }

        #[test]
        fn any_text_can_be_masked(text in "[ -~äß€\n]{0,40}") {
            let masked = mask(&text);
            prop_assert_eq!(mask(&masked), masked.clone());
            let masked = mask_in_prose(&text);
            prop_assert!(masked.len() <= text.len() + 3 * text.len());
        }
    }
}
