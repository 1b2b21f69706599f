//! How names of tables and columns are paired between two databases.

use std::collections::BTreeMap;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes of the longest name in PostgreSQL, which cuts longer names when an object is created
/// (`NAMEDATALEN` - 1).
pub const POSTGRES_NAME_BYTES: usize = 63;

/// How far two names may differ and still be paired.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Naming {
    /// Not at all.
    Exact,
    /// In upper and lower case.
    IgnoreCase,
    /// In upper and lower case, and in `_`, blanks and `-`.
    #[default]
    Normalised,
}

/// Why two names are paired; each rule is tried on the names that the rules before it left.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum NameMatch {
    /// The user pairs them.
    Given,
    /// They are equal.
    Exact,
    /// They are equal without regard to case.
    IgnoreCase,
    /// They are equal without regard to case, `_`, blanks and `-`.
    Normalised,
    /// One is longer than PostgreSQL allows, and the other is what PostgreSQL cuts it to.
    Cut,
}

impl NameMatch {
    /// How the names differ, for users; `None` if nothing is to be said.
    #[must_use]
    pub fn describe(self) -> Option<&'static str> {
        match self {
            Self::Given | Self::Exact => None,
            Self::IgnoreCase => Some("ignoring case"),
            Self::Normalised => Some("ignoring case, `_`, blanks and `-`"),
            Self::Cut => Some("with a name cut at 63 bytes"),
        }
    }
}

/// Names that one rule pairs in more than one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguity {
    /// Positions among the names of the source.
    pub sources: Vec<usize>,
    /// Positions among the names of the target.
    pub targets: Vec<usize>,
    /// The rule.
    pub rule: NameMatch,
}

/// Pairs names of the source with names of the target, by the strictest rule first. Returns for
/// each source name its target's position and the rule; `None` for a name without a partner.
///
/// # Errors
///
/// When a rule pairs a name with several others.
pub fn pair_names(
    sources: &[&str],
    targets: &[&str],
    naming: Naming,
) -> Result<Vec<Option<(usize, NameMatch)>>, Ambiguity> {
    let mut found = vec![None; sources.len()];
    for rule in rules(naming) {
        let left: Vec<usize> = (0..sources.len())
            .filter(|&at| found[at].is_none())
            .collect();
        let taken: Vec<usize> = found.iter().flatten().map(|&(at, _)| at).collect();
        let free = (0..targets.len()).filter(|at| !taken.contains(at));
        let mut groups: BTreeMap<String, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for at in left {
            let form = form(sources[at], rule, naming);
            groups.entry(form).or_default().0.push(at);
        }
        for at in free {
            let form = form(targets[at], rule, naming);
            if let Some(group) = groups.get_mut(&form) {
                group.1.push(at);
            }
        }
        for (of_source, of_target) in groups.into_values() {
            match (of_source.as_slice(), of_target.as_slice()) {
                (_, []) => {}
                ([source], [target]) => found[*source] = Some((*target, rule)),
                _ => {
                    return Err(Ambiguity {
                        sources: of_source,
                        targets: of_target,
                        rule,
                    });
                }
            }
        }
    }
    Ok(found)
}

/// Finds a name among others, by the strictest rule first.
///
/// # Errors
///
/// The positions of the candidates, when a rule finds several.
pub fn find_name(
    name: &str,
    candidates: &[&str],
    naming: Naming,
) -> Result<Option<(usize, NameMatch)>, Vec<usize>> {
    match pair_names(&[name], candidates, naming) {
        Ok(found) => Ok(found[0]),
        Err(ambiguity) => Err(ambiguity.targets),
    }
}

/// The strictest rule that pairs two names; `None` if none does.
#[must_use]
pub fn relation(source: &str, target: &str) -> Option<NameMatch> {
    rules(Naming::Normalised).find(|&rule| {
        form(source, rule, Naming::Normalised) == form(target, rule, Naming::Normalised)
    })
}

/// The rules that a setting allows, the strictest first.
fn rules(naming: Naming) -> impl Iterator<Item = NameMatch> {
    let all = [
        (Naming::Exact, NameMatch::Exact),
        (Naming::IgnoreCase, NameMatch::IgnoreCase),
        (Naming::Normalised, NameMatch::Normalised),
        (Naming::Exact, NameMatch::Cut),
    ];
    all.into_iter()
        .filter(move |(needs, _)| *needs <= naming)
        .map(|(_, rule)| rule)
}

/// What is equal of two names that a rule pairs.
fn form(name: &str, rule: NameMatch, naming: Naming) -> String {
    match rule {
        NameMatch::Given | NameMatch::Exact => name.to_owned(),
        NameMatch::IgnoreCase => name.to_lowercase(),
        NameMatch::Normalised => normalised(name),
        NameMatch::Cut => match naming {
            Naming::Exact => cut(name).to_owned(),
            Naming::IgnoreCase => cut(name).to_lowercase(),
            Naming::Normalised => normalised(cut(name)),
        },
    }
}

