//! The tokens of a response (MS-TDS 2.2.7).

use super::login::Features;
use super::type_info::push_type_info;
use crate::error::SqlError;
use crate::types::collation::Collation;
use crate::types::sql_type::SqlType;

const RETURN_STATUS: u8 = 0x79;
const COLUMN_METADATA: u8 = 0x81;
const ERROR: u8 = 0xAA;
const INFO: u8 = 0xAB;
const LOGIN_ACK: u8 = 0xAD;
const FEATURE_EXT_ACK: u8 = 0xAE;
const ENV_CHANGE: u8 = 0xE3;
const SSPI: u8 = 0xED;
/// The token of a row; its values follow.
pub(crate) const ROW: u8 = 0xD1;

/// Bits of the status of a DONE token.
pub(crate) mod done_status {
    pub(crate) const FINAL: u16 = 0x000;
    pub(crate) const MORE: u16 = 0x001;
    pub(crate) const ERROR: u16 = 0x002;
    pub(crate) const COUNT: u16 = 0x010;
    pub(crate) const ATTENTION: u16 = 0x020;
}

/// The three DONE tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum DoneToken {
    /// After a statement of a batch.
    Batch = 0xFD,
    /// After a procedure.
    Procedure = 0xFE,
    /// After a statement in a procedure.
    InProcedure = 0xFF,
}

/// A column of a result.
#[derive(Debug, Clone)]
pub(crate) struct ResultColumn {
    pub(crate) name: String,
    pub(crate) sql_type: SqlType,
    pub(crate) nullable: bool,
    pub(crate) collation: Collation,
    pub(crate) identity: bool,
    pub(crate) computed: bool,
}

/// The server's name in errors and messages.
const SERVER: &str = "sqlserver-standin";

