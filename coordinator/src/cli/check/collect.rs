//! Collects what a check reports: endpoints from every process of the run, tables from the
//! catalogs that this process can read.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use futures::future::join_all;
use shared::endpoint::Endpoint;
use shared::endpoint_state::{CheckedEndpoint, EndpointCheck};
use shared::failure::{Failure, FailureKind};
use shared::finding::Severity;
use shared::message::TableSpec;
use shared::outcome::Depth;
use worker::engine::{
    Effect, Preflight, PreflightFinding, TableCheck, TextSuggestion, check_endpoint,
    compare_schemas,
};

use super::fleet::{FleetCheck, check_fleet};
use super::measure::{Samples, measure};
use crate::check::{
    CheckedTable, Checks, EndpointResult, EndpointsOf, Fleet, MeasuredTable, Slowdown, Speeds,
    endpoint_findings, estimate_run, late_tables,
};
use crate::cli::catalogs::read_catalogs;
use crate::cli::connections::{Mode, SideSettings};
use crate::cli::exit::CommandError;
use crate::cli::selection::TableSelection;
use crate::cli::settings::RunSettings;
use crate::cli::usage::UsageError;
use crate::run_state::Window;

/// Tables that are checked at the same time, with one session a side for each.
const AT_ONCE: u16 = 8;

/// Tables at the same time of a worker, if none answers.
const USUAL_CAPACITY: u32 = 4;

/// What a check has found.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) checks: Checks,
    /// Columns that can be compared as text only, with their tables.
    pub(super) suggestions: Vec<(String, TextSuggestion)>,
}

/// Where the tables of the run are compared, and how many at the same time.
struct Capacity {
    fleet: Fleet,
    at_once: u32,
}

pub(super) async fn collect(settings: &RunSettings) -> Result<Collected, CommandError> {
    let tables = settings.tables.listed().ok_or(UsageError::CheckOfRun)?;
    let (processes, mut findings, capacity) = processes(settings, tables).await?;
    let sides = [tables.source.name.as_str(), tables.target.name.as_str()];
    findings.extend(endpoint_findings(&sides, &processes));
    let mut collected = Collected {
        checks: Checks {
            endpoints: results(&processes),
            findings,
            ..Checks::default()
        },
        suggestions: Vec::new(),
    };
    match unreachable_here(tables, &processes) {
        Some(reason) => collected.checks.findings.extend(reason),
        None => of_tables(tables, &capacity, &mut collected).await?,
    }
    Ok(collected)
}

/// The endpoints as this process and, with a broker, all workers see them.
async fn processes(
    settings: &RunSettings,
    tables: &TableSelection,
) -> Result<(Vec<EndpointsOf>, Vec<PreflightFinding>, Capacity), CommandError> {
    match &settings.mode {
        Mode::Local { concurrency, .. } => {
            let here = of_this_process(tables, (*concurrency).into(), true).await;
            let capacity = Capacity {
                fleet: Fleet::Here,
                at_once: (*concurrency).into(),
            };
            Ok((vec![here], Vec::new(), capacity))
        }
        Mode::Broker(options) => {
            let mut names = vec![tables.source.name.clone(), tables.target.name.clone()];
            names.dedup();
            let (here, fleet) = tokio::join!(
                of_this_process(tables, AT_ONCE.into(), false),
                check_fleet(options, names)
            );
            let fleet = fleet?;
            let findings = of_fleet(&fleet);
            let each = fleet
                .capacity
                .checked_div(fleet.workers)
                .map_or(USUAL_CAPACITY, |each| each.max(1));
            let all = fleet.capacity.max(each);
            let capacity = Capacity {
                fleet: Fleet::Workers { each },
                at_once: match settings.limits.window {
                    Window::Fixed(count) => NonZeroU32::get(count).min(all),
                    Window::Fleet => all,
                },
            };
            let mut processes = fleet.processes;
            processes.push(here);
            Ok((processes, findings, capacity))
        }
    }
}

/// The databases of both sides that are configured here, by the names that tasks carry.
fn endpoints_of(tables: &TableSelection) -> BTreeMap<String, Endpoint> {
    [&tables.source, &tables.target]
        .into_iter()
        .filter_map(|side| Some((side.name.clone(), side.endpoint.clone()?)))
        .collect()
}

