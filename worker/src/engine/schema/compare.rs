//! The comparison of the schemas of many tables.

use std::collections::{BTreeMap, BTreeSet};

use shared::endpoint::Endpoint;
use shared::failure::{Failure, FailureKind};
use shared::finding::Finding;
use shared::message::TableSpec;

use crate::engine::database::dialect::Dialect;
use crate::engine::database::kinds::database;
use crate::engine::database::schema::{DatabaseSchema, NumberedColumn, QualifiedName, TableSchema};
use crate::engine::schema::all_rules::compare_tables;
use crate::engine::schema::findings::Findings;
use crate::engine::schema::read::CatalogReader;
use crate::engine::schema::rule::{COLUMNS_UNPAIRED, TABLE_MISSING};
use crate::engine::schema::table_pair::TablePair;
use crate::engine::schema::{numbering, tables};
use crate::engine::values::pair::Pair;

/// Compares what surrounds the rows of `tables`. Reads the catalogs of both databases with a
/// number of statements that does not depend on the number of tables, and of the rows only the
/// largest value of each numbered column of the target that an index can find.
///
/// # Errors
///
/// When a database cannot be reached, refuses the login or its catalog cannot be read.
pub async fn compare_schemas(
    source: &Endpoint,
    target: &Endpoint,
    tables: &[TableSpec],
) -> Result<Vec<Finding>, Failure> {
    let (from, to) = tokio::join!(CatalogReader::open(source), CatalogReader::open(target));
    let mut readers = Pair {
        source: from?,
        target: to?,
    };
    let (resolved, named, mut found) = resolve(&mut readers, tables).await?;
    let names = Pair::of(|side| -> BTreeSet<QualifiedName> {
        resolved
            .iter()
            .map(|(_, names)| names[side].clone())
            .collect()
    });
    let (from, to) = tokio::join!(
        readers.source.schemas(&names.source),
        readers.target.schemas(&names.target)
    );
    let schemas = Pair {
        source: from?,
        target: to?,
    };
    let dialects = Pair {
        source: database(source.kind) as &dyn Dialect,
        target: database(target.kind) as &dyn Dialect,
    };
    let comparisons = schemas.as_ref().map(|schema| schema.comparison);
    let (pairs, unpaired) = pair_tables(resolved, &schemas, dialects);
    found.extend(unpaired);
    let (mut of_tables, numbered) = compare_tables(&pairs, comparisons);
    let columns: Vec<NumberedColumn> = numbered.iter().map(|(_, column)| column.clone()).collect();
    let states = readers.target.number_states(&columns).await?;
    for ((at, column), state) in numbered.iter().zip(&states) {
        numbering::check_next(column, state, &mut of_tables[*at]);
    }
    found.extend(of_tables.into_iter().flat_map(Findings::into_vec));
    if !pairs.is_empty() {
        found.extend(tables::check_defaults(comparisons));
    }
    let catalogs = Pair {
        source: readers.source.catalog,
        target: readers.target.catalog,
    };
    found.extend(tables::check_unlisted(&catalogs, &named));
    Ok(found)
}

/// A table with the names of both sides as their catalogs have them.
type Resolved<'a> = (&'a TableSpec, Pair<QualifiedName>);

/// Finds the tables of both sides by their names. Returns those that both sides have, the tables
/// of each side, and a finding for each table that one side does not have.
async fn resolve<'a>(
    readers: &mut Pair<CatalogReader<'_>>,
    tables: &'a [TableSpec],
) -> Result<
    (
        Vec<Resolved<'a>>,
        Pair<BTreeSet<QualifiedName>>,
        Vec<Finding>,
    ),
    Failure,
> {
    let (mut resolved, mut found) = (Vec::new(), Vec::new());
    let mut named = Pair::<BTreeSet<QualifiedName>>::default();
    for spec in tables {
        let naming = spec.options.naming;
        let names = Pair {
            source: readers.source.resolve(&spec.source.table, naming).await,
            target: readers.target.resolve(&spec.target.table, naming).await,
        };
        let mut findings = Findings::of_spec(spec);
        let mut report = |name: Result<QualifiedName, Failure>, side: &str| match name {
            Ok(name) => Ok(Some(name)),
            Err(failure)
                if matches!(
                    failure.kind,
                    FailureKind::TableNotFound | FailureKind::AmbiguousTable
                ) =>
            {
                findings.add_object(TABLE_MISSING, side, failure.message);
                Ok(None)
            }
            Err(failure) => Err(failure),
        };
        let (from, to) = (
            report(names.source, "source")?,
            report(names.target, "target")?,
        );
        named.source.extend(from.clone());
        named.target.extend(to.clone());
        if let (Some(source), Some(target)) = (from, to) {
            resolved.push((spec, Pair { source, target }));
        }
        found.extend(findings.into_vec());
    }
    Ok((resolved, named, found))
}

/// Pairs the columns of all tables. Columns that cannot be paired are a finding.
fn pair_tables<'a>(
    resolved: Vec<Resolved<'a>>,
    schemas: &Pair<DatabaseSchema>,
    dialects: Pair<&'a dyn Dialect>,
) -> (Vec<TablePair<'a>>, Vec<Finding>) {
    let by_name = schemas.as_ref().map(|schema| {
        let tables = schema.tables.iter();
        let named = tables.map(|schema| {
            let table = &schema.table;
            ((table.schema.clone(), table.name.clone()), schema)
        });
        named.collect::<BTreeMap<QualifiedName, &TableSchema>>()
    });
    let (mut pairs, mut found) = (Vec::new(), Vec::new());
    for (spec, names) in resolved {
        let mut findings = Findings::of_spec(spec);
        let of_side = by_name.as_ref().zip(names.as_ref());
        let of_side =
            of_side.map(|(tables, name)| tables.get(name).map(|schema| (*schema).clone()));
        match (of_side.source, of_side.target) {
            (Some(source), Some(target)) => {
                match TablePair::new(spec, Pair { source, target }, dialects) {
                    Ok(pair) => pairs.push(pair),
                    Err(failure) => findings.add(COLUMNS_UNPAIRED, failure.message),
                }
            }
            _ => findings.add(
                TABLE_MISSING,
                "the table was dropped or renamed while the catalogs were read".to_owned(),
            ),
        }
        found.extend(findings.into_vec());
    }
    (pairs, found)
}
