//! Expressions of defaults, checks, computed columns and indexes in a form that both databases
//! share. An expression that does not have this form is not compared.

use sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    InTarget, UnaryOperator, Value,
};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::engine::database::dialect::Dialect;
use crate::engine::schema::form::{Form, number};

/// The longest expression that is parsed, in bytes.
const LONGEST: usize = 64 * 1024;

/// Functions that both databases have, under the name that a form gives them.
const FUNCTIONS: [(&str, &str); 14] = [
    ("len", "length"),
    ("length", "length"),
    ("char_length", "length"),
    ("character_length", "length"),
    ("datalength", "bytes"),
    ("octet_length", "bytes"),
    ("lower", "lower"),
    ("upper", "upper"),
    ("abs", "abs"),
    ("ltrim", "ltrim"),
    ("rtrim", "rtrim"),
    ("isnull", "coalesce"),
    ("coalesce", "coalesce"),
    ("isjson", "isjson"),
];

/// How the expressions of one side are read.
pub(super) struct Expressions<'a> {
    pub(super) dialect: &'a dyn Dialect,
    /// The name that both sides have for a column of this side.
    pub(super) column: Box<dyn Fn(&str) -> String + 'a>,
    /// Whether the column of that name holds whole numbers.
    pub(super) is_integer: Box<dyn Fn(&str) -> bool + 'a>,
}

