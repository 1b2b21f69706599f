//! Splits Rust source into tokens, without comments, and removes the items
//! that only tests compile.

/// A token and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// An identifier, `::`, `=>`, `==`, `!=`, or one character. A string, a
    /// character or a lifetime is `"`.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
}

impl Token {
    /// Whether it is an identifier, a keyword or a number.
    #[must_use]
    pub fn is_word(&self) -> bool {
        self.text.starts_with(is_word_character)
    }
}

/// The tokens of `source` without the items under `#[cfg(test)]`.
#[must_use]
pub fn production_tokens(source: &str) -> Vec<Token> {
    let tokens = tokenize(source);
    let mut kept = Vec::with_capacity(tokens.len());
    let mut next = 0;
    while next < tokens.len() {
        if starts_with(&tokens[next..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
            next = end_of_item(&tokens, next);
        } else {
            kept.push(tokens[next].clone());
            next += 1;
        }
    }
    kept
}

/// Whether `tokens` begin with these texts.
#[must_use]
pub fn starts_with(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(a, b)| a.text == *b)
}

/// The index behind the item whose attributes begin at `start`.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut next = start;
    while starts_with(&tokens[next..], &["#", "["]) {
        next = end_of_group(tokens, next + 1);
    }
    let is_field = !starts_with_item(&tokens[next..]);
    while next < tokens.len() {
        match tokens[next].text.as_str() {
            ";" => return next + 1,
            "," if is_field => return next + 1,
            // The end of the block or the list around a last element.
            "}" | ")" | "]" => return next,
            "{" => {
                let end = end_of_group(tokens, next);
                // `use a::{b};` and `let x = X { … };` end with their semicolon.
                let more = tokens.get(end).is_some_and(|token| token.text == ";");
                return if more { end + 1 } else { end };
            }
            "(" | "[" => next = end_of_group(tokens, next),
            _ => next += 1,
        }
    }
    next
}

/// Whether an item begins here, not a field, a variant or an arm of a match.
fn starts_with_item(tokens: &[Token]) -> bool {
    const KEYWORDS: [&str; 13] = [
        "async", "const", "enum", "extern", "fn", "impl", "mod", "static", "struct", "trait",
        "type", "unsafe", "use",
    ];
    let mut first = 0;
    if starts_with(tokens, &["pub", "("]) {
        first = end_of_group(tokens, 1);
    } else if starts_with(tokens, &["pub"]) {
        first = 1;
    }
    let word = tokens.get(first).map(|token| token.text.as_str());
    word.is_some_and(|word| KEYWORDS.contains(&word))
}

/// The index behind the bracket that closes the one at `open`.
fn end_of_group(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 {
                    return index + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

fn is_word_character(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn tokenize(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (length, kept) = measure(rest, first);
        let text = &rest[..length];
        match kept {
            Kept::Nothing => {}
            Kept::Literal => tokens.push(token("\"", line)),
            Kept::Text => tokens.push(token(text, line)),
        }
        line += text.matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

fn token(text: &str, line: usize) -> Token {
    let text = text.strip_prefix("r#").unwrap_or(text).to_owned();
    Token { text, line }
}

enum Kept {
    Nothing,
    Literal,
    Text,
}

/// How many bytes the first token of `rest` has, and what remains of it.
fn measure(rest: &str, first: char) -> (usize, Kept) {
    if first.is_whitespace() {
        return (first.len_utf8(), Kept::Nothing);
    }
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Kept::Nothing);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), Kept::Nothing);
    }
    if let Some(length) = string(rest) {
        return (length, Kept::Literal);
    }
    if first == '\'' {
        return (character_or_lifetime(rest), Kept::Literal);
    }
    if is_word_character(first) {
        let raw = if rest.starts_with("r#") { 2 } else { 0 };
        let word = rest[raw..].find(|next| !is_word_character(next));
        return (raw + word.unwrap_or(rest.len() - raw), Kept::Text);
    }
    let double = ["::", "=>", "==", "!="];
    if double.iter().any(|token| rest.starts_with(token)) {
        return (2, Kept::Text);
    }
    (first.len_utf8(), Kept::Text)
}

/// The length of a block comment; they nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of a string literal of any kind, if `rest` begins with one.
fn string(rest: &str) -> Option<usize> {
    let prefix = rest.find(|next: char| !matches!(next, 'r' | 'b' | 'c'))?;
    let hashes = rest[prefix..].find(|next| next != '#')?;
    let open = prefix + hashes;
    if prefix > 2 || !rest[open..].starts_with('"') {
        return None;
    }
    let raw = rest[..prefix].contains('r');
    if raw {
        let end = format!("\"{}", "#".repeat(hashes));
        let found = rest[open + 1..].find(&end)?;
        return Some(open + 1 + found + end.len());
    }
    if hashes > 0 {
        return None;
    }
    let mut escaped = false;
    for (index, character) in rest[open + 1..].char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(open + 1 + index + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// The length of `'x'`, `'\n'` or `'a`.
fn character_or_lifetime(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => {
            // The escaped character may be a quote itself.
            characters.next();
            let end = characters.find(|(_, next)| *next == '\'');
            end.map_or(rest.len(), |(index, _)| index + 1)
        }
        Some((index, first)) if rest[index + first.len_utf8()..].starts_with('\'') => {
            index + first.len_utf8() + 1
        }
        Some((index, _)) => {
            let end = rest[index..].find(|next| !is_word_character(next));
            end.map_or(rest.len(), |length| index + length.max(1))
        }
        None => rest.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        production_tokens(source)
            .into_iter()
            .map(|token| token.text)
            .collect()
    }

    #[test]
    fn comments_and_the_content_of_strings_are_no_tokens() {
        let source = r##"
            /* a /* b */ c */ x // y
            "crate::a \" b" r#"d " e"# b"f" 'g' '\'' '{' <'h> r#type br"i"
        "##;
        let expected = [
            "x", "\"", "\"", "\"", "\"", "\"", "\"", "<", "\"", ">", "type", "\"",
        ];
        assert_eq!(texts(source), expected);
    }

    #[test]
    fn what_only_tests_compile_is_left_out() {
        let source = "
            use a::b; #[cfg(test)] use c::{d, e};
            #[cfg(test)] #[path = \"x\"] mod f { fn g() { h[0]; } } fn i() {}
            #[cfg(test)] mod j; #[cfg(test)] pub(crate) fn s<T, U>() -> [T; 1] {}
            struct K { #[cfg(test)] l: (M, N), o: P, #[cfg(test)] q: R }
        ";
        assert_eq!(texts(source).concat(), "usea::b;fni(){}structK{o:P,}",);
    }

    #[test]
    fn lines_are_counted_in_comments_and_strings_too() {
        let tokens = production_tokens("a\n\"b\nc\"\n/*\n*/ d");
        let lines: Vec<usize> = tokens.iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 2, 5]);
    }
}