/// The name in lower case without `_`, white space and `-`; the name itself if nothing is left.
pub(crate) fn normalised(name: &str) -> String {
    let lower = name.to_lowercase();
    let form: String = lower
        .chars()
        .filter(|c| !matches!(c, '_' | '-') && !c.is_whitespace())
        .collect();
    if form.is_empty() { lower } else { form }
}

/// Forms of a name of which two names share at least one if any rule pairs them.
#[must_use]
pub fn shared_forms(name: &str) -> [String; 2] {
    [normalised(name), normalised(cut(name))]
}

/// What PostgreSQL makes of a name: its first 63 bytes, without a character that is cut.
#[must_use]
pub fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(POSTGRES_NAME_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paired(sources: &[&str], targets: &[&str], naming: Naming) -> String {
        match pair_names(sources, targets, naming) {
            Ok(found) => found
                .iter()
                .map(|found| match found {
                    Some((at, rule)) => format!("{} {rule:?}", targets[*at]),
                    None => "-".to_owned(),
                })
                .collect::<Vec<_>>()
                .join(", "),
            Err(Ambiguity {
                sources, targets, ..
            }) => format!("ambiguous {sources:?} {targets:?}"),
        }
    }

    #[test]
    fn the_strictest_rule_pairs_first() {
        let all = Naming::Normalised;
        for (sources, targets, naming, expected) in [
            (&["id"][..], &["id"][..], Naming::Exact, "id Exact"),
            (&["Id"], &["id"], Naming::Exact, "-"),
            (&["Id"], &["id"], Naming::IgnoreCase, "id IgnoreCase"),
            (&["OrderId"], &["order_id"], Naming::IgnoreCase, "-"),
            (
                &["OrderId", "Unit Price", "UnitsIn-Stock"],
                &["order_id", "unitprice", "units_in_stock"],
                all,
                "order_id Normalised, unitprice Normalised, units_in_stock Normalised",
            ),
            (&["ID", "id"], &["id", "Id"], all, "Id IgnoreCase, id Exact"),
            (&["a_b", "ab"], &["ab"], all, "-, ab Exact"),
            (&["a_b", "a b"], &["ab"], all, "ambiguous [0, 1] [0]"),
            (&["ab"], &["a_b", "a-b"], all, "ambiguous [0] [0, 1]"),
            (&["_", "-"], &["-", "_"], all, "_ Exact, - Exact"),
        ] {
            assert_eq!(paired(sources, targets, naming), expected, "{sources:?}");
        }
    }

    #[test]
    fn a_name_that_postgresql_cuts_is_found() {
        let long = "Connector_".repeat(8);
        let stored = long.to_lowercase()[..63].to_owned();
        let found = |naming| paired(&[&long], &[&stored], naming);
        assert_eq!(found(Naming::Normalised), format!("{stored} Cut"));
        assert_eq!(found(Naming::IgnoreCase), format!("{stored} Cut"));
        assert_eq!(found(Naming::Exact), "-");
        assert_eq!(cut(&"é".repeat(40)), "é".repeat(31));
    }

    proptest! {
        #[test]
        fn names_that_are_paired_share_a_form(
            source in "[a-cA-C_ -]{1,4}|[ab_]{60,70}",
            target in "[a-cA-C_ -]{1,4}|[ab_]{60,70}",
            is_cut: bool,
        ) {
            let target = if is_cut { cut(&source).to_lowercase() } else { target };
            if relation(&source, &target).is_some() {
                let forms = shared_forms(&target);
                prop_assert!(shared_forms(&source).iter().any(|form| forms.contains(form)));
            }
        }

        /// A partner is no one else's, and a shuffled list of equal names is paired whole.
        #[test]
        fn partners_are_exclusive(
            sources in proptest::collection::vec("[abAB_ -]{1,4}", 0..8),
            targets in proptest::collection::vec("[abAB_ -]{1,4}", 0..8),
        ) {
            let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
            let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
            if let Ok(found) = pair_names(&sources, &targets, Naming::Normalised) {
                let mut partners: Vec<usize> = found.iter().flatten().map(|&(at, _)| at).collect();
                partners.sort_unstable();
                let count = partners.len();
                partners.dedup();
                prop_assert_eq!(partners.len(), count);
                for (name, found) in sources.iter().zip(&found) {
                    if let Some((at, _)) = found {
                        prop_assert_eq!(normalised(name), normalised(targets[*at]));
                    }
                }
            }
        }
    }
}
