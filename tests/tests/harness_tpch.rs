//! What the plan says was planted is what differs, as PostgreSQL itself sees it.

use shared::outcome::DifferenceKind;
use tests::services::shared_postgres;
use tests::tpch::TABLES;
use tests::tpch::load::Load;
use tests::tpch::side::Side;

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_is_what_was_planted() {
    let (source, target) = (
        shared_postgres().create_database("s").unwrap(),
        shared_postgres().create_database("t").unwrap(),
    );
    let load = Load {
        // Below 0.005 the benchmark's own rule gives a part the same supplier twice.
        scale: 0.01,
        differences: 110,
        seed: 7,
        tables: TABLES.to_vec(),
    };
    let mut sides = (
        Side::postgres(&source.url()).await.unwrap(),
        Side::postgres(&target.url()).await.unwrap(),
    );
    let plan = load.run(&mut sides.0, &mut sides.1, |_| {}).await.unwrap();

    let (source, target) = (
        source.connect().await.unwrap(),
        target.connect().await.unwrap(),
    );
    let mut all = 0;
    for table in &plan.tables {
        // Rows as text, so that every change counts: one letter's case, one blank, a decimal.
        let rows = async |client: &tokio_postgres::Client| -> Vec<String> {
            let rows = client
                .query(
                    &format!("SELECT t::text FROM {} t ORDER BY 1", table.name),
                    &[],
                )
                .await
                .unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        };
        let (source, target) = (rows(&source).await, rows(&target).await);
        assert_eq!(
            (source.len() as u64, target.len() as u64),
            (table.source_count, table.target_count),
            "{}",
            table.name
        );
        let only_in = |these: &[String], those: &[String]| {
            let mut those = those.to_vec();
            let missing = |row: &&String| {
                those
                    .binary_search(row)
                    .map(|found| those.remove(found))
                    .is_err()
            };
            these.iter().filter(missing).count()
        };
        let count = |kind| table.count(kind);
        assert_eq!(
            only_in(&source, &target),
            count(DifferenceKind::Missing) + count(DifferenceKind::Modified),
            "{}",
            table.name
        );
        assert_eq!(
            only_in(&target, &source),
            count(DifferenceKind::Extra) + count(DifferenceKind::Modified),
            "{}",
            table.name
        );
        all += table.differences.len();
    }
    assert_eq!(plan.tables.len(), 9);
    // 110 line items, 5 parts, 5 customers, 1 order, 6 rows of the table without a key.
    assert_eq!(all, 127);
}
