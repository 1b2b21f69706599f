//! Renders the report of a check. A further format is one module and one arm of [`render`].

mod console;
mod csv;
mod json;
mod text;

pub(crate) use console::to_console;
pub(crate) use text::{has_form, render};
