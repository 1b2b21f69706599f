//! Procedure calls (MS-TDS 2.2.6.6): `sp_executesql`, which has a statement and its parameters.

use std::collections::HashMap;

use super::parameter;
use super::wire::Reader;
use crate::error::SqlError;
use crate::sql::typed::{Constant, TypedSql};

/// The procedure number of `sp_executesql`.
const EXECUTE_SQL: u16 = 10;

/// A statement with parameters.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) statement: String,
    /// By lower-case name with `@`.
    pub(crate) parameters: HashMap<String, TypedSql>,
}

/// Parses the body of an RPC message.
///
/// # Errors
/// 2812 for another procedure, 214 when its first parameter is not text, 4002 when the message is
/// incomplete.
pub(crate) fn parse(body: &[u8]) -> Result<Call, SqlError> {
    let mut reader = Reader::new(body);
    reader.skip_headers()?;
    check_procedure(&mut reader)?;
    // Option flags.
    reader.u16()?;
    let mut values = read_parameters(&mut reader)?.into_iter();
    let statement = values.next().and_then(|(_, value)| into_text(value));
    let Some(statement) = statement else {
        return Err(SqlError::new(
            214,
            "Procedure expects parameter '@statement' of type 'ntext/nchar/nvarchar'.",
        ));
    };
    let declared = values
        .next()
        .and_then(|(_, value)| into_text(value))
        .map_or_else(Vec::new, |text| declared_names(&text));
    let parameters = values
        .enumerate()
        .filter_map(|(at, (name, value))| {
            let name = if name.is_empty() {
                declared.get(at)?.clone()
            } else {
                name
            };
            Some((name, value))
        })
        .collect();
    Ok(Call {
        statement,
        parameters,
    })
}

/// Reads the number or the name of the procedure.
fn check_procedure(reader: &mut Reader<'_>) -> Result<(), SqlError> {
    const NUMBER_FOLLOWS: u16 = 0xFFFF;
    let name_length = reader.u16()?;
    let name = if name_length == NUMBER_FOLLOWS {
        let number = reader.u16()?;
        if number == EXECUTE_SQL {
            return Ok(());
        }
        number.to_string()
    } else {
        let name = reader.utf16(name_length.into())?;
        let last_part = name.rsplit('.').next().unwrap_or(&name);
        if last_part
            .trim_matches(['[', ']'])
            .eq_ignore_ascii_case("sp_executesql")
        {
            return Ok(());
        }
        name
    };
    Err(SqlError::new(
        2812,
        format!("Could not find stored procedure '{name}'."),
    ))
}

/// The parameters with their lower-case names, which may be empty.
fn read_parameters(reader: &mut Reader<'_>) -> Result<Vec<(String, TypedSql)>, SqlError> {
    let mut values = Vec::new();
    while !reader.is_empty() {
        let name_length = reader.u8()?;
        // 0x80 and 0xFF separate the calls of a message.
        if name_length == 0xFF || name_length == 0x80 {
            return Err(SqlError::unsupported("several calls in one message"));
        }
        let name = reader.utf16(name_length.into())?.to_lowercase();
        // Status flags.
        reader.u8()?;
        values.push((name, parameter::read(reader)?));
    }
    Ok(values)
}

fn into_text(value: TypedSql) -> Option<String> {
    match value.constant {
        Some(Constant::Text(text)) => Some(text),
        _ => None,
    }
}

/// The names in `@P1 nvarchar(4000), @P2 decimal(38, 4)`.
fn declared_names(text: &str) -> Vec<String> {
    let mut depth = 0;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .filter_map(|part| part.split_whitespace().next().map(str::to_lowercase))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_at_commas_outside_parentheses() {
        assert_eq!(
            declared_names("@P1 nvarchar(40),@b decimal(38, 4) , @c int"),
            ["@p1", "@b", "@c"]
        );
    }

    #[test]
    fn a_message_that_is_cut_is_an_error() {
        let mut body = 4_u32.to_le_bytes().to_vec();
        body.extend_from_slice(&[
            0xFF, 0xFF, 10, 0, 0, 0, 0, 0, 0xE7, 0x40, 0x1F, 0, 0, 0, 0, 0, 8, 0, b'S', 0,
        ]);
        for end in 0..body.len() {
            assert!(parse(&body[..end]).is_err(), "cut at {end}");
        }
    }

    /// A call of `sp_executesql` with one parameter of a type and a value.
    fn call(parameter: &[u8]) -> Vec<u8> {
        let mut body = 4_u32.to_le_bytes().to_vec();
        body.extend_from_slice(&[0xFF, 0xFF, 10, 0, 0, 0]);
        for text in ["SELECT @a", "@a int"] {
            body.extend_from_slice(&[0, 0, 0xE7, 0x40, 0x1F, 0, 0, 0, 0, 0]);
            body.extend_from_slice(&u16::try_from(text.len() * 2).unwrap().to_le_bytes());
            body.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        }
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(parameter);
        body
    }

    #[test]
    fn a_whole_call_is_read() {
        let call = parse(&call(&[0x26, 4, 4, 7, 0, 0, 0])).unwrap();
        assert_eq!(call.statement, "SELECT @a");
        assert_eq!(call.parameters["@a"].sql, "CAST('7' AS integer)");
    }

    /// Every type that a parameter may have, with valid lengths.
    const TYPES: [&[u8]; 22] = [
        &[0x30],
        &[0x32],
        &[0x34],
        &[0x38],
        &[0x7F],
        &[0x3B],
        &[0x3E],
        &[0x1F],
        &[0x26, 8, 8],
        &[0x68, 1, 1],
        &[0x6D, 8, 8],
        &[0x6E, 8, 8],
        &[0x6F, 8, 8],
        &[0x6F, 4, 4],
        &[0x24, 16, 16],
        &[0x6A, 17, 38, 10, 17],
        &[0x28, 3],
        &[0x29, 0, 5],
        &[0x2A, 0, 8],
        &[0x2B, 0, 10],
        &[0xE7, 0x40, 0x1F, 0, 0, 0, 0, 0, 4, 0],
        &[0xA5, 0xFF, 0xFF],
    ];

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_call_or_an_error(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            if let Ok(call) = parse(&body) {
                assert!(call.statement.len() <= body.len() * 2);
            }
        }

        #[test]
        fn any_value_of_any_type_is_a_parameter_or_an_error(
            of in 0..TYPES.len(),
            value in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
            changes in proptest::collection::vec((0_usize..10, proptest::num::u8::ANY), 0..3),
        ) {
            let mut parameter = TYPES[of].to_vec();
            for (at, byte) in changes {
                if let Some(place) = parameter.get_mut(at) {
                    *place = byte;
                }
            }
            parameter.extend_from_slice(&value);
            if let Ok(call) = parse(&call(&parameter)) {
                assert_eq!(call.statement, "SELECT @a");
            }
        }
    }
}
