//! The most that a task may ask of this worker: `[limits]` of its configuration.

use shared::config::{ByteSize, WorkerLimits};
use shared::message::{Side, TableSpec};
use shared::outcome::{Failure, FailureKind, FailureOrigin};

use crate::engine::Engine;

/// Checks a task against the limits. Endpoints are checked with those that are configured.
///
/// # Errors
///
/// `LimitExceeded` names the first limit that is exceeded, with both values.
pub(super) fn check(
    limits: &WorkerLimits,
    spec: &TableSpec,
    engine: &dyn Engine,
) -> Result<(), Failure> {
    let size = |size: u64| ByteSize(size).to_string();
    let engine_limits = &spec.options.limits;
    let (memory, spill) = (engine_limits.memory_bytes, engine_limits.spill_bytes);
    let (max_memory, max_spill) = (limits.max_memory, limits.max_spill);
    if let Some(most) = max_memory.filter(|most| memory > most.0) {
        return refused("--memory-limit", &size(memory), "max_memory", &size(most.0));
    }
    if let Some(most) = max_spill.filter(|most| spill > most.0) {
        return refused("--spill-limit", &size(spill), "max_spill", &size(most.0));
    }
    let value = engine_limits.value_bytes;
    if let Some(most) = limits.max_value_size.filter(|most| value > most.0) {
        return refused(
            "--max-value-size",
            &size(value),
            "max_value_size",
            &size(most.0),
        );
    }
    if let Some(most) = limits.max_timeout.filter(|most| spec.timeout > *most) {
        let duration = |duration| humantime::format_duration(duration).to_string();
        let (asked, most) = (duration(spec.timeout), duration(most));
        return refused("a time limit", &asked, "max_timeout", &most);
    }
    let Some(served) = &limits.schemas else {
        return Ok(());
    };
    for side in [&spec.source, &spec.target] {
        let Some(schema) = schema_of(side, engine) else {
            continue;
        };
        // As tables are found: without regard to case.
        if !served
            .iter()
            .any(|name| name.to_lowercase() == schema.to_lowercase())
        {
            return refused("schema", &schema, "schemas", &served.join(", "));
        }
    }
    let filters = &spec.options.filters;
    let mut conditions = [&filters.source, &filters.target].into_iter().flatten();
    match conditions.find(|condition| reads_tables(condition)) {
        Some(condition) => refused(
            "a condition that reads other tables",
            &condition.chars().take(100).collect::<String>(),
            "schemas",
            &served.join(", "),
        ),
        None => Ok(()),
    }
}

fn refused(what: &str, asked: &str, limit: &str, most: &str) -> Result<(), Failure> {
    let message = format!(
        "the task asks for {what} `{asked}`, and [limits] {limit} of the worker is `{most}`; ask for less, or raise the limit in the worker's configuration"
    );
    let failure = Failure::new(FailureKind::LimitExceeded, message);
    Err(failure.in_origin(FailureOrigin::Worker))
}

fn schema_of(side: &Side, engine: &dyn Engine) -> Option<String> {
    let named = side.table.schema.clone();
    named.or_else(|| engine.schema(&side.endpoint))
}

