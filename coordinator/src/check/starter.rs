//! The text of a first `reconcile.toml`, with a comment beside each setting that says why.

use std::collections::BTreeMap;

use clap::ValueEnum as _;
use shared::config::{RuleEntry, TableEntry};
use shared::endpoint::{Endpoint, TlsMode};
use shared::finding::Severity;
use worker::engine::{PreflightFinding, TextSuggestion};

/// The longest list of tables in a comment.
const NAMED: usize = 5;

/// What the file describes.
#[derive(Debug)]
pub(crate) struct Starter<'a> {
    /// The endpoints and their names in the file, the source first.
    pub(crate) endpoints: Vec<(&'a str, &'a Endpoint)>,
    pub(crate) source: &'a str,
    pub(crate) target: &'a str,
    /// The keys of `[run]` that are set for the depth of the comparison.
    pub(crate) depth: &'a [&'a str],
    /// Tables that are left out.
    pub(crate) excluded: Vec<String>,
    /// The list of tables.
    pub(crate) tables: Vec<TableEntry>,
    /// The rules of the configuration that was checked.
    pub(crate) rules: &'a [RuleEntry],
    /// Columns that can be compared as text only, with their tables.
    pub(crate) suggestions: Vec<(String, TextSuggestion)>,
    pub(crate) findings: &'a [PreflightFinding],
}

impl Starter<'_> {
    /// The text of the file. It contains no secret.
    pub(crate) fn to_toml(&self) -> String {
        let mut blocks = vec![
            "# Written by `reconcile check --write-config`. docs/configuration.md describes every key;\n\
             # `reconcile check` reads this file too and says what is still missing.\n"
                .to_owned(),
        ];
        blocks.extend(
            self.endpoints
                .iter()
                .map(|(name, endpoint)| endpoint_section(name, endpoint)),
        );
        blocks.push(self.run_section());
        blocks.push(self.table_sections());
        blocks.extend(self.rule_sections());
        blocks.extend(self.open_questions());
        blocks.join("\n")
    }

    fn run_section(&self) -> String {
        let mut lines = vec![
            "[run]".to_owned(),
            "# The source is taken as correct; the target should be equal to it.".to_owned(),
            format!("source = {}", quoted(self.source)),
            format!("target = {}", quoted(self.target)),
        ];
        if self.depth.is_empty() {
            lines.push(
                "# Only rows are counted; row_level = true finds the rows that differ.".to_owned(),
            );
        } else {
            lines.push("# How deep the tables are compared.".to_owned());
            lines.extend(self.depth.iter().map(|key| format!("{key} = true")));
        }
        if !self.excluded.is_empty() {
            let names: Vec<String> = self.excluded.iter().map(|it| quoted(it)).collect();
            lines.push("# These tables are left out, whatever selects them.".to_owned());
            lines.push(format!("exclude = [{}]", names.join(", ")));
        }
        lines.join("\n") + "\n"
    }

    fn table_sections(&self) -> String {
        let entries: Vec<String> = self.tables.iter().map(ToString::to_string).collect();
        format!(
            "# The tables, as they were listed; of a pattern all tables that match it when a run starts.\n{}",
            entries.join("\n")
        )
    }

    /// The rules that were checked, and one for each type that can be compared as text only.
    fn rule_sections(&self) -> Vec<String> {
        let mut sections: Vec<String> = self.rules.iter().map(ToString::to_string).collect();
        let mut by_type: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (table, suggestion) in &self.suggestions {
            let columns = by_type.entry(&suggestion.declared).or_default();
            columns.push(format!("{table}.{}", suggestion.column));
        }
        sections.extend(by_type.into_iter().map(|(declared, columns)| {
            format!(
                "# {} of this type have no common form with the target's type: {}.\n\
                 # Both databases convert the values to text, and the texts are compared.\n\
                 [[rules]]\ntype = {}\nas_text = true\n",
                plural(columns.len(), "column"),
                few(&columns),
                quoted(declared)
            )
        }));
        sections
    }

    /// What only a person can decide, as comments.
    fn open_questions(&self) -> Option<String> {
        let is_solved = |found: &&PreflightFinding| {
            let mut suggestions = self.suggestions.iter();
            suggestions.any(|(table, suggestion)| {
                found.finding.table.as_ref() == Some(table)
                    && found.finding.object.as_ref() == Some(&suggestion.column)
                    && found.finding.rule == "incomparable-column"
            })
        };
        let open = self.findings.iter().filter(|found| {
            found.finding.severity == Severity::Error
                && found.finding.table.is_some()
                && !is_solved(found)
        });
        let mut lines: Vec<String> = open
            .map(|found| {
                let finding = &found.finding;
                let remedy = finding.remedy.as_ref();
                let remedy = remedy.map_or_else(String::new, |it| format!(" ({it})"));
                let table = finding.table.as_deref().unwrap_or_default();
                comment(&format!("{table}: {}{remedy}", finding.message))
            })
            .collect();
        if lines.is_empty() {
            return None;
        }
        lines.insert(
            0,
            "# Still open. A table that is listed by its name in an entry of its own is taken from the\n\
             # patterns: columns.map, columns.exclude and key belong there."
                .to_owned(),
        );
        Some(lines.join("\n") + "\n")
    }
}

