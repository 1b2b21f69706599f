//! Finds the deletions that rows of other tables are in the way of, before a script is
//! executed. The guards of the deletions skip these rows.

use crate::engine::repair::left_out::LeftOut;
use crate::engine::repair::statement::TargetTable;
use crate::engine::step::StepContext;
use crate::engine::task::Stop;
use crate::engine::values::column::SideOf;

/// How many deletions one query checks.
const AT_ONCE: usize = 100;

/// How many deletions are checked one by one, so that their keys are known.
const NAMED: u64 = 3;

/// Deletions that were not checked yet, and how many of the others are in the way.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// The encoded key of each row and the condition that finds it.
    unchecked: Vec<(Vec<u8>, String)>,
    named: u64,
}

impl References {
    /// Adds the deletion of a row with this encoded key, which `condition` finds.
    pub(crate) fn add(&mut self, key: Vec<u8>, condition: String) {
        self.unchecked.push((key, condition));
    }

    /// Whether so many deletions were added that they should be checked.
    pub(crate) fn is_full(&self) -> bool {
        self.unchecked.len() >= AT_ONCE
    }

    /// Looks for rows that reference those of the deletions that were added since, and adds
    /// these to `left_out`.
    pub(crate) async fn check(
        &mut self,
        step: &mut StepContext<'_>,
        table: &TargetTable,
        left_out: &mut LeftOut,
    ) -> Result<(), Stop> {
        let unchecked = std::mem::take(&mut self.unchecked);
        let Some((referenced, tables)) = table.referenced().filter(|_| !unchecked.is_empty())
        else {
            return Ok(());
        };
        let (count, name) = (table.dialect.facts().count, &table.name);
        let why = format!(
            "a row of {tables} references the row to be deleted; it is deleted only if a repair of that table removes the reference before"
        );
        let target = step.sides.side(SideOf::Target);
        let conditions: Vec<String> = unchecked
            .iter()
            .map(|(_, condition)| format!("({condition})"))
            .collect();
        let any = conditions.join(" OR ");
        let all = format!("SELECT {count} FROM {name} WHERE ({any}) AND {referenced}");
        let mut found = target.count(&all).await?;
        for ((key, _), condition) in unchecked.iter().zip(&conditions) {
            if found == 0 || self.named >= NAMED {
                break;
            }
            let one = format!("SELECT {count} FROM {name} WHERE {condition} AND {referenced}");
            if target.count(&one).await? > 0 {
                left_out.add(why.clone(), &step.planned.plan, key);
                self.named += 1;
                found -= 1;
            }
        }
        if found > 0 {
            left_out.add_all(&why, found);
        }
        Ok(())
    }
}
