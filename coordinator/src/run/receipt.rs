//! A promise that something will be safe.

use tokio::sync::watch;

/// Says when something is safe. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Receipt {
    number: u64,
    safe: watch::Receiver<u64>,
}

impl Receipt {
    /// For what is safe once `safe` shows `number` or more, or nobody writes any more.
    #[must_use]
    pub fn new(number: u64, safe: watch::Receiver<u64>) -> Self {
        Self { number, safe }
    }

    /// Returns when it is safe, or when it is known that it will not be.
    pub async fn wait(mut self) {
        let number = self.number;
        // An error says that nobody writes any more.
        self.safe.wait_for(|&safe| safe >= number).await.ok();
    }
}
