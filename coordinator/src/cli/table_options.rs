//! The options of comparisons, from the options of the run and the configured tables.

use shared::config::RunOptions;
use shared::hash_key::HashKey;
use shared::message::TableSpec;
use shared::options::{EngineLimits, Recheck, Redaction, RedactionKey, TableOptions};
use shared::outcome::Depth;

use super::table_settings::TableSettings;
use super::usage::UsageError;

/// The depth that the options ask for.
pub(super) fn depth_of(options: &RunOptions) -> Depth {
    if options.row_level() {
        Depth::Rows
    } else if options.validate_checksums() {
        Depth::Checksum
    } else {
        Depth::Counts
    }
}

/// The options that all tables of a run have in common.
pub(super) fn table_options(
    options: &RunOptions,
    settings: &TableSettings,
    depth: Depth,
) -> Result<TableOptions, UsageError> {
    let recheck = Recheck {
        times: options.recheck(),
        delay_ms: u64::try_from(options.recheck_delay().as_millis()).unwrap_or(u64::MAX),
    };
    let (repair, redact_all) = (options.generate_repair(), options.redact());
    let needs_rows = repair || recheck.times > 0 || options.rows_output.is_some();
    if needs_rows && depth != Depth::Rows {
        return Err(UsageError::NeedsRows);
    }
    if repair && redact_all {
        return Err(UsageError::RepairShowsValues);
    }
    let longest = options.max_value_size();
    if longest.0 < EngineLimits::SMALLEST_VALUE_BYTES {
        return Err(UsageError::SmallValueSize(longest));
    }
    let of_tables = settings.entries.iter().flat_map(|it| it.rules.values());
    let general = settings.rules.iter().map(|entry| &entry.rule.rule);
    let redacts = redact_all || of_tables.chain(general).any(|rule| rule.redact);
    Ok(TableOptions {
        recheck,
        repair,
        repair_keyless: options.repair_keyless(),
        // One key for the run: equal values have equal hashes in all its tables.
        redaction: redacts.then(|| Redaction {
            key: RedactionKey::generate(),
            all: redact_all,
        }),
        // One key for the run: its checksums can be compared with each other.
        hash_key: Some(HashKey::generate()),
        limits: EngineLimits {
            memory_bytes: options.memory_limit().0,
            spill_bytes: options.spill_limit().0,
            value_bytes: longest.0,
        },
        read_uncommitted: options.read_uncommitted(),
        naming: options.naming(),
        missing_columns: options.missing_columns(),
        allow_same: options.allow_same(),
        ..TableOptions::default()
    })
}

/// Refuses repairs of a table with redacted columns: a repair contains the values.
pub(super) fn check_repair(spec: &TableSpec) -> Result<(), UsageError> {
    if !spec.options.repair {
        return Ok(());
    }
    let table = || spec.source.table.to_string();
    let mut own = spec.options.rules.iter();
    if let Some((column, _)) = own.find(|(_, rule)| rule.redact) {
        return Err(UsageError::RepairShowsColumn {
            table: table(),
            column: column.clone(),
        });
    }
    match spec.options.general_rules.iter().any(|it| it.rule.redact) {
        true => Err(UsageError::RepairShowsColumns { table: table() }),
        false => Ok(()),
    }
}
