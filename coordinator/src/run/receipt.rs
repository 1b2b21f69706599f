//! Receipts for what will be durable.

use tokio::sync::watch;

/// Resolves when a batch of writes is durable. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Receipt {
    number: u64,
    durable: watch::Receiver<u64>,
}

impl Receipt {
    /// A receipt for batch `number`. `durable` has the number of the last durable batch.
    pub(crate) fn new(number: u64, durable: watch::Receiver<u64>) -> Self {
        Self { number, durable }
    }

    /// Waits until the batch is durable, or the writer has ended.
    pub(crate) async fn wait(mut self) {
        let number = self.number;
        // An error means that the writer has ended.
        self.durable.wait_for(|&last| last >= number).await.ok();
    }
}
