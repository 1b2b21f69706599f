//! Prints long lists page by page, if a person reads them on a terminal.

use std::io::{self, IsTerminal as _};

use shared::logging::print_status;

use super::exit::CommandError;
use crate::report::write_stdout;

/// Lines of a page: a page fits on a terminal of usual size.
const PAGE: usize = 20;

/// A list that is printed in parts.
#[derive(Debug)]
pub(super) struct Pages {
    /// Lines that the page may still have; absent where no person reads.
    left: Option<usize>,
}

/// What the reader wants after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    More,
    End,
}

impl Pages {
    /// For standard output. It waits after each page if it is a terminal, as standard input is.
    pub(super) fn of_stdout() -> Self {
        let is_read = io::stdout().is_terminal() && io::stdin().is_terminal();
        Self {
            left: is_read.then_some(PAGE),
        }
    }

    /// Prints `text`, and returns whether the reader wants more.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written.
    pub(super) fn print(&mut self, text: &str) -> Result<Wish, CommandError> {
        self.divide(text, write_stdout, ask)
            .map_err(CommandError::from)
    }

    /// Writes `text` page by page, as long as `ask` returns that the reader wants more.
    fn divide<E>(
        &mut self,
        text: &str,
        mut write: impl FnMut(&str) -> Result<(), E>,
        mut ask: impl FnMut() -> Wish,
    ) -> Result<Wish, E> {
        let Some(left) = &mut self.left else {
            return write(text).map(|()| Wish::More);
        };
        for line in text.split_inclusive('\n') {
            if *left == 0 {
                if ask() == Wish::End {
                    return Ok(Wish::End);
                }
                *left = PAGE;
            }
            write(line)?;
            *left -= 1;
        }
        Ok(Wish::More)
    }
}

fn ask() -> Wish {
    print_status("-- Enter: the next page; q and Enter: end --");
    let mut answer = String::new();
    match io::stdin().read_line(&mut answer) {
        Ok(1..) if !answer.trim().eq_ignore_ascii_case("q") => Wish::More,
        _ => Wish::End,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// What is printed of lists of these lengths to a reader who wants `pages` pages.
    fn printed(lengths: &[usize], pages: usize, left: Option<usize>) -> (usize, Wish) {
        let mut list = Pages { left };
        let (mut lines, mut asked) = (0, 0);
        for length in lengths {
            let text = "line\n".repeat(*length);
            let write = |text: &str| {
                lines += text.lines().count();
                Ok::<(), Infallible>(())
            };
            let ask = || {
                asked += 1;
                if asked < pages { Wish::More } else { Wish::End }
            };
            let Ok(wish) = list.divide(&text, write, ask);
            if wish == Wish::End {
                return (lines, wish);
            }
        }
        (lines, Wish::More)
    }

    #[test]
    fn a_reader_gets_as_many_pages_as_wanted() {
        assert_eq!(printed(&[15, 15, 50], 2, Some(PAGE)), (40, Wish::End));
        assert_eq!(printed(&[15, 15, 50], 9, Some(PAGE)), (80, Wish::More));
        assert_eq!(
            printed(&[15, 5], 0, Some(PAGE)),
            (20, Wish::More),
            "a list that fits is printed without a question"
        );
        assert_eq!(printed(&[500], 0, None), (500, Wish::More));
    }
}
