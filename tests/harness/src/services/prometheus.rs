//! A private Prometheus server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value as Json;

use super::error::ServiceError;
use super::guardian::Guardian;
use super::start::{
    free_port, private_directory, start_with_retry, wait_until_ready, write_private,
};
use crate::http;

/// How long a start may take.
const START: Duration = Duration::from_secs(60);

/// The Debian package with the server and `promtool`.
const PACKAGE: &str = "prometheus";

/// A running server.
#[derive(Debug)]
pub struct Prometheus {
    port: u16,
    _guardian: Guardian,
}

impl Prometheus {
    /// Starts a server that scrapes `targets` (job, `host:port`) every
    /// `interval` and evaluates the rules of `rules` as often.
    ///
    /// # Errors
    ///
    /// When it is not installed or does not start.
    pub fn start(
        targets: &[(&str, &str)],
        interval: Duration,
        rules: &Path,
    ) -> Result<Self, ServiceError> {
        let program = installed("prometheus")?;
        let interval = format!("{}ms", interval.as_millis());
        let mut configuration = format!(
            "global:\n  scrape_interval: {interval}\n  evaluation_interval: {interval}\n\
             rule_files: ['{}']\nscrape_configs:\n",
            rules.display()
        );
        let mut jobs = BTreeMap::<&str, Vec<&str>>::new();
        for (job, target) in targets {
            jobs.entry(job).or_default().push(target);
        }
        for (job, targets) in jobs {
            let targets = targets.join("', '");
            configuration.push_str(&format!(
                "  - job_name: '{job}'\n    static_configs:\n      - targets: ['{targets}']\n"
            ));
        }
        start_with_retry(|| {
            let directory = private_directory("prometheus");
            let port = free_port();
            let mut command = Command::new(&program);
            let path = |name: &str| directory.join(name);
            command
                .arg(format!("--config.file={}", path("config.yml").display()))
                .arg(format!("--storage.tsdb.path={}", path("data").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"));
            let guardian = Guardian::new(Some(&directory), &path("log"), "TERM", &command)?;
            write_private(&path("config.yml"), configuration.as_bytes())?;
            guardian.start()?;
            let server = Self {
                port,
                _guardian: guardian,
            };
            let ready =
                || http::get(&server.url("/-/ready")).is_ok_and(|answer| answer.status == 200);
            wait_until_ready("Prometheus", &server._guardian, START, ready)?;
            Ok(server)
        })
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The answer of the API at `path` to these parameters.
    ///
    /// # Errors
    ///
    /// The error of the API, or why it did not answer.
    pub fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Json, String> {
        let url = url::Url::parse_with_params(&self.url(&format!("/api/v1/{path}")), parameters)
            .map_err(|error| error.to_string())?;
        let answer = http::get(url.as_str())?;
        let document: Json = serde_json::from_str(&answer.body)
            .map_err(|error| format!("{error}: {}", answer.body))?;
        match document["status"].as_str() {
            Some("success") => Ok(document["data"].clone()),
            _ => Err(document["error"].to_string()),
        }
    }

    /// The series that `expression` evaluates to now.
    ///
    /// # Errors
    ///
    /// As [`Self::api`], also when the expression is invalid.
    pub fn query(&self, expression: &str) -> Result<Vec<Json>, String> {
        let data = self.api("query", &[("query", expression)])?;
        let series = data["result"].as_array().cloned();
        series.ok_or_else(|| format!("no series in {data}"))
    }

    /// The names of all metrics that it has seen.
    ///
    /// # Errors
    ///
    /// As [`Self::api`].
    pub fn metric_names(&self) -> Result<Vec<String>, String> {
        let data = self.api("label/__name__/values", &[])?;
        serde_json::from_value(data).map_err(|error| error.to_string())
    }
}

/// A program of the package.
///
/// # Errors
///
/// [`ServiceError::NotInstalled`].
pub fn installed(program: &str) -> Result<PathBuf, ServiceError> {
    let path = Path::new("/usr/bin").join(program);
    if path.is_file() {
        Ok(path)
    } else {
        Err(ServiceError::NotInstalled {
            program: program.to_owned(),
            package: PACKAGE,
        })
    }
}
