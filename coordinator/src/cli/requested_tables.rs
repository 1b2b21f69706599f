//! The tables that a run is to compare: those of a list, or those of an earlier run.

use std::collections::BTreeMap;

use shared::endpoint::Endpoint;

use super::catalogs::{add_sizes, read_catalogs};
use super::connections::SideSettings;
use super::differing_tables::DifferingTables;
use super::selection::TableSelection;
use super::table_plan::SelectedTables;
use super::usage::UsageError;

/// The tables that a run is to compare.
#[derive(Debug)]
pub(super) enum RequestedTables {
    /// Those of a list, whose patterns are not expanded yet.
    Listed(Box<TableSelection>),
    /// Those that did not pass in an earlier run.
    OfRun(Box<DifferingTables>),
}

impl RequestedTables {
    /// The source and the target.
    pub(super) fn sides(&self) -> (&SideSettings, &SideSettings) {
        match self {
            Self::Listed(selection) => (&selection.source, &selection.target),
            Self::OfRun(tables) => (&tables.source, &tables.target),
        }
    }

    /// The databases of both sides by the names that tasks carry.
    pub(super) fn endpoints(&self) -> BTreeMap<String, Endpoint> {
        let (source, target) = self.sides();
        [source, target]
            .into_iter()
            .filter_map(|side| Some((side.name.clone(), side.endpoint.clone()?)))
            .collect()
    }

    /// The list of a run that has one.
    pub(super) fn listed(&self) -> Option<&TableSelection> {
        match self {
            Self::Listed(selection) => Some(selection),
            Self::OfRun(_) => None,
        }
    }

    /// The tables, one by one. Reads the catalogs if the list needs them.
    ///
    /// # Errors
    ///
    /// When the list does not name tables that can be compared, or a catalog cannot be read.
    pub(super) async fn select(self) -> Result<SelectedTables, UsageError> {
        match self {
            Self::Listed(selection) => {
                let catalogs = read_catalogs(&selection).await?;
                let mut selected = selection.plan(&catalogs)?;
                add_sizes(&selection, &catalogs, &mut selected.tables).await;
                Ok(selected)
            }
            Self::OfRun(tables) => Ok(tables.selected),
        }
    }
}
