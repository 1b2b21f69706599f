//! Repairs of the cases: after the repair the target equals the source, after the
//! undo it is as before.

use anyhow::{Context, anyhow, ensure};
use shared::outcome::Depth;
use tests::cases::Case;
use tests::repairs;

use super::databases::{Databases, Meeting};

pub(crate) async fn there_and_back(
    databases: &mut Databases,
    case: &Case,
    meeting: &Meeting,
) -> anyhow::Result<()> {
    let mirrored = meeting.mirrored;
    let spec = case.spec(mirrored)?;
    if !case.repair || spec.depth != Depth::Rows || case.expect.error.is_some() {
        return Ok(());
    }
    let target = databases.target(meeting).clone();
    let way = repairs::there_and_back(databases.engine(meeting), &target, spec).await?;
    case.check(&way.before, mirrored)?;
    let expected = &case.expect.unrepaired;
    for note in &way.unrepaired {
        ensure!(
            expected.iter().any(|words| note.contains(words)),
            "{note}: which the case does not expect"
        );
    }
    ensure!(
        way.skipped.is_empty() || !expected.is_empty(),
        "no row was changed by {:#?}",
        way.skipped
    );
    if let Some(repaired) = &way.repaired {
        let (comparison, differences) = repaired
            .as_ref()
            .map_err(|stop| anyhow!("after the repair: {stop:?}"))?;
        ensure!(
            comparison.rows_match() || !expected.is_empty(),
            "after the repair there are {differences:?}; statements: {:#?}",
            way.statements
        );
    }
    match &way.undone {
        Some(undone) => case.check(undone, mirrored).context("after the undo"),
        None => Ok(()),
    }
}
