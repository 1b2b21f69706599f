//! Writes a rendered report to a file or to standard output.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use shared::atomic_file::{Access, AtomicFile};
use shared::config::ReportFormat;

#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("cannot write the report to {}: {reason}; name a file in a directory that exists and is writable", path.display())]
    File { path: PathBuf, reason: io::Error },
    #[error("--output {}: the end of the name does not tell the form of the report; end it in {}", path.display(), suffixes())]
    Suffix { path: PathBuf },
    #[error("--output names {} twice; name each file once", path.display())]
    Twice { path: PathBuf },
    #[error("cannot write the report to standard output: {0}")]
    Stdout(io::Error),
}

impl OutputError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |reason| Self::File { path, reason }
    }
}

/// The ends of the names of files, and the forms that they stand for.
const SUFFIXES: [(&str, ReportFormat); 6] = [
    ("json", ReportFormat::Json),
    ("csv", ReportFormat::Csv),
    ("html", ReportFormat::Html),
    ("xml", ReportFormat::Junit),
    ("md", ReportFormat::Markdown),
    ("txt", ReportFormat::Console),
];

fn suffixes() -> String {
    SUFFIXES
        .map(|(suffix, format)| match format {
            ReportFormat::Junit => format!(".{suffix} (JUnit)"),
            _ => format!(".{suffix}"),
        })
        .join(", ")
}

/// The form of the report in a file with this name.
fn format_of(path: &Path) -> Option<ReportFormat> {
    let extension = path.extension()?.to_str()?;
    let mut suffixes = SUFFIXES.into_iter();
    let found = suffixes.find(|(suffix, _)| extension.eq_ignore_ascii_case(suffix));
    found.map(|(_, format)| format)
}

/// A file of the report, which only its owner may read: it contains rows. It is opened beside its path before the run, so that
/// an error is reported at once, and gets its path when it is complete.
#[derive(Debug)]
pub(crate) struct Output {
    file: AtomicFile,
    format: ReportFormat,
}

impl Output {
    /// Checks that all of `paths` can be written. A file there stays until
    /// [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// When a name does not tell the form of the report or occurs twice, there is a directory at a
    /// path or no file can be created beside it. No file is left behind then.
    pub(crate) fn prepare_all(paths: &[PathBuf]) -> Result<Vec<Self>, OutputError> {
        let mut formats = Vec::with_capacity(paths.len());
        for (at, path) in paths.iter().enumerate() {
            if paths[..at].contains(path) {
                return Err(OutputError::Twice { path: path.clone() });
            }
            let format = format_of(path);
            formats.push(format.ok_or_else(|| OutputError::Suffix { path: path.clone() })?);
        }
        let files = paths.iter().zip(formats);
        files
            .map(|(path, format)| {
                let file = AtomicFile::create(path, Access::Owner);
                let file = file.map_err(OutputError::file(path))?;
                Ok(Self { file, format })
            })
            .collect()
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// The form of the report that its name tells.
    pub(crate) fn format(&self) -> ReportFormat {
        self.format
    }

    /// Writes `text` and replaces the file at the path atomically.
    pub(crate) fn write(mut self, text: &str) -> Result<(), OutputError> {
        let failed = OutputError::file(self.path());
        match self.file.write_all(text.as_bytes()) {
            Ok(()) => self.file.commit().map_err(failed),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Writes to standard output. A closed pipe is no error: the reader needs no
/// more output.
pub(crate) fn write_stdout(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(OutputError::Stdout(error)),
        _ => Ok(()),
    }
}
