//! Bounds the bytes of a part of the page.

use maud::{Markup, html};

/// How many bytes a part may still have.
#[derive(Debug)]
pub(super) struct Budget(pub(super) usize);

/// The items of a list that fit, and how many do not.
#[derive(Debug)]
pub(super) struct Fitting {
    pub(super) shown: Vec<Markup>,
    pub(super) omitted: usize,
}

impl Budget {
    /// The first items, as far as they fit.
    pub(super) fn fit(&mut self, items: impl Iterator<Item = Markup>) -> Fitting {
        let mut fitting = Fitting {
            shown: Vec::new(),
            omitted: 0,
        };
        for item in items {
            match self.0.checked_sub(item.0.len()) {
                Some(left) if fitting.omitted == 0 => {
                    self.0 = left;
                    fitting.shown.push(item);
                }
                _ => fitting.omitted += 1,
            }
        }
        fitting
    }
}

impl Fitting {
    /// The line that says how many are left out, and where they are.
    pub(super) fn omission(&self, what: &str, instead: &str) -> Markup {
        html! {
            @if self.omitted > 0 {
                p.more { (self.omitted) " more " (what) " are left out here; " (instead) "." }
            }
        }
    }
}
