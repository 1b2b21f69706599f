//! Runs a process and measures its time and memory.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

/// What a process used from its start to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Elapsed time.
    pub(crate) wall: Duration,
    /// Processor time in its own code, all threads together.
    pub(crate) user: Duration,
    /// The most memory it had at once, in KiB.
    pub(crate) peak_kib: u64,
    /// How it ended.
    pub(crate) status: ExitStatus,
}

/// Runs `command` to its end. Its standard error goes to `log`; its output is discarded.
pub(crate) fn measure(command: &mut Command, log: &Path) -> anyhow::Result<Usage> {
    let errors = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let begin = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn();
    let child = child.with_context(|| format!("cannot start {command:?}"))?;
    let (status, usage) = wait_with_usage(child.id())?;
    let time = |value: libc::timeval| {
        let seconds = Duration::from_secs(value.tv_sec.unsigned_abs());
        seconds + Duration::from_micros(value.tv_usec.unsigned_abs())
    };
    Ok(Usage {
        wall: begin.elapsed(),
        user: time(usage.ru_utime),
        peak_kib: usage.ru_maxrss.unsigned_abs(),
        status,
    })
}

/// Waits for a child of this process and returns what this child alone has used.
#[expect(
    unsafe_code,
    reason = "the standard library has no wait that returns the usage of one child"
)]
fn wait_with_usage(pid: u32) -> anyhow::Result<(ExitStatus, libc::rusage)> {
    let pid = libc::pid_t::try_from(pid)?;
    let mut status = 0;
    // SAFETY: `rusage` is plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live variables of the types that wait4 writes.
    while unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } != pid {
        let error = std::io::Error::last_os_error();
        anyhow::ensure!(
            error.kind() == std::io::ErrorKind::Interrupted,
            "cannot wait for {pid}: {error}"
        );
    }
    Ok((ExitStatus::from_raw(status), usage))
}

/// The median of some durations, in seconds.
pub(crate) fn median(values: impl IntoIterator<Item = Duration>) -> f64 {
    let mut values: Vec<f64> = values
        .into_iter()
        .map(|value| value.as_secs_f64())
        .collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
