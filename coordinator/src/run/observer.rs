//! What watches a run from beside it.

use super::receipt::Receipt;
use crate::run_state::{Effect, RunState};

/// Observes a run: progress, metrics and the store of runs do.
pub trait RunObserver: Send + Unpin + 'static {
    /// Called after every input, before the effects are carried out and before
    /// the event that caused them is acknowledged. So what is stored here is
    /// durable before it has an effect. Runs on the actor's thread and must be
    /// short.
    fn applied(&mut self, state: &RunState, effects: &[Effect]);

    /// Called after [`applied`](Self::applied). The acknowledgement of the event,
    /// cancellations and the dispatch of further attempts wait for the receipt.
    fn receipt(&mut self) -> Option<Receipt> {
        None
    }
}

/// Two observers, one after the other. Receipts come from the second one.
impl<A: RunObserver, B: RunObserver> RunObserver for (A, B) {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        self.0.applied(state, effects);
        self.1.applied(state, effects);
    }

    fn receipt(&mut self) -> Option<Receipt> {
        self.1.receipt()
    }
}

/// One observer or none.
impl<O: RunObserver> RunObserver for Option<O> {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        if let Some(observer) = self {
            observer.applied(state, effects);
        }
    }

    fn receipt(&mut self) -> Option<Receipt> {
        self.as_mut().and_then(RunObserver::receipt)
    }
}
