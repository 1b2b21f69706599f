//! The options of comparisons, out of flags and configuration.

use shared::config::{RunDefaults, TableEntry};
use shared::message::TableSpec;
use shared::options::{EngineLimits, Recheck, Redaction, RedactionKey, TableOptions};
use shared::outcome::Depth;

use super::flags::RunFlags;
use super::usage::UsageError;

/// The options that all tables have in common.
pub(super) fn options(
    flags: &RunFlags,
    defaults: &RunDefaults,
    tables: &[TableEntry],
    depth: Depth,
) -> Result<TableOptions, UsageError> {
    let usual = Recheck::default();
    let recheck = Recheck {
        times: flags.recheck.or(defaults.recheck).unwrap_or(usual.times),
        delay_ms: flags
            .recheck_delay
            .or(defaults.recheck_delay)
            .map_or(usual.delay_ms, |delay| {
                u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
            }),
    };
    let repair = flags.generate_repair || defaults.generate_repair.unwrap_or(false);
    let redact_all = flags.redact || defaults.redact.unwrap_or(false);
    // One key for the run: equal values of all its tables have equal hashes.
    let redact = redact_all
        || tables
            .iter()
            .any(|table| table.rules.values().any(|rule| rule.redact));
    if (repair || recheck.times > 0) && depth != Depth::Rows {
        return Err(UsageError::NeedsRows);
    }
    if repair && redact_all {
        return Err(UsageError::RepairShowsValues);
    }
    let usual = EngineLimits::default();
    Ok(TableOptions {
        recheck,
        repair,
        redaction: redact.then(|| Redaction {
            key: RedactionKey::generate(),
            all: redact_all,
        }),
        limits: EngineLimits {
            memory_bytes: flags
                .memory_limit
                .or(defaults.memory_limit)
                .map_or(usual.memory_bytes, |size| size.0),
            spill_bytes: flags
                .spill_limit
                .or(defaults.spill_limit)
                .map_or(usual.spill_bytes, |size| size.0),
        },
        read_uncommitted: flags.read_uncommitted || defaults.read_uncommitted.unwrap_or(false),
        ..TableOptions::default()
    })
}

/// A repair of a table must not tell what its rules hide.
pub(super) fn check_repair(spec: &TableSpec) -> Result<(), UsageError> {
    let hidden = spec.options.rules.iter().find(|(_, rule)| rule.redact);
    match hidden {
        Some((column, _)) if spec.options.repair => Err(UsageError::RepairShowsColumn {
            table: spec.source.table.to_string(),
            column: column.clone(),
        }),
        _ => Ok(()),
    }
}
