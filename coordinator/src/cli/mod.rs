//! The command line of the coordinator: `reconcile`.

mod apply;
mod catalog_names;
mod catalogs;
mod check;
mod conditions;
mod connections;
mod delivery;
mod differing_tables;
mod estimate;
mod execute;
mod exit;
mod flags;
mod hint;
mod left_out;
mod lists;
mod manual;
mod pace_text;
mod pages;
mod progress;
mod report;
mod requested_tables;
mod resume;
mod run_end;
mod selection;
mod settings;
mod side_url;
mod starter_file;
mod state_dir;
mod stored_runs;
mod table_config;
mod table_list;
mod table_options;
mod table_plan;
mod table_settings;
mod target_only;
mod telemetry;
#[cfg(test)]
mod tests;
mod types;
mod unfinished;
mod usage;
mod workers;

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, Parser as _};
use shared::config::{Config, suggestion};
use shared::ids::WorkerId;
use shared::logging::{Verbosity, print_usage_error, report_error};
use shared::process::forbid_core_dumps;
use shared::telemetry::trace::Identity;
use shared::telemetry::{Setup, set_up};

use exit::CommandError;
use flags::{Command, Flags};
use hint::Hint;
use lists::print;
use settings::RunSettings;

/// Runs the command that the arguments of this process name.
///
/// # Panics
///
/// When the operating system gives no threads.
#[must_use]
pub fn main() -> ExitCode {
    forbid_core_dumps();
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return refuse(&error),
    };
    // Fails only when a provider is installed already, which is as good.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("the operating system gives threads and a reactor")
    };
    let code = match actix_rt::System::with_tokio_rt(runtime).block_on(run_command(flags)) {
        Ok(code) => code,
        Err(error) => {
            report_error(&error);
            exit::of_error(&error)
        }
    };
    ExitCode::from(code)
}

/// Prints clap's help, version or error.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.get(ContextKind::InvalidSubcommand) {
        // Clap's own message lists no commands, and suggests none for `rnu`.
        Some(ContextValue::String(name)) => {
            let command = Flags::command();
            let names: Vec<&str> = command
                .get_subcommands()
                .map(clap::Command::get_name)
                .collect();
            let suggestion = suggestion(name, &names);
            report_error(format!("there is no command `{name}`{suggestion}"));
        }
        _ => print_usage_error(error),
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::UNUSABLE))
}

async fn run_command(flags: Flags) -> Result<u8, CommandError> {
    let Flags {
        command,
        config,
        store,
        log,
    } = flags;
    let path = config.as_deref();
    let mut config = match command {
        // They must not fail because of a configuration that they do not need.
        Command::Estimate(_)
        | Command::Types(_)
        | Command::Completions { .. }
        | Command::Man(_) => Config::default(),
        // They connect to no database, so its password may be unknown here.
        Command::History(_)
        | Command::Report(_)
        | Command::Diff(_)
        | Command::Status(_)
        | Command::Cancel(_)
        | Command::Workers(_)
        | Command::Drain(_) => shared::config::load_without_passwords(path)?,
        Command::Run(_)
        | Command::Check(_)
        | Command::Apply(_)
        | Command::Resume(_)
        | Command::Config(_) => shared::config::load(path)?,
    };
    config.store = store.or(config.store);
    let traces = match &command {
        Command::Run(flags) => Some(&flags.traces),
        Command::Resume(flags) => Some(&flags.traces),
        _ => None,
    };
    let identity = || Identity {
        service: "reconcile-coordinator",
        instance: WorkerId::generate().to_string(),
    };
    let setup = Setup {
        verbosity: Verbosity::Quiet,
        log,
        traces: traces.map(|flags| (flags, identity())),
    };
    let tracing = set_up(setup, &config.telemetry)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let code = Box::pin(execute_command(command, config)).await;
    if let Some(tracing) = tracing {
        tracing.shutdown().await;
    }
    code
}

async fn execute_command(command: Command, config: Config) -> Result<u8, CommandError> {
    match command {
        Command::Config(flags) => print(&match flags.table {
            None => config.to_string(),
            Some(table) => table_config::describe(&table, config)?,
        }),
        Command::Estimate(flags) => print(&format!("{}\n", flags.estimate()?)),
        Command::Types(flags) => types::types(&flags),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man(flags) => manual::man(&flags),
        Command::Run(flags) => {
            let hint = Hint::new(&config);
            let settings = RunSettings::resolve(*flags, config)?;
            Box::pin(execute::new_run(settings, &hint)).await
        }
        Command::Check(flags) => Box::pin(check::check(*flags, config)).await,
        Command::Apply(flags) => Box::pin(apply::apply(flags, config)).await,
        Command::Resume(flags) => Box::pin(resume::resume(flags, config)).await,
        Command::History(flags) => stored_runs::history(&flags, &config),
        Command::Report(flags) => report::report(flags, &config),
        Command::Diff(flags) => report::diff(&flags, &config),
        Command::Status(flags) => stored_runs::status(&flags, &config),
        Command::Cancel(flags) => Box::pin(resume::cancel(flags, config)).await,
        Command::Workers(flags) => workers::list(&flags, &config).await,
        Command::Drain(flags) => workers::drain(&flags, &config).await,
    }
}
