//! Carries out a check and prints its report.

use std::time::Instant;

use chrono::{SecondsFormat, Utc};
use shared::config::Config;
use shared::logging::print_status;

use super::collect::{Collected, collect};
use super::starter::starter_text;
use crate::check::{CheckReport, CheckStatus, has_form, render, to_console};
use crate::cli::exit::{self, CommandError};
use crate::cli::flags::CheckFlags;
use crate::cli::settings::RunSettings;
use crate::cli::starter_file::{refuse_existing, write_new};
use crate::cli::usage::UsageError;

pub(in crate::cli) async fn check(flags: CheckFlags, config: Config) -> Result<u8, CommandError> {
    let CheckFlags {
        mut run,
        check,
        write_config,
    } = flags;
    if let Some(path) = &write_config {
        refuse_existing(path)?;
    }
    let ignored = check.or(config.check.clone()).ignore.unwrap_or_default();
    // A check is no run.
    run.no_store = true;
    let settings = RunSettings::resolve(run, config)?;
    let forms = settings.delivery.forms();
    if let Some(form) = forms.into_iter().find(|form| !has_form(*form)) {
        return Err(UsageError::CheckForm(form.to_string()).into());
    }
    let (collected, report) = checked(&settings, &ignored).await?;
    if let Some(path) = &write_config {
        let tables = settings.tables.listed().ok_or(UsageError::CheckOfRun)?;
        write_new(path, &starter_text(tables, &collected, &report))?;
        print_status(format!(
            "{} is a first configuration; it contains no password",
            path.display()
        ));
    }
    let verdict = report.status.describe();
    settings
        .delivery
        .deliver_rendered(verdict, &|form, _| render(&report, form))?;
    Ok(exit::of_check(report.status))
}

/// The check before a run, which is printed beside the run's own report. Returns the exit code if
/// the run must not start, because it cannot verify some table.
pub(in crate::cli) async fn before_run(
    settings: &RunSettings,
    ignored: &[String],
) -> Result<Option<u8>, CommandError> {
    let (_, report) = checked(settings, ignored).await?;
    for line in to_console(&report).lines() {
        print_status(line);
    }
    Ok(match report.status {
        CheckStatus::Unverifiable => {
            print_status(
                "the run was not started; correct the errors, leave the tables out with --exclude, or run without --check",
            );
            Some(exit::UNVERIFIED)
        }
        CheckStatus::Ready | CheckStatus::Different | CheckStatus::Incomplete => None,
    })
}

async fn checked(
    settings: &RunSettings,
    ignored: &[String],
) -> Result<(Collected, CheckReport), CommandError> {
    let (at, began) = (Utc::now(), Instant::now());
    let mut collected = collect(settings).await?;
    let report = CheckReport::new(
        std::mem::take(&mut collected.checks),
        ignored,
        at.to_rfc3339_opts(SecondsFormat::Millis, true),
        began.elapsed().as_secs_f64(),
    );
    Ok((collected, report))
}
