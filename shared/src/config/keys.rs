//! The declaration of keys that have no flag.

/// A key of a section, as the documentation describes it.
#[derive(Debug)]
pub struct DeclaredKey {
    /// Its name.
    pub key: &'static str,
    /// The default in words.
    pub default: &'static str,
    /// What it sets.
    pub meaning: &'static str,
}
