//! The tables of the run: equal ones and ones that differ in every way.

/// Rows of an ordinary table.
const ROWS: u32 = 60;

/// Rows of a table whose differences need several messages.
const MANY_ROWS: u32 = 700;

/// Every so many tables, one has differences that need several messages.
const WIDE_EVERY: u32 = 20;

/// The most such tables, about. Their rows are most of a report.
const MOST_WIDE: u32 = 50;

/// How many tables are created in one transaction, which locks all of them.
const BATCH: u32 = 200;

/// The name of a table.
pub(crate) fn name(number: u32) -> String {
    format!("t{number}")
}

/// The portion, of `portions`, that a table belongs to.
fn portion(number: u32, tables: u32, portions: u32) -> u64 {
    u64::from(number) * u64::from(portions) / u64::from(tables)
}

/// The source's tables are views that wait at the gate of their portion and
/// then take up to a third of a second.
pub(crate) fn source(tables: u32, portions: u32) -> Vec<String> {
    batches(tables, |number| {
        let (name, gate) = (name(number), portion(number, tables, portions));
        let pause = f64::from(number * 7 % 11) * 0.03;
        let data = data(number, tables);
        format!(
            "CREATE TABLE data_{name} AS {data}; CREATE VIEW {name} AS SELECT data.* \
                 FROM (SELECT gate({gate}), pg_sleep({pause})) AS wait, data_{name} AS data;\n"
        )
    })
}

/// The SQL of all tables, in batches.
fn batches(tables: u32, sql: impl Fn(u32) -> String) -> Vec<String> {
    (0..tables)
        .step_by(BATCH as usize)
        .map(|first| (first..tables.min(first + BATCH)).map(&sql).collect())
        .collect()
}

/// The target's tables.
pub(crate) fn target(tables: u32) -> Vec<String> {
    batches(tables, |number| {
        let name = name(number);
        let data = data(number, tables);
        let change = match number % 4 {
            _ if is_wide(number, tables) => format!("UPDATE {name} SET v = repeat('x', 400);"),
            1 => format!("UPDATE {name} SET v = 'changed' WHERE id % 9 = 4;"),
            2 => format!(
                "DELETE FROM {name} WHERE id < 3; INSERT INTO {name} SELECT id, 'new' FROM generate_series(1001, 1005) id;"
            ),
            _ => String::new(),
        };
        format!("CREATE TABLE {name} AS {data}; {change}\n")
    })
}

fn is_wide(number: u32, tables: u32) -> bool {
    let every = WIDE_EVERY.max(tables / MOST_WIDE);
    number % every == every - 1
}

fn data(number: u32, tables: u32) -> String {
    let rows = if is_wide(number, tables) {
        MANY_ROWS
    } else {
        ROWS
    };
    format!("SELECT id, 'row ' || id || ' of {number}' AS v FROM generate_series(1, {rows}) id")
}
