//! Where code distinguishes the values of an enumeration.

use super::tokens::{Token, starts_with};

/// The lines where a value `kind::…` is a pattern or compared.
#[must_use]
pub fn decisions(tokens: &[Token], kind: &str) -> Vec<usize> {
    let begins = |index: &usize| starts_with(&tokens[*index..], &[kind, "::"]);
    let values = (0..tokens.len()).filter(begins);
    let decided = values.filter(|index| {
        let end = index + 3;
        is_compared(tokens, *index, end) || is_pattern(tokens, end) || is_in_matches(tokens, *index)
    });
    decided.map(|index| tokens[index].line).collect()
}

fn is_compared(tokens: &[Token], start: usize, end: usize) -> bool {
    let is_comparison = |token: &Token| matches!(token.text.as_str(), "==" | "!=");
    let mut before = tokens[..start].iter().rev();
    let left =
        before.find(|token| !matches!(token.text.as_str(), "&" | "(" | "::") && !is_module(token));
    left.is_some_and(is_comparison) || tokens.get(end).is_some_and(is_comparison)
}

/// Whether it may be a module in a path.
fn is_module(token: &Token) -> bool {
    token.text.starts_with(char::is_lowercase)
        && !matches!(token.text.as_str(), "if" | "in" | "match" | "return")
}

/// Whether what follows the value ends a pattern: `=>`, or the `=` of a `let`.
fn is_pattern(tokens: &[Token], end: usize) -> bool {
    let mut after_comma = false;
    let mut depth = 0_usize;
    let mut rest = tokens[end.min(tokens.len())..].iter().peekable();
    while let Some(token) = rest.next() {
        match token.text.as_str() {
            // Only an arm has a guard.
            "=>" | "=" | "if" if depth == 0 => return !after_comma,
            // Behind a comma comes the next field, or the next arm.
            "," => after_comma |= depth == 0,
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth > 0 => depth -= 1,
            ")" | "]" => after_comma = false,
            "}" => {
                after_comma = false;
                let next = rest.peek().map(|token| token.text.as_str());
                if !matches!(next, Some("=>" | "|" | ")" | "]" | "if" | ",")) {
                    return false;
                }
            }
            "|" | "::" | "&" | "." | ":" | "@" | "\"" => {}
            _ if token.is_word() => {}
            _ => return false,
        }
    }
    false
}

fn is_in_matches(tokens: &[Token], start: usize) -> bool {
    let mut depth = 0_i32;
    for index in (2..start).rev() {
        match tokens[index].text.as_str() {
            ")" => depth += 1,
            "(" if depth > 0 => depth -= 1,
            "(" if starts_with(&tokens[index - 2..], &["matches", "!"]) => return true,
            ";" | "{" | "}" => return false,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::tokens::production_tokens;
    use super::*;

    fn lines(source: &str) -> Vec<usize> {
        decisions(&production_tokens(source), "Kind")
    }

    #[test]
    fn patterns_and_comparisons_are_found() {
        let source = "
            match x { Kind::A => 1, a::Kind::B | Kind::C if y => 2 }
            match x { (Kind::A, Some(z)) => 3, [X { kind: Kind::B, .. }] => 4 }
            if x == Kind::A || Kind::B != x {}
            if x == a::Kind::A {}
            matches!(x, Some(Kind::A))
            let Kind::A = x else { return };
            if let Some(Kind::B) = x {}
        ";
        assert_eq!(lines(source), [2, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn values_are_no_decisions() {
        let source = "
            match x { 1 => Kind::A, 2 => { Kind::B } 3 => f(Kind::C), y => Kind::A, Some(z) => 1 }
            let a = [Kind::A, Kind::B]; let b = X { kind: Kind::A, c };
            f(Kind::A, Kind::B); X { kind: Kind::A }
            let c: Kind = Kind::A;
        ";
        assert_eq!(lines(source), [0; 0]);
    }
}
