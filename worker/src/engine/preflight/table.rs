//! The check of one table: both sides are described and planned as a comparison does it, and all
//! reasons are collected why a comparison would fail.

use std::time::Duration;

use shared::coverage::{Coverage, Uncompared};
use shared::failure::{Failure, FailureKind};
use shared::finding::Severity;
use shared::ids::TableName;
use shared::message::TableSpec;
use shared::options::{MissingColumns, TableOptions};
use shared::outcome::Depth;

use crate::engine::database::filter::condition;
use crate::engine::database::footprint::Footprint;
use crate::engine::database::hold;
use crate::engine::database::session::label::Label;
use crate::engine::database::session::pool::{Pools, SessionLease};
use crate::engine::plan::coverage::structure;
use crate::engine::plan::plan;
use crate::engine::plan::problems::problems;
use crate::engine::plan::refusals::{refuse_keyless_tolerance, refuse_same};
use crate::engine::preflight::finding::{Effect, PreflightFinding};
use crate::engine::values::column::Table;
use crate::engine::values::pair::Pair;

/// How long a statement of the catalog may take.
const STATEMENT_LIMIT: Duration = Duration::from_secs(20);

/// Bytes of a row's hashes in a temporary file.
const ELEMENT: u64 = 32;

/// The result of checking one table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableCheck {
    /// What was found; each finding names the table.
    pub findings: Vec<PreflightFinding>,
    /// What would be compared; absent if that could not be planned.
    pub facts: Option<TableFacts>,
    /// Columns that could be compared if their values were converted to text.
    pub suggestions: Vec<TextSuggestion>,
}

/// A column that no rule compares and that can be compared with `as_text = true`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextSuggestion {
    /// Its type in the source.
    pub declared: String,
    /// Its name in the source.
    pub column: String,
}

/// What a run would compare of a table, and how large it is.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFacts {
    /// The pairs of columns and what is left out.
    pub coverage: Coverage,
    /// The key's columns, as the source spells them; empty without a key.
    pub key: Vec<String>,
    /// The size of the source.
    pub source: SideFacts,
    /// The size of the target.
    pub target: SideFacts,
}

/// The size of one side of a table by the statistics of its database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SideFacts {
    /// Its rows.
    pub rows: Option<u64>,
    /// The bytes of its rows as they are stored, without indexes.
    pub bytes: Option<u64>,
}

impl From<&Footprint> for SideFacts {
    fn from(footprint: &Footprint) -> Self {
        Self {
            rows: footprint.rows,
            bytes: footprint.bytes,
        }
    }
}

/// The label of the sessions that check a table.
pub(crate) fn label(spec: &TableSpec) -> Label {
    Label {
        application: format!("reconcile check {}", spec.source.table),
        statement_timeout: spec.timeout.min(STATEMENT_LIMIT),
        read_uncommitted: spec.options.read_uncommitted,
    }
}

pub(crate) async fn check_table(pools: &Pools, spec: &TableSpec) -> TableCheck {
    let name = spec.source.table.to_string();
    let mut check = match Described::read(pools, spec).await {
        Ok(described) => described.check(spec),
        Err(failures) => TableCheck {
            findings: failures.iter().map(PreflightFinding::of_failure).collect(),
            facts: None,
            suggestions: Vec::new(),
        },
    };
    for found in &mut check.findings {
        found.finding.table = Some(name.clone());
    }
    check
}

/// Both sides as their catalogs describe them.
struct Described {
    tables: Pair<Table>,
    footprints: Pair<Result<Footprint, Failure>>,
}

impl Described {
    /// # Errors
    ///
    /// All reasons why a side cannot be described or a condition cannot be used.
    async fn read(pools: &Pools, spec: &TableSpec) -> Result<Self, Vec<Failure>> {
        let one = |failure: Failure| vec![failure];
        let label = label(spec);
        let (source, target) = pools
            .lease(&spec.source.endpoint, &spec.target.endpoint, &label)
            .await
            .map_err(one)?;
        let kinds = Pair {
            source: source.endpoint().kind,
            target: target.endpoint().kind,
        };
        let identities = (source.identity().clone(), target.identity().clone());
        let (source, target) = tokio::join!(
            describe(source, &spec.source.table, spec),
            describe(target, &spec.target.table, spec)
        );
        let ((source, source_size), (target, target_size)) = match (source, target) {
            (Ok(source), Ok(target)) => (source, target),
            (source, target) => {
                let failures = [source.err(), target.err()];
                return Err(failures.into_iter().flatten().collect());
            }
        };
        let filters = &spec.options.filters;
        let mark = spec.options.soft_delete.as_ref();
        let of_source = condition(kinds.source, &source, filters.source.as_deref(), None);
        let of_target = condition(kinds.target, &target, filters.target.as_deref(), mark);
        let mut tables = Pair { source, target };
        match (of_source, of_target) {
            (Ok(source), Ok(target)) => {
                tables.source.condition = source;
                tables.target.condition = target;
            }
            (source, target) => {
                let failures = [source.err(), target.err()];
                return Err(failures.into_iter().flatten().collect());
            }
        }
        if identities.0.is_same_database(&identities.1) && !spec.options.allow_same {
            refuse_same(&tables, &identities.0).map_err(one)?;
        }
        Ok(Self {
            tables,
            footprints: Pair {
                source: source_size,
                target: target_size,
            },
        })
    }

