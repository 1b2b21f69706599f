//! Words that this project does not use, and where they stand nevertheless.

use std::path::Path;

/// A word or a phrase that is not used, and what is written in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Avoided {
    /// In lower case.
    pub phrase: String,
    /// What is clearer.
    pub instead: String,
}

/// Reads a list with a line `phrase, phrase: what to write instead` each.
///
/// # Errors
///
/// A line without a colon.
pub fn read_list(text: &str) -> Result<Vec<Avoided>, String> {
    let mut list = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (phrases, instead) = line.split_once(": ").ok_or_else(|| line.to_owned())?;
        list.extend(phrases.split(", ").map(|phrase| Avoided {
            phrase: phrase.to_owned(),
            instead: instead.to_owned(),
        }));
    }
    Ok(list)
}

/// The lines of a file where a phrase stands, also one that a line break
/// divides or that is part of a name.
#[must_use]
pub fn find(file: &Path, text: &str, list: &[Avoided]) -> Vec<String> {
    let (flat, starts) = flatten(text);
    let mut found = Vec::new();
    for Avoided { phrase, instead } in list {
        for (at, _) in flat.match_indices(phrase.as_str()) {
            let before = flat[..at].chars().next_back();
            let after = flat[at + phrase.len()..].chars().next();
            if before.is_some_and(char::is_alphabetic) || after.is_some_and(char::is_alphabetic) {
                continue;
            }
            let line = starts.partition_point(|start| *start <= at);
            found.push(format!(
                "{}:{line}: \"{phrase}\"; better: {instead}",
                file.display()
            ));
        }
    }
    found
}

/// The text in lower case on one line, without what begins the lines of a
/// comment, `_` as a blank; and where in it each line starts.
fn flatten(text: &str) -> (String, Vec<usize>) {
    let mut flat = String::with_capacity(text.len());
    let mut starts = Vec::new();
    for line in text.lines() {
        starts.push(flat.len());
        let content = line
            .trim()
            .trim_start_matches(['/', '!', '#', '-', '>', '*', '|']);
        let words = content.split(|next: char| next.is_whitespace() || next == '_');
        for word in words.filter(|word| !word.is_empty()) {
            flat.push_str(&word.to_lowercase());
            flat.push(' ');
        }
    }
    (flat, starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let list = read_list("# a comment\nruns over, run over: exceeds\nbulk: batch\n").unwrap();
        find(Path::new("a.rs"), text, &list)
    }

    #[test]
    fn a_phrase_is_found_over_a_line_break_and_in_a_name() {
        let text = "fn x() {\n    /// Runs\n    /// over it.\n    bulk_all();\n}\n";
        assert_eq!(
            found(text),
            [
                "a.rs:2: \"runs over\"; better: exceeds",
                "a.rs:4: \"bulk\"; better: batch"
            ]
        );
    }

    #[test]
    fn a_part_of_a_word_is_not_found() {
        assert_eq!(found("bulky; it runs. Over there hulk only"), [""; 0]);
    }
}
