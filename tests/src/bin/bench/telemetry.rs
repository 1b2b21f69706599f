//! The cost of telemetry: the row benchmark with it and without.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::ensure;
use harness::http;
use harness::services::Postgres;
use tests::collector::Collector;

use crate::databases::{DIFFERENCES, compare, load};
use crate::measure::{Usage, median};
use crate::output::{print_line, print_number};

/// The interval between two scrapes. That of Prometheus is 15 s.
const SCRAPE: Duration = Duration::from_secs(1);

/// The interval at which the scraper checks whether the work is done.
const CHECK: Duration = Duration::from_millis(50);

pub(crate) fn overhead(scale: f64, runs: usize) -> anyhow::Result<()> {
    print_line(&format!(
        "telemetry: lineitem at scale {scale}, row level, both sides in one PostgreSQL, with telemetry and without"
    ));
    let server = Postgres::start()?;
    let (source, target) = (
        server.create_database("source")?,
        server.create_database("target")?,
    );
    let side = ["--source-postgres", &source.url()];
    let plan = load(scale, DIFFERENCES, &side, &target.url())?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("reconcile.prom");
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .to_string();
    let file_name = file.to_string_lossy();
    let collector = Collector::start()?;
    let endpoint = collector.grpc_url();
    let telemetry = [
        "--otlp-endpoint",
        &endpoint,
        "--metrics-addr",
        &address,
        "--metrics-file",
        file_name.as_ref(),
    ];
    let run = |arguments: &[&str]| compare(&source.url(), &target.url(), &plan, arguments);
    // The first run is not measured: it fills the caches of the server and the kernel.
    run(&[])?;
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        off.push(run(&[])?);
        on.push(while_scraped(&address, || run(&telemetry))?);
        ensure!(file.is_file(), "the run left no metrics");
        ensure!(!collector.spans().is_empty(), "the run sent no spans");
    }
    let wall = |usages: &[Usage]| median(usages.iter().map(|usage| usage.wall));
    let user = |usages: &[Usage]| median(usages.iter().map(|usage| usage.user));
    for (what, off, on) in [
        ("elapsed", wall(&off), wall(&on)),
        ("user CPU", user(&off), user(&on)),
    ] {
        print_number(
            &format!("{what}, without telemetry"),
            &format!("{off:.2} s"),
            "-",
        );
        print_number(
            &format!("{what}, with telemetry"),
            &format!("{on:.2} s"),
            "-",
        );
        let more = (on / off - 1.0) * 100.0;
        print_number(&format!("{what}, more"), &format!("{more:+.1}%"), "3%");
    }
    Ok(())
}

/// Scrapes the metrics at `address` during `work`; at least one scrape must succeed.
fn while_scraped<T>(address: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let (done, answers) = (AtomicBool::new(false), AtomicU32::new(0));
    let url = format!("http://{address}/metrics");
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if http::get(&url).is_ok_and(|answer| answer.status == 200) {
                    answers.fetch_add(1, Ordering::Relaxed);
                }
                for _ in 0..SCRAPE.as_millis() / CHECK.as_millis() {
                    if !done.load(Ordering::Relaxed) {
                        std::thread::sleep(CHECK);
                    }
                }
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        result
    });
    ensure!(
        answers.load(Ordering::Relaxed) > 0,
        "no scrape of {url} succeeded"
    );
    result
}
