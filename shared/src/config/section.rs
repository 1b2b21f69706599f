//! Reads sections of the configuration key by key, with the environment over
//! the file, and reports the keys that are left as unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin};
use super::nearest::suggestion;
use super::value::{FromValue, Value, Written};
use crate::masking::mask_quoted;

/// The prefix of the variables of this program.
const PREFIX: &str = "RECONCILE_";

/// The sections that variables can set.
const VARIABLE_SECTIONS: [&str; 6] = ["RUN", "CHECK", "ENDPOINTS", "BROKER", "LIMITS", "TELEMETRY"];

/// Whether the passwords of endpoints are read from where the configuration says they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passwords {
    Read,
    Skipped,
}

/// The configuration file and the environment while they are read.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    path: PathBuf,
    text: &'a str,
    environment: &'a BTreeMap<String, String>,
    passwords: Passwords,
    /// The variables of all known keys.
    readable: BTreeSet<String>,
}

/// A section whose keys have not all been taken yet.
#[derive(Debug)]
pub(super) struct Section {
    /// "endpoints.erp"
    name: String,
    /// Whether variables can set its keys.
    variables: bool,
    at: usize,
    entries: BTreeMap<String, Written>,
    known: Vec<String>,
}

impl<'a> Sources<'a> {
    /// `text`: the content of the file `path`; empty if it does not exist.
    pub(super) fn new(
        path: PathBuf,
        text: &'a str,
        environment: &'a BTreeMap<String, String>,
        passwords: Passwords,
    ) -> Self {
        Self {
            path,
            text,
            environment,
            passwords,
            readable: BTreeSet::new(),
        }
    }

    pub(super) fn skips_passwords(&self) -> bool {
        self.passwords == Passwords::Skipped
    }

    pub(super) fn environment(&self) -> &'a BTreeMap<String, String> {
        self.environment
    }

    pub(super) fn root(&self) -> Result<Section, ConfigError> {
        let table = DeTable::parse(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.error(at, error.message().to_owned())
        })?;
        Ok(Section {
            name: String::new(),
            variables: true,
            at: 0,
            entries: entries(table.get_ref()),
            known: Vec::new(),
        })
    }

    fn error(&self, at: usize, reason: String) -> ConfigError {
        ConfigError::Content {
            origin: self.origin(at),
            reason,
        }
    }

    fn origin(&self, at: usize) -> Origin {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Origin::File {
            path: self.path.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// Takes a sub-section out of `parent`. An absent one is empty: variables may
    /// still set its keys.
    pub(super) fn section(&self, parent: &mut Section, key: &str) -> Result<Section, ConfigError> {
        parent.known.push(key.to_owned());
        let name = parent.full_name(key);
        let written = parent.entries.remove(key);
        let absent = Written {
            at: parent.at,
            value: Value::Table(BTreeMap::new()),
        };
        self.nested(name, written.unwrap_or(absent), parent.variables)
    }

    /// Takes all sub-sections out of `parent`, by name.
    pub(super) fn all_sections(
        &self,
        parent: &mut Section,
    ) -> Result<BTreeMap<String, Section>, ConfigError> {
        std::mem::take(&mut parent.entries)
            .into_iter()
            .map(|(key, written)| {
                let section = self.nested(parent.full_name(&key), written, parent.variables)?;
                Ok((key, section))
            })
            .collect()
    }

    /// Takes an array of sections out of `parent`.
    pub(super) fn array(
        &self,
        parent: &mut Section,
        key: &str,
    ) -> Result<Vec<Section>, ConfigError> {
        parent.known.push(key.to_owned());
        let Some(Written { at, value }) = parent.entries.remove(key) else {
            return Ok(Vec::new());
        };
        let Value::List(values) = value else {
            let reason =
                format!("`{key}`: write every entry as a section of its own, headed [[{key}]]");
            return Err(self.error(at, reason));
        };
        (1..)
            .zip(values)
            .map(|(number, written)| self.nested(format!("{key}[{number}]"), written, false))
            .collect()
    }

    fn nested(
        &self,
        name: String,
        written: Written,
        variables: bool,
    ) -> Result<Section, ConfigError> {
        let Written { at, value } = written;
        let Value::Table(entries) = value else {
            let reason = format!("`{name}`: this is a section; write its keys under [{name}]");
            return Err(self.error(at, reason));
        };
        Ok(Section {
            name,
            variables,
            at,
            entries,
            known: Vec::new(),
        })
    }

    /// Fails when a variable of these sections is set and belongs to no key.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let unknown = self.environment.keys().find(|name| {
            let rest = name.strip_prefix(PREFIX).unwrap_or_default();
            let section = rest.split_once('_').map(|(section, _)| section);
            section.is_some_and(|section| VARIABLE_SECTIONS.contains(&section))
                && !self.readable.contains(*name)
        });
        match unknown {
            None => Ok(()),
            Some(name) => Err(ConfigError::Content {
                origin: Origin::Variable(name.clone()),
                reason: unknown_key(name, name, &Vec::from_iter(self.readable)),
            }),
        }
    }
}

