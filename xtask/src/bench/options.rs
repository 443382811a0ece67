//! The words after a benchmark's name, where it has parts and may be quick.

use super::HELP;

/// What is measured, and how long.
pub struct Options {
    /// Fewer and shorter rounds.
    pub quick: bool,
    /// Only these parts; all where none is named.
    only: Vec<String>,
}

impl Options {
    /// The words of a benchmark with these parts.
    pub fn parse(words: &[&str], parts: &[&str]) -> Result<Self, String> {
        let mut options = Self { quick: false, only: Vec::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--quick" => options.quick = true,
                "--only" => {
                    for part in words.next().ok_or("--only needs a part")?.split(',') {
                        if !parts.contains(&part) {
                            return Err(format!("--only {part}: no such part\n\n{HELP}"));
                        }
                        options.only.push(part.to_owned());
                    }
                }
                other => return Err(format!("{other}: no such option\n\n{HELP}")),
            }
        }
        Ok(options)
    }

    /// Rounds of each side after the one that warms up.
    pub fn rounds(&self) -> usize {
        if self.quick { 3 } else { 5 }
    }

    /// Whether this part is measured.
    pub fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}
