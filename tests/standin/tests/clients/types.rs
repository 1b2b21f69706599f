//! Every type of SQL Server's tables: each client reads the inserted value, whether the column may
//! be NULL or not.

use chrono::Datelike;
use serde_json::json;
use standin::TlsMode;
use tiberius::{ColumnData, Row};

use crate::external;
use crate::fixture::{Fixture, Tiberius, rows, run};

/// One column with one value.
struct Sample {
    /// The type as it is declared.
    declared: String,
    /// The value as an INSERT writes it.
    literal: String,
    /// The exact value in the form of [`exact_text`].
    value: String,
    /// The output of tsql, where it has a form of its own.
    tsql: Option<&'static str>,
}

fn sample(declared: &str, literal: &str, value: &str) -> Sample {
    Sample {
        declared: declared.to_owned(),
        literal: literal.to_owned(),
        value: value.to_owned(),
        tsql: None,
    }
}

/// The bits of a floating point number, so that a client's rounding of decimals does not matter.
fn bits(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

fn samples() -> Vec<Sample> {
    let mut all = vec![
        sample("bit", "1", "1"),
        sample("tinyint", "255", "255"),
        sample("smallint", "-32768", "-32768"),
        sample("int", "-2147483648", "-2147483648"),
        sample("bigint", "-9223372036854775808", "-9223372036854775808"),
        sample("money", "-922337203685.4775", "-922337203685.4775"),
        sample("smallmoney", "214748.3647", "214748.3647"),
        Sample {
            tsql: Some("-0.125"),
            ..sample("real", "-0.125", &bits(-0.125))
        },
        Sample {
            tsql: Some("1.7976931348623157e+308"),
            ..sample("float", "1.7976931348623157e308", &bits(f64::MAX))
        },
        sample("char(5)", "'ab'", "ab   "),
        sample("varchar(20)", "'€ Straße \u{17d}'", "€ Straße \u{17d}"),
        sample(
            "varchar(8000)",
            &format!("'{}'", "x".repeat(8000)),
            &"x".repeat(8000),
        ),
        sample(
            "varchar(20) COLLATE Latin1_General_100_CI_AS_SC_UTF8",
            "N'Ω 漢 😀'",
            "Ω 漢 😀",
        ),
        sample("nchar(4)", "N'λ'", "λ   "),
        sample("nvarchar(20)", "N'Ω 漢 😀'", "Ω 漢 😀"),
        sample("nvarchar(10)", "N''", ""),
        sample("varchar(max)", "'naïve'", "naïve"),
        sample("nvarchar(max)", "N'漢字'", "漢字"),
        sample("text", "'Süd'", "Süd"),
        sample("ntext", "N'北'", "北"),
        sample("xml", "N'<a b=\"1\">ü</a>'", "<a b=\"1\">ü</a>"),
        sample("binary(4)", "0x01FF", "01ff0000"),
        sample("varbinary(8)", "0x00FF", "00ff"),
        sample("varbinary(max)", "0xDEADBEEF", "deadbeef"),
        sample("image", "0xCAFE", "cafe"),
        sample("date", "'0001-01-01'", "0001-01-01"),
        sample("date", "'9999-12-31'", "9999-12-31"),
        sample(
            "datetime",
            "'2024-02-29T23:59:59.997'",
            "2024-02-29 23:59:59.997",
        ),
        sample("datetime", "'1753-01-01'", "1753-01-01 00:00:00.000"),
        sample(
            "smalldatetime",
            "'2079-06-06T23:59:00'",
            "2079-06-06 23:59:00",
        ),
        sample(
            "uniqueidentifier",
            "'6F9619FF-8B86-D011-B42D-00C04FC964FF'",
            "6f9619ff-8b86-d011-b42d-00c04fc964ff",
        ),
    ];
    all.extend(decimal_samples());
    all.extend(moment_samples());
    all
}

/// A decimal of each size that the wire has, at the limits of its digits.
fn decimal_samples() -> Vec<Sample> {
    let mut all = Vec::new();
    for precision in [1, 9, 10, 19, 20, 28, 29, 38] {
        let digits = "9".repeat(precision);
        all.push(sample(&format!("decimal({precision},0)"), &digits, &digits));
        let fraction = format!("-0.{}", "1".repeat(precision));
        let declared = format!("decimal({precision},{precision})");
        all.push(sample(&declared, &fraction, &fraction));
    }
    let mixed = "-1234567890123456789012345678.0123456789";
    all.push(sample("decimal(38,10)", mixed, mixed));
    all
}

/// A time, a date and time, and one with an offset, of each scale.
fn moment_samples() -> Vec<Sample> {
    let quoted = |declared: String, value: &str| sample(&declared, &format!("'{value}'"), value);
    let mut all = Vec::new();
    for scale in 0..=7 {
        let fraction = &".1234567"[..if scale == 0 { 0 } else { scale + 1 }];
        let clock = format!("23:59:58{fraction}");
        let moment = format!("2024-02-29 {clock}");
        all.push(quoted(format!("time({scale})"), &clock));
        all.push(quoted(format!("datetime2({scale})"), &moment));
        all.push(quoted(
            format!("datetimeoffset({scale})"),
            &format!("{moment} -07:30"),
        ));
    }
    all
}

fn day(since: chrono::NaiveDate, days: i64) -> String {
    (since + chrono::Duration::days(days))
        .format("%Y-%m-%d")
        .to_string()
}

fn clock(time: tiberius::time::Time) -> String {
    let unit = 10_u64.pow(time.scale().into());
    let (seconds, fraction) = (time.increments() / unit, time.increments() % unit);
    let whole = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    match usize::from(time.scale()) {
        0 => whole,
        width => format!("{whole}.{fraction:0width$}"),
    }
}

fn numeric(value: tiberius::numeric::Numeric) -> String {
    let scale = usize::from(value.scale());
    let digits = format!(
        "{:0width$}",
        value.value().unsigned_abs(),
        width = scale + 1
    );
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value.value() < 0 { "-" } else { "" };
    let point = if scale == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// The local date and time, and the offset from UTC.
fn with_offset(first: chrono::NaiveDate, value: tiberius::time::DateTimeOffset) -> String {
    let (utc, offset) = (value.datetime2(), i64::from(value.offset()));
    let unit = 10_i64.pow(utc.time().scale().into());
    let ticks = i64::try_from(utc.time().increments()).unwrap() + offset * 60 * unit;
    let local = tiberius::time::Time::new(
        u64::try_from(ticks.rem_euclid(86_400 * unit)).unwrap(),
        utc.time().scale(),
    );
    let days = i64::from(utc.date().days()) + ticks.div_euclid(86_400 * unit);
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs());
    format!(
        "{} {} {sign}{:02}:{:02}",
        day(first, days),
        clock(local),
        minutes / 60,
        minutes % 60
    )
}

/// A value as text that shows everything that the wire carried.
fn exact_text(data: &ColumnData<'_>) -> Option<String> {
    let first = chrono::NaiveDate::from_ymd_opt(1, 1, 1).unwrap();
    let nineteen_hundred = chrono::NaiveDate::from_ymd_opt(1900, 1, 1).unwrap();
    Some(match data {
        ColumnData::Bit(value) => u8::from((*value)?).to_string(),
        ColumnData::U8(value) => (*value)?.to_string(),
        ColumnData::I16(value) => (*value)?.to_string(),
        ColumnData::I32(value) => (*value)?.to_string(),
        ColumnData::I64(value) => (*value)?.to_string(),
        ColumnData::F32(value) => bits((*value)?.into()),
        ColumnData::F64(value) => bits((*value)?),
        ColumnData::Numeric(value) => numeric((*value)?),
        ColumnData::String(value) => value.as_ref()?.to_string(),
        ColumnData::Xml(value) => value.as_ref()?.to_string(),
        ColumnData::Binary(value) => hex::encode(value.as_ref()?),
        ColumnData::Guid(value) => (*value)?.to_string(),
        ColumnData::Date(value) => day(first, (*value)?.days().into()),
        ColumnData::Time(value) => clock((*value)?),
        ColumnData::DateTime2(value) => {
            let value = (*value)?;
            let day = day(first, value.date().days().into());
            format!("{day} {}", clock(value.time()))
        }
        ColumnData::DateTimeOffset(value) => with_offset(first, (*value)?),
        ColumnData::DateTime(value) => {
            let milliseconds = (u64::from((*value)?.seconds_fragments()) * 10 + 1) / 3;
            let clock = clock(tiberius::time::Time::new(milliseconds, 3));
            format!("{} {clock}", day(nineteen_hundred, (*value)?.days().into()))
        }
        ColumnData::SmallDateTime(value) => {
            let minutes = (*value)?.seconds_fragments();
            let clock = clock(tiberius::time::Time::new(u64::from(minutes) * 60, 0));
            format!("{} {clock}", day(nineteen_hundred, (*value)?.days().into()))
        }
    })
}

/// tiberius returns money as a double.
fn tiberius_text(sample: &Sample, row: &Row, at: usize) -> Option<String> {
    let data = row.get_column_data(at).unwrap();
    match (sample.declared.as_str(), data) {
        ("money" | "smallmoney", ColumnData::F64(value)) => value.map(|v| format!("{v:.4}")),
        _ => exact_text(data),
    }
}

/// The form of python3-tds: Python's times always have six digits of a second.
fn pytds_text(sample: &Sample) -> String {
    let is_moment = sample.declared.contains("time") && !sample.declared.starts_with("date(");
    if !is_moment {
        return sample.value.clone();
    }
    let (clock, offset) = match sample.value.rsplit_once(' ') {
        Some((clock, offset)) if offset.starts_with(['+', '-']) => (clock, format!(" {offset}")),
        _ => (sample.value.as_str(), String::new()),
    };
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    format!(
        "{whole}.{:0<6}{offset}",
        fraction.get(..6).unwrap_or(fraction)
    )
}

/// The output of tsql: it prints no seconds, and a time as one of 1900-01-01.
fn tsql_text(sample: &Sample) -> String {
    if let Some(text) = sample.tsql {
        return text.to_owned();
    }
    if sample.declared == "uniqueidentifier" {
        return sample.value.to_uppercase();
    }
    if !sample.declared.contains("date") && !sample.declared.contains("time") {
        return sample.value.clone();
    }
    let mut parts = sample.value.split(' ');
    let first = parts.next().unwrap();
    let (day, clock) = if first.contains(':') {
        ("1900-01-01", first)
    } else {
        (first, parts.next().unwrap_or("00:00:00"))
    };
    let day: chrono::NaiveDate = day.parse().unwrap();
    let clock: chrono::NaiveTime = clock.parse().unwrap();
    format!(
        "{} {} {}",
        day.format("%b %e"),
        day.year(),
        clock.format("%I:%M%p")
    )
}

/// Creates `maybe` (one row of values, one of NULLs) and `always` (NOT NULL, one row).
async fn fill(client: &mut Tiberius, samples: &[Sample]) {
    for (table, null) in [("maybe", "NULL"), ("always", "NOT NULL")] {
        let columns: Vec<String> = samples
            .iter()
            .enumerate()
            .map(|(at, sample)| format!("c{at} {} {null}", sample.declared))
            .collect();
        run(
            client,
            &format!(
                "CREATE TABLE {table} (id int PRIMARY KEY, {})",
                columns.join(", ")
            ),
        )
        .await;
        let values: Vec<&str> = samples
            .iter()
            .map(|sample| sample.literal.as_str())
            .collect();
        run(
            client,
            &format!("INSERT INTO {table} VALUES (1, {})", values.join(", ")),
        )
        .await;
    }
    run(client, "INSERT INTO maybe (id) VALUES (2)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tiberius_reads_every_type() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    let samples = samples();
    fill(&mut client, &samples).await;
    for table in ["maybe", "always"] {
        let found = rows(&mut client, &format!("SELECT * FROM {table} WHERE id = 1"))
            .await
            .unwrap();
        for (at, sample) in samples.iter().enumerate() {
            let read = tiberius_text(sample, &found[0], at + 1);
            assert_eq!(
                read.as_ref(),
                Some(&sample.value),
                "{} in {table}",
                sample.declared
            );
        }
    }
    let nulls = rows(&mut client, "SELECT * FROM maybe WHERE id = 2")
        .await
        .unwrap();
    for (at, sample) in samples.iter().enumerate() {
        assert_eq!(
            tiberius_text(sample, &nulls[0], at + 1),
            None,
            "{}",
            sample.declared
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pytds_reads_every_type() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let samples = samples();
    fill(&mut fixture.connect().await, &samples).await;
    let answers = external::pytds(
        fixture.port(),
        json!({}),
        vec![
            json!("SELECT * FROM maybe ORDER BY id"),
            json!("SELECT * FROM always"),
        ],
    )
    .await;
    assert_eq!(answers[0], json!({}));
    for (answer, table) in answers[1..].iter().zip(["maybe", "always"]) {
        for (at, sample) in samples.iter().enumerate() {
            let read = &answer["rows"][0][at + 1];
            assert_eq!(
                read,
                &json!(pytds_text(sample)),
                "{} in {table}",
                sample.declared
            );
        }
    }
    for (at, sample) in samples.iter().enumerate() {
        assert_eq!(
            answers[1]["rows"][1][at + 1],
            json!(null),
            "{}",
            sample.declared
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tsql_reads_every_type() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let samples = samples();
    fill(&mut fixture.connect().await, &samples).await;
    for table in ["maybe", "always"] {
        let query = format!("SELECT * FROM {table} ORDER BY id");
        let printed = external::tsql(fixture.port(), &query).await;
        let lines: Vec<Vec<&str>> = printed
            .lines()
            .map(|line| line.split('\t').collect())
            .collect();
        for (at, sample) in samples.iter().enumerate() {
            let about = format!("{} in {table}", sample.declared);
            assert_eq!(lines[0][at + 1], tsql_text(sample), "{about}");
            if table == "maybe" {
                assert_eq!(lines[1][at + 1], "NULL", "{about}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_arrive_whole() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    // No multiple of a packet or chunk, and no part is repeated.
    let text: String = (0..1_300_007).map(|n| format!("{n:07} ")).collect();
    let bytes = text.as_bytes();
    run(
        &mut client,
        "CREATE TABLE long (narrow varchar(max), wide nvarchar(max), bytes varbinary(max),
                            old text, old_wide ntext, old_bytes image, markup xml)",
    )
    .await;
    client
        .execute(
            "INSERT INTO long VALUES (@P1, @P1, @P2, @P1, @P1, @P2, @P1)",
            &[&text, &bytes],
        )
        .await
        .unwrap();
    let found = rows(&mut client, "SELECT * FROM long").await.unwrap();
    for at in [0, 1, 3, 4] {
        let read: &str = found[0].get(at).unwrap();
        assert!(read == text, "column {at}: {} characters", read.len());
    }
    for at in [2, 5] {
        let read: &[u8] = found[0].get(at).unwrap();
        assert!(read == bytes, "column {at}: {} bytes", read.len());
    }
    let markup: &tiberius::xml::XmlData = found[0].get(6).unwrap();
    assert!(markup.as_ref() == text, "xml");
    let answers = external::pytds(
        fixture.port(),
        json!({}),
        vec![json!("SELECT narrow, wide FROM long")],
    )
    .await;
    let row = answers[1]["rows"][0].as_array().unwrap();
    assert_eq!(row.len(), 2);
    for (at, read) in row.iter().enumerate() {
        let read = read.as_str().unwrap();
        assert!(
            read == text,
            "pytds, column {at}: {} characters",
            read.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rowversion_grows_with_every_change() {
    let fixture = Fixture::start(TlsMode::Off).await;
    let mut client = fixture.connect().await;
    run(
        &mut client,
        "CREATE TABLE versions (id int, version rowversion)",
    )
    .await;
    run(&mut client, "INSERT INTO versions (id) VALUES (1)").await;
    let before = rows(&mut client, "SELECT version FROM versions")
        .await
        .unwrap();
    run(&mut client, "UPDATE versions SET id = 2").await;
    let after = rows(&mut client, "SELECT version FROM versions")
        .await
        .unwrap();
    let (before, after): (&[u8], &[u8]) = (before[0].get(0).unwrap(), after[0].get(0).unwrap());
    assert_eq!((before.len(), after.len()), (8, 8));
    assert!(before < after, "{before:02x?} and then {after:02x?}");
}
