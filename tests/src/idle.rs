//! An engine that compares nothing, for measuring what everything around the
//! comparison costs.

use async_trait::async_trait;
use shared::message::Task;
use shared::outcome::Comparison;
use worker::engine::{Engine, Stop, TaskContext};

/// Finds every table empty and equal, at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdleEngine;

#[async_trait]
impl Engine for IdleEngine {
    async fn reconcile(&self, _task: &Task, _context: &TaskContext) -> Result<Comparison, Stop> {
        Ok(Comparison {
            source_count: 0,
            target_count: 0,
            checksums: None,
            rows: None,
            key: Vec::new(),
            notes: Vec::new(),
        })
    }
}
