//! Two random tables and the differences between them that were planted: what
//! a comparison must find, and nothing else.

mod value;

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Map, Value as Json};
use shared::endpoint::DatabaseKind;
use shared::outcome::{ColumnDifference, Difference, DifferenceKind};

pub use value::{Declaration, Domain, Value};

/// The most rows of a table.
const MOST_ROWS: usize = 40;

/// The most rows that differ.
const MOST_EDITS: usize = 6;

/// A column of both tables.
#[derive(Debug, Clone)]
pub struct Column {
    source_name: String,
    target_name: String,
    domain: Domain,
    source: Declaration,
    target: Declaration,
    nullable: bool,
}

impl Column {
    fn json(&self, value: &Value) -> Json {
        value.json(&self.source, &self.target)
    }
}

/// How rows are identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// Not at all: they are a multiset.
    None,
    /// By the primary key of both sides.
    Primary,
    /// By a unique index that the target alone has.
    TargetIndex,
    /// By columns that the comparison names, which may be NULL.
    Named,
}

type Row = Vec<Value>;

/// Two tables and the difference between them.
#[derive(Debug)]
pub struct Pair {
    name: String,
    columns: Vec<Column>,
    key: Key,
    /// The first so many columns are the key.
    key_columns: usize,
    /// The order of the columns in the target.
    target_order: Vec<usize>,
    source: Vec<Row>,
    target: Vec<Row>,
    /// Positions in `source` and `target` of the rows that are modified.
    modified: Vec<(usize, usize)>,
}

impl Pair {
    /// Generates the pair of tables called `name` from `seed`.
    #[must_use]
    pub fn random(name: &str, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let key = match rng.u8(..10) {
            0 | 1 => Key::None,
            2 => Key::TargetIndex,
            3 => Key::Named,
            _ => Key::Primary,
        };
        let key_columns = match key {
            Key::None => 0,
            _ => [1, 1, 2, 3][rng.usize(..4)],
        };
        let others = rng.usize(usize::from(key_columns == 0)..7);
        let columns: Vec<Column> = (0..key_columns + others)
            .map(|at| column(&mut rng, at, at < key_columns, key))
            .collect();
        let mut target_order: Vec<usize> = (0..columns.len()).collect();
        rng.shuffle(&mut target_order);
        let mut pair = Self {
            name: name.to_owned(),
            columns,
            key,
            key_columns,
            target_order,
            source: Vec::new(),
            target: Vec::new(),
            modified: Vec::new(),
        };
        pair.fill(&mut rng);
        pair
    }

    fn fill(&mut self, rng: &mut Rng) {
        let rows = rng.usize(..=MOST_ROWS);
        // The same edge values come up often: keys have to be drawn until they are new.
        let mut keys: Vec<Row> = Vec::new();
        let mut fresh = |columns: &[Column], key_columns: usize, rng: &mut Rng| {
            loop {
                let row: Row = columns.iter().map(|column| draw(column, rng)).collect();
                let key = row[..key_columns].to_vec();
                if key_columns == 0 || !keys.contains(&key) {
                    keys.push(key);
                    return row;
                }
            }
        };
        for _ in 0..rows {
            let again = self.key == Key::None && !self.source.is_empty() && rng.u8(..3) == 0;
            let row = match again {
                true => self.source[rng.usize(..self.source.len())].clone(),
                false => fresh(&self.columns, self.key_columns, rng),
            };
            self.source.push(row);
        }
        rng.shuffle(&mut self.source);

        let mut order: Vec<usize> = (0..self.source.len()).collect();
        rng.shuffle(&mut order);
        let edits = rng.usize(..=MOST_EDITS).min(order.len());
        let mut extra = 0;
        for (nth, at) in order.into_iter().enumerate() {
            let mut row = self.source[at].clone();
            if nth < edits {
                match rng.u8(..3) {
                    0 => continue,
                    1 => extra += 1,
                    _ if self.key == Key::None || self.columns.len() == self.key_columns => {}
                    _ => {
                        self.change(&mut row, rng);
                        self.modified.push((at, self.target.len()));
                    }
                }
            }
            self.target.push(row);
        }
        for _ in 0..extra + usize::from(edits == 0 && rng.u8(..8) == 0) {
            let again = self.key == Key::None && !self.target.is_empty() && rng.bool();
            let row = match again {
                true => self.target[rng.usize(..self.target.len())].clone(),
                false => fresh(&self.columns, self.key_columns, rng),
            };
            self.target.push(row);
        }
    }

