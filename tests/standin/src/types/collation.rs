//! Collations: their names, their encoding on the wire, and whether their text is UTF-8.

/// The collation of a database, a column or a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Collation {
    /// `None` for the default of the database.
    name: Option<String>,
}

/// The name of the default collation.
pub(crate) const DEFAULT: &str = "SQL_Latin1_General_CP1_CI_AS";

impl Collation {
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: (!name.eq_ignore_ascii_case(DEFAULT)).then(|| name.to_owned()),
        }
    }

    /// The declared name, or `None` for the default.
    pub(crate) fn declared(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether one of the parts of the name between underscores is `part`.
    fn has(&self, part: &str) -> bool {
        self.name.as_deref().is_some_and(|name| {
            name.split('_')
                .any(|piece| piece.eq_ignore_ascii_case(part))
        })
    }

    /// Whether `varchar` is UTF-8 instead of code page 1252.
    pub(crate) fn is_utf8(&self) -> bool {
        self.has("UTF8")
    }

    fn is_binary(&self) -> bool {
        self.has("BIN") || self.has("BIN2")
    }

    /// The five bytes of a COLLATION: locale, flags, version, sort order.
    pub(crate) fn to_bytes(&self) -> [u8; 5] {
        const ENGLISH: u32 = 0x0409;
        const IGNORE_CASE: u32 = 1 << 20;
        const IGNORE_ACCENT: u32 = 1 << 21;
        const IGNORE_KANA_AND_WIDTH: u32 = 3 << 22;
        const BINARY2: u32 = 1 << 25;
        const UTF8: u32 = 1 << 26;
        const VERSION_100: u32 = 2 << 28;
        const SORT_ORDER_CP1_CI_AS: u8 = 52;
        const SORT_ORDER_CP437_CI_AS: u8 = 32;
        const SORT_ORDER_CP850_CI_AS: u8 = 42;

        let mut word = ENGLISH;
        if self.is_binary() {
            word |= BINARY2;
        } else {
            word |= IGNORE_KANA_AND_WIDTH;
            word |= if self.has("CS") { 0 } else { IGNORE_CASE };
            word |= if self.has("AI") { IGNORE_ACCENT } else { 0 };
        }
        word |= if self.is_utf8() { UTF8 } else { 0 };
        word |= if self.has("100") { VERSION_100 } else { 0 };
        let [a, b, c, d] = word.to_le_bytes();
        let order = if self.name.is_none() {
            SORT_ORDER_CP1_CI_AS
        } else if self.has("CP437") {
            SORT_ORDER_CP437_CI_AS
        } else if self.has("CP850") {
            SORT_ORDER_CP850_CI_AS
        } else {
            0
        };
        [a, b, c, d, order]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_what_sql_server_sends() {
        assert_eq!(
            Collation::default().to_bytes(),
            [0x09, 0x04, 0xD0, 0x00, 0x34]
        );
        assert_eq!(Collation::named(DEFAULT), Collation::default());
    }

    #[test]
    fn a_utf8_collation_says_so() {
        let utf8 = Collation::named("Latin1_General_100_CI_AS_SC_UTF8");
        assert!(utf8.is_utf8());
        assert_eq!(utf8.to_bytes(), [0x09, 0x04, 0xD0, 0x24, 0]);
    }
}
