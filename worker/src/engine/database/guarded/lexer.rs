//! The tokens of repair statements. The lexer knows only what the engine renders: no
//! comment, no parameter, no variable and no dollar quotation is a token.

use std::borrow::Cow;

use crate::engine::database::script::StatementRules;

/// One token of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, the name of a function or of a type, or an alias.
    Word(&'a str),
    /// A quoted identifier, without its quotes.
    Identifier(Cow<'a, str>),
    /// A text, bit or hexadecimal literal.
    Literal,
    Number(&'a str),
    Symbol(&'static str),
    End,
}

/// The longer symbols come before their beginnings.
const SYMBOLS: [&str; 14] = [
    "::", "||", "<>", "<=", ">=", "(", ")", ",", ".", "=", "+", "-", ";", "*",
];

/// The symbols of array types, where identifiers are not quoted by them.
const BRACKETS: [&str; 2] = ["[", "]"];

#[derive(Debug, Clone)]
pub(super) struct Lexer<'a> {
    rules: &'static StatementRules,
    rest: &'a str,
    length: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(rules: &'static StatementRules, text: &'a str) -> Self {
        Self {
            rules,
            rest: text,
            length: text.len(),
        }
    }

    /// Bytes before the next token.
    pub(super) fn position(&self) -> usize {
        self.length - self.rest.len()
    }

    /// The next token; the error says what stands in its place.
    pub(super) fn next(&mut self) -> Result<Token<'a>, &'static str> {
        self.rest = self.rest.trim_start_matches(' ');
        let Some(first) = self.rest.chars().next() else {
            return Ok(Token::End);
        };
        let (open, close) = self.rules.identifier_quotes;
        if first == open {
            let (content, after) = quoted(&self.rest[open.len_utf8()..], close)?;
            if content.contains(char::is_control) {
                return Err("a control character in a name");
            }
            self.rest = after;
            let doubled: String = [close, close].iter().collect();
            let name = if content.contains(&doubled) {
                Cow::Owned(content.replace(&doubled, close.encode_utf8(&mut [0; 4])))
            } else {
                Cow::Borrowed(content)
            };
            return Ok(Token::Identifier(name));
        }
        if first == '\'' {
            return self.text(self.rest);
        }
        if first.is_ascii_digit() {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return self.word();
        }
        if ["--", "/*"].iter().any(|mark| self.rest.starts_with(mark)) {
            return Err("a comment");
        }
        let symbols = SYMBOLS.iter().chain(&BRACKETS);
        for symbol in symbols {
            if let Some(after) = self.rest.strip_prefix(symbol) {
                self.rest = after;
                return Ok(Token::Symbol(symbol));
            }
        }
        Err("a character that no repair statement has")
    }

    fn word(&mut self) -> Result<Token<'a>, &'static str> {
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let length = self
            .rest
            .find(|character| !is_part(character))
            .unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at(length);
        if let Some(content) = after.strip_prefix('\'') {
            return if self.rules.string_prefixes.contains(&word) {
                self.text(after)
            } else if self.rules.escape_prefix == Some(word) {
                self.escaped_text(content)
            } else {
                Err("a string with an unknown prefix")
            };
        }
        if after
            .starts_with(|next: char| next == '$' || next == '#' || next == '@' || !next.is_ascii())
        {
            return Err("a name without quotes");
        }
        self.rest = after;
        Ok(Token::Word(word))
    }

    /// The literal at the start of `text`, which begins with a quote.
    fn text(&mut self, text: &'a str) -> Result<Token<'a>, &'static str> {
        let (content, after) = quoted(&text[1..], '\'')?;
        if content.contains(self.rules.is_forbidden_in_text) {
            return Err("a control character in a text");
        }
        // Two databases read a string behind a string in different ways.
        if after.starts_with('\'') {
            return Err("a string behind a string");
        }
        self.rest = after;
        Ok(Token::Literal)
    }

    /// The literal whose content begins `text`, with the escapes that are rendered: `\\`,
    /// `\n`, `\r` and `\xHH`.
    fn escaped_text(&mut self, text: &'a str) -> Result<Token<'a>, &'static str> {
        let mut rest = text;
        loop {
            let at = rest
                .find(['\'', '\\'])
                .ok_or("a quotation without an end")?;
            let (content, special) = rest.split_at(at);
            if content.contains(self.rules.is_forbidden_in_text) {
                return Err("a control character in a text");
            }
            rest = match special.as_bytes() {
                [b'\'', b'\'', ..] | [b'\\', b'\\' | b'n' | b'r', ..] => &special[2..],
                [b'\\', b'x', high, low, ..]
                    if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
                {
                    &special[4..]
                }
                [b'\'', ..] => {
                    self.rest = &special[1..];
                    return Ok(Token::Literal);
                }
                _ => return Err("an unknown escape in a text"),
            };
        }
    }

    fn number(&mut self) -> Result<Token<'a>, &'static str> {
        let bytes = self.rest.as_bytes();
        let digits = |from: usize, is_digit: fn(&u8) -> bool| {
            from + bytes[from..]
                .iter()
                .take_while(|byte| is_digit(byte))
                .count()
        };
        let is_hexadecimal = self.rules.has_hexadecimal && self.rest.starts_with("0x");
        let mut end = if is_hexadecimal {
            digits(2, u8::is_ascii_hexdigit)
        } else {
            digits(0, u8::is_ascii_digit)
        };
        if !is_hexadecimal {
            if bytes.get(end) == Some(&b'.') {
                end = digits(end + 1, u8::is_ascii_digit);
            }
            if matches!(bytes.get(end), Some(b'e' | b'E')) {
                let signed = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
                let exponent = digits(signed, u8::is_ascii_digit);
                if exponent == signed {
                    return Err("a number without an exponent");
                }
                end = exponent;
            }
        }
        let (number, after) = self.rest.split_at(end);
        let is_separated = !after.starts_with(|next: char| {
            next.is_ascii_alphanumeric()
                || matches!(next, '_' | '$' | '\'' | '.')
                || !next.is_ascii()
        });
        if !is_separated {
            return Err("a name behind a number");
        }
        self.rest = after;
        Ok(if is_hexadecimal {
            Token::Literal
        } else {
            Token::Number(number)
        })
    }
}

/// The content of a quotation up to `close`, in which `close` is doubled, and what follows.
fn quoted(text: &str, close: char) -> Result<(&str, &str), &'static str> {
    let width = close.len_utf8();
    let mut at = 0;
    loop {
        at += text[at..].find(close).ok_or("a quotation without an end")?;
        if text[at + width..].starts_with(close) {
            at += 2 * width;
        } else {
            return Ok((&text[..at], &text[at + width..]));
        }
    }
}
