//! The command line.

mod apply;
mod columns;
mod estimate;
mod execute;
mod exit;
mod flags;
mod fleet;
mod kept;
mod place;
mod progress;
mod resume;
mod selection;
mod settings;
mod signals;
mod table_list;
mod table_options;
mod telemetry;
#[cfg(test)]
mod tests;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, Parser as _};
use shared::config::{Config, nearest};
use shared::ids::WorkerId;
use shared::logging::{Verbosity, complain, say};
use shared::telemetry::trace::Identity;
use shared::telemetry::{Setup, set_up};

use crate::report::write_stdout;

use exit::CommandError;
use flags::{Command, Flags, RunFlags};
use settings::RunSettings;

/// Runs the command that the arguments of this process name.
///
/// # Panics
///
/// When the operating system gives no threads.
#[must_use]
pub fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return refuse(&error),
    };
    // Fails only when one is installed already, and then there is one.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("the operating system gives threads and a reactor")
    };
    let code = match actix_rt::System::with_tokio_rt(runtime).block_on(command(flags)) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            exit::of_error(&error)
        }
    };
    ExitCode::from(code)
}

/// Prints what clap has to say: help, version, or what is wrong with the flags.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.get(ContextKind::InvalidSubcommand) {
        // Clap lists no commands, and finds `rnu` too far from `run`.
        Some(ContextValue::String(name)) => {
            let command = Flags::command();
            let names: Vec<&str> = command
                .get_subcommands()
                .map(clap::Command::get_name)
                .collect();
            let hint = nearest(name, names.iter().copied())
                .map(|name| format!("did you mean `{name}`? "))
                .unwrap_or_default();
            complain(format!(
                "there is no command `{name}`; {hint}known are {}",
                names.join(", ")
            ));
        }
        // Nobody reads it: the code says the same.
        _ => {
            error.print().ok();
        }
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::UNUSABLE))
}

async fn command(flags: Flags) -> Result<u8, CommandError> {
    let Flags {
        command,
        config,
        state_dir,
        log_format,
    } = flags;
    let config = match command {
        // It needs none, so none can be wrong.
        Command::Estimate(_) => Config::default(),
        _ => shared::config::load(config.as_deref())?,
    };
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
        log_format,
        traces: traces.map(|flags| (flags, identity())),
    };
    let tracing = set_up(setup, &config.telemetry)?;
    let done = Box::pin(carry_out(command, state_dir, config)).await;
    if let Some(tracing) = tracing {
        tracing.shutdown().await;
    }
    done
}

async fn carry_out(
    command: Command,
    state_dir: Option<PathBuf>,
    config: Config,
) -> Result<u8, CommandError> {
    match command {
        Command::Config => {
            write_stdout(&config.to_string())?;
            Ok(exit::EQUAL)
        }
        Command::Estimate(flags) => {
            write_stdout(&format!("{}\n", flags.estimate()?))?;
            Ok(exit::EQUAL)
        }
        Command::Types => {
            write_stdout(&worker::engine::types_page())?;
            Ok(exit::EQUAL)
        }
        Command::Run(flags) => {
            warn_of_idle_flags(&flags);
            let settings = RunSettings::resolve(*flags, state_dir, config)?;
            Box::pin(execute::new_run(settings)).await
        }
        Command::Apply(flags) => Box::pin(apply::apply(flags, config)).await,
        Command::Resume(flags) => Box::pin(resume::resume(flags, state_dir, config)).await,
        Command::History(flags) => kept::history(&flags, state_dir, &config),
        Command::Report(flags) => kept::report(flags, state_dir, &config),
        Command::Status(flags) => kept::status(&flags, state_dir, &config),
        Command::Cancel(flags) => Box::pin(resume::cancel(flags, state_dir, config)).await,
        Command::Workers(flags) => fleet::workers(&flags, state_dir, &config).await,
        Command::Drain(flags) => fleet::drain(&flags, &config).await,
    }
}

/// A flag without effect is not an error, but rarely what was meant.
fn warn_of_idle_flags(flags: &RunFlags) {
    if flags.parallel_workers.is_some() && !flags.parallel && flags.broker.url.is_none() {
        tracing::warn!("--parallel-workers has no effect in this process without --parallel");
    }
}