impl Expressions<'_> {
    /// The form of an expression that is a value. `None` if it has none.
    pub(super) fn value_of(&self, text: &str) -> Option<Form> {
        self.value(&self.parse(text)?)
    }

    /// The form of an expression that is true or false. `None` if it has none.
    pub(super) fn condition_of(&self, text: &str) -> Option<Form> {
        let form = self.condition(&self.parse(text)?)?;
        Some(form.with_inclusive_ends(&*self.is_integer))
    }

    /// The parser limits how deep an expression is.
    fn parse(&self, text: &str) -> Option<Expr> {
        if text.len() > LONGEST {
            return None;
        }
        let rules = self.dialect.parser();
        let mut parser = Parser::new(&*rules).try_with_sql(text).ok()?;
        let expression = parser.parse_expr().ok()?;
        (parser.peek_token().token == Token::EOF).then_some(expression)
    }

    fn value(&self, expression: &Expr) -> Option<Form> {
        match expression {
            Expr::Nested(inner) => self.value(inner),
            Expr::Value(value) => literal(&value.value),
            Expr::TypedString(typed) => literal(&typed.value.value),
            Expr::Identifier(name) => Some(match constant(&name.value.to_lowercase()) {
                Some(form) if name.quote_style.is_none() => form,
                _ => Form::Column((self.column)(&name.value)),
            }),
            Expr::UnaryOp { op, expr } => match (op, self.value(expr)?) {
                (UnaryOperator::Minus, Form::Number(digits)) => number(&format!("-{digits}")),
                (UnaryOperator::Plus, form @ Form::Number(_)) => Some(form),
                _ => None,
            },
            Expr::Cast {
                expr,
                data_type,
                format: None,
                ..
            } => converted(self.value(expr)?, data_type),
            Expr::Convert {
                expr,
                data_type: Some(data_type),
                styles,
                is_try: false,
                ..
            } if styles.is_empty() => converted(self.value(expr)?, data_type),
            Expr::AtTimeZone {
                timestamp,
                time_zone,
            } => in_zone(&self.value(timestamp)?, &self.value(time_zone)?),
            Expr::Trim {
                expr,
                trim_where: None,
                trim_what: None,
                trim_characters: None,
            } => Some(Form::Call("trim", vec![self.value(expr)?])),
            Expr::Function(function) => self.function(function),
            Expr::BinaryOp { left, op, right } => {
                let symbol = match op {
                    // Both join texts.
                    BinaryOperator::Plus | BinaryOperator::StringConcat => "+",
                    BinaryOperator::Minus => "-",
                    BinaryOperator::Multiply => "*",
                    BinaryOperator::Divide => "/",
                    BinaryOperator::Modulo => "%",
                    _ => return None,
                };
                let (left, right) = (self.value(left)?, self.value(right)?);
                Some(Form::Binary(symbol, Box::new(left), Box::new(right)))
            }
            _ => None,
        }
    }

    fn function(&self, function: &Function) -> Option<Form> {
        if function.over.is_some() || function.filter.is_some() {
            return None;
        }
        let mut parts = function.name.0.iter();
        let name = parts.next_back()?.as_ident()?.value.to_lowercase();
        // A function of a user may have any name.
        let is_system = |part: &sqlparser::ast::ObjectNamePart| {
            part.as_ident()
                .is_some_and(|it| it.value.eq_ignore_ascii_case("pg_catalog"))
        };
        if !parts.all(is_system) {
            return None;
        }
        let arguments = match &function.args {
            FunctionArguments::None => Vec::new(),
            FunctionArguments::List(list) => {
                let arguments = list.args.iter().map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => self.value(argument),
                    _ => None,
                });
                arguments.collect::<Option<Vec<Form>>>()?
            }
            FunctionArguments::Subquery(_) => return None,
        };
        match (name.as_str(), arguments.as_slice()) {
            // The digits of a second.
            (name, [] | [Form::Number(_)]) if constant(name).is_some() => constant(name),
            ("timezone", [zone, moment]) => in_zone(moment, zone),
            ("trim" | "btrim", [_]) => Some(Form::Call("trim", arguments)),
            (name, [_, ..]) => {
                let mut known = FUNCTIONS.iter();
                let (_, shared) = known.find(|(own, _)| *own == name)?;
                Some(Form::Call(shared, arguments))
            }
            _ => None,
        }
    }

    fn condition(&self, expression: &Expr) -> Option<Form> {
        match expression {
            Expr::Nested(inner) => self.condition(inner),
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => match truth_value(expr) {
                Some(value) => Some(
                    self.value(value)?
                        .compared("=", Form::Number("0".to_owned())),
                ),
                None => self.condition(expr)?.negated(),
            },
            Expr::BinaryOp { left, op, right } => match op {
                BinaryOperator::And => Some(Form::all(vec![
                    self.condition(left)?,
                    self.condition(right)?,
                ])),
                BinaryOperator::Or => Some(Form::any(vec![
                    self.condition(left)?,
                    self.condition(right)?,
                ])),
                BinaryOperator::PGLikeMatch => self.like(left, right, false),
                BinaryOperator::PGNotLikeMatch => self.like(left, right, true),
                _ => self.comparison(left, comparison_symbol(op)?, right),
            },
            Expr::IsNull(inner) => Some(Form::IsNull(Box::new(self.value(inner)?))),
            Expr::IsNotNull(inner) => Form::IsNull(Box::new(self.value(inner)?)).negated(),
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let within = Form::all(vec![
                    self.comparison(expr, ">=", low)?,
                    self.comparison(expr, "<=", high)?,
                ]);
                with_sign(within, *negated)
            }
            Expr::In {
                expr,
                target: InTarget::List(list),
                negated,
                ..
            } => with_sign(self.one_of(expr, list)?, *negated),
            Expr::AnyOp {
                left,
                compare_op: BinaryOperator::Eq,
                right,
                ..
            } => self.one_of(left, elements(right)?),
            Expr::AllOp {
                left,
                compare_op: BinaryOperator::NotEq,
                right,
            } => self.one_of(left, elements(right)?)?.negated(),
            Expr::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => self.like(expr, pattern, *negated),
            _ => {
                let value = self.value(truth_value(expression)?)?;
                Some(value.compared("=", Form::Number("1".to_owned())))
            }
        }
    }

    fn comparison(&self, left: &Expr, symbol: &'static str, right: &Expr) -> Option<Form> {
        Some(self.value(left)?.compared(symbol, self.value(right)?))
    }

    fn one_of(&self, value: &Expr, list: &[Expr]) -> Option<Form> {
        let terms = list.iter().map(|item| self.comparison(value, "=", item));
        Some(Form::any(terms.collect::<Option<Vec<Form>>>()?))
    }

    /// Only SQL Server knows sets of characters in a pattern.
    fn like(&self, value: &Expr, pattern: &Expr, is_negated: bool) -> Option<Form> {
        let (value, pattern) = (self.value(value)?, self.value(pattern)?);
        if !matches!(&pattern, Form::Text(text) if !text.contains(['[', '\\'])) {
            return None;
        }
        with_sign(
            Form::Binary("like", Box::new(value), Box::new(pattern)),
            is_negated,
        )
    }
}

/// The column or function that is a condition by itself.
fn truth_value(expression: &Expr) -> Option<&Expr> {
    match expression {
        Expr::Nested(inner) => truth_value(inner),
        Expr::Identifier(_) | Expr::Function(_) | Expr::Cast { .. } => Some(expression),
        _ => None,
    }
}

