//! Rewrites the tokens of syntax that the parser does not support.

use sqlparser::tokenizer::{Token, TokenWithSpan};

/// A word that marks the statement after it: it was written with `TOP (1)`.
pub(super) const TOP_1_MARK: &str = "TOP_1";

/// Rewrites `UPDATE TOP (1)`, `DELETE TOP (1)` and the computed columns of `CREATE TABLE`.
pub(super) fn rewrite(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut edits = Edits::default();
    let visible = VisibleTokens::new(&tokens);
    mark_top_1(&visible, &mut edits);
    type_computed_columns(&visible, &mut edits);
    edits.apply(tokens)
}

/// Words to insert before tokens, and tokens to drop.
#[derive(Debug, Default)]
struct Edits {
    inserted: Vec<(usize, &'static [&'static str])>,
    dropped: Vec<usize>,
}

impl Edits {
    fn apply(self, tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
        if self.inserted.is_empty() {
            return tokens;
        }
        let mut out = Vec::with_capacity(tokens.len() + self.inserted.len() * 3);
        for (at, token) in tokens.into_iter().enumerate() {
            for (_, words) in self.inserted.iter().filter(|(place, _)| *place == at) {
                out.extend(words.iter().map(|word| TokenWithSpan {
                    token: Token::make_keyword(word),
                    span: token.span,
                }));
            }
            if !self.dropped.contains(&at) {
                out.push(token);
            }
        }
        out
    }
}

/// The tokens of a batch without white space and comments.
struct VisibleTokens<'a> {
    tokens: &'a [TokenWithSpan],
    /// Positions in `tokens`.
    positions: Vec<usize>,
}

impl<'a> VisibleTokens<'a> {
    fn new(tokens: &'a [TokenWithSpan]) -> Self {
        Self {
            tokens,
            positions: (0..tokens.len())
                .filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_)))
                .collect(),
        }
    }

    fn get(&self, at: usize) -> Option<&'a Token> {
        self.positions.get(at).map(|at| &self.tokens[*at].token)
    }

    /// The position among all tokens; the end of the batch when there is no such token.
    fn position(&self, at: usize) -> usize {
        self.positions.get(at).copied().unwrap_or(self.tokens.len())
    }

    /// Whether a token is this word without quotes.
    fn is_word(&self, at: usize, expected: &str) -> bool {
        matches!(self.get(at), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected))
    }
}

/// Moves `TOP (1)` out of `UPDATE TOP (1)` and `DELETE TOP (1)`.
fn mark_top_1(visible: &VisibleTokens<'_>, edits: &mut Edits) {
    for at in 0..visible.positions.len() {
        let is_change = visible.is_word(at, "UPDATE") || visible.is_word(at, "DELETE");
        let is_one = matches!(visible.get(at + 3), Some(Token::Number(digits, _)) if digits == "1");
        if is_change
            && visible.is_word(at + 1, "TOP")
            && visible.get(at + 2) == Some(&Token::LParen)
            && is_one
            && visible.get(at + 4) == Some(&Token::RParen)
        {
            edits.inserted.push((visible.position(at), &[TOP_1_MARK]));
            edits
                .dropped
                .extend((at + 1..=at + 4).map(|at| visible.position(at)));
        }
    }
}

/// Rewrites computed columns of `CREATE TABLE`, `name AS (expression) [PERSISTED]`, as generated
/// columns with a type, which the parser supports.
fn type_computed_columns(visible: &VisibleTokens<'_>, edits: &mut Edits) {
    let mut at = 0;
    while at + 1 < visible.positions.len() {
        if !(visible.is_word(at, "CREATE") && visible.is_word(at + 1, "TABLE")) {
            at += 1;
            continue;
        }
        let mut depth = 0;
        at += 2;
        while let Some(current) = visible.get(at) {
            match current {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                Token::Word(_)
                    if depth == 1
                        && matches!(visible.get(at - 1), Some(Token::LParen | Token::Comma))
                        && visible.is_word(at + 1, "AS")
                        && visible.get(at + 2) == Some(&Token::LParen) =>
                {
                    at = type_computed_column(visible, at, edits) - 1;
                }
                _ => {}
            }
            at += 1;
            if depth == 0 && matches!(current, Token::RParen | Token::SemiColon) {
                break;
            }
        }
    }
}

/// Rewrites the computed column whose name is at `at`; returns the end of the column.
fn type_computed_column(visible: &VisibleTokens<'_>, at: usize, edits: &mut Edits) -> usize {
    edits.inserted.push((
        visible.position(at + 1),
        &["sql_variant", "GENERATED", "ALWAYS"],
    ));
    let mut depth = 0;
    let mut end = at + 2;
    while let Some(current) = visible.get(end) {
        match current {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        end += 1;
        if depth == 0 {
            break;
        }
    }
    if visible.is_word(end, "PERSISTED") {
        edits.dropped.push(visible.position(end));
        end += 1;
    }
    edits.inserted.push((visible.position(end), &["STORED"]));
    end
}
