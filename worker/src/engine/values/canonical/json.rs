//! The canonical form of a JSON text: without white space, the members of objects
//! in the order of their names, the last of several with the same name, strings
//! with the fewest escapes, numbers by their exact value.
//!
//! Two JSON texts mean the same exactly when their canonical texts are equal.
//! These are the texts that PostgreSQL's `jsonb` considers equal.

use crate::engine::values::canonical::number::Notation;

/// The largest depth of nesting. Deeper values are not accepted as JSON. SQL
/// Server's own functions stop at 128.
const DEEPEST: usize = 10_000;

/// The largest number of digits before the point, and of zeros after it, with
/// which a number is written without an exponent.
const PLAIN: i64 = 40;

/// The canonical text of `text`; `None` if it is not JSON.
pub(crate) fn canonical_json(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut reader = Reader {
        text: text.as_bytes(),
        at: 0,
        out: Vec::with_capacity(text.len()),
        open: Vec::new(),
        unsorted: Vec::new(),
    };
    reader.document()?;
    let Reader {
        out, mut unsorted, ..
    } = reader;
    if unsorted.is_empty() {
        return Some(out);
    }
    unsorted.sort_unstable_by_key(|object| object.start);
    Some(arranged(&out, &unsorted))
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
    /// The arrays and objects that are not closed. They are not on the call
    /// stack, which a deeply nested text could overflow.
    open: Vec<Open>,
    /// The objects whose members are not in their order in the output. They are put in
    /// order at the end, all at once: a member may contain many objects, and would be
    /// moved once for each object around it.
    unsorted: Vec<Unsorted>,
}

enum Open {
    Array,
    Object { start: usize, members: Vec<Member> },
}

/// A member's place in the output: its name from `start` to `colon`, its value
/// up to `end`.
struct Member {
    start: usize,
    colon: usize,
    end: usize,
}

/// The members of an object from `start` to `end` of the output, in their order.
struct Unsorted {
    start: usize,
    end: usize,
    members: Vec<Member>,
}

/// `out` with the members of `unsorted` in their order. The objects are sorted by their
/// start.
fn arranged(out: &[u8], unsorted: &[Unsorted]) -> Vec<u8> {
    enum Part<'a> {
        Text { at: usize, end: usize },
        Members(std::slice::Iter<'a, Member>),
    }
    let mut arranged = Vec::with_capacity(out.len());
    // The innermost part is the last one.
    let mut parts = vec![Part::Text {
        at: 0,
        end: out.len(),
    }];
    while let Some(part) = parts.pop() {
        match part {
            Part::Text { at, end } => {
                // An object begins behind its bracket, and its first member at the same place.
                let next = unsorted.partition_point(|object| object.start <= at);
                match unsorted.get(next).filter(|object| object.start < end) {
                    None => arranged.extend_from_slice(&out[at..end]),
                    Some(object) => {
                        arranged.extend_from_slice(&out[at..object.start]);
                        parts.push(Part::Text {
                            at: object.end,
                            end,
                        });
                        parts.push(Part::Members(object.members.iter()));
                    }
                }
            }
            Part::Members(mut members) => {
                if let Some(member) = members.next() {
                    if arranged.last() != Some(&b'{') {
                        arranged.push(b',');
                    }
                    parts.push(Part::Members(members));
                    parts.push(Part::Text {
                        at: member.start,
                        end: member.end,
                    });
                }
            }
        }
    }
    arranged
}