fn with_sign(form: Form, is_negated: bool) -> Option<Form> {
    if is_negated {
        form.negated()
    } else {
        Some(form)
    }
}

fn comparison_symbol(op: &BinaryOperator) -> Option<&'static str> {
    Some(match op {
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::Lt => "<",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Gt => ">",
        BinaryOperator::GtEq => ">=",
        _ => return None,
    })
}

/// The elements of an array, which may be converted.
fn elements(array: &Expr) -> Option<&[Expr]> {
    match array {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => elements(inner),
        Expr::Array(array) => Some(&array.elem),
        _ => None,
    }
}

/// Functions and constants without arguments.
fn constant(name: &str) -> Option<Form> {
    Some(match name {
        "getdate"
        | "current_timestamp"
        | "sysdatetime"
        | "sysdatetimeoffset"
        | "now"
        | "localtimestamp"
        | "transaction_timestamp"
        | "statement_timestamp"
        | "clock_timestamp" => Form::Now,
        "getutcdate" | "sysutcdatetime" => Form::UtcNow,
        "current_date" => Form::Today,
        "newid" | "newsequentialid" | "gen_random_uuid" | "uuid_generate_v1"
        | "uuid_generate_v1mc" | "uuid_generate_v4" | "uuidv4" | "uuidv7" => Form::NewId,
        "suser_sname" | "suser_name" | "original_login" | "system_user" | "user_name"
        | "current_user" | "session_user" | "user" => Form::User,
        _ => return None,
    })
}

fn literal(value: &Value) -> Option<Form> {
    match value {
        Value::Number(digits, _) => number(&digits.to_string()),
        Value::SingleQuotedString(text)
        | Value::NationalStringLiteral(text)
        | Value::EscapedStringLiteral(text) => Some(Form::Text(text.clone())),
        Value::Boolean(value) => number(if *value { "1" } else { "0" }),
        Value::Null => Some(Form::Null),
        _ => None,
    }
}

fn in_zone(moment: &Form, zone: &Form) -> Option<Form> {
    let is_utc = matches!(zone, Form::Text(zone) if zone.eq_ignore_ascii_case("utc"));
    (is_utc && *moment == Form::Now).then_some(Form::UtcNow)
}

