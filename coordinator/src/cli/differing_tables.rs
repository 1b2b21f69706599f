//! The tables of an earlier run that differed or were not verified, for `run --only-differing`.
//! They are compared with the settings that are stored of them. The command decides what becomes
//! of the result: depth, repair, rows and redaction.

use shared::config::{Config, RunOptions};
use shared::hash_key::HashKey;
use shared::message::{ALL_ROWS, TableSpec};
use shared::options::{Redaction, RedactionKey};
use shared::outcome::Depth;

use super::connections::{SideSettings, side_settings};
use super::flags::{SideUrl, UrlFlags};
use super::state_dir::open_store;
use super::table_options::{check_repair, depth_of};
use super::table_plan::SelectedTables;
use super::usage::UsageError;
use crate::run_state::{PlannedTable, RestoredTable, SelectedFrom, TableScope, TableStatus};
use crate::store::{StoreError, StoredRun, StoredSide, database_identity};

/// The tables, and the databases of the earlier run.
#[derive(Debug)]
pub(super) struct DifferingTables {
    pub(super) selected: SelectedTables,
    pub(super) source: SideSettings,
    pub(super) target: SideSettings,
}

/// What the command asks for.
#[derive(Debug)]
pub(super) struct Requested<'a> {
    /// The options of the command line.
    pub(super) given: &'a RunOptions,
    /// The same, with those of the configuration.
    pub(super) options: &'a RunOptions,
    pub(super) urls: &'a UrlFlags,
    /// Whether workers of a broker compare the tables.
    pub(super) distributed: bool,
}

impl DifferingTables {
    /// The tables of the run `name`, which must have ended.
    ///
    /// # Errors
    ///
    /// When there is no such run, it has not ended, nothing differed in it, its databases are not
    /// configured, or what the command asks for contradicts the settings of a table.
    pub(super) fn of_run(
        name: &str,
        requested: &Requested<'_>,
        config: &Config,
    ) -> Result<Self, UsageError> {
        let store = open_store(name, config)?;
        let run = store.run(name)?;
        let unfinished = || StoreError::Unfinished {
            run: run.id,
            goes_on: run.is_alive,
        };
        if run.summary.is_none() {
            return Err(unfinished().into());
        }
        let mut counts = Passed::default();
        let mut tables = Vec::new();
        for (planned, restored) in store.tables(&run)? {
            let RestoredTable::Ended(record) = restored else {
                return Err(unfinished().into());
            };
            if counts.add(record.status()) {
                tables.push(planned);
            }
        }
        if tables.is_empty() {
            return Err(UsageError::NothingDiffers { run: run.id });
        }
        let side = |side, stored, url| side_of_run(&run, (side, stored), url, requested, config);
        let urls = requested.urls;
        let settings = &run.settings;
        let source = side("source", &settings.source, urls.source())?;
        let target = side("target", &settings.target, urls.target())?;
        adapt_all(&mut tables, requested, listed_rows(&run, requested.options))?;
        let scope = scope(&run, &counts);
        Ok(Self {
            selected: SelectedTables { tables, scope },
            source,
            target,
        })
    }
}

/// How the tables of the earlier run ended.
#[derive(Debug, Default)]
struct Passed {
    equal: usize,
    different: usize,
    unverified: usize,
}

impl Passed {
    /// Counts a table, and returns whether it is compared again.
    fn add(&mut self, status: TableStatus) -> bool {
        match status {
            TableStatus::Matched => self.equal += 1,
            TableStatus::Mismatched => self.different += 1,
            TableStatus::Failed | TableStatus::Timeout | TableStatus::Cancelled => {
                self.unverified += 1;
            }
        }
        status != TableStatus::Matched
    }
}

fn scope(run: &StoredRun, counts: &Passed) -> TableScope {
    let before = run.settings.scope.selected_from.as_ref();
    let before = before.map_or(0, |from| from.tables_left_out);
    let Passed {
        equal,
        different,
        unverified,
    } = counts;
    TableScope {
        notes: vec![format!(
            "only the tables that did not pass in run {}: {different} different, {unverified} not verified; {} that did not differ are left out",
            run.id,
            equal + before
        )],
        selected_from: Some(SelectedFrom {
            run_id: run.id.to_string(),
            tables_left_out: equal + before,
        }),
        ..TableScope::default()
    }
}