/// Whether a condition may contain a sub-query. A text that contains the word counts too.
fn reads_tables(condition: &str) -> bool {
    let mut words = condition.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    words.any(|word| word.eq_ignore_ascii_case("select") || word.eq_ignore_ascii_case("table"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use shared::ids::TableName;
    use shared::message::{ColumnSelection, Task};
    use shared::options::{EngineLimits, Filters, TableOptions};
    use shared::outcome::{Comparison, Depth};

    use super::*;
    use crate::engine::{Stop, TaskContext};

    #[derive(Debug)]
    struct Endpoints;

    #[async_trait]
    impl Engine for Endpoints {
        fn schema(&self, endpoint: &str) -> Option<String> {
            Some(format!("of_{endpoint}"))
        }

        async fn reconcile(&self, _: &Task, _: &TaskContext) -> Result<Comparison, Stop> {
            Err(Stop::Cancelled)
        }
    }

    fn spec() -> TableSpec {
        let side = |endpoint: &str, schema: Option<&str>| Side {
            endpoint: endpoint.to_owned(),
            table: TableName {
                schema: schema.map(str::to_owned),
                name: "t".to_owned(),
            },
        };
        TableSpec {
            source: side("erp", Some("Sales")),
            target: side("copy", None),
            depth: Depth::Rows,
            key: None,
            columns: ColumnSelection::default(),
            max_differences: 1,
            chunk_size: 1,
            timeout: Duration::from_secs(60),
            options: TableOptions {
                limits: EngineLimits {
                    memory_bytes: 64 << 20,
                    spill_bytes: 16 << 30,
                    value_bytes: 8 << 20,
                },
                ..TableOptions::default()
            },
        }
    }

    fn error(limits: &WorkerLimits, spec: &TableSpec) -> Option<String> {
        let failure = check(limits, spec, &Endpoints).err()?;
        assert_eq!(failure.kind, FailureKind::LimitExceeded);
        assert_eq!(failure.origin, FailureOrigin::Worker);
        Some(failure.message)
    }

    #[test]
    fn a_task_at_a_limit_passes_and_one_above_is_refused_with_both_numbers() {
        let none = WorkerLimits::default();
        let at = WorkerLimits {
            max_memory: Some(ByteSize(64 << 20)),
            max_spill: Some(ByteSize(16 << 30)),
            max_value_size: Some(ByteSize(8 << 20)),
            max_timeout: Some(Duration::from_secs(60)),
            ..none.clone()
        };
        let below = |limits| error(&limits, &spec()).unwrap();
        assert_eq!(error(&none, &spec()), None);
        assert_eq!(error(&at, &spec()), None);
        let memory = below(WorkerLimits {
            max_memory: Some(ByteSize(32 << 20)),
            ..none.clone()
        });
        assert!(
            memory.contains("`64MiB`") && memory.contains("`32MiB`"),
            "{memory}"
        );
        let spill = below(WorkerLimits {
            max_spill: Some(ByteSize(1 << 30)),
            ..none.clone()
        });
        assert!(
            spill.contains("`16GiB`") && spill.contains("`1GiB`"),
            "{spill}"
        );
        let value = below(WorkerLimits {
            max_value_size: Some(ByteSize(4 << 20)),
            ..none.clone()
        });
        assert!(
            value.contains("`8MiB`") && value.contains("`4MiB`"),
            "{value}"
        );
        let timeout = below(WorkerLimits {
            max_timeout: Some(Duration::from_secs(59)),
            ..none
        });
        assert!(
            timeout.contains("`1m`") && timeout.contains("`59s`"),
            "{timeout}"
        );
    }

    #[test]
    fn only_tables_of_the_listed_schemas_are_read_also_by_conditions() {
        let limits = |schemas: &[&str]| WorkerLimits {
            schemas: Some(schemas.iter().map(|name| (*name).to_owned()).collect()),
            ..WorkerLimits::default()
        };
        assert_eq!(error(&limits(&["sales", "of_copy"]), &spec()), None);
        let refused = error(&limits(&["sales"]), &spec()).unwrap();
        assert!(
            refused.contains("`of_copy`") && refused.contains("`sales`"),
            "{refused}"
        );
        for condition in [
            "id IN (SELECT id FROM hr.salaries)",
            "id in (table salaries)",
        ] {
            let mut spec = spec();
            spec.options.filters = Filters {
                source: None,
                target: Some(condition.to_owned()),
            };
            assert!(error(&limits(&["sales", "of_copy"]), &spec).is_some());
            assert_eq!(error(&WorkerLimits::default(), &spec), None);
        }
    }
}
