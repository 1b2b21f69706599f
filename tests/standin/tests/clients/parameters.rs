//! `sp_executesql` with every type of parameter that the clients send.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use serde_json::json;
use standin::TlsMode;
use tiberius::numeric::Numeric;
use tiberius::{ToSql, Uuid};

use crate::external;
use crate::fixture::{Fixture, rows, run};

const TABLE: &str = "CREATE TABLE p (
    id int, flag bit, tiny tinyint, small smallint, big bigint, exact decimal(38,10), r real, f float,
    words nvarchar(max), narrow varchar(10), bytes varbinary(max), day date, clock time(7),
    moment datetime2(7), away datetimeoffset(7), old datetime, u uniqueidentifier, cash money)";

const INSERT: &str = "INSERT INTO p
    (id, flag, tiny, small, big, exact, r, f, words, bytes, day, clock, moment, away, u)
    VALUES (@P1, @P2, @P3, @P4, @P5, @P6, @P7, @P8, @P9, @P10, @P11, @P12, @P13, @P14, @P15)";

#[tokio::test(flavor = "multi_thread")]
async fn what_tiberius_sends_is_what_it_reads() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    run(&mut client, TABLE).await;
    let exact = Numeric::new_with_scale(-12_345_678_901_234_567_890_123_456_780_123_456_789, 10);
    let words = "Ω 漢 😀 'quoted'".repeat(1000);
    let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let day = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    let clock = NaiveTime::from_hms_nano_opt(23, 59, 58, 123_456_700).unwrap();
    let moment = NaiveDateTime::new(day, clock);
    let zone = chrono::FixedOffset::west_opt(7 * 3600 + 1800).unwrap();
    let away = moment.and_local_timezone(zone).unwrap();
    let id = Uuid::from_u128(0x6F96_19FF_8B86_D011_B42D_00C0_4FC9_64FF);
    let parameters: [&dyn ToSql; 15] = [
        &1_i32,
        &true,
        &255_u8,
        &i16::MIN,
        &i64::MIN,
        &exact,
        &-0.1_f32,
        &5e-324_f64,
        &words,
        &bytes,
        &day,
        &clock,
        &moment,
        &away,
        &id,
    ];
    let inserted = client.execute(INSERT, &parameters).await.unwrap();
    assert_eq!(inserted.rows_affected(), [1]);
    let nulls: [&dyn ToSql; 15] = [
        &2_i32,
        &None::<bool>,
        &None::<u8>,
        &None::<i16>,
        &None::<i64>,
        &None::<Numeric>,
        &None::<f32>,
        &None::<f64>,
        &None::<&str>,
        &None::<&[u8]>,
        &None::<NaiveDate>,
        &None::<NaiveTime>,
        &None::<NaiveDateTime>,
        &None::<chrono::DateTime<chrono::FixedOffset>>,
        &None::<Uuid>,
    ];
    client.execute(INSERT, &nulls).await.unwrap();

    let found = rows(&mut client, "SELECT * FROM p ORDER BY id")
        .await
        .unwrap();
    let row = &found[0];
    assert_eq!(row.get("flag"), Some(true));
    assert_eq!(row.get("tiny"), Some(255_u8));
    assert_eq!(row.get("small"), Some(i16::MIN));
    assert_eq!(row.get("big"), Some(i64::MIN));
    assert_eq!(row.get("exact"), Some(exact));
    assert_eq!(row.get("r"), Some(-0.1_f32));
    assert_eq!(row.get("f"), Some(5e-324_f64));
    assert!(row.get("words") == Some(words.as_str()));
    assert!(row.get("bytes") == Some(bytes.as_slice()));
    assert_eq!(row.get("day"), Some(day));
    assert_eq!(row.get("clock"), Some(clock));
    assert_eq!(row.get("moment"), Some(moment));
    assert_eq!(row.get("away"), Some(away));
    assert_eq!(row.get("u"), Some(id));
    for at in 1..18 {
        let data = found[1].get_column_data(at).unwrap();
        let text = format!("{data:?}");
        assert!(text.ends_with("(None)"), "column {at}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_parameter_finds_its_row() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    run(&mut client, TABLE).await;
    run(
        &mut client,
        "INSERT INTO p VALUES (1, 1, 200, -5, 9007199254740993, 0.1, 0.5, 0.25, N'λ', 'é', 0xFF,
            '2024-02-29', '12:34:56.7654321', '2024-02-29 12:34:56.7654321',
            '2024-02-29 12:34:56.7654321 +02:00', '2024-02-29T12:34:56.997',
            '6F9619FF-8B86-D011-B42D-00C04FC964FF', 1.2345)",
    )
    .await;
    let day = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    let clock = NaiveTime::from_hms_nano_opt(12, 34, 56, 765_432_100).unwrap();
    let moment = NaiveDateTime::new(day, clock);
    let zone = chrono::FixedOffset::east_opt(7200).unwrap();
    let away = moment.and_local_timezone(zone).unwrap();
    let id = Uuid::from_u128(0x6F96_19FF_8B86_D011_B42D_00C0_4FC9_64FF);
    let tenth = Numeric::new_with_scale(1, 1);
    let cash = Numeric::new_with_scale(12345, 4);
    let keys: [(&str, &dyn ToSql); 16] = [
        ("flag", &true),
        ("tiny", &200_u8),
        ("small", &-5_i16),
        ("big", &9_007_199_254_740_993_i64),
        ("exact", &tenth),
        ("r", &0.5_f32),
        ("f", &0.25_f64),
        ("words", &"λ"),
        ("narrow", &"é"),
        ("bytes", &[0xFF_u8].as_slice()),
        ("day", &day),
        ("clock", &clock),
        ("moment", &moment),
        ("away", &away),
        ("u", &id),
        ("cash", &cash),
    ];
    for (column, key) in keys {
        let query = format!("SELECT id FROM p WHERE {column} = @P1");
        let found = client.query(query.as_str(), &[key]).await.unwrap();
        let found = found.into_first_result().await.unwrap();
        assert_eq!(found.len(), 1, "{column}");
        let query = format!("SELECT id FROM p WHERE {column} <> @P1");
        let others = client.query(query.as_str(), &[key]).await.unwrap();
        assert!(
            others.into_first_result().await.unwrap().is_empty(),
            "{column}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pytds_sends_is_what_it_reads() {
    let fixture = Fixture::start(TlsMode::Off).await;
    run(&mut fixture.connect().await, TABLE).await;
    let insert = "INSERT INTO p (id, flag, big, exact, f, words, bytes, day, clock, moment, u)
                  VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)";
    let long = "ж漢".repeat(5000);
    let parameters = json!([
        1, true, -9_007_199_254_740_993_i64, {"decimal": "-12345678901234567890.0123456789"}, 0.1,
        long, {"bytes": "00ff10"}, {"date": "2024-02-29"}, {"time": "23:59:58.123456"},
        {"datetime": "2024-02-29T23:59:58.123456"}, {"uuid": "6f9619ff-8b86-d011-b42d-00c04fc964ff"},
    ]);
    let nulls = json!([
        2, null, null, null, null, null, null, null, null, null, null
    ]);
    let answers = external::pytds(
        fixture.port(),
        json!({}),
        vec![
            json!([insert, parameters]),
            json!([insert, nulls]),
            json!("SELECT id, flag, big, exact, f, words, bytes, day, clock, moment, u FROM p ORDER BY id"),
        ],
    )
    .await;
    assert_eq!(answers[1..3], [json!({"rows": []}), json!({"rows": []})]);
    let tenth = format!("{:016x}", 0.1_f64.to_bits());
    assert_eq!(
        answers[3]["rows"],
        json!([
            [
                "1",
                "1",
                "-9007199254740993",
                "-12345678901234567890.0123456789",
                tenth,
                long,
                "00ff10",
                "2024-02-29",
                "23:59:58.123456",
                "2024-02-29 23:59:58.123456",
                "6f9619ff-8b86-d011-b42d-00c04fc964ff"
            ],
            [
                "2", null, null, null, null, null, null, null, null, null, null
            ],
        ])
    );
}
