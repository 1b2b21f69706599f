//! Encodes values as a scanner reads them: the hot loop of a comparison.

use crate::engine::values::canonical::decimal::Decimal;
use crate::engine::values::canonical::long::LongHasher;
use crate::engine::values::canonical::tag::{Tag, TimeUnit};

/// Bytes of a value from which on the buffer grows by as many as are needed.
const LARGE: usize = 1 << 20;

/// Encodes rows of canonical values into one buffer.
#[derive(Debug)]
pub struct RowEncoder {
    buffer: Vec<u8>,
    key_end: usize,
    /// The bytes of all earlier rows.
    earlier_bytes: u64,
    /// The most bytes of a text, of bytes or of JSON that are kept.
    longest: usize,
    /// Whether the row has a value that is not kept.
    has_long: bool,
    /// The value that is being read in parts, unless it is kept.
    hashed: Option<LongHasher>,
}

impl Default for RowEncoder {
    fn default() -> Self {
        Self::keeping(usize::MAX)
    }
}

impl RowEncoder {
    /// An encoder that keeps values of up to `longest` bytes. Of longer ones it encodes
    /// length and hash.
    pub(crate) fn keeping(longest: usize) -> Self {
        Self {
            buffer: Vec::new(),
            key_end: 0,
            earlier_bytes: 0,
            longest,
            has_long: false,
            hashed: None,
        }
    }

    /// Whether the row has a value that is not kept.
    pub(crate) fn has_long(&self) -> bool {
        self.has_long
    }

    /// Forgets the values of a row that has to be read again.
    pub(crate) fn discard_row(&mut self) {
        self.buffer.clear();
        self.key_end = 0;
        self.has_long = false;
        self.hashed = None;
    }

    /// Discards the current row.
    pub fn start_row(&mut self) {
        self.earlier_bytes += self.buffer.len() as u64;
        self.discard_row();
    }

    /// Ends the key: the values appended so far are the key columns.
    pub fn end_key(&mut self) {
        self.key_end = self.buffer.len();
    }