fn endpoint_section(name: &str, endpoint: &Endpoint) -> String {
    let mut lines = vec![
        format!("[endpoints.{}]", key(name)),
        format!("engine = {}", quoted(endpoint.kind.name())),
        format!("host = {}", quoted(&endpoint.host)),
        match &endpoint.route.instance {
            Some(instance) => format!("instance = {}", quoted(instance)),
            None => format!("port = {}", endpoint.port),
        },
        format!("database = {}", quoted(&endpoint.database)),
        format!("user = {}", quoted(&endpoint.user)),
        "# The password is not written here. Name a file that holds it, or set the variable"
            .to_owned(),
        format!("# {}.", variable(name)),
        "# password_file = \"/run/secrets/password\"".to_owned(),
    ];
    if let Some(mode) = mode(endpoint.tls.mode) {
        lines.push(match endpoint.tls.mode {
            TlsMode::Require | TlsMode::Strict => {
                "# The certificate of the server is checked.".to_owned()
            }
            TlsMode::Off | TlsMode::Prefer => {
                "# \"require\" encrypts the connection and checks the certificate.".to_owned()
            }
        });
        lines.push(format!("tls = {}", quoted(&mode)));
    }
    if endpoint.tls.trust_server_certificate {
        lines.push("# Any certificate is accepted: only on a network that you trust.".to_owned());
        lines.push("trust_server_certificate = true".to_owned());
    }
    if let Some(file) = &endpoint.tls.ca_file {
        lines.push("# The authorities that may sign the server's certificate.".to_owned());
        lines.push(format!("ca_file = {}", quoted(&file.display().to_string())));
    }
    lines.push("# The schema of tables that are named without one.".to_owned());
    lines.push(format!("schema = {}", quoted(&endpoint.schema)));
    if let Some(most) = endpoint.max_connections {
        lines.push("# The most sessions of one process.".to_owned());
        lines.push(format!("max_connections = {most}"));
    }
    lines.join("\n") + "\n"
}

fn mode(mode: TlsMode) -> Option<String> {
    Some(mode.to_possible_value()?.get_name().to_owned())
}

/// The variable of the endpoint's password.
fn variable(name: &str) -> String {
    let words = name.chars().map(|character| match character {
        _ if character.is_ascii_alphanumeric() => character.to_ascii_uppercase(),
        _ => '_',
    });
    format!("RECONCILE_ENDPOINTS_{}_PASSWORD", words.collect::<String>())
}

/// A basic string of TOML; JSON escapes the same characters, but for DEL.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