/// The endpoints of both sides that are configured here.
async fn of_this_process(tables: &TableSelection, concurrency: u32, compares: bool) -> EndpointsOf {
    let endpoints = endpoints_of(tables);
    let checks = endpoints.iter().map(|(name, endpoint)| async move {
        CheckedEndpoint {
            endpoint: name.clone(),
            check: check_endpoint(endpoint, concurrency).await.into(),
        }
    });
    EndpointsOf {
        process: "this process".to_owned(),
        compares,
        endpoints: join_all(checks).await,
    }
}

/// What the workers themselves mean for the run.
fn of_fleet(fleet: &FleetCheck) -> Vec<PreflightFinding> {
    if fleet.workers == 0 {
        let failure = Failure::new(
            FailureKind::NoWorkerError,
            format!(
                "no worker answers on {} (start reconcile-worker)",
                fleet.queue
            ),
        );
        return vec![PreflightFinding::of_failure(&failure)];
    }
    let silent = fleet.silent.iter().map(|(worker, version)| {
        let message = format!(
            "worker {worker} of version {version} did not answer the request to check its endpoints"
        );
        let rule = (Severity::Warning, "silent-worker");
        let remedy = "update the worker; versions before this check existed do not answer";
        PreflightFinding::without_effect(rule, message, Some(remedy)).on(format!("worker {worker}"))
    });
    silent.collect()
}

fn results(processes: &[EndpointsOf]) -> Vec<EndpointResult> {
    let all = processes.iter().flat_map(|process| {
        process.endpoints.iter().map(|checked| EndpointResult {
            process: process.process.clone(),
            endpoint: checked.endpoint.clone(),
            state: match &checked.check {
                EndpointCheck::Reached(state) => Some((**state).clone()),
                EndpointCheck::Failed(_) => None,
            },
        })
    });
    all.collect()
}

/// Why this process cannot check the tables, if it cannot. Of an endpoint that is configured here
/// and not reached, another finding has the reason.
fn unreachable_here(
    tables: &TableSelection,
    processes: &[EndpointsOf],
) -> Option<Vec<PreflightFinding>> {
    let absent: Vec<&str> = [&tables.source, &tables.target]
        .into_iter()
        .filter(|side| side.endpoint.is_none())
        .map(|side: &SideSettings| side.name.as_str())
        .collect();
    if !absent.is_empty() {
        let message = format!(
            "the tables were not checked: endpoint {} is not in the configuration of this process",
            absent.join(" and ")
        );
        let rule = (Severity::Warning, "tables-not-checked");
        let remedy = "check with the configuration of a worker";
        let found = PreflightFinding::without_effect(rule, message, Some(remedy));
        return Some(vec![found]);
    }
    let here = processes.iter().filter(|it| it.process == "this process");
    let is_reached = here
        .flat_map(|process| &process.endpoints)
        .all(|checked| matches!(checked.check, EndpointCheck::Reached(_)));
    (!is_reached).then(Vec::new)
}

async fn of_tables(
    selection: &TableSelection,
    capacity: &Capacity,
    collected: &mut Collected,
) -> Result<(), CommandError> {
    let selected = selection.plan(&read_catalogs(selection).await?)?;
    let specs: Vec<TableSpec> = selected.tables.into_iter().map(|it| it.spec).collect();
    let preflight = Preflight::new(endpoints_of(selection), AT_ONCE);
    let (checks, schemas) = tokio::join!(
        preflight.check_tables(&specs),
        around_rows(selection, &specs)
    );
    let samples = match selection.depth {
        Depth::Counts => None,
        Depth::Checksum | Depth::Rows => Some(measure(&preflight, &specs, &checks).await),
    };
    let findings = &mut collected.checks.findings;
    findings.extend(schemas);
    findings.extend(of_list(&selected.scope));
    for check in &checks {
        findings.extend(check.findings.iter().cloned());
    }
    for (spec, check) in specs.iter().zip(&checks) {
        let table = spec.source.table.to_string();
        let suggestions = check.suggestions.iter().cloned();
        let suggestions = suggestions.map(|suggestion| (table.clone(), suggestion));
        collected.suggestions.extend(suggestions);
    }
    let mut tables: Vec<CheckedTable> = specs
        .iter()
        .zip(checks.iter())
        .map(|(spec, check)| row(spec, check))
        .collect();
    if let Some(samples) = samples {
        estimate(
            (&specs, &checks),
            capacity,
            &samples,
            (&mut tables, &mut collected.checks),
        );
    }
    collected.checks.tables = tables;
    collected.checks.tables_checked = true;
    Ok(())
}