impl Reader<'_> {
    fn document(&mut self) -> Option<()> {
        while self.value_start()? || self.value_end()? {}
        self.skip_white_space();
        (self.at == self.text.len()).then_some(())
    }

    /// Reads a scalar, or an opening bracket with the name of an object's first
    /// member. Returns whether another value begins here.
    fn value_start(&mut self) -> Option<bool> {
        self.skip_white_space();
        let start = self.out.len() + 1;
        let (opened, closing) = match self.peek()? {
            b'{' => {
                let members = Vec::new();
                (Open::Object { start, members }, b'}')
            }
            b'[' => (Open::Array, b']'),
            _ => return self.scalar().map(|()| false),
        };
        if self.open.len() == DEEPEST {
            return None;
        }
        let is_object = closing == b'}';
        self.open.push(opened);
        self.copy();
        self.skip_white_space();
        if self.peek()? == closing {
            self.close()?;
            return Some(false);
        }
        if is_object {
            self.name()?;
        }
        Some(true)
    }

    /// After a value: reads closing brackets, and a comma with the name of an
    /// object's next member. Returns whether another value begins here.
    fn value_end(&mut self) -> Option<bool> {
        loop {
            self.skip_white_space();
            let end = self.out.len();
            let is_object = match self.open.last_mut() {
                None => return Some(false),
                Some(Open::Array) => false,
                Some(Open::Object { members, .. }) => {
                    members.last_mut()?.end = end;
                    true
                }
            };
            match (self.peek()?, is_object) {
                (b',', _) => {
                    self.copy();
                    self.skip_white_space();
                    if is_object {
                        self.name()?;
                    }
                    return Some(true);
                }
                (b'}', true) | (b']', false) => self.close()?,
                _ => return None,
            }
        }
    }

    fn copy(&mut self) {
        self.out.push(self.text[self.at]);
        self.at += 1;
    }

    /// Reads the closing bracket of the innermost array or object.
    fn close(&mut self) -> Option<()> {
        if let Open::Object { start, members } = self.open.pop()? {
            self.sort(start, members);
        }
        self.copy();
        Some(())
    }

    /// Sorts the members, which begin at `start` of the output, and removes all
    /// but the last of each name.
    fn sort(&mut self, start: usize, mut members: Vec<Member>) {
        let out = &self.out;
        let name = |member: &Member| &out[member.start..member.colon];
        if members.is_sorted_by(|one, other| name(one) < name(other)) {
            return;
        }
        // A stable sort keeps members with the same name in their order: the last one first.
        members.reverse();
        members.sort_by(|one, other| name(one).cmp(name(other)));
        members.dedup_by(|later, earlier| name(later) == name(earlier));
        self.unsorted.push(Unsorted {
            start,
            end: out.len(),
            members,
        });
    }

    /// Reads a member's name and colon; its value comes next.
    fn name(&mut self) -> Option<()> {
        let start = self.out.len();
        if self.peek()? != b'"' {
            return None;
        }
        self.string()?;
        let colon = self.out.len();
        self.skip_white_space();
        if self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        self.out.push(b':');
        match self.open.last_mut() {
            Some(Open::Object { members, .. }) => members.push(Member {
                start,
                colon,
                end: colon,
            }),
            _ => return None,
        }
        Some(())
    }

    fn scalar(&mut self) -> Option<()> {
        for word in [&b"null"[..], b"true", b"false"] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                self.out.extend_from_slice(word);
                return Some(());
            }
        }
        match self.peek()? {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            _ => None,
        }
    }

    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        self.out.push(b'"');
        // A high surrogate, which may be followed by a low one.
        let mut high: Option<u16> = None;
        loop {
            let run = self.text[self.at..]
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F))?;
            if run > 0 {
                self.unpaired(high.take());
                self.out
                    .extend_from_slice(&self.text[self.at..self.at + run]);
                self.at += run;
            }
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    self.unpaired(high);
                    self.out.push(b'"');
                    return Some(());
                }
                b'\\' => {
                    self.at += 1;
                    let escape = self.peek()?;
                    self.at += 1;
                    let unit = match escape {
                        b'"' | b'\\' | b'/' => escape.into(),
                        b'b' => 0x08,
                        b'f' => 0x0C,
                        b'n' => 0x0A,
                        b'r' => 0x0D,
                        b't' => 0x09,
                        b'u' => self.unit()?,
                        _ => return None,
                    };
                    match (high.take(), unit) {
                        (Some(first), 0xDC00..=0xDFFF) => {
                            self.character(char::decode_utf16([first, unit]).next()?.ok()?);
                        }
                        (before, 0xD800..=0xDBFF) => {
                            self.unpaired(before);
                            high = Some(unit);
                        }
                        (before, 0xDC00..=0xDFFF) => {
                            self.unpaired(before);
                            self.unpaired(Some(unit));
                        }
                        (before, _) => {
                            self.unpaired(before);
                            self.character(char::from_u32(unit.into())?);
                        }
                    }
                }
                // Control characters must be escaped.
                _ => return None,
            }
        }
    }

    /// The four hexadecimal digits of an escape.
    fn unit(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        self.at += 4;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    /// Writes an unpaired surrogate.
    fn unpaired(&mut self, unit: Option<u16>) {
        if let Some(unit) = unit {
            self.push(&format!("\\u{unit:04x}"));
        }
    }

    fn character(&mut self, character: char) {
        match character {
            '"' => self.push("\\\""),
            '\\' => self.push("\\\\"),
            '\0'..='\u{1F}' => self.push(&format!("\\u{:04x}", u32::from(character))),
            _ => self.push(character.encode_utf8(&mut [0; 4])),
        }
    }

    fn number(&mut self) -> Option<()> {
        let rest = &self.text[self.at..];
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        let text = &rest[..length];
        if !well_formed(text) {
            return None;
        }
        self.at += length;
        let number = Notation::parse(text)?;
        let (digits, power) = number.significant()?;
        if digits.is_empty() {
            self.out.push(b'0');
            return Some(());
        }
        if number.negative {
            self.out.push(b'-');
        }
        let count = i64::try_from(digits.len()).ok()?;
        // The number of digits before the point.
        let point = power.checked_add(count)?;
        if power >= 0 && point <= PLAIN {
            self.out.extend_from_slice(&digits);
            self.zeros(power);
        } else if power < 0 && point > 0 {
            let (whole, fraction) = digits.split_at(usize::try_from(point).ok()?);
            self.out.extend_from_slice(whole);
            self.out.push(b'.');
            self.out.extend_from_slice(fraction);
        } else if power < 0 && point > -PLAIN {
            self.out.extend_from_slice(b"0.");
            self.zeros(-point);
            self.out.extend_from_slice(&digits);
        } else {
            let (first, others) = digits.split_at(1);
            self.out.extend_from_slice(first);
            if !others.is_empty() {
                self.out.push(b'.');
                self.out.extend_from_slice(others);
            }
            self.push(&format!("e{}", point.checked_sub(1)?));
        }
        Some(())
    }

    fn zeros(&mut self, count: i64) {
        let count = usize::try_from(count).unwrap_or(0);
        self.out.extend(std::iter::repeat_n(b'0', count));
    }
}