/// A key of a section, with quotes where TOML needs them.
fn key(name: &str) -> String {
    let is_bare = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    if !name.is_empty() && name.chars().all(is_bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A comment on one line, whatever the text contains.
fn comment(text: &str) -> String {
    let one_line = text.split(char::is_control).collect::<Vec<_>>().join(" ");
    format!("# {one_line}")
}

fn few(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMED)].join(", ");
    let one_line = shown.split(char::is_control).collect::<Vec<_>>().join(" ");
    match names.len().saturating_sub(NAMED) {
        0 => one_line,
        rest => format!("{one_line} and {rest} more"),
    }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use shared::config::parse;
    use shared::failure::{Failure, FailureKind};

    use super::*;

    fn endpoint(name: &str, url: &str) -> Endpoint {
        Endpoint::from_url(name, url).unwrap()
    }

    /// The file is read with the variables of the passwords, as a user would set them.
    fn read(text: &str) -> shared::config::Config {
        let passwords = ["erp", "copy"]
            .map(|name| (variable(name), "secret".to_owned()))
            .into();
        parse(Path::new("reconcile.toml"), text, &passwords)
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn starter_text(findings: &[PreflightFinding]) -> String {
        let source = endpoint(
            "erp",
            "mssql://reader:hunter2@erp.example/Sales?trust_server_certificate=true&max_connections=8",
        );
        let target = endpoint(
            "copy",
            "postgres://reader:hunter2@127.0.0.1/sales?schema=erp",
        );
        let tables = parse(
            Path::new("f"),
            "[[tables]]\nsource = \"dbo.*\"\ntarget = \"erp.*\"\n[[tables]]\nsource = \"x.Old Orders\"\nkey = [\"id\"]\n",
            &BTreeMap::new(),
        )
        .unwrap()
        .tables;
        let suggestion = TextSuggestion {
            declared: "sql_variant".to_owned(),
            column: "v".to_owned(),
        };
        Starter {
            endpoints: vec![("erp", &source), ("copy", &target)],
            source: "erp",
            target: "copy",
            depth: &["row_level"],
            excluded: vec!["dbo.tmp_*".to_owned()],
            tables,
            rules: &[],
            suggestions: vec![("dbo.t".to_owned(), suggestion)],
            findings,
        }
        .to_toml()
    }

    #[test]
    fn the_file_is_read_as_what_was_checked_and_has_no_password() {
        let text = starter_text(&[]);
        assert!(!text.contains("hunter2"), "{text}");
        let config = read(&text);
        assert_eq!(config.endpoints.len(), 2);
        assert_eq!(config.endpoints["erp"].password.reveal(), "secret");
        assert_eq!(config.endpoints["erp"].max_connections, Some(8));
        assert!(config.endpoints["erp"].tls.trust_server_certificate);
        assert_eq!(config.endpoints["copy"].schema, "erp");
        assert_eq!(config.run.source.as_deref(), Some("erp"));
        assert_eq!(config.run.row_level, Some(true));
        assert_eq!(config.tables.len(), 2);
        assert_eq!(config.rules.len(), 1);
        assert!(config.rules[0].rule.rule.as_text);
    }

    #[test]
    fn what_is_open_is_a_comment_on_one_line() {
        let failure = Failure::new(FailureKind::TableNotFound, "no table\n[run]\nsource = 1");
        let text = starter_text(&[PreflightFinding::of_failure(&failure).of_table("dbo.lost")]);
        assert!(
            text.contains("# dbo.lost: no table [run] source = 1\n"),
            "{text}"
        );
        read(&text);
        let solved = Failure::new(FailureKind::IncomparableColumn, "no common form");
        let solved = PreflightFinding::of_failure(&solved)
            .of_table("dbo.t")
            .on("v");
        let text = starter_text(&[solved]);
        assert!(!text.contains("Still open"), "{text}");
    }

    proptest! {
        #[test]
        fn any_name_is_written_as_it_is(name in "\\PC{1,12}", control in "[\\x00-\\x7f]{0,4}") {
            let text = name + &control;
            let source = endpoint("erp", "mssql://reader@erp.example/Sales");
            let source = Endpoint { database: text.clone(), schema: text.clone(), ..source };
            let section = endpoint_section(&text, &source);
            prop_assert!(section.contains(&quoted(&text)));
            let written = format!("[run]\nsource = {}\n", quoted(&text));
            let config = parse(Path::new("f"), &written, &BTreeMap::new()).unwrap();
            prop_assert_eq!(config.run.source, Some(text));
        }
    }
}
