//! Loads tables into both sides at once, in constant memory.

use anyhow::{Context, ensure};
use tokio::sync::mpsc;

use super::Table;
use super::generate::{Sample, generate};
use super::plan::{Plan, PlannedTable};
use super::plant::plant;
use super::side::Side;

/// A set of tables to load, and how many of their rows differ.
#[derive(Debug, Clone)]
pub struct Load {
    /// TPC-H's scale factor: 1 is 6 million line items.
    pub scale: f64,
    /// How many rows differ in the largest table; 0 for two equal sides.
    pub differences: u32,
    /// The same seed plants the same differences.
    pub seed: u64,
    /// Which tables.
    pub tables: Vec<Table>,
}

impl Load {
    /// Loads the tables and plants differences. `progress` is called with each loaded table.
    ///
    /// # Errors
    ///
    /// When a database refuses.
    pub async fn run(
        &self,
        source: &mut Side,
        target: &mut Side,
        mut progress: impl FnMut(&PlannedTable),
    ) -> anyhow::Result<Plan> {
        let mut plan = Plan::default();
        for (position, table) in self.tables.iter().enumerate() {
            let mut random = fastrand::Rng::with_seed(self.seed.wrapping_add(position as u64));
            let sample = self
                .fill(table, source, target, random.fork())
                .await
                .with_context(|| format!("cannot load {}", table.name))?;
            let planned = plant(table, &sample, self.differences, target, random)
                .await
                .with_context(|| format!("cannot plant in {}", table.name))?;
            target.mark(table, &self.mark()).await?;
            progress(&planned);
            plan.tables.push(planned);
        }
        Ok(plan)
    }

    /// Whether an earlier load with the same parameters is complete and its tables
    /// exist.
    ///
    /// # Errors
    ///
    /// When a database refuses.
    pub async fn is_done(&self, source: &mut Side, target: &Side) -> anyhow::Result<bool> {
        for table in &self.tables {
            let is_whole = target.mark_of(table).await?.as_ref() == Some(&self.mark());
            if !is_whole || !source.has(table).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The comment of a target table after both sides of it have been loaded.
    fn mark(&self) -> String {
        format!(
            "scale {}, {} differences, seed {}",
            self.scale, self.differences, self.seed
        )
    }

    async fn fill(
        &self,
        table: &Table,
        source: &mut Side,
        target: &mut Side,
        random: fastrand::Rng,
    ) -> anyhow::Result<Sample> {
        source.create(table).await?;
        target.create(table).await?;
        let (sender, mut chunks) = mpsc::channel(4);
        let (table_copy, scale) = (*table, self.scale);
        let (modified, missing, extra) = table.planted(self.differences, u64::MAX);
        let sample_size = modified + missing + extra;
        let generator = tokio::task::spawn_blocking(move || {
            generate(table_copy, scale, sample_size, random, &sender)
        });
        let (mut to_source, mut to_target) =
            tokio::try_join!(source.begin_rows(table), target.begin_rows(table))?;
        while let Some(chunk) = chunks.recv().await {
            tokio::try_join!(to_source.send(chunk.clone()), to_target.send(chunk))?;
        }
        let (in_source, in_target) = tokio::try_join!(to_source.finish(), to_target.finish())?;
        let sample = generator.await?;
        ensure!(
            in_source == sample.total && in_target == sample.total,
            "{} rows made, {in_source} and {in_target} stored",
            sample.total
        );
        tokio::try_join!(source.finish_rows(table), target.finish_rows(table))?;
        Ok(sample)
    }
}
