//! What each known damage is called.

use crate::engine::locate::cause::tests::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn each_known_damage_has_its_name() {
    for (source, target, name, explanation) in [
        (
            "a  ",
            "a",
            "blanks-trimmed",
            "trailing blanks trimmed in the target",
        ),
        (
            "a",
            "a  ",
            "blanks-trimmed",
            "trailing blanks trimmed in the source",
        ),
        (
            "  a",
            "a",
            "blanks-trimmed",
            "leading blanks trimmed in the target",
        ),
        (
            " a ",
            "a",
            "blanks-trimmed",
            "leading and trailing blanks trimmed in the target",
        ),
        (
            "a\t\n",
            "a",
            "white-space-trimmed",
            "trailing white space trimmed in the target",
        ),
        (
            "Straße",
            "straße",
            "case-folded",
            "in lower case in the target",
        ),
        (
            "Straße",
            "STRASSE",
            "case-folded",
            "in upper case in the target",
        ),
        ("aB", "Ab", "case-folded", "letters differ in case only"),
        (
            "Cafe\u{301}",
            "Caf\u{e9}",
            "unicode-normalized",
            "normalized to NFC in the target",
        ),
        (
            "Caf\u{e9}",
            "Cafe\u{301}",
            "unicode-normalized",
            "normalized to NFD in the target",
        ),
        (
            "\u{fb01}n",
            "fin",
            "unicode-normalized",
            "normalized to NFKC in the target",
        ),
        (
            "é",
            "Ã©",
            "code-page-damaged",
            "UTF-8 decoded as Windows-1252 in the target",
        ),
        (
            "Ã©",
            "é",
            "code-page-damaged",
            "UTF-8 decoded as Windows-1252 in the source",
        ),
        (
            "“",
            "\u{e2}\u{80}\u{9c}",
            "code-page-damaged",
            "UTF-8 decoded as ISO 8859-1 in the target",
        ),
        (
            "é",
            "ÃƒÂ©",
            "code-page-damaged",
            "UTF-8 decoded as Windows-1252, twice, in the target",
        ),
        (
            "Łódź é",
            "?ód? é",
            "characters-replaced",
            "characters that a code page does not have replaced by `?` in the target",
        ),
        (
            "a😀b",
            "a??b",
            "characters-replaced",
            "characters that a code page does not have replaced by `?` in the target",
        ),
        (
            "née",
            "n\u{FFFD}e",
            "characters-replaced",
            "characters that could not be converted replaced by U+FFFD in the target",
        ),
        (
            "naïve",
            "naive",
            "accents-removed",
            "accents removed in the target",
        ),
        (
            "a\r\nb",
            "a\nb",
            "line-ends-changed",
            "line ends CR LF replaced by LF in the target",
        ),
        (
            "a\0b",
            "ab",
            "nul-dropped",
            "NUL characters removed in the target",
        ),
        (
            "00501",
            "501",
            "leading-zeros-lost",
            "leading zeros removed in the target",
        ),
        (
            "1.50",
            "1.5",
            "number-as-text",
            "the same number in another notation",
        ),
        (
            "1e3",
            "1000",
            "number-as-text",
            "the same number in another notation",
        ),
        (
            "true",
            "1",
            "boolean-as-text",
            "the same boolean in another word",
        ),
        (
            "2024-01-01 00:00:00",
            "2024-01-01T00:00:00Z",
            "time-as-text",
            "the same time in another notation",
        ),
        (
            "Bob ",
            "bob",
            "text-folded",
            "texts differ in trailing blanks and letter case only",
        ),
        (
            " CAFE\u{301}",
            "caf\u{e9}",
            "text-folded",
            "texts differ in leading blanks, letter case and Unicode form (NFC) only",
        ),
        (
            "2015-06-26 00:00:00",
            "Jun 26 2015 12:00AM",
            "time-as-text",
            "the same time in another notation",
        ),
        (
            "2024-02-29",
            "20240229",
            "time-as-text",
            "the same time in another notation",
        ),
        (
            "<a b='1' c='2'/>",
            "<a c='2' b='1'></a>",
            "xml-notation",
            "the same XML in another notation",
        ),
        (
            "2024-01-01",
            "19723",
            "encoding-not-decoded",
            "still encoded as epoch-days in the target",
        ),
        (
            "1704067200123",
            "2024-01-01T00:00:00.123Z",
            "encoding-not-decoded",
            "still encoded as epoch-millis in the source",
        ),
        (
            "abcdef",
            "abc",
            "text-truncated",
            "cut to 3 characters in the target",
        ),
    ] {
        assert_cause(&text(source), &text(target), name, explanation);
    }
    assert_cause(
        &micros(0),
        &text("Jan  1 2000 12:00AM"),
        "time-as-text",
        "the same time in another notation",
    );
    assert_cause(
        &null(),
        &text(""),
        "null-became-empty",
        "NULL in the source is empty in the target",
    );
    assert_cause(
        &text(""),
        &null(),
        "empty-became-null",
        "empty in the source is NULL in the target",
    );
    assert_cause(
        &null(),
        &text("NULL"),
        "null-became-text",
        "NULL in the source is the word NULL in the target",
    );
    assert_cause(
        &micros(123_456),
        &micros(123_000),
        "fraction-truncated",
        "cut to milliseconds in the target",
    );
    assert_cause(
        &micros(-1),
        &micros(-1_000),
        "fraction-truncated",
        "cut to milliseconds in the target",
    );
    assert_cause(
        &micros(123_500),
        &micros(124_000),
        "fraction-rounded",
        "rounded to milliseconds in the target",
    );
    assert_cause(
        &micros(124_000),
        &micros(123_000),
        "datetime-steps",
        "rounded to the 1/300 s steps of datetime in the target",
    );
    assert_cause(
        &micros(3_723_000_000),
        &micros(10_923_000_000),
        "time-zone-shifted",
        "2:00 h later in the target, as after a time zone conversion",
    );
    assert_cause(
        &micros(0),
        &micros(7_200_000_000),
        "time-zone-shifted",
        "2:00 h later in the target, as after a time zone conversion",
    );
    assert_cause(
        &micros(3_723_000_000),
        &micros(-16_977_000_000),
        "time-zone-shifted",
        "5:45 h earlier in the target, as after a time zone conversion",
    );
    assert_cause(
        &micros(61_000_000),
        &micros(60_000_000),
        "seconds-dropped",
        "cut to whole minutes in the target",
    );
    assert_cause(
        &micros(3_661_000_000),
        &micros(0),
        "time-of-day-dropped",
        "cut to the day in the target",
    );
    assert_cause(
        &encoded(|to| to.date(33)),
        &encoded(|to| to.date(61)),
        "day-month-swapped",
        "day and month are swapped",
    );
    assert_cause(
        &encoded(|to| to.date(33)),
        &encoded(|to| to.date(32)),
        "time-zone-shifted",
        "one day earlier in the target, as when a time zone conversion shifts midnight",
    );
    assert_cause(
        &float(0.1),
        &float(f64::from(0.1_f32)),
        "float-narrowed",
        "rounded to a float of 32 bits in the target",
    );
    assert_cause(
        &float(1.0 / 3.0),
        &float(0.333_333),
        "scale-truncated",
        "cut to 6 digits after the point in the target",
    );
    assert_cause(
        &float(1e20 / 3.0),
        &float(3.333_33e19),
        "float-digits-cut",
        "rounded to 6 significant digits in the target",
    );
    assert_cause(
        &decimal(123_456, 4),
        &decimal(1234, 2),
        "scale-truncated",
        "cut to 2 digits after the point in the target",
    );
    assert_cause(
        &decimal(-125, 2),
        &decimal(-13, 1),
        "scale-rounded",
        "rounded to 1 digit after the point in the target",
    );
    assert_cause(
        &decimal(999_999, 3),
        &decimal(1000, 0),
        "scale-rounded",
        "rounded to 2 digits after the point in the target",
    );
    let large = 9_007_199_254_740_993;
    assert_cause(
        &encoded(|to| to.int(large)),
        &encoded(|to| to.int(large - 1)),
        "float-narrowed",
        "rounded to a float of 64 bits in the target",
    );
    assert_cause(
        &micros(1_500_000),
        &encoded(|to| to.int(946_684_801_500)),
        "encoding-not-decoded",
        "still encoded as epoch-millis in the target",
    );
    assert_cause(
        &encoded(|to| to.bytes(b"\x01\xAB")),
        &encoded(|to| to.bytes(b"\\x01ab")),
        "encoding-not-decoded",
        "still encoded as hex in the target",
    );
    assert_cause(
        &encoded(|to| to.bytes(b"ab\0\0")),
        &encoded(|to| to.bytes(b"ab")),
        "zero-bytes-trimmed",
        "trailing zero bytes trimmed in the target",
    );
    let uuid: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let swapped = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    assert_cause(
        &encoded(|to| to.uuid(&uuid)),
        &encoded(|to| to.uuid(&swapped)),
        "uuid-bytes-swapped",
        "the bytes of the first three groups are reversed",
    );
    times_in_other_forms_have_their_names();
}