fn utf16(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn push_units(out: &mut Vec<u8>, units: &[u16]) {
    out.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
}

/// A B_VARCHAR: at most 255 UTF-16 units.
fn push_short(out: &mut Vec<u8>, text: &str) {
    let units = utf16(text);
    let length = u8::try_from(units.len()).unwrap_or(u8::MAX);
    out.push(length);
    push_units(out, &units[..usize::from(length)]);
}

/// A US_VARCHAR, cut so that it fits into a token of 64 KiB.
fn push_long(out: &mut Vec<u8>, text: &str) {
    let units = utf16(text);
    let length = u16::try_from(units.len().min(4000)).unwrap_or(0);
    out.extend_from_slice(&length.to_le_bytes());
    push_units(out, &units[..usize::from(length)]);
}

/// Appends a token and its body, prefixed with a length of 16 bits.
fn push_sized(out: &mut Vec<u8>, token: u8, body: &[u8]) {
    out.push(token);
    let length = u16::try_from(body.len()).expect("all texts are cut to fit");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(body);
}

fn push_message(out: &mut Vec<u8>, token: u8, number: i32, severity: u8, message: &str) {
    let mut body = number.to_le_bytes().to_vec();
    body.extend_from_slice(&[1, severity]);
    push_long(&mut body, message);
    push_short(&mut body, SERVER);
    push_short(&mut body, "");
    body.extend_from_slice(&1_i32.to_le_bytes());
    push_sized(out, token, &body);
}

pub(crate) fn push_error(out: &mut Vec<u8>, error: &SqlError) {
    push_message(out, ERROR, error.number, error.severity, &error.message);
}

pub(crate) fn push_info(out: &mut Vec<u8>, number: i32, message: &str) {
    push_message(out, INFO, number, 10, message);
}

pub(crate) fn push_done(out: &mut Vec<u8>, token: DoneToken, status: u16, rows: u64) {
    out.push(token as u8);
    out.extend_from_slice(&status.to_le_bytes());
    // The command that was executed; clients ignore it.
    out.extend_from_slice(&0_u16.to_le_bytes());
    out.extend_from_slice(&rows.to_le_bytes());
}

pub(crate) fn push_return_status(out: &mut Vec<u8>, status: i32) {
    out.push(RETURN_STATUS);
    out.extend_from_slice(&status.to_le_bytes());
}

pub(crate) fn push_login_ack(out: &mut Vec<u8>) {
    let mut body = vec![1];
    body.extend_from_slice(&0x7400_0004_u32.to_be_bytes());
    push_short(&mut body, "Microsoft SQL Server");
    body.extend_from_slice(&[15, 0, 0x07, 0xD0]);
    push_sized(out, LOGIN_ACK, &body);
}

/// The answer to the features that a login requests; the server supports UTF-8 and tokens only.
pub(crate) fn push_feature_ack(out: &mut Vec<u8>, features: &Features) {
    out.push(FEATURE_EXT_ACK);
    if features.token.is_some() {
        out.extend_from_slice(&[0x02, 0, 0, 0, 0]);
    }
    if features.utf8 {
        out.extend_from_slice(&[0x0A, 1, 0, 0, 0, 1]);
    }
    out.push(0xFF);
}

/// A message for the client's security library.
pub(crate) fn push_sspi(out: &mut Vec<u8>, message: &[u8]) {
    push_sized(out, SSPI, message);
}

/// The client is to connect to another server (MS-TDS 2.2.7.9, type 20).
pub(crate) fn push_routing(out: &mut Vec<u8>, host: &str, port: u16) {
    let units = utf16(host);
    let length = u16::try_from(units.len()).unwrap_or(0);
    let mut value = vec![0];
    value.extend_from_slice(&port.to_le_bytes());
    value.extend_from_slice(&length.to_le_bytes());
    push_units(&mut value, &units[..usize::from(length)]);
    let mut body = vec![20];
    body.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    body.append(&mut value);
    body.extend_from_slice(&[0, 0]);
    push_sized(out, ENV_CHANGE, &body);
}

fn push_change(out: &mut Vec<u8>, variable: u8, new: &str, old: &str) {
    let mut body = vec![variable];
    push_short(&mut body, new);
    push_short(&mut body, old);
    push_sized(out, ENV_CHANGE, &body);
}

/// The session has changed its database.
pub(crate) fn push_database_change(out: &mut Vec<u8>, new: &str, old: &str) {
    push_change(out, 1, new, old);
    push_info(out, 5701, &format!("Changed database context to '{new}'."));
}

/// The session has set its language.
pub(crate) fn push_language_change(out: &mut Vec<u8>) {
    push_change(out, 2, "us_english", "");
    push_info(out, 5703, "Changed language setting to us_english.");
}

pub(crate) fn push_packet_size_change(out: &mut Vec<u8>, new: usize, old: usize) {
    push_change(out, 4, &new.to_string(), &old.to_string());
}

pub(crate) fn push_collation_change(out: &mut Vec<u8>) {
    let mut body = vec![7, 5];
    body.extend_from_slice(&Collation::default().to_bytes());
    body.push(0);
    push_sized(out, ENV_CHANGE, &body);
}

/// A transaction has begun. The client sends its descriptor with every request from now on.
pub(crate) fn push_begin_transaction(out: &mut Vec<u8>, descriptor: u64) {
    let mut body = vec![8, 8];
    body.extend_from_slice(&descriptor.to_le_bytes());
    body.push(0);
    push_sized(out, ENV_CHANGE, &body);
}

/// A transaction has ended.
pub(crate) fn push_end_transaction(out: &mut Vec<u8>, committed: bool, descriptor: u64) {
    let mut body = vec![if committed { 9 } else { 10 }, 0, 8];
    body.extend_from_slice(&descriptor.to_le_bytes());
    push_sized(out, ENV_CHANGE, &body);
}

/// Appends the description of a result's columns.
///
/// # Errors
/// 102 for a type that cannot be sent, 1056 for more than 4096 columns.
pub(crate) fn push_columns(out: &mut Vec<u8>, columns: &[ResultColumn]) -> Result<(), SqlError> {
    let count = u16::try_from(columns.len())
        .ok()
        .filter(|count| *count <= 4096)
        .ok_or_else(|| {
            SqlError::new(
                1056,
                "The number of elements in the select list exceeds 4096.",
            )
        })?;
    out.push(COLUMN_METADATA);
    out.extend_from_slice(&count.to_le_bytes());
    for column in columns {
        out.extend_from_slice(&0_u32.to_le_bytes());
        // May be NULL; updatability unknown; identity; computed.
        let flags = u16::from(column.nullable)
            | 0x08
            | if column.identity { 0x10 } else { 0 }
            | if column.computed { 0x20 } else { 0 };
        out.extend_from_slice(&flags.to_le_bytes());
        push_type_info(out, column.sql_type, column.nullable, &column.collation)?;
        push_short(out, &column.name);
    }
    Ok(())
}
