//! What `reconcile apply` says before it changes the target, and the question whether it may.

use std::io::{self, BufRead, IsTerminal as _, Write as _};

use shared::endpoint::Endpoint;
use shared::logging::print_status;
use shared::outcome::RepairAction;

use super::words::{counted, kinds};
use crate::cli::exit::CommandError;
use crate::cli::usage::UsageError;
use crate::repair::{Direction, ScriptSet, StatementCounts};

/// Where the statements go, and how many there are of each kind.
pub(super) fn announce(set: &ScriptSet, target: &Endpoint, actions: &[RepairAction]) {
    // A token names its user to the server only.
    let user = match target.user.as_str() {
        "" => "that of its access token",
        user => user,
    };
    print_status(format!(
        "target     {}://{}/{} as user {user}",
        target.kind.scheme(),
        target.server(),
        target.database,
    ));
    let mut runs: Vec<&str> = Vec::new();
    let (mut written, mut selected) = (StatementCounts::default(), StatementCounts::default());
    let mut present = 0;
    for script in &set.scripts {
        if !runs.contains(&script.header.run.as_str()) {
            runs.push(&script.header.run);
        }
        written = written.plus(&script.header.statements);
        present += script.present.total();
        for action in actions {
            selected.add(*action, script.present.of(*action));
        }
    }
    let of = if runs.len() == 1 { "run" } else { "runs" };
    let what = match set.scripts.first().map(|script| script.header.direction) {
        Some(Direction::Undo) => "undo",
        _ => "repair",
    };
    print_status(format!(
        "{what:10} {} of {of} {}: {}",
        counted(set.scripts.len() as u64, "script"),
        runs.join(", "),
        kinds(&selected)
    ));
    let deleted = written.total() - present;
    if deleted > 0 {
        print_status(format!(
            "left out   {}, which {} deleted from the scripts",
            counted(deleted, "statement"),
            if deleted == 1 { "was" } else { "were" }
        ));
    }
    let not_selected = present - selected.total();
    if not_selected > 0 {
        print_status(format!(
            "left out   {} of other kinds than --only names",
            counted(not_selected, "statement")
        ));
    }
}

/// Asks on a terminal whether the target may be changed.
pub(super) fn confirm(yes: bool) -> Result<(), CommandError> {
    if yes {
        return Ok(());
    }
    let input = io::stdin();
    if !input.is_terminal() {
        return Err(UsageError::NotConfirmed.into());
    }
    let mut prompt = io::stderr();
    // If the prompt cannot be printed, the answer decides all the same.
    prompt
        .write_all(b"Change the target? Type yes to continue: ")
        .and_then(|()| prompt.flush())
        .ok();
    if is_yes(&mut input.lock()) {
        Ok(())
    } else {
        Err(CommandError::Declined("the answer was not yes"))
    }
}

fn is_yes(input: &mut impl BufRead) -> bool {
    let mut answer = String::new();
    input.read_line(&mut answer).is_ok() && answer.trim().eq_ignore_ascii_case("yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_word_is_a_confirmation() {
        for (answer, expected) in [
            ("yes\n", true),
            (" YES \r\n", true),
            ("y\n", false),
            ("no\n", false),
            ("\n", false),
            ("", false),
        ] {
            assert_eq!(is_yes(&mut answer.as_bytes()), expected, "{answer:?}");
        }
    }
}