    /// Gives one or several columns that are not of the key other values.
    fn change(&self, row: &mut Row, rng: &mut Rng) {
        let first = rng.usize(self.key_columns..self.columns.len());
        for (at, column) in self.columns.iter().enumerate().skip(self.key_columns) {
            if at != first && rng.u8(..4) != 0 {
                continue;
            }
            let before = row[at].clone();
            while row[at] == before {
                row[at] = draw(column, rng);
            }
        }
    }

    /// The name of both tables.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rows on both sides.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.source.len() as u64, self.target.len() as u64)
    }

    /// The key columns that the comparison cannot find by itself.
    #[must_use]
    pub fn named_key(&self) -> Option<Vec<String>> {
        (self.key == Key::Named).then(|| self.key_names())
    }

    fn key_names(&self) -> Vec<String> {
        self.columns[..self.key_columns]
            .iter()
            .map(|column| column.source_name.clone())
            .collect()
    }

    /// The statements that make the source.
    #[must_use]
    pub fn source_sql(&self, engine: DatabaseKind) -> String {
        let order: Vec<usize> = (0..self.columns.len()).collect();
        let declare = |at: usize| {
            let column = &self.columns[at];
            (column.source_name.as_str(), column.source.sql(engine))
        };
        self.sql(
            engine,
            &order,
            &self.source,
            declare,
            self.key == Key::Primary,
        )
    }

    /// The statements that make the target.
    #[must_use]
    pub fn target_sql(&self, engine: DatabaseKind) -> String {
        let declare = |at: usize| {
            let column = &self.columns[at];
            (column.target_name.as_str(), column.target.sql(engine))
        };
        let keyed = matches!(self.key, Key::Primary | Key::TargetIndex);
        self.sql(engine, &self.target_order, &self.target, declare, keyed)
    }

    fn sql<'a>(
        &'a self,
        engine: DatabaseKind,
        order: &[usize],
        rows: &[Row],
        declare: impl Fn(usize) -> (&'a str, &'a str),
        keyed: bool,
    ) -> String {
        let quoted = |name: &str| format!("\"{name}\"");
        let mut parts: Vec<String> = order
            .iter()
            .map(|&at| {
                let (name, declared) = declare(at);
                let null = if self.columns[at].nullable {
                    "NULL"
                } else {
                    "NOT NULL"
                };
                format!("{} {declared} {null}", quoted(name))
            })
            .collect();
        let key: Vec<String> = (0..self.key_columns)
            .map(|at| quoted(declare(at).0))
            .collect();
        if keyed && self.key == Key::Primary {
            parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
        }
        let mut sql = format!("CREATE TABLE {} ({});\n", self.name, parts.join(", "));
        if keyed && self.key == Key::TargetIndex {
            sql.push_str(&format!(
                "CREATE UNIQUE INDEX {0}_key ON {0} ({1});\n",
                self.name,
                key.join(", ")
            ));
        }
        if !rows.is_empty() {
            let values: Vec<String> = rows
                .iter()
                .map(|row| {
                    let values: Vec<String> = order.iter().map(|&at| row[at].sql(engine)).collect();
                    format!("({})", values.join(", "))
                })
                .collect();
            sql.push_str(&format!(
                "INSERT INTO {} VALUES {};\n",
                self.name,
                values.join(",\n ")
            ));
        }
        sql
    }

    /// The differences that are to be found, each in words, sorted.
    #[must_use]
    pub fn expected(&self) -> Vec<String> {
        let mut expected: Vec<Difference> = Vec::new();
        for &(source, target) in &self.modified {
            let (left, right) = (&self.source[source], &self.target[target]);
            let columns =
                (self.key_columns..self.columns.len()).filter(|&at| left[at] != right[at]);
            expected.push(Difference {
                kind: DifferenceKind::Modified,
                key: self.key_of(left),
                columns: columns
                    .map(|at| self.difference(at, Some(left), Some(right)))
                    .collect(),
            });
        }
        let is_modified = |source: Option<usize>, target: Option<usize>| {
            self.modified
                .iter()
                .any(|pair| Some(pair.0) == source || Some(pair.1) == target)
        };
        let mut rest: Vec<&Row> = (0..self.target.len())
            .filter(|&at| !is_modified(None, Some(at)))
            .map(|at| &self.target[at])
            .collect();
        for (at, row) in self.source.iter().enumerate() {
            if is_modified(Some(at), None) {
                continue;
            }
            match rest.iter().position(|other| *other == row) {
                Some(found) => {
                    rest.swap_remove(found);
                }
                None => expected.push(self.whole(DifferenceKind::Missing, row)),
            }
        }
        expected.extend(
            rest.into_iter()
                .map(|row| self.whole(DifferenceKind::Extra, row)),
        );
        in_words(&expected)
    }

    fn key_of(&self, row: &Row) -> Map<String, Json> {
        self.columns[..self.key_columns]
            .iter()
            .zip(row)
            .map(|(column, value)| (column.source_name.clone(), column.json(value)))
            .collect()
    }

    fn difference(&self, at: usize, left: Option<&Row>, right: Option<&Row>) -> ColumnDifference {
        let column = &self.columns[at];
        let json = |row: Option<&Row>| row.map_or(Json::Null, |row| column.json(&row[at]));
        ColumnDifference {
            name: column.source_name.clone(),
            source: json(left),
            target: json(right),
        }
    }

    /// A row that one side alone has; without a key it is shown whole.
    fn whole(&self, kind: DifferenceKind, row: &Row) -> Difference {
        let (left, right) = match kind {
            DifferenceKind::Extra => (None, Some(row)),
            _ => (Some(row), None),
        };
        let columns = match self.key_columns {
            0 => (0..self.columns.len())
                .map(|at| self.difference(at, left, right))
                .collect(),
            _ => Vec::new(),
        };
        Difference {
            kind,
            key: self.key_of(row),
            columns,
        }
    }
}

