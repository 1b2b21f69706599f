//! Text that comes from a database or a user.

use maud::{Markup, html};

/// A text from a database or a user. Its direction does not affect what is around it.
pub(super) fn isolated(text: &str) -> Markup {
    html! { bdi { (text) } }
}
