//! Rules for triggers. What a trigger does cannot be compared between databases; whether there
//! is one, and whether it is enabled, can.

use shared::naming::{Naming, pair_names};

use crate::engine::database::schema::Trigger;
use crate::engine::schema::findings::Findings;
use crate::engine::schema::rule::{TRIGGER_DISABLED, TRIGGER_EXTRA, TRIGGER_MISSING};
use crate::engine::schema::table_pair::TablePair;

/// Compares the triggers of a table. Those of the same name are partners. Of the others, a
/// migration may have renamed as many as both sides have.
pub(super) fn check(pair: &TablePair<'_>, findings: &mut Findings) {
    let (source, target) = (&pair.schemas.source.triggers, &pair.schemas.target.triggers);
    let names = |triggers: &'_ [Trigger]| -> Vec<String> {
        triggers
            .iter()
            .map(|trigger| trigger.name.clone())
            .collect()
    };
    let (from, to) = (names(source), names(target));
    let from: Vec<&str> = from.iter().map(String::as_str).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let found =
        pair_names(&from, &to, Naming::Normalised).unwrap_or_else(|_| vec![None; from.len()]);
    let partners: Vec<Option<usize>> = found.iter().map(|it| it.map(|(at, _)| at)).collect();
    for (trigger, partner) in source.iter().zip(&partners) {
        if let Some(to) = partner.map(|at| &target[at])
            && trigger.is_enabled
            && !to.is_enabled
        {
            let message = format!("the trigger `{}` is disabled in the target only", to.name);
            findings.add_object(TRIGGER_DISABLED, &trigger.name, message);
        }
    }
    let alone = source
        .iter()
        .zip(&partners)
        .filter(|(_, partner)| partner.is_none());
    let source: Vec<&Trigger> = alone.map(|(trigger, _)| trigger).collect();
    let target = target.iter().enumerate();
    let alone = target.filter(|(at, _)| !partners.contains(&Some(*at)));
    let target: Vec<&Trigger> = alone.map(|(_, trigger)| trigger).collect();
    check_unnamed(&source, &target, findings);
}

/// Compares the triggers that have no partner by name, by their number.
fn check_unnamed(source: &[&Trigger], target: &[&Trigger], findings: &mut Findings) {
    let enabled = |triggers: &[&Trigger]| -> Vec<String> {
        let triggers = triggers.iter().filter(|trigger| trigger.is_enabled);
        triggers
            .map(|trigger| format!("`{}`", trigger.name))
            .collect()
    };
    let (from, to) = (enabled(source), enabled(target));
    // A trigger of the target that is disabled may be the missing one.
    if from.len() > to.len() && source.len() <= target.len() {
        for trigger in target.iter().filter(|trigger| !trigger.is_enabled) {
            let message = format!(
                "the trigger `{}` of the target is disabled, and the source has the enabled triggers {}",
                trigger.name,
                from.join(", ")
            );
            findings.add_object(TRIGGER_DISABLED, &trigger.name, message);
        }
    } else if from.len() > to.len() {
        let others = if to.is_empty() {
            "none of the target has such a name".to_owned()
        } else {
            format!(
                "of the target's triggers only {} may be among them",
                to.join(", ")
            )
        };
        findings.add(
            TRIGGER_MISSING,
            format!(
                "the source has the enabled triggers {}, and {others}",
                from.join(", ")
            ),
        );
    } else if from.len() < to.len() {
        findings.add(
            TRIGGER_EXTRA,
            format!(
                "the target has the enabled triggers {}, and the source has {} for them",
                to.join(", "),
                if from.is_empty() {
                    "none".to_owned()
                } else {
                    format!("only {}", from.join(", "))
                }
            ),
        );
    }
}
