//! `reconcile types`: which types can be compared, and how.

use worker::engine::{TypePair, type_pairs, types_page};

use super::exit::CommandError;
use super::flags::TypesFlags;
use super::lists::{columns, print};
use super::pace_text::clipped;
use super::usage::UsageError;

/// Columns for the options of a pair.
const OPTIONS: usize = 40;

pub(super) fn types(flags: &TypesFlags) -> Result<u8, CommandError> {
    if flags.markdown {
        return print(&types_page());
    }
    let pairs = type_pairs();
    let wanted = flags.name.as_deref().unwrap_or_default();
    let chosen: Vec<&TypePair> = pairs
        .iter()
        .filter(|pair| is_named(pair.one, wanted) || is_named(pair.other, wanted))
        .collect();
    if chosen.is_empty() {
        return Err(UsageError::NoType(wanted.escape_default().to_string()).into());
    }
    print(&table(&chosen, wanted))
}

/// Whether one of the types of a group has a name with `wanted` in it.
fn is_named(group: &str, wanted: &str) -> bool {
    group.to_lowercase().contains(&wanted.trim().to_lowercase())
}

/// The pairs in columns; with their rules if they are those of a name.
fn table(pairs: &[&TypePair], wanted: &str) -> String {
    let rows: Vec<[String; 4]> = pairs
        .iter()
        .map(|pair| {
            [
                pair.one.to_owned(),
                pair.other.to_owned(),
                pair.form.to_owned(),
                clipped(&pair.options.join(", "), OPTIONS),
            ]
        })
        .collect();
    let headings = ["SQL Server", "PostgreSQL", "compared as", "options"];
    let mut text = columns(headings, &rows);
    if wanted.is_empty() {
        text.push_str("\n`reconcile types NAME` also prints the rules of the pairs with a type.\n");
        return text;
    }
    text.push('\n');
    for pair in pairs {
        text.push_str(&format!("{} and {}: {}", pair.one, pair.other, pair.rule));
        if !pair.options.is_empty() {
            text.push_str(&format!("; options: {}", pair.options.join(", ")));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_selects_the_pairs_of_its_types() {
        let pairs = type_pairs();
        let chosen: Vec<&TypePair> = pairs
            .iter()
            .filter(|pair| is_named(pair.one, "SmallDateTime"))
            .collect();
        assert!(!chosen.is_empty() && chosen.len() < pairs.len());
        let text = table(&chosen, "smalldatetime");
        assert!(
            text.contains("smalldatetime and timestamp(p): in the"),
            "{text}"
        );
        assert!(!text.contains("uniqueidentifier"), "{text}");
    }
}