/// A conversion of a constant or a column keeps what it means, unless the type cannot hold it.
fn converted(form: Form, to: &DataType) -> Option<Form> {
    let name = to.to_string().to_lowercase();
    let name = name.replace(['[', ']', '"'], "");
    let base = name.split('(').next().unwrap_or_default().trim();
    let is_whole = matches!(
        base,
        "tinyint" | "smallint" | "int" | "integer" | "bigint" | "int2" | "int4" | "int8"
    );
    let is_number = is_whole
        || matches!(
            base,
            "numeric"
                | "decimal"
                | "dec"
                | "money"
                | "smallmoney"
                | "real"
                | "float"
                | "double precision"
        );
    match (form, base) {
        (Form::Now, "date") => Some(Form::Today),
        (Form::UtcNow, "date") => None,
        (Form::Text(text), "boolean" | "bool" | "bit") => match text.to_lowercase().as_str() {
            "t" | "true" | "1" | "y" | "yes" | "on" => number("1"),
            "f" | "false" | "0" | "n" | "no" | "off" => number("0"),
            _ => None,
        },
        (Form::Text(text), _) if is_number => {
            number(&text).filter(|form| !is_whole || form.is_whole())
        }
        (form @ Form::Number(_), _) if is_number => (!is_whole || form.is_whole()).then_some(form),
        (Form::Number(digits), "boolean" | "bool" | "bit") => {
            number(if digits == "0" { "0" } else { "1" })
        }
        (Form::Number(_), _) => None,
        (
            form @ (Form::Text(_)
            | Form::Null
            | Form::Column(_)
            | Form::Now
            | Form::UtcNow
            | Form::Today
            | Form::NewId
            | Form::User),
            _,
        ) => Some(form),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::database::postgres::Postgres;
    use crate::engine::database::sql_server::SqlServer;
    use crate::engine::schema::form::{Verdict, compare};

    fn expressions(dialect: &dyn Dialect) -> Expressions<'_> {
        Expressions {
            dialect,
            column: Box::new(str::to_lowercase),
            is_integer: Box::new(|name| name == "n"),
        }
    }

    #[test]
    fn equal_values_of_both_databases_have_one_form() {
        for (left, right) in [
            ("((0))", "0"),
            ("((0))", "false"),
            ("((1))", "true"),
            ("((-1))", "'-1'::integer"),
            ("((-1))", "(-1)"),
            ("((0.00))", "0::numeric"),
            ("((1.50))", "'1.5'::numeric(10,2)"),
            ("('new')", "'new'::character varying"),
            ("(N'it''s')", "'it''s'::text"),
            ("(NULL)", "NULL::character varying"),
            ("(getdate())", "now()"),
            ("(getdate())", "CURRENT_TIMESTAMP"),
            ("(sysdatetime())", "LOCALTIMESTAMP"),
            ("(CONVERT([date],getdate()))", "CURRENT_DATE"),
            ("(CONVERT([date],getdate()))", "(now())::date"),
            ("(getutcdate())", "timezone('utc'::text, now())"),
            ("(sysutcdatetime())", "(now() AT TIME ZONE 'UTC'::text)"),
            ("(newid())", "gen_random_uuid()"),
            ("(newsequentialid())", "uuid_generate_v4()"),
            ("(suser_sname())", "CURRENT_USER"),
            ("([Price]*[Amount])", "(price * amount)"),
            (
                "(([First]+' ')+[Last])",
                "(((first)::text || ' '::text) || (last)::text)",
            ),
            ("(isnull([a],(0)))", "COALESCE(a, 0)"),
        ] {
            let forms = (
                expressions(&SqlServer).value_of(left),
                expressions(&Postgres).value_of(right),
            );
            assert!(forms.0.is_some(), "{left}");
            assert_eq!(forms.0, forms.1, "{left} {right}");
        }
    }

    #[test]
    fn equal_conditions_of_both_databases_have_one_form() {
        for (left, right) in [
            ("([Quantity]>(0))", "(quantity > (0)::numeric)"),
            ("([n]>(0))", "(n >= 1)"),
            ("((0)<[Quantity])", "(quantity > 0)"),
            ("([a]>=(1) AND [a]<=(5))", "((a >= 1) AND (a <= 5))"),
            (
                "([Status]='b' OR [Status]='a')",
                "((status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
            ),
            ("([a] IN ((1),(2)))", "(a = ANY (ARRAY[2, 1]))"),
            ("(NOT ([a]=(1)))", "(a <> 1)"),
            ("([Active]=(1))", "active"),
            ("([Active]=(0))", "(NOT active)"),
            ("([Code] like 'A%')", "((code)::text ~~ 'A%'::text)"),
            ("(len([Code])=(5))", "(length(code) = 5)"),
            ("([a] IS NOT NULL)", "(a IS NOT NULL)"),
            ("([a] IS NULL OR [b]<[c])", "((c > b) OR (a IS NULL))"),
        ] {
            let forms = (
                expressions(&SqlServer).condition_of(left),
                expressions(&Postgres).condition_of(right),
            );
            assert!(forms.0.is_some(), "{left}");
            assert_eq!(forms.0, forms.1, "{left} {right}");
        }
    }

    #[test]
    fn what_has_no_common_form_is_not_compared() {
        for text in [
            "([dbo].[Price]([a])>(0))",
            "([Code] like '[A-Z]%')",
            "(CASE WHEN [a]=(1) THEN (1) ELSE (0) END=(1))",
            "(NEXT VALUE FOR [dbo].[s])",
            "([a]>(0)) garbage",
            "",
        ] {
            assert_eq!(expressions(&SqlServer).condition_of(text), None, "{text}");
        }
        for text in ["((code)::text ~ '^A'::text)", "(1.5)::integer", "a.b(1)"] {
            assert_eq!(expressions(&Postgres).value_of(text), None, "{text}");
        }
    }

    #[test]
    fn different_expressions_are_told_from_those_that_may_be_equal() {
        let left = |text| expressions(&SqlServer).value_of(text);
        let right = |text| expressions(&Postgres).value_of(text);
        for (from, to, verdict) in [
            ("((1))", "2", Verdict::Different),
            ("(getdate())", "'2000-01-01'::date", Verdict::Different),
            ("([a]+[b])", "(a - b)", Verdict::Different),
            ("([a]+[b])", "(b + a)", Verdict::Unknown),
            ("([a]+[b])", "f(a, b)", Verdict::Unknown),
        ] {
            let (from_form, to_form) = (left(from), right(to));
            assert_eq!(
                compare(from_form.as_ref(), to_form.as_ref()),
                verdict,
                "{from} {to}"
            );
        }
    }
}
