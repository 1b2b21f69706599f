//! The files of deploy/ and the workflows are valid for the tools that read them
//! and for our own programs.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

#[path = "deployment/broker.rs"]
mod broker;
#[path = "deployment/chart.rs"]
mod chart;
#[path = "deployment/commands.rs"]
mod commands;
#[path = "deployment/compose.rs"]
mod compose;
#[path = "deployment/documents.rs"]
mod documents;
#[path = "deployment/drain.rs"]
mod drain;
#[path = "deployment/image.rs"]
mod image;
#[path = "deployment/kubernetes.rs"]
mod kubernetes;
#[path = "deployment/reader.rs"]
mod reader;
#[path = "deployment/units.rs"]
mod units;
#[path = "deployment/workflows.rs"]
mod workflows;

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

/// A path in the repository.
fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join(relative)
}

/// A file of the repository.
fn read(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// The files in a directory of the repository, and below it, that end in `extension`.
fn files(directory: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(path(&directory)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{directory}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                directories.push(name);
            } else if name.ends_with(extension) {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

/// The documents of a YAML file, anchors and merge keys resolved.
fn documents_of(relative: &str) -> Vec<Json> {
    serde_saphyr::from_multiple(&read(relative))
        .unwrap_or_else(|error| panic!("{relative}: {error}"))
}

/// The texts of a list.
fn texts(list: &Json) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts
        .map(|text| {
            text.as_str()
                .unwrap_or_else(|| panic!("no text: {text}"))
                .to_owned()
        })
        .collect()
}

/// The value of `--flag=value` or `--flag value`.
fn flag_value(arguments: &[String], flag: &str) -> Option<String> {
    let at = arguments
        .iter()
        .position(|argument| argument == flag || argument.starts_with(&format!("{flag}=")))?;
    match arguments[at].split_once('=') {
        Some((_, value)) => Some(value.to_owned()),
        None => arguments.get(at + 1).cloned(),
    }
}