    fn check(self, spec: &TableSpec) -> TableCheck {
        let Self { tables, footprints } = self;
        let unread: Vec<PreflightFinding> = [&footprints.source, &footprints.target]
            .into_iter()
            .filter_map(|footprint| footprint.as_ref().err())
            .map(|failure| {
                let message = format!("rows, bytes and rights on columns are unknown: {failure}");
                PreflightFinding::without_effect(
                    (Severity::Warning, "size-not-read"),
                    message,
                    None,
                )
            })
            .collect();
        let footprints = footprints.map(Result::unwrap_or_default);
        let mut check = if spec.depth == Depth::Counts {
            counted(spec, &tables)
        } else {
            planned(spec, &tables)
        };
        for (side, table) in [("source", &tables.source), ("target", &tables.target)] {
            let name = format!("{}.{} of the {side}", table.schema, table.name);
            let notes = table.visibility.notes(&name).into_iter();
            check.findings.extend(notes.map(|note| {
                let rule = (Severity::Warning, "hidden-rows");
                PreflightFinding::without_effect(rule, note, None)
            }));
        }
        check.findings.extend(unread);
        let Some(facts) = &mut check.facts else {
            return check;
        };
        facts.source = SideFacts::from(&footprints.source);
        facts.target = SideFacts::from(&footprints.target);
        let findings = &mut check.findings;
        findings.extend(unreadable(&facts.coverage, &tables, &footprints));
        findings.extend(of_columns(&facts.coverage, spec));
        findings.extend(of_size(facts, &spec.options));
        if facts.key.is_empty() && spec.depth != Depth::Counts {
            findings.push(PreflightFinding::without_effect(
                (Severity::Warning, "no-key"),
                "neither side has a key: rows are compared as a multiset, so a changed row is reported as one missing and one extra row".to_owned(),
                Some("name a key with --pk-columns or key = [..]"),
            ));
        }
        check
    }
}

/// What would be compared, without sizes.
fn comparable(coverage: Coverage, key: Vec<String>) -> TableCheck {
    TableCheck {
        findings: Vec::new(),
        facts: Some(TableFacts {
            coverage,
            key,
            source: SideFacts::default(),
            target: SideFacts::default(),
        }),
        suggestions: Vec::new(),
    }
}

/// The check of a table whose rows are only counted.
fn counted(spec: &TableSpec, tables: &Pair<Table>) -> TableCheck {
    match structure(spec, tables) {
        Ok(coverage) => comparable(coverage, Vec::new()),
        Err(failure) => TableCheck {
            findings: vec![PreflightFinding::of_failure(&failure)],
            facts: None,
            suggestions: Vec::new(),
        },
    }
}

/// The check of a table whose values are compared: the plan, or all reasons why there is none.
fn planned(spec: &TableSpec, tables: &Pair<Table>) -> TableCheck {
    let planned =
        plan(spec, tables).and_then(|plan| refuse_keyless_tolerance(&plan).map(|()| plan));
    let refused = match planned {
        Ok(plan) => {
            let key = plan.key_names();
            return comparable(plan.coverage, key);
        }
        Err(refused) => refused,
    };
    let mut check = TableCheck {
        findings: Vec::new(),
        facts: None,
        suggestions: Vec::new(),
    };
    for problem in problems(spec, tables) {
        let found = PreflightFinding::of_failure(&problem.failure);
        check.findings.push(match &problem.column {
            Some(column) => found.on(column),
            None => found,
        });
        let suggestion = problem.column.zip(problem.solved_as_text);
        check
            .suggestions
            .extend(suggestion.map(|(column, declared)| TextSuggestion { declared, column }));
    }
    if check.findings.is_empty() {
        check.findings.push(PreflightFinding::of_failure(&refused));
    }
    // Columns without a partner are reported together with those that have no rule.
    if let Ok(coverage) = structure(spec, tables) {
        check.findings.extend(of_columns(&coverage, spec));
    }
    check
}