impl Section {
    /// An error about the section as a whole.
    pub(super) fn error(&self, sources: &Sources<'_>, reason: impl Into<String>) -> ConfigError {
        sources.error(self.at, format!("[{}] {}", self.name, reason.into()))
    }

    fn full_name(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    /// Takes a key out: from its variable if that is set, else from the file.
    pub(super) fn take<T: FromValue>(
        &mut self,
        sources: &mut Sources<'_>,
        key: &str,
    ) -> Result<Option<T>, ConfigError> {
        self.known.push(key.to_owned());
        let in_file = self.entries.remove(key);
        let mut written = in_file.map(|written| (sources.origin(written.at), written.value));
        if self.variables {
            let variable = variable_name(&self.full_name(key));
            if let Some(text) = sources.environment.get(&variable) {
                written = Some((
                    Origin::Variable(variable.clone()),
                    Value::Untyped(text.clone()),
                ));
            }
            sources.readable.insert(variable);
        }
        let Some((origin, value)) = written else {
            return Ok(None);
        };
        let text = value.text().unwrap_or_default().to_owned();
        let read = T::from_value(value).map(Some);
        read.map_err(|reason| ConfigError::Content {
            origin,
            // A connection string may have been written under the wrong key.
            reason: format!("`{}`: {}", self.full_name(key), mask_quoted(&reason, &text)),
        })
    }

    /// Fails when a key has not been taken: it is unknown.
    pub(super) fn finish(&self, sources: &Sources<'_>) -> Result<(), ConfigError> {
        match self.entries.iter().min_by_key(|(_, written)| written.at) {
            None => Ok(()),
            Some((key, written)) => {
                let reason = unknown_key(&self.full_name(key), key, &self.known);
                Err(sources.error(written.at, reason))
            }
        }
    }
}

fn unknown_key(full_name: &str, key: &str, known: &[String]) -> String {
    format!("unknown key `{full_name}`{}", suggestion(key, known))
}

/// The variable that sets `endpoints.erp.password`: `RECONCILE_ENDPOINTS_ERP_PASSWORD`.
pub(super) fn variable_name(key: &str) -> String {
    let words = key.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    });
    PREFIX.chars().chain(words).collect()
}

fn entries(table: &DeTable<'_>) -> BTreeMap<String, Written> {
    table
        .iter()
        .map(|(key, value)| {
            let written = Written {
                at: key.span().start,
                value: value_of(value.get_ref()),
            };
            (key.get_ref().to_string(), written)
        })
        .collect()
}

fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => {
            Value::Integer(number.as_str().to_owned())
        }
        DeValue::Integer(_) => Value::Other("a number that is not decimal"),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Array(values) => Value::List(
            values
                .iter()
                .map(|value| Written {
                    at: value.span().start,
                    value: value_of(value.get_ref()),
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(entries(table)),
        DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
        DeValue::Datetime(_) => Value::Other("a date"),
    }
}
