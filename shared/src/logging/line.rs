//! The format of a log line: an event, and the run and the table that it belongs to.

use std::fmt::{self, Write as _};

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;
use crate::masking::mask_in_prose;

/// The fields of enclosing spans that a line contains, in this order.
const CONTEXT: [&str; 5] = ["table", "attempt", "worker", "run", "trace_id"];

/// Formats for people: time, level, message, fields, and in brackets the fields of spans; or
/// for programs: one JSON object with all fields at its top level.
#[derive(Debug)]
pub(super) struct Line(pub(super) LogFormat);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let context = span_fields(context);
        if self.0 == LogFormat::Json {
            return writeln!(writer, "{}", Value::Object(json(event, context)));
        }
        let line = human(event, &context);
        let level = *event.metadata().level();
        if writer.has_ansi_escapes() {
            let colour = match level {
                Level::ERROR => "1;31",
                Level::WARN => "1;33",
                Level::INFO => "32",
                Level::DEBUG | Level::TRACE => "2",
            };
            write!(
                writer,
                "\x1b[2m{}\x1b[0m \x1b[{colour}m{:>5}\x1b[0m ",
                now(),
                level.as_str()
            )?;
        } else {
            write!(writer, "{} {:>5} ", now(), level.as_str())?;
        }
        writeln!(writer, "{line}")
    }
}

/// A message for the user, as an object like those of events.
pub(super) fn message(
    level: Level,
    text: &impl fmt::Display,
    fields: Map<String, Value>,
) -> String {
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), now().into());
    line.insert("level".to_owned(), level.as_str().into());
    line.insert("message".to_owned(), text.to_string().into());
    line.extend(fields);
    Value::Object(line).to_string()
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The fields of the spans around an event; inner spans override outer ones.
fn span_fields<S, N>(context: &FmtContext<'_, S, N>) -> Map<String, Value>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    let mut collected = Map::new();
    for span in context
        .event_scope()
        .into_iter()
        .flat_map(|scope| scope.from_root())
    {
        let extensions = span.extensions();
        let Some(fields) = extensions.get::<FormattedFields<N>>() else {
            continue;
        };
        let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(&fields.fields) else {
            continue;
        };
        for name in CONTEXT {
            if let Some(value) = fields.remove(name) {
                collected.insert(name.to_owned(), value);
            }
        }
    }
    collected
}

fn human(event: &Event<'_>, context: &Map<String, Value>) -> String {
    let fields = Fields::of(event);
    let mut line = fields.message;
    for (name, value) in &fields.others {
        pair(&mut line, name, value);
    }
    let mut begin = " [";
    for name in CONTEXT {
        if let Some(value) = context
            .get(name)
            .filter(|_| !fields.others.contains_key(name))
        {
            line.push_str(begin);
            pair(&mut line, name, value);
            begin = "";
        }
    }
    if begin.is_empty() {
        line.push(']');
    }
    // A database's message may contain line breaks; a log entry is one line.
    line.chars()
        .fold(String::with_capacity(line.len()), |mut text, c| {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
            text
        })
}

/// Appends `name=value`, after a space unless it is the first.
fn pair(line: &mut String, name: &str, value: &Value) {
    if !line.is_empty() && !line.ends_with('[') {
        line.push(' ');
    }
    line.push_str(name);
    line.push('=');
    match value {
        Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '=']) => {
            line.push_str(text);
        }
        other => {
            // Writing to memory cannot fail.
            write!(line, "{other}").ok();
        }
    }
}

fn json(event: &Event<'_>, context: Map<String, Value>) -> Map<String, Value> {
    let fields = Fields::of(event);
    let metadata = event.metadata();
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), now().into());
    line.insert("level".to_owned(), metadata.level().as_str().into());
    line.insert("message".to_owned(), fields.message.into());
    line.extend(context);
    // The event's own fields override those of spans.
    line.extend(fields.others);
    line.insert("target".to_owned(), metadata.target().into());
    line
}

#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    fn insert(&mut self, field: &Field, value: Value) {
        let value = match value {
            Value::String(text) => mask_in_prose(&text).into_owned().into(),
            other => other,
        };
        match field.name() {
            "message" => {
                self.message = match value {
                    Value::String(text) => text,
                    other => other.to_string(),
                }
            }
            name => {
                self.others.insert(name.to_owned(), value);
            }
        }
    }
}

macro_rules! record {
    ($($method:ident: $value:ty,)+) => {
        $(fn $method(&mut self, field: &Field, value: $value) {
            self.insert(field, value.into());
        })+
    };
}

impl Visit for Fields {
    record! {
        record_str: &str,
        record_i64: i64,
        record_u64: u64,
        record_f64: f64,
        record_bool: bool,
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::fmt::format::JsonFields;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Kept {
        type Writer = Self;

        fn make_writer(&'a self) -> Self::Writer {
            self.clone()
        }
    }

    fn logged<F>(format: F, log: impl FnOnce()) -> String
    where
        F: for<'a> FormatEvent<tracing_subscriber::Registry, JsonFields> + Send + Sync + 'static,
    {
        let kept = Kept::default();
        let lines = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .with_ansi(false)
            .with_writer(kept.clone())
            .event_format(format);
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    fn in_a_table(log: impl FnOnce()) {
        let span = tracing::info_span!(
            "parallel_reconcile_single_table",
            run = "r1",
            table = "dbo.my table",
            attempt = 2,
            trace_id = tracing::field::Empty,
            status = "x"
        );
        span.record("trace_id", "abc");
        let _entered = span.enter();
        let inner = tracing::info_span!("scan.source", attempt_of = 1);
        let _entered = inner.enter();
        log();
    }

    #[test]
    fn json_has_everything_at_the_top_level() {
        let lines = logged(Line(LogFormat::Json), || {
            in_a_table(|| tracing::warn!(rows = 7_u64, "two\nlines"));
            tracing::error!(run = %"r2", "outside");
        });
        let lines: Vec<Map<String, Value>> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        let names: Vec<&str> = lines[0].keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "timestamp",
                "level",
                "message",
                "table",
                "attempt",
                "run",
                "trace_id",
                "rows",
                "target"
            ]
        );
        assert_eq!(lines[0]["message"], "two\nlines");
        assert_eq!(lines[0]["attempt"], 2);
        assert_eq!(lines[0]["trace_id"], "abc");
        assert_eq!(lines[1]["run"], "r2");
        assert_eq!(lines[1]["level"], "ERROR");
        assert!(!lines[1].contains_key("table"));
    }

    #[test]
    fn text_lines_end_with_the_fields_of_their_spans() {
        let lines = logged(Line(LogFormat::Human), || {
            in_a_table(|| tracing::warn!(rows = 7_u64, "two\nlines"));
            tracing::error!("outside");
        });
        let (first, second) = lines.trim_end().split_once('\n').unwrap();
        assert!(
            first.ends_with(
                "  WARN two\\nlines rows=7 [table=\"dbo.my table\" attempt=2 run=r1 trace_id=abc]"
            ),
            "{first}"
        );
        assert!(second.ends_with("Z ERROR outside"), "{second}");
    }
}