/// Rules of schemas about what the plan of a comparison finds as well. Its findings count, since
/// they follow the options of the run.
const FOUND_BY_PLAN: [&str; 3] = ["column-extra-required", "column-missing", "table-missing"];

/// What differs around the rows: keys, constraints, sequences and the like.
async fn around_rows(selection: &TableSelection, specs: &[TableSpec]) -> Vec<PreflightFinding> {
    let (Some(source), Some(target)) = (&selection.source.endpoint, &selection.target.endpoint)
    else {
        return Vec::new();
    };
    match compare_schemas(source, target, specs).await {
        Ok(findings) => findings
            .into_iter()
            .filter(|finding| !FOUND_BY_PLAN.contains(&finding.rule.as_str()))
            .map(|finding| PreflightFinding {
                effect: match finding.severity {
                    Severity::Error => Effect::Different,
                    Severity::Warning | Severity::Note => Effect::None,
                },
                finding,
            })
            .collect(),
        Err(failure) => {
            let message = format!("what surrounds the rows was not compared: {failure}");
            let rule = (Severity::Warning, "schema-not-compared");
            vec![PreflightFinding::without_effect(rule, message, None)]
        }
    }
}

/// What the list of tables leaves out, and tables that only the target has.
fn of_list(scope: &crate::run_state::TableScope) -> Vec<PreflightFinding> {
    let notes = scope.notes.iter().map(|note| {
        PreflightFinding::without_effect((Severity::Note, "table-list"), note.clone(), None)
    });
    let only_target = scope.target_only_tables.iter().filter(|_| scope.strict);
    let only_target = only_target.map(|table| {
        let message = format!("table {table} is only in the target");
        let rule = (Severity::Error, "target-only-table");
        let remedy = "leave it out with --exclude, or run without --strict-tables";
        let found = PreflightFinding::without_effect(rule, message, Some(remedy)).on(table);
        PreflightFinding {
            effect: Effect::Different,
            ..found
        }
    });
    notes.chain(only_target).collect()
}

fn row(spec: &TableSpec, check: &TableCheck) -> CheckedTable {
    let facts = check.facts.as_ref();
    let side = |side: Option<worker::engine::SideFacts>| side.unwrap_or_default();
    let source = side(facts.map(|facts| facts.source));
    let target = side(facts.map(|facts| facts.target));
    CheckedTable {
        table: spec.source.table.to_string(),
        target: spec.target.table.to_string(),
        is_planned: facts.is_some(),
        key: facts.map(|facts| facts.key.clone()).unwrap_or_default(),
        source_rows: source.rows,
        target_rows: target.rows,
        source_bytes: source.bytes,
        target_bytes: target.bytes,
        estimated_seconds: None,
        coverage: facts.map(|facts| facts.coverage.clone()),
    }
}

/// Estimates the time of each table that can be compared, and of the run.
fn estimate(
    (specs, checked): (&[TableSpec], &[TableCheck]),
    capacity: &Capacity,
    samples: &Samples,
    (rows, checks): (&mut [CheckedTable], &mut Checks),
) {
    let sized: Vec<(usize, MeasuredTable)> = checked
        .iter()
        .enumerate()
        .filter_map(|(at, check)| {
            let facts = check.facts.as_ref()?;
            let measured = samples.measured.iter().find(|(other, _)| *other == at);
            let table = MeasuredTable {
                source: facts.source,
                target: facts.target,
                measured: measured.map(|(_, measured)| *measured),
            };
            Some((at, table))
        })
        .collect();
    let tables: Vec<MeasuredTable> = sized.iter().map(|(_, table)| *table).collect();
    let Some(speeds) = Speeds::of(&tables) else {
        return;
    };
    let mut all = Vec::new();
    for (at, table) in &sized {
        let seconds = speeds.seconds(table);
        rows[*at].estimated_seconds = Some((seconds * 1000.0).round() / 1000.0);
        all.push(seconds);
    }
    let beside = capacity.fleet.beside(capacity.at_once);
    let beside = Slowdown::factor(samples.slowdown, beside);
    let timed = sized.iter().zip(&all).map(|((at, _), seconds)| {
        let table = rows[*at].table.as_str();
        (table, seconds * beside, specs[*at].timeout)
    });
    checks.findings.extend(late_tables(timed));
    let run = estimate_run(&all, capacity.at_once, capacity.fleet, samples.slowdown);
    checks.estimate = Some(run);
}
