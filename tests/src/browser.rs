//! Opens pages in Chromium, without a window and without a network.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::process::run_to_end;

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Debian's Chromium, which `tests/run.sh` installs.
const CHROMIUM: &str = "/usr/bin/chromium";

/// A browser.
#[derive(Debug)]
pub struct Browser {
    /// Its profile, which is removed with it.
    profile: tempfile::TempDir,
}

impl Browser {
    /// A browser with an empty profile.
    ///
    /// # Panics
    ///
    /// When there is no temporary directory.
    #[must_use]
    pub fn new() -> Self {
        Self {
            profile: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// Opens the page of a file, runs its scripts, and returns its elements as HTML.
    ///
    /// # Panics
    ///
    /// When the browser is not installed or fails, or takes longer than two minutes.
    #[must_use]
    pub fn elements(&self, page: &Path) -> String {
        self.run(page, &["--virtual-time-budget=60000", "--dump-dom"])
    }

    /// Prints the page of a file, and returns the PDF.
    ///
    /// # Panics
    ///
    /// As [`elements`](Self::elements).
    #[must_use]
    pub fn print(&self, page: &Path) -> Vec<u8> {
        let pdf = self.profile.path().join("page.pdf");
        let option = format!("--print-to-pdf={}", pdf.display());
        let _output = self.run(page, &[&option]);
        std::fs::read(&pdf).expect("the browser writes a PDF")
    }

    fn run(&self, page: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new(CHROMIUM);
        command
            .args(["--headless", "--disable-gpu", "--disable-dev-shm-usage"])
            // Its own sandbox cannot be used by root, nor in most containers.
            .arg("--no-sandbox")
            .args(["--disable-background-networking", "--no-first-run"])
            .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--disable-sync"])
            .arg(format!("--user-data-dir={}", self.profile.path().display()))
            .args(arguments)
            .arg(format!("file://{}", page.display()));
        let ended = run_to_end("chromium", &mut command, PATIENCE)
            .unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(ended.status.success(), "{ended:?}");
        ended.stdout
    }
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}
