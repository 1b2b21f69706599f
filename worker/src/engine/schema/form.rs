//! The form of an expression that both databases share, and whether two of them are equal.

/// An expression without notation: no parentheses, no spelling of names and functions, no
/// conversions that change nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    Null,
    /// Without zeros that change nothing.
    Number(String),
    Text(String),
    /// By the name that both sides have for it.
    Column(String),
    /// The current time in the server's or session's zone.
    Now,
    UtcNow,
    Today,
    /// A new UUID.
    NewId,
    /// The name of the user.
    User,
    Call(&'static str, Vec<Form>),
    Binary(&'static str, Box<Form>, Box<Form>),
    /// Sorted.
    And(Vec<Form>),
    /// Sorted.
    Or(Vec<Form>),
    Not(Box<Form>),
    IsNull(Box<Form>),
}

/// Whether two expressions are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Equal,
    Different,
    /// At least one has no form, or they have the same parts in another arrangement.
    Unknown,
}

pub(super) fn compare(left: Option<&Form>, right: Option<&Form>) -> Verdict {
    let (Some(left), Some(right)) = (left, right) else {
        return Verdict::Unknown;
    };
    if left == right {
        return Verdict::Equal;
    }
    let parts = |form: &Form| {
        let mut parts = Vec::new();
        form.collect_parts(&mut parts);
        parts.sort();
        parts
    };
    if parts(left) == parts(right) {
        Verdict::Unknown
    } else {
        Verdict::Different
    }
}

/// A number without zeros that change nothing. `None` for text that is none, and with an
/// exponent.
pub(super) fn number(text: &str) -> Option<Form> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = (!whole.is_empty() || !fraction.is_empty())
        && whole
            .chars()
            .chain(fraction.chars())
            .all(|c| c.is_ascii_digit());
    if !is_number {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    Some(Form::Number(match (whole, fraction) {
        ("0", "") => "0".to_owned(),
        (whole, "") => format!("{sign}{whole}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    }))
}

impl Form {
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Number(digits) if !digits.contains('.'))
    }

    /// The comparison of two values. A column stands on the left, of two columns the one whose
    /// name comes first.
    pub(super) fn compared(self, symbol: &'static str, right: Self) -> Self {
        let is_column = |form: &Self| matches!(form, Self::Column(_));
        let is_turned = match (is_column(&self), is_column(&right)) {
            (false, true) => true,
            (true, true) => self > right,
            _ => false,
        };
        if is_turned {
            return Self::Binary(turned(symbol), Box::new(right), Box::new(self));
        }
        Self::Binary(symbol, Box::new(self), Box::new(right))
    }

    /// The condition with inclusive ends: of whole numbers, `> 0` is `>= 1`.
    pub(super) fn with_inclusive_ends(self, is_integer: &dyn Fn(&str) -> bool) -> Self {
        let each = |terms: Vec<Self>| {
            let terms = terms.into_iter();
            terms
                .map(|term| term.with_inclusive_ends(is_integer))
                .collect()
        };
        match self {
            Self::And(terms) => Self::all(each(terms)),
            Self::Or(terms) => Self::any(each(terms)),
            Self::Binary(symbol @ (">" | "<"), left, right) => {
                let end = match (&*left, &*right) {
                    (Self::Column(name), Self::Number(digits)) if is_integer(name) => {
                        digits.parse::<i64>().ok()
                    }
                    _ => None,
                };
                let moved = match (symbol, end) {
                    (">", Some(end)) => end.checked_add(1).map(|end| (">=", end)),
                    (_, Some(end)) => end.checked_sub(1).map(|end| ("<=", end)),
                    _ => None,
                };
                match moved {
                    Some((symbol, end)) => {
                        Self::Binary(symbol, left, Box::new(Self::Number(end.to_string())))
                    }
                    None => Self::Binary(symbol, left, right),
                }
            }
            other => other,
        }
    }

    /// All of these conditions.
    pub(super) fn all(terms: Vec<Self>) -> Self {
        let terms = terms.into_iter().flat_map(|term| match term {
            Self::And(terms) => terms,
            other => vec![other],
        });
        join(terms.collect(), Self::And)
    }

    /// At least one of these conditions.
    pub(super) fn any(terms: Vec<Self>) -> Self {
        let terms = terms.into_iter().flat_map(|term| match term {
            Self::Or(terms) => terms,
            other => vec![other],
        });
        join(terms.collect(), Self::Or)
    }

    /// The opposite of a condition; `None` for a value.
    pub(super) fn negated(self) -> Option<Self> {
        let each = |terms: Vec<Self>| terms.into_iter().map(Self::negated).collect::<Option<_>>();
        Some(match self {
            Self::And(terms) => Self::any(each(terms)?),
            Self::Or(terms) => Self::all(each(terms)?),
            Self::Not(inner) => *inner,
            Self::Binary(symbol, left, right) => match opposite(symbol) {
                Some(symbol) => Self::Binary(symbol, left, right),
                None => Self::Not(Box::new(Self::Binary(symbol, left, right))),
            },
            Self::IsNull(_) => Self::Not(Box::new(self)),
            _ => return None,
        })
    }

    /// The names of the columns in it.
    pub(super) fn columns(&self) -> Vec<&str> {
        let mut parts = Vec::new();
        self.collect_columns(&mut parts);
        parts.sort_unstable();
        parts.dedup();
        parts
    }

    fn collect_columns<'a>(&'a self, columns: &mut Vec<&'a str>) {
        if let Self::Column(name) = self {
            columns.push(name);
        }
        self.for_each_child(&mut |child| child.collect_columns(columns));
    }

    fn collect_parts(&self, parts: &mut Vec<String>) {
        parts.push(match self {
            Self::Number(text) => format!("number {text}"),
            Self::Text(text) => format!("text {text}"),
            Self::Column(name) => format!("column {name}"),
            Self::Binary(symbol, ..) => (*symbol).to_owned(),
            Self::Call(name, _) => format!("call {name}"),
            Self::And(_) => "and".to_owned(),
            Self::Or(_) => "or".to_owned(),
            Self::Not(_) => "not".to_owned(),
            Self::IsNull(_) => "is null".to_owned(),
            constant => format!("{constant:?}"),
        });
        self.for_each_child(&mut |child| child.collect_parts(parts));
    }

    fn for_each_child<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        match self {
            Self::Call(_, children) | Self::And(children) | Self::Or(children) => {
                children.iter().for_each(visit);
            }
            Self::Binary(_, left, right) => {
                visit(left);
                visit(right);
            }
            Self::Not(child) | Self::IsNull(child) => visit(child),
            _ => {}
        }
    }
}

fn join(mut terms: Vec<Form>, of: fn(Vec<Form>) -> Form) -> Form {
    terms.sort();
    terms.dedup();
    if terms.len() == 1 {
        return terms.swap_remove(0);
    }
    of(terms)
}

fn turned(symbol: &'static str) -> &'static str {
    match symbol {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

fn opposite(symbol: &str) -> Option<&'static str> {
    Some(match symbol {
        "=" => "<>",
        "<>" => "=",
        "<" => ">=",
        "<=" => ">",
        ">" => "<=",
        ">=" => "<",
        _ => return None,
    })
}
