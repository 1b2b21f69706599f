//! The text of the console report, line by line, with colours if they are wanted.

// Parameters of the escape sequence `ESC [ … m`.
pub(super) const GREEN: &str = "1;32";
pub(super) const RED: &str = "1;31";
pub(super) const YELLOW: &str = "1;33";
pub(super) const BOLD: &str = "1";
const DIM: &str = "2";

#[derive(Debug)]
pub(super) struct Page {
    text: String,
    colour: bool,
}

impl Page {
    pub(super) fn new(colour: bool) -> Self {
        Self {
            text: String::new(),
            colour,
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn paint(&self, text: &str, colour: &str) -> String {
        if self.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(super) fn line(&mut self, indent: &str, line: &str) {
        self.text.push_str(indent);
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A line of less importance.
    pub(super) fn dim(&mut self, indent: &str, line: &str) {
        let line = self.paint(line, DIM);
        self.line(indent, &line);
    }

    /// The title of a part, after an empty line.
    pub(super) fn heading(&mut self, text: &str) {
        let heading = self.paint(text, BOLD);
        self.line("\n", &heading);
    }
}

pub(super) fn widest<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}