async fn describe(
    mut lease: SessionLease,
    name: &TableName,
    spec: &TableSpec,
) -> Result<(Table, Result<Footprint, Failure>), Failure> {
    let endpoint = lease.endpoint().clone();
    let naming = spec.options.naming;
    let read = async {
        let table = hold::describe(&mut lease, &endpoint, name, naming).await?;
        let footprint = lease.session.footprint(&table).await.map_err(|error| {
            let what = format!("cannot read the size of {}.{}", table.schema, table.name);
            error.at(&endpoint, &what)
        });
        Ok::<_, Failure>((table, footprint))
    };
    // The server ends a statement first, where it can.
    let described = tokio::time::timeout(STATEMENT_LIMIT * 2, read).await;
    match described {
        Ok(Ok((table, footprint))) => {
            // After an error the session is closed, whatever state it is in.
            if footprint.is_ok() {
                lease.give_back().await;
            }
            Ok((table, footprint))
        }
        Ok(Err(failure)) => {
            // The catalog was read without an error.
            if failure.kind == FailureKind::TableNotFound {
                lease.give_back().await;
            }
            Err(failure)
        }
        Err(_) => {
            lease.stop().await;
            Err(Failure::new(
                FailureKind::StatementTimeout,
                format!(
                    "the catalog of endpoint `{}` was not read within {} s: another session may lock {name}",
                    endpoint.name,
                    STATEMENT_LIMIT.as_secs() * 2
                ),
            ))
        }
    }
}

/// The compared columns that the endpoints' users may not read.
fn unreadable(
    coverage: &Coverage,
    tables: &Pair<Table>,
    footprints: &Pair<Footprint>,
) -> Vec<PreflightFinding> {
    let compared = |side: &str, name: &String| {
        let mut columns = coverage.columns.iter();
        columns.any(|pair| match side {
            "source" => pair.source == *name,
            _ => pair.target == *name,
        })
    };
    let sides = [
        ("source", &tables.source, &footprints.source),
        ("target", &tables.target, &footprints.target),
    ];
    let findings = sides.into_iter().filter_map(|(side, table, footprint)| {
        let columns = footprint.unreadable.iter();
        let columns: Vec<&str> = columns
            .filter(|name| compared(side, name))
            .map(String::as_str)
            .collect();
        if columns.is_empty() {
            return None;
        }
        let failure = Failure::new(
            FailureKind::PermissionDenied,
            format!(
                "the endpoint's user may not read {} of {}.{} of the {side} (grant SELECT on it to the endpoint's user, or leave the columns out with columns.exclude)",
                columns.join(", "),
                table.schema,
                table.name
            ),
        );
        Some(PreflightFinding::of_failure(&failure))
    });
    findings.collect()
}

/// Columns that one side has and the other one lacks.
fn of_columns(coverage: &Coverage, spec: &TableSpec) -> Vec<PreflightFinding> {
    let is_difference = spec.options.missing_columns == MissingColumns::Difference;
    let (severity, effect) = if is_difference {
        (Severity::Error, Effect::Different)
    } else {
        (Severity::Note, Effect::None)
    };
    let missing = coverage.missing_columns.iter().map(|column| {
        let nearest = column.nearest.as_ref();
        let remedy = match nearest {
            Some(nearest) => format!(
                "if it is `{nearest}`, pair them with columns.map.{} = \"{nearest}\"",
                column.name
            ),
            None => format!(
                "pair it with columns.map, or leave it out with columns.exclude = [\"{}\"]",
                column.name
            ),
        };
        let message = format!(
            "column `{}` {} of the source has no partner in {}",
            column.name, column.declared, coverage.target_table
        );
        let rule = (severity, "missing-column");
        let found = PreflightFinding::without_effect(rule, message, Some(&remedy));
        PreflightFinding { effect, ..found }.on(&column.name)
    });
    let required = coverage.uncompared.iter().filter_map(|column| {
        if column.reason != Uncompared::TargetOnlyRequired {
            return None;
        }
        let message = format!(
            "column `{}` of {} is only in the target, NOT NULL and without a default: an insert of the source's columns fails",
            column.name, coverage.target_table
        );
        let rule = (Severity::Warning, "required-target-column");
        let remedy = "give it a default in the target";
        let found = PreflightFinding::without_effect(rule, message, Some(remedy));
        Some(found.on(&column.name))
    });
    missing.chain(required).collect()
}

/// What the size of a table means for the run.
fn of_size(facts: &TableFacts, options: &TableOptions) -> Vec<PreflightFinding> {
    let mut findings = Vec::new();
    let (source, target) = (facts.source.rows, facts.target.rows);
    if source.is_none() && target.is_none() {
        findings.push(PreflightFinding::without_effect(
            (Severity::Note, "unknown-size"),
            "no side has statistics of its rows, so their number is guessed".to_owned(),
            Some("run ANALYZE on the table of PostgreSQL"),
        ));
    }
    let rows = source.unwrap_or(0).saturating_add(target.unwrap_or(0));
    let needed = rows.saturating_mul(ELEMENT);
    let limit = options.limits.spill_bytes;
    if needed > limit {
        findings.push(PreflightFinding::without_effect(
            (Severity::Note, "spill-limit"),
            format!(
                "if very many of its rows differ, temporary files need {} MiB, and --spill-limit allows {} MiB",
                needed >> 20,
                limit >> 20
            ),
            Some("raise --spill-limit"),
        ));
    }
    findings
}
