//! The TDS 7.4 protocol, in the order of a connection: packets, PRELOGIN and LOGIN7, requests
//! (`rpc`, `parameter`), and the tokens and rows of a response. Source of all layouts: \[MS-TDS\].

pub(crate) mod handshake;
pub(crate) mod login;
pub(crate) mod ntlm;
pub(crate) mod packet;
pub(crate) mod parameter;
pub(crate) mod row;
pub(crate) mod rpc;
pub(crate) mod token;
pub(crate) mod type_info;
pub(crate) mod wire;
