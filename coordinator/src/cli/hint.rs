//! The command that continues a stored run, complete with the flags that it needs.

use std::path::{Path, PathBuf};

use shared::config::{Config, DEFAULT_FILE};
use shared::ids::RunId;

use crate::store::{StoredSettings, WorkerLocation};

/// The variable of `--broker`.
const BROKER_VARIABLE: &str = "RECONCILE_BROKER";

/// What commands about stored runs must repeat of the settings of this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Hint {
    /// The configuration file, if it is not the one that is read without a flag.
    file: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    /// Whether configuration or environment name a broker.
    knows_broker: bool,
}

impl Hint {
    pub(super) fn new(config: &Config) -> Self {
        let is_default = |path: &PathBuf| path.as_path() == Path::new(DEFAULT_FILE);
        let configured = config
            .broker
            .as_ref()
            .and_then(|broker| broker.url.as_ref());
        Self {
            file: config.file.clone().filter(|path| !is_default(path)),
            state_dir: config.store.state_dir.clone(),
            knows_broker: configured.is_some() || std::env::var_os(BROKER_VARIABLE).is_some(),
        }
    }

    /// `reconcile resume RUN` with its flags. A URL is a placeholder, because it may contain a
    /// password.
    pub(super) fn resume(&self, run: RunId, settings: &StoredSettings) -> String {
        let mut command = format!("reconcile resume {run}");
        match &settings.location {
            WorkerLocation::Broker { .. } if !self.knows_broker => {
                command.push_str(" --broker URL");
            }
            WorkerLocation::Broker { .. } => {}
            WorkerLocation::Local { .. } => {
                for (side, stored) in [("source", &settings.source), ("target", &settings.target)] {
                    if stored.from_url {
                        command.push_str(&format!(" --{side}-url URL"));
                    }
                }
            }
        }
        self.with_files(command)
    }

    /// `reconcile cancel RUN` with its flags.
    pub(super) fn cancel(&self, run: RunId, settings: &StoredSettings) -> String {
        let mut command = format!("reconcile cancel {run}");
        let is_distributed = matches!(settings.location, WorkerLocation::Broker { .. });
        if is_distributed && !self.knows_broker {
            command.push_str(" --broker URL");
        }
        self.with_files(command)
    }

    fn with_files(&self, mut command: String) -> String {
        for (flag, path) in [("--config", &self.file), ("--state-dir", &self.state_dir)] {
            if let Some(path) = path {
                command.push_str(&format!(" {flag} {}", quoted(path)));
            }
        }
        command
    }
}

/// The path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use crate::run_state::{Limits, TableScope};
    use crate::store::StoredSide;

    use super::*;

    fn settings(location: WorkerLocation, from_url: bool) -> StoredSettings {
        let side = |name: &str, from_url| StoredSide {
            name: name.to_owned(),
            from_url,
            database: None,
        };
        StoredSettings {
            limits: Limits::default(),
            location,
            source: side("erp", false),
            target: side("target", from_url),
            output_dir: None,
            rows_output: None,
            scope: TableScope::default(),
            name: None,
        }
    }

    #[test]
    fn a_command_has_every_flag_that_it_needs() {
        let run = RunId::generate();
        let local = || WorkerLocation::Local { concurrency: 1 };
        let hint = Hint::default();
        let plain = hint.resume(run, &settings(local(), false));
        assert_eq!(plain, format!("reconcile resume {run}"));
        let with_url = hint.resume(run, &settings(local(), true));
        assert_eq!(with_url, format!("reconcile resume {run} --target-url URL"));
        let broker = || WorkerLocation::Broker {
            prefix: "p".to_owned(),
        };
        let distributed = hint.resume(run, &settings(broker(), false));
        assert!(distributed.ends_with(" --broker URL"), "{distributed}");
        let elsewhere = Hint {
            file: Some("my runs/a.toml".into()),
            state_dir: Some("state".into()),
            knows_broker: true,
        };
        assert_eq!(
            elsewhere.cancel(run, &settings(broker(), false)),
            format!("reconcile cancel {run} --config 'my runs/a.toml' --state-dir state")
        );
    }
}
