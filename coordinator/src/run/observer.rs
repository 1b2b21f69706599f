//! The interface through which other modules observe a run.

use super::receipt::Receipt;
use crate::run_state::{Effect, RunState};

/// Observes a run. The progress display, the metrics, the spool of repair statements and
/// the store implement it.
pub trait RunObserver: Send + Unpin + 'static {
    /// Called after every input, before its effects are carried out. If the input is
    /// an event, the event is acknowledged later. An observer that writes in another
    /// thread returns a [`receipt`](Self::receipt). This function runs on the actor's
    /// thread and must return quickly.
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