fn times_in_other_forms_have_their_names() {
    let day = 86_400_000_000;
    assert_cause(
        &micros(9_500 * day),
        &micros(9_499 * day),
        "time-zone-shifted",
        "one day earlier in the target, as when a time zone conversion shifts midnight",
    );
    assert_cause(
        &ticks(1_234_567),
        &micros(123_457),
        "fraction-rounded",
        "rounded to microseconds in the target, as PostgreSQL rounds a seventh digit",
    );
    assert_cause(
        &ticks(1_234_567),
        &micros(123_456),
        "fraction-truncated",
        "cut to microseconds in the target",
    );
    let minute = 60_000_000;
    for (source, target, explanation) in [
        (micros(90 * minute), text("Jan  1 2000  1:30AM"), ""),
        (micros(90 * minute), text("01.01.2000 01:30:00"), ""),
        (micros(90 * minute), text("01/01/2000 01:30"), ""),
        (encoded(|to| to.date(3)), text("Jan  4 2000"), ""),
        (text("Jan  1 2000  1:30AM"), micros(90 * minute), ""),
        (
            micros(90 * minute + 5_000_000),
            text("Jan  1 2000  1:30AM"),
            ", cut to whole minutes in the target",
        ),
        (
            micros(500_000),
            text("2000-01-01 00:00:00"),
            ", cut to whole seconds in the target",
        ),
    ] {
        let explanation = format!("the same time in another notation{explanation}");
        assert_cause(&source, &target, "time-as-text", &explanation);
    }
    let clock = text("2024-07-01T09:15:00+02:00");
    let instant = |text: &str| {
        let at = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
        let since = at.and_utc().timestamp_micros() - 10_957 * day;
        encoded(|to| to.instant(TimeUnit::Micros, since))
    };
    assert_cause(
        &clock,
        &instant("2024-07-01 09:15"),
        "offset-dropped",
        "the offset was dropped in the target: 2:00 h later there",
    );
    assert_cause(
        &instant("2024-07-01 09:15"),
        &clock,
        "offset-dropped",
        "the offset was dropped in the source: 2:00 h later there",
    );
    assert_eq!(explain(&clock, &instant("2024-07-01 10:15")), None);
}
