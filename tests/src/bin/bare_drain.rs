//! Reads a table of both sides as fast as the two drivers can and discards the
//! rows: the lower bound for the cost of a comparison.

use anyhow::Context;
use clap::Parser;
use futures::{StreamExt, TryStreamExt};
use harness::services::database::connect;
use harness::tpch::Table;
use harness::tpch::sql_server;

/// Reads one TPC-H table from SQL Server and from PostgreSQL at the same time and drops the rows.
#[derive(Debug, Parser)]
struct Options {
    /// mssql://…
    #[arg(long)]
    source_url: String,
    /// postgres://…
    #[arg(long)]
    target_url: String,
    /// The table.
    #[arg(long, default_value = "lineitem")]
    table: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    // A process has one TLS provider; an earlier choice is no error.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let table = Table::named(&options.table).context("no such table")?;
    let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    let columns = names.join(", ");

    let source = async {
        let mut client = Box::pin(sql_server::connect(&options.source_url)).await?;
        let statement = format!("SELECT {columns} FROM dbo.{}", table.name);
        let mut rows = client.simple_query(&*statement).await?.into_row_stream();
        let mut count = 0_u64;
        while let Some(row) = rows.next().await {
            drop(row?);
            count += 1;
        }
        anyhow::Ok(count)
    };
    let target = async {
        let client = connect(&options.target_url).await?;
        let statement = format!(
            "COPY (SELECT {columns} FROM public.{}) TO STDOUT (FORMAT binary)",
            table.name
        );
        let rows = client.copy_out(&*statement).await?;
        let chunks = rows.try_fold(0_u64, async |count, _| Ok(count + 1)).await?;
        // The binary format ends with a trailer, and begins in the chunk of the first row.
        anyhow::Ok(chunks.saturating_sub(1))
    };
    let (source, target) = tokio::try_join!(Box::pin(source), Box::pin(target))?;
    say(source, target);
    Ok(())
}

#[expect(
    clippy::print_stdout,
    reason = "the result of this program is its output"
)]
fn say(source: u64, target: u64) {
    println!("{source} rows from the source, {target} from the target");
}