/// Whether `text` is a number by JSON's grammar: no leading zeros, no plus,
/// digits on both sides of the point.
fn well_formed(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    match rest {
        [] => true,
        [b'e' | b'E', exponent @ ..] => {
            let exponent = match exponent {
                [b'+' | b'-', rest @ ..] => rest,
                _ => exponent,
            };
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::time::Instant;

    fn canonical(text: &str) -> Option<String> {
        canonical_json(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn texts_that_mean_the_same_have_one_form() {
        for (text, form) in [
            (
                r#" { "b" : 1 , "a" : [ ] , "aa" : {} } "#,
                r#"{"a":[],"aa":{},"b":1}"#,
            ),
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            (r#"{"x":{"b":1,"a":2},"x":null}"#, r#"{"x":null}"#),
            (r#""\u00e9\/\"\u0000\n""#, "\"é/\\\"\\u0000\\u000a\""),
            (r#""\ud83d\ude00""#, "\"😀\""),
            (r#""\ud83d""#, r#""\ud83d""#),
            (
                r#""\ud83dx\ude00\ud83d\ud83d\ude00""#,
                "\"\\ud83dx\\ude00\\ud83d😀\"",
            ),
            (r#"{"\u0061":1}"#, r#"{"a":1}"#),
            ("1.10", "1.1"),
            ("-0.0", "0"),
            ("1e2", "100"),
            ("100", "100"),
            ("12.5E-3", "0.0125"),
            ("1e400", "1e400"),
            ("10e399", "1e400"),
            ("1.5e-400", "1.5e-400"),
            (
                "12345678901234567890123456789012345678901234567890",
                "1.234567890123456789012345678901234567890123456789e49",
            ),
            ("[1, 2,3 ]", "[1,2,3]"),
            ("null", "null"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(form), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_has_no_form() {
        for text in [
            "",
            " ",
            "{",
            "}",
            "[1,]",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            "01",
            "+1",
            "1.",
            ".5",
            "1e",
            "nul",
            "NaN",
            "'a'",
            "\"\n\"",
            r#""\x""#,
            r#""\u12""#,
            r#""\u+123""#,
            "1 2",
            "[1}",
            r#"{1:2}"#,
            "[1 2]",
            "\"",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded_without_the_stack() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(canonical(&nested(DEEPEST)).is_some());
        assert_eq!(canonical(&nested(DEEPEST + 1)), None);
        assert_eq!(canonical(&"[".repeat(2_000_000)), None);
    }

    #[test]
    fn deep_objects_are_sorted_in_the_time_of_sorted_ones() {
        let filler = "x".repeat(1 << 20);
        let nested = |before: &str, after: &str| {
            let begin = format!("{{{before}\"b\":").repeat(DEEPEST);
            let end = format!("{after}}}").repeat(DEEPEST);
            format!("{begin}\"{filler}\"{end}")
        };
        let (sorted, unsorted) = (nested("\"a\":1,", ""), nested("", ",\"a\":1"));
        let timed = |text: &str| {
            let start = Instant::now();
            let form = canonical(text).unwrap();
            (form, start.elapsed())
        };
        let ((one, usual), (other, taken)) = (timed(&sorted), timed(&unsorted));
        assert!(one == other && one == sorted, "the forms differ");
        assert!(
            taken < 20 * usual,
            "{taken:?} for objects to be sorted, {usual:?} for sorted ones"
        );
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,6}|[\\x00-\\x20\"\\\\]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::vec(("[a-c\"é]{0,3}", inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The same with the members of all objects in the opposite order.
    fn reversed(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(reversed).collect(),
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .rev()
                    .map(|(name, value)| (name.clone(), reversed(value)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn the_form_means_what_the_text_means(value in document()) {
            let form = canonical(&value.to_string()).unwrap();
            // Objects of the other library compare without regard to order.
            let read: Value = serde_json::from_str(&form).unwrap();
            prop_assert_eq!(canonical(&read.to_string()), Some(form.clone()));
            prop_assert_eq!(canonical(&form), Some(form.clone()));
            prop_assert_eq!(canonical(&serde_json::to_string_pretty(&reversed(&value)).unwrap()), Some(form));
        }

        #[test]
        fn what_the_other_library_refuses_is_refused(text in "[\\[\\]{}:,\"0-9a-c.eE\\\\ -]{0,24}") {
            let read: Result<Value, _> = serde_json::from_str(&text);
            let ours = canonical(&text);
            // It also refuses numbers beyond 64 bits' range and half characters.
            if read.is_ok() {
                prop_assert!(ours.is_some());
            } else if let Some(ours) = ours {
                prop_assert!(ours.contains('e') || ours.contains("\\u"), "{}", ours);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(form) = canonical_json(&bytes) {
                prop_assert_eq!(canonical_json(&form), Some(form));
            }
        }
    }
}
