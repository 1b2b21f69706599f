//! The rows that a repair leaves out: how many, why, and the keys of the first ones.

use std::collections::BTreeMap;

use crate::engine::plan::Plan;
use crate::engine::values::canonical::Values;
use crate::engine::values::value::to_text;

/// How many keys are named for each reason.
const NAMED: usize = 3;

/// The most characters of a key that are shown.
const LONGEST_KEY: usize = 60;

#[derive(Debug, Default)]
struct Rows {
    count: u64,
    keys: Vec<String>,
}

/// Rows by the reason for which they are left out.
#[derive(Debug, Default)]
pub(crate) struct LeftOut(BTreeMap<String, Rows>);

impl LeftOut {
    /// Adds a row. `key` is its encoded key, empty where the table has none.
    pub(crate) fn add(&mut self, why: String, plan: &Plan, key: &[u8]) {
        let rows = self.0.entry(why).or_default();
        rows.count += 1;
        if rows.keys.len() < NAMED && !key.is_empty() {
            rows.keys.push(key_text(plan, key));
        }
    }

    /// Adds rows whose keys are not known.
    pub(crate) fn add_all(&mut self, why: &str, count: u64) {
        self.0.entry(why.to_owned()).or_default().count += count;
    }

    /// The notes of the report.
    pub(crate) fn notes(&self) -> Vec<String> {
        let note = |(why, rows): (&String, &Rows)| {
            let Rows { count, keys } = rows;
            if keys.is_empty() {
                return format!("{count} not repaired: {why}");
            }
            let more = if keys.len() as u64 == *count {
                ""
            } else {
                ", …"
            };
            format!("{count} not repaired: {why} ({}{more})", keys.join(", "))
        };
        self.0.iter().map(note).collect()
    }
}

/// A key as `id=7` or `(a=1, b=x)`.
fn key_text(plan: &Plan, key: &[u8]) -> String {
    let parts: Vec<String> = plan
        .key_names()
        .iter()
        .zip(Values::new(key).flatten())
        .map(|(name, value)| format!("{name}={}", to_text(value)))
        .collect();
    let text = parts.join(", ").replace(char::is_control, " ");
    let text = match text.char_indices().nth(LONGEST_KEY) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    if parts.len() == 1 {
        text
    } else {
        format!("({text})")
    }
}
