//! Where the report of a run goes: standard output, files, or both.

use std::io::{self, IsTerminal as _};

use shared::config::{ReportFormat, ReportOptions};
use shared::logging::{print_status, report_error};

use super::exit::CommandError;
use crate::report::{Output, OutputError, RunReport, write_stdout};

/// Where a report goes.
#[derive(Debug)]
pub(super) struct Delivery {
    /// The form on standard output; absent: nothing is printed there.
    format: Option<ReportFormat>,
    files: Vec<Output>,
}

impl Delivery {
    /// Opens the files, so that an error is reported before the run. Without files the report is
    /// printed; with files only if the user chose a form for standard output.
    ///
    /// # Errors
    ///
    /// When a file cannot be written, or its name does not tell the form of the report.
    pub(super) fn prepare(options: &ReportOptions) -> Result<Self, OutputError> {
        let paths = options.output.as_deref().unwrap_or_default();
        Ok(Self {
            format: options
                .format
                .or_else(|| paths.is_empty().then(|| options.format())),
            files: Output::prepare_all(paths)?,
        })
    }

    /// All forms in which the report is wanted.
    pub(super) fn forms(&self) -> Vec<ReportFormat> {
        let files = self.files.iter().map(Output::format);
        files.chain(self.format).collect()
    }

    /// The form on standard output, if the report is printed there.
    #[cfg(test)]
    pub(super) fn format(&self) -> Option<ReportFormat> {
        self.format
    }

    /// Writes the files, then prints the report.
    ///
    /// # Errors
    ///
    /// The first one; the others are printed. The report is still written wherever it can be: the
    /// run may have taken hours. If a file cannot be written, its content is printed, unless the report is printed
    /// anyway.
    pub(super) fn deliver(self, report: &RunReport) -> Result<(), CommandError> {
        let render = |form, coloured| report.render(form, coloured);
        self.deliver_rendered(report.verdict.as_str(), &render)
    }

    /// [`deliver`](Self::deliver) for what `render` returns for a form, and whether it may be
    /// coloured.
    ///
    /// # Errors
    ///
    /// As [`deliver`](Self::deliver).
    pub(super) fn deliver_rendered(
        self,
        verdict: &str,
        render: &dyn Fn(ReportFormat, bool) -> String,
    ) -> Result<(), CommandError> {
        let Self { mut format, files } = self;
        let mut errors = Vec::new();
        for file in files {
            let (form, path) = (file.format(), file.path().to_owned());
            match file.write(&render(form, false)) {
                Ok(()) => print_status(format!("{verdict}: the report is in {}", path.display())),
                Err(error) => {
                    format = format.or(Some(form));
                    errors.push(error);
                }
            }
        }
        if let Some(format) = format {
            errors.extend(write_stdout(&render(format, coloured())).err());
        }
        let mut errors = errors.into_iter();
        let first = errors.next();
        errors.for_each(report_error);
        first.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Whether standard output is a terminal whose user wants colours.
pub(super) fn coloured() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
