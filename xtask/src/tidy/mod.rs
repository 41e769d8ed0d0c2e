//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md that can be read off the text of the repository.

mod code;
mod crates;
mod map;
mod rust_text;
mod shape;
mod text;
mod tree;

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use crate::Outcome;
use tree::Tree;

/// Something that is not as it should be: where, what, and what to do.
#[derive(Debug, PartialEq)]
struct Violation {
    file: String,
    line: usize, // from 1
    what: String,
}

impl Violation {
    fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        Violation { file: file.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// An invariant: all places that break it.
type Invariant = fn(&Tree) -> Vec<Violation>;

/// Every invariant with its name.
const INVARIANTS: &[(&str, Invariant)] = &[
    ("arrows between crates", crates::arrows),
    ("published crates", crates::published),
    ("dependencies", crates::dependencies_have_reasons),
    ("unsafe", code::unsafe_is_confined_and_explained),
    ("quiet libraries", code::libraries_are_quiet),
    ("global state", code::globals_are_confined),
    ("lints", code::allowed_lints_have_reasons),
    ("ndarray", code::ndarray_stays_at_the_border),
    ("files", shape::files_say_what_they_are),
    ("map", map::the_map_is_complete),
    ("layers", shape::layers_are_in_the_list),
    ("leftovers", text::nothing_is_left_over),
    ("machine paths", text::no_machine_is_named),
    ("links", text::links_lead_somewhere),
    ("programs in pages", text::programs_in_pages_are_tested),
];

fn violations(tree: &Tree) -> Vec<Violation> {
    INVARIANTS.iter().flat_map(|(_, invariant)| invariant(tree)).collect()
}

/// Checks the repository that this program was built in, and says whether all is well.
///
/// # Errors
/// If the repository cannot be read.
pub fn run() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let tree = Tree::read(root).map_err(|e| format!("cannot read the repository at {}: {e}", root.display()))?;
    let (violations, mut out) = (violations(&tree), io::stdout());
    for violation in &violations {
        writeln!(out, "{violation}")?;
    }
    writeln!(out, "{} files, {} invariants, {} violations", tree.files().len(), INVARIANTS.len(), violations.len())?;
    Ok(violations.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let tree = Tree::read(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).unwrap();
        assert!(tree.files().len() > 50, "that is not the repository: {} files", tree.files().len());
        let found: Vec<String> = violations(&tree).iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "\n{}", found.join("\n"));
    }
}
