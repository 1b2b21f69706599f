//! Declarations of options: from one declaration follow the flag, the key in the
//! configuration, the environment variable, the line that `reconcile config`
//! prints, and the row in `docs/configuration.md`.

use super::value::{FromValue, ToToml, Value};

/// Declares a group of options that belong to one section of the configuration:
///
/// ```text
/// heading "Report";
/// /// The meaning, for the help and the documentation
/// #[arg(value_name = "N")]         // more for clap, if the flag needs it
/// max_differences: u32 = 1000;     // the default; or: `else "the default in words";`
/// ```
///
/// The group is a struct whose fields are all optional. As parsed by clap it holds the
/// flags; as part of a configuration it holds what file and environment set.
/// An option with a default gets a method of its name that returns the value or the default.
macro_rules! options {
    (
        $(#[$attribute:meta])*
        pub struct $group:ident in $section:literal;
        $(
            heading $heading:literal;
            $(
                $(#[doc = $meaning:literal])+
                $(#[arg($($arg:tt)+)])?
                $name:ident: $type:ident $(<$of:ident>)? $(= $default:expr)? $(, else $words:literal)?;
            )+
        )+
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Default, PartialEq, clap::Args)]
        pub struct $group {
            $($(
                $(#[doc = $meaning])+
                #[arg(
                    long,
                    help_heading = $heading,
                    value_parser = $crate::config::options::parse_flag::<$type $(<$of>)?>,
                    help = $crate::config::options::help(
                        concat!($($meaning),+),
                        None::<String>
                            $(.or(Some($crate::config::options::plain(&$default))))?
                            $(.or(Some($words.to_owned())))?,
                    ),
                    $($($arg)+)?
                )]
                pub $name: Option<$type $(<$of>)?>,
            )+)+
        }

        impl $group {
            /// These options, and those of `fallback` where these are absent.
            #[must_use]
            pub fn or(self, fallback: Self) -> Self {
                Self { $($($name: self.$name.or(fallback.$name),)+)+ }
            }

            $($($(
                /// The value, or its default.
                #[must_use]
                pub fn $name(&self) -> $type {
                    self.$name.unwrap_or($default)
                }
            )?)+)+

            /// Takes the keys of this group out of their section.
            pub(in $crate::config) fn read(
                section: &mut $crate::config::section::Section,
                sources: &mut $crate::config::section::Sources<'_>,
            ) -> Result<Self, $crate::config::error::ConfigError> {
                Ok(Self { $($($name: section.take(sources, stringify!($name))?,)+)+ })
            }

            /// The options that are set, one TOML line each.
            pub(in $crate::config) fn to_toml(&self) -> String {
                [$($($crate::config::options::line(stringify!($name), self.$name.as_ref()),)+)+]
                    .concat()
            }

            /// What was declared, for the documentation.
            #[cfg(test)]
            pub(in $crate::config) fn declared() -> Vec<$crate::config::options::Declared> {
                vec![$($($crate::config::options::Declared {
                    heading: $heading,
                    section: $section,
                    key: stringify!($name),
                    default: None::<String>
                        $(.or(Some($crate::config::options::plain(&$default))))?
                        $(.or(Some($words.to_owned())))?
                        .unwrap_or_default(),
                },)+)+]
            }
        }
    };
}

pub(super) use options;

/// An option as it was declared.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) heading: &'static str,
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    /// The default in words.
    pub(super) default: String,
}

pub(super) fn parse_flag<T: FromValue>(text: &str) -> Result<T, String> {
    T::from_value(Value::Untyped(text.to_owned()))
}

/// The help of a flag: its meaning and its default. That a flag without a value is
/// off by default needs no words.
pub(super) fn help(meaning: &str, default: Option<String>) -> String {
    let meaning = meaning.trim();
    match default.filter(|default| default != "false") {
        Some(default) => format!("{meaning} [default: {default}]"),
        None => meaning.to_owned(),
    }
}

/// A value without the quotes of TOML.
pub(super) fn plain(value: &impl ToToml) -> String {
    value.to_toml().trim_matches('"').to_owned()
}

/// `key = value`, if there is a value.
pub(super) fn line(key: &str, value: Option<&(impl ToToml + ?Sized)>) -> String {
    value.map_or_else(String::new, |value| {
        format!("{key} = {}\n", value.to_toml())
    })
}
