//! Counts functions that run at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::SLACK;

/// Counts how many exist at the same time.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    now: AtomicUsize,
    pub(crate) most: AtomicUsize,
    pub(crate) begun: AtomicUsize,
    /// Told of every end.
    ended: Notify,
}

/// One that lives, until it is dropped.
pub(crate) struct Inside {
    gauge: Arc<Gauge>,
    /// Which of all that ever came in it is, from 1.
    pub(crate) number: usize,
}

impl Gauge {
    pub(crate) fn enter(self: &Arc<Self>) -> Inside {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Inside {
            gauge: Arc::clone(self),
            number,
        }
    }

    pub(crate) fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    /// Waits until the gauge is back at zero.
    pub(crate) async fn empty(&self) {
        loop {
            let ended = self.ended.notified();
            if self.now() == 0 {
                return;
            }
            assert!(
                tokio::time::timeout(SLACK, ended).await.is_ok(),
                "{} still run",
                self.now()
            );
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.gauge.now.fetch_sub(1, Ordering::SeqCst);
        self.gauge.ended.notify_one();
    }
}