    /// The encoded key columns.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.buffer[..self.key_end]
    }

    /// The bytes of all rows up to and including this one.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.earlier_bytes + self.buffer.len() as u64
    }

    /// All encoded columns, those of the key first.
    #[must_use]
    pub fn row(&self) -> &[u8] {
        &self.buffer
    }

    /// Appends NULL.
    #[inline]
    pub fn null(&mut self) {
        self.buffer.push(Tag::Null as u8);
    }

    /// Appends a boolean.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.buffer
            .push(if value { Tag::True } else { Tag::False } as u8);
    }

    /// Appends an integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        let zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
        let bytes = (71 - zigzag.leading_zeros()) / 8;
        #[expect(clippy::cast_possible_truncation, reason = "0 to 8")]
        self.buffer.push(Tag::Int as u8 + bytes as u8);
        self.buffer.extend_from_slice(&zigzag.to_le_bytes());
        self.buffer
            .truncate(self.buffer.len() - (8 - bytes as usize));
    }

    /// Appends a decimal.
    #[inline]
    pub fn decimal(&mut self, value: &Decimal<'_>) {
        value.encode(&mut self.buffer);
    }

    /// Appends a float of 64 bits.
    #[inline]
    pub fn float64(&mut self, value: f64) {
        // The sum of -0 and 0 is 0.
        let value = if value.is_nan() {
            f64::NAN
        } else {
            value + 0.0
        };
        self.buffer.push(Tag::Float64 as u8);
        self.buffer
            .extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// Appends a float of 32 bits.
    #[inline]
    pub fn float32(&mut self, value: f32) {
        // The sum of -0 and 0 is 0.
        let value = if value.is_nan() {
            f32::NAN
        } else {
            value + 0.0
        };
        self.buffer.push(Tag::Float32 as u8);
        self.buffer
            .extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// Appends UTF-8 text.
    #[inline]
    pub fn text(&mut self, value: &[u8]) {
        self.length_prefixed(Tag::Text, value);
    }

    /// Appends bytes.
    #[inline]
    pub fn bytes(&mut self, value: &[u8]) {
        self.length_prefixed(Tag::Bytes, value);
    }

    /// Appends JSON, in the form that [`canonical_json`](crate::engine::values::canonical::json::canonical_json) gives.
    #[inline]
    pub fn json(&mut self, value: &[u8]) {
        self.length_prefixed(Tag::Json, value);
    }

    #[inline]
    fn length_prefixed(&mut self, tag: Tag, value: &[u8]) {
        match u8::try_from(value.len()) {
            Ok(length) if length < 0xFF && value.len() <= self.longest => {
                self.buffer.extend_from_slice(&[tag as u8, length]);
                self.buffer.extend_from_slice(value);
            }
            _ => {
                self.start_value(tag, value.len());
                self.add_part(value);
                self.end_value();
            }
        }
    }

    /// Begins a text, bytes or JSON of `length` bytes, which follow in parts.
    pub(crate) fn start_value(&mut self, tag: Tag, length: usize) {
        if length > self.longest {
            self.has_long = true;
            self.hashed = Some(LongHasher::new(tag));
            return;
        }
        if length > LARGE {
            // Doubling the buffer would take twice the memory.
            self.buffer.reserve_exact(6 + length);
        }
        match u8::try_from(length) {
            Ok(length) if length < 0xFF => self.buffer.extend_from_slice(&[tag as u8, length]),
            _ => {
                self.buffer.extend_from_slice(&[tag as u8, 0xFF]);
                // Both databases limit a value to 2 GiB.
                let length = u32::try_from(length).expect("a value is shorter than 4 GiB");
                self.buffer.extend_from_slice(&length.to_le_bytes());
            }
        }
    }

    /// Appends the next part of the value.
    pub(crate) fn add_part(&mut self, part: &[u8]) {
        match &mut self.hashed {
            Some(hashed) => hashed.add(part),
            None => self.buffer.extend_from_slice(part),
        }
    }

    /// Ends the value.
    pub(crate) fn end_value(&mut self) {
        if let Some(hashed) = self.hashed.take() {
            hashed.encode(&mut self.buffer);
        }
    }

    /// Appends a date, in days since 2000-01-01. The least and the greatest
    /// number are PostgreSQL's infinities.
    #[inline]
    pub fn date(&mut self, days: i32) {
        self.buffer.push(Tag::Date as u8);
        self.buffer.extend_from_slice(&days.to_le_bytes());
    }

    /// Appends a time of day, in units since midnight.
    #[inline]
    pub fn time(&mut self, unit: TimeUnit, value: i64) {
        self.counted(Tag::Time, unit, value);
    }

    /// Appends a timestamp without zone, in units since 2000-01-01. The least and
    /// the greatest number are PostgreSQL's infinities.
    #[inline]
    pub fn timestamp(&mut self, unit: TimeUnit, value: i64) {
        self.counted(Tag::Timestamp, unit, value);
    }

    /// Appends an instant, in units since 2000-01-01 UTC. The least and the
    /// greatest number are PostgreSQL's infinities.
    #[inline]
    pub fn instant(&mut self, unit: TimeUnit, value: i64) {
        self.counted(Tag::Instant, unit, value);
    }

    #[inline]
    fn counted(&mut self, tag: Tag, unit: TimeUnit, value: i64) {
        self.buffer.push(tag as u8 + unit.digits());
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends a UUID, bytes in network order.
    #[inline]
    pub fn uuid(&mut self, value: &[u8; 16]) {
        self.buffer.push(Tag::Uuid as u8);
        self.buffer.extend_from_slice(value);
    }
}

/// Receives rows from a scanner. It does not know databases, and a scanner does
/// not know the use of its rows.
pub(crate) trait RowSink: Send {
    /// Takes the complete row that the scanner has encoded.
    ///
    /// # Errors
    ///
    /// If the sink cannot store it, for example because the disk is full.
    fn end_row(&mut self, row: &RowEncoder) -> std::io::Result<()>;
}
