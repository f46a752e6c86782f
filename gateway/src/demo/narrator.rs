//! Tells the story line by line: who did what, and what the server answered.

use std::io::Write;

/// Prints to standard output, in colour on a terminal.
pub struct Narrator {
    colour: bool,
    steps: u32,
}

impl Narrator {
    /// A narrator at the beginning of a story.
    pub fn new(colour: bool) -> Self {
        Self { colour, steps: 0 }
    }

    /// A new chapter.
    pub fn chapter(&mut self, title: &str) {
        self.print(&format!("\n{}", self.paint("1", title)));
    }

    /// Something happened, as it should.
    pub fn step(&mut self, what: &str, answer: &str) {
        self.steps += 1;
        let (mark, answer) = (self.paint("32", "✓"), self.paint("2", answer));
        let gap = " ".repeat(66_usize.saturating_sub(what.chars().count()));
        self.print(&format!("  {mark} {what}{gap}  {answer}"));
    }

    /// Something to look at.
    pub fn note(&mut self, text: &str) {
        self.print(&format!("      {}", self.paint("2", text)));
    }

    /// The end.
    pub fn end(&mut self, text: &str) {
        self.print(&format!("\n{text} ({} steps, all as expected)", self.steps));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn print(&self, line: &str) {
        // A reader that went away (`demo | head`) does not end the story.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