/// One side of the earlier run: the same database, as far as it is configured here.
fn side_of_run(
    run: &StoredRun,
    (side, stored): (&'static str, &StoredSide),
    url: Option<SideUrl<'_>>,
    requested: &Requested<'_>,
    config: &Config,
) -> Result<SideSettings, UsageError> {
    let run = run.id;
    if stored.from_url && url.is_none() {
        return Err(UsageError::UrlNeeded { run, side });
    }
    if !stored.from_url && url.is_some() {
        let name = stored.name.clone();
        return Err(UsageError::UrlUnwanted { run, side, name });
    }
    let name = Some(stored.name.as_str());
    let settings = side_settings(side, name, url, requested.distributed, config)?;
    let now = settings.endpoint.as_ref().map(database_identity);
    match (&stored.database, now) {
        (Some(before), Some(now)) if *before != now => Err(UsageError::OtherDatabaseThanBefore {
            run,
            side,
            before: before.clone(),
            now,
        }),
        _ => Ok(settings),
    }
}

/// How many differing rows of a table the report lists: as the command says, or as before.
fn listed_rows(run: &StoredRun, options: &RunOptions) -> Option<u32> {
    options.max_differences.or(run.settings.limits.listed_rows)
}

fn adapt_all(
    tables: &mut [PlannedTable],
    requested: &Requested<'_>,
    listed_rows: Option<u32>,
) -> Result<(), UsageError> {
    // One key of each kind for the run: its checksums, and equal redacted values, can be compared.
    let (hash_key, redaction_key) = (HashKey::generate(), RedactionKey::generate());
    for planned in tables {
        let spec = &mut planned.spec;
        adapt(spec, requested, listed_rows);
        spec.options.hash_key = Some(hash_key.clone());
        let redaction = spec.options.redaction.take();
        spec.options.redaction = match redaction {
            _ if requested.options.redact() => Some(true),
            redaction => redaction.map(|redaction| redaction.all),
        }
        .map(|all| Redaction {
            key: redaction_key.clone(),
            all,
        });
        let options = &spec.options;
        let needs_rows =
            options.repair || options.recheck.times > 0 || requested.options.rows_output.is_some();
        if needs_rows && spec.depth != Depth::Rows {
            return Err(UsageError::NeedsRows);
        }
        if options.repair && options.redaction.as_ref().is_some_and(|it| it.all) {
            return Err(UsageError::RepairShowsValues);
        }
        check_repair(spec)?;
    }
    Ok(())
}

/// The stored settings of a table with what the command asks for. Nothing of it makes rows or
/// columns equal that were not.
fn adapt(spec: &mut TableSpec, requested: &Requested<'_>, listed_rows: Option<u32>) {
    let Requested { given, options, .. } = requested;
    spec.depth = spec.depth.max(depth_of(options));
    spec.options.repair = options.generate_repair();
    spec.options.repair_keyless = options.repair_keyless();
    if options.rows_output.is_some() {
        spec.max_differences = ALL_ROWS;
    } else if let Some(rows) = listed_rows {
        spec.max_differences = rows;
    }
    if let Some(size) = given.row_level_chunk_size {
        spec.chunk_size = size.get();
    }
    if let Some(timeout) = given.parallel_timeout {
        spec.timeout = timeout;
    }
    if let Some(times) = given.recheck {
        spec.options.recheck.times = times;
    }
    if let Some(delay) = given.recheck_delay {
        let delay = u64::try_from(delay.as_millis());
        spec.options.recheck.delay_ms = delay.unwrap_or(u64::MAX);
    }
    if given.read_uncommitted.is_some() {
        spec.options.read_uncommitted = options.read_uncommitted();
    }
    let limits = &mut spec.options.limits;
    let sizes = [
        (&mut limits.memory_bytes, given.memory_limit),
        (&mut limits.spill_bytes, given.spill_limit),
        (&mut limits.value_bytes, given.max_value_size),
    ];
    for (limit, size) in sizes {
        if let Some(size) = size {
            *limit = size.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::config::parse;
    use std::path::Path;

    use super::*;
    use crate::run_state::testing::spec;

    /// The table after a command with these options, in TOML.
    fn adapted(options: &str, depth: Depth) -> Result<TableSpec, UsageError> {
        let text = format!("[run]\n{options}");
        let config = parse(Path::new("reconcile.toml"), &text, &Default::default()).unwrap();
        let mut table = PlannedTable::new(TableSpec { depth, ..spec("t") });
        table.spec.max_differences = ALL_ROWS;
        table.spec.options.redaction = Some(Redaction {
            key: RedactionKey::generate(),
            all: false,
        });
        let requested = Requested {
            given: &config.run,
            options: &config.run,
            urls: &UrlFlags::default(),
            distributed: false,
        };
        let mut tables = vec![table];
        adapt_all(
            &mut tables,
            &requested,
            config.run.max_differences.or(Some(7)),
        )?;
        Ok(tables.remove(0).spec)
    }

    #[test]
    fn a_command_makes_a_comparison_deeper_and_never_less_deep() {
        let depth = |options, before| adapted(options, before).unwrap().depth;
        assert_eq!(depth("row_level = true", Depth::Counts), Depth::Rows);
        assert_eq!(depth("validate_checksums = true", Depth::Rows), Depth::Rows);
        assert_eq!(depth("", Depth::Checksum), Depth::Checksum);
    }

    #[test]
    fn what_counts_as_equal_stays() {
        let options = "recheck = 2\nmemory_limit = '1MiB'\nnaming = 'exact'\nallow_same = true\nmissing_columns = 'note'\nparallel_timeout = 5\n";
        let (before, after) = (spec("t"), adapted(options, Depth::Rows).unwrap());
        assert_eq!(
            (after.options.recheck.times, after.timeout.as_secs()),
            (2, 5)
        );
        assert_eq!(after.options.limits.memory_bytes, 1 << 20);
        assert_eq!(
            (after.options.naming, after.options.allow_same),
            (before.options.naming, before.options.allow_same)
        );
        assert_eq!(
            after.options.missing_columns,
            before.options.missing_columns
        );
        assert_eq!((after.key, after.columns), (before.key, before.columns));
    }

    #[test]
    fn the_command_decides_what_becomes_of_the_rows() {
        let rows = |options| adapted(options, Depth::Rows).unwrap().max_differences;
        assert_eq!(rows(""), 7);
        assert_eq!(rows("max_differences = 9"), 9);
        assert_eq!(rows("rows_output = 'rows.jsonl'"), ALL_ROWS);
        let all = |options: &str| {
            let redaction = adapted(options, Depth::Rows).unwrap().options.redaction;
            redaction.map(|redaction| redaction.all)
        };
        assert_eq!((all(""), all("redact = true")), (Some(false), Some(true)));
        for (options, depth) in [
            ("generate_repair = true\nredact = true", Depth::Rows),
            ("generate_repair = true", Depth::Checksum),
            ("rows_output = 'rows.jsonl'", Depth::Counts),
        ] {
            assert!(adapted(options, depth).is_err(), "{options}");
        }
    }
}
