//! Tables of the source that the list of a run matches and leaves out.

use std::collections::BTreeSet;

/// The most names that a note lists.
const MOST_NAMES: usize = 5;

/// Why a table is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The user excludes it.
    Excluded,
    /// Patterns do not select tables of the system.
    System,
    /// Patterns select views only on request.
    View,
}

/// The tables that are left out, each once.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    excluded: BTreeSet<String>,
    system: BTreeSet<String>,
    views: BTreeSet<String>,
}

impl LeftOut {
    pub(super) fn add(&mut self, reason: Reason, schema: Option<&str>, name: &str) {
        let whole = match schema {
            Some(schema) => format!("{schema}.{name}"),
            None => name.to_owned(),
        };
        let tables = match reason {
            Reason::Excluded => &mut self.excluded,
            Reason::System => &mut self.system,
            Reason::View => &mut self.views,
        };
        tables.insert(whole);
    }

    /// What was left out, one line for each reason.
    pub(super) fn notes(&self) -> Vec<String> {
        let lines = [
            (&self.excluded, "table", "excluded", ""),
            (
                &self.system,
                "table",
                "left out, as made by the database or its tools",
                "",
            ),
            (
                &self.views,
                "view",
                "left out",
                "; --include-views compares them",
            ),
        ];
        let notes = lines.into_iter().filter(|(tables, ..)| !tables.is_empty());
        notes
            .map(|(tables, noun, what, more)| {
                let plural = if tables.len() == 1 { "" } else { "s" };
                let mut names: Vec<&str> = tables.iter().map(String::as_str).collect();
                if names.len() > MOST_NAMES {
                    names.truncate(MOST_NAMES);
                    names.push("…");
                }
                format!(
                    "{} {noun}{plural} {what}: {}{more}",
                    tables.len(),
                    names.join(", ")
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_is_counted_once() {
        let mut left_out = LeftOut::default();
        assert_eq!(left_out.notes(), Vec::<String>::new());
        for name in ["a", "b", "a"] {
            left_out.add(Reason::View, Some("dbo"), name);
        }
        left_out.add(Reason::System, Some("dbo"), "sysdiagrams");
        for number in 0..7 {
            left_out.add(Reason::Excluded, None, &format!("t{number}"));
        }
        assert_eq!(
            left_out.notes(),
            [
                "7 tables excluded: t0, t1, t2, t3, t4, …",
                "1 table left out, as made by the database or its tools: dbo.sysdiagrams",
                "2 views left out: dbo.a, dbo.b; --include-views compares them",
            ]
        );
    }
}