/// Differences in words that can be compared, sorted.
#[must_use]
pub fn in_words(differences: &[Difference]) -> Vec<String> {
    let mut words: Vec<String> = differences
        .iter()
        .map(|difference| {
            let columns: BTreeMap<&str, String> = difference
                .columns
                .iter()
                .map(|column| {
                    let values = format!("{} / {}", column.source, column.target);
                    (column.name.as_str(), values)
                })
                .collect();
            let key: BTreeMap<_, _> = difference.key.iter().collect();
            format!("{:?} {key:?} {columns:?}", difference.kind)
        })
        .collect();
    words.sort();
    words
}

fn column(rng: &mut Rng, at: usize, in_key: bool, key: Key) -> Column {
    const WORDS: [&str; 8] = [
        "id",
        "order",
        "Name",
        "größe",
        "a b",
        "it's",
        "$x",
        "CamelCase",
    ];
    let domain = match in_key {
        true => Domain::random_key(rng),
        false => Domain::random(rng),
    };
    // Unique by its number, for either case of its letters.
    let name = format!("{}{at}", WORDS[rng.usize(..WORDS.len())]);
    let target_name = match rng.u8(..4) {
        0 => name.to_lowercase(),
        _ => name.clone(),
    };
    Column {
        source_name: name,
        target_name,
        domain,
        source: domain.declare(rng),
        target: domain.declare(rng),
        nullable: if in_key {
            key == Key::Named
        } else {
            rng.bool()
        },
    }
}

fn draw(column: &Column, rng: &mut Rng) -> Value {
    match column.nullable && rng.u8(..6) == 0 {
        true => Value::Null,
        false => column.domain.value(rng),
    }
}
