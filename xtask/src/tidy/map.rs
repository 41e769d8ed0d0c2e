//! The map in ARCHITECTURE.md: every module of every crate is on it, and nothing else.

use super::Violation;
use super::tree::Tree;

const MAP: &str = "ARCHITECTURE.md";

/// A row of the map: its line, the crate whose heading it is under, and the file or, with a slash at its end, the folder that it is about.
struct Row<'a> {
    line: usize,
    krate: &'a str,
    place: &'a str,
}

impl Row<'_> {
    fn covers(&self, krate: &str, file: &str) -> bool {
        self.krate == krate && (self.place == file || (self.place.ends_with('/') && file.starts_with(self.place)))
    }
}

/// The tables under headings that are names of crates; rows begin with a file in backticks.
fn rows(map: &str) -> Vec<Row<'_>> {
    let (mut krate, mut found) = ("", Vec::new());
    for (i, line) in map.lines().enumerate() {
        if let Some(heading) = line.strip_prefix('#') {
            krate = heading.trim_start_matches('#').trim();
        }
        if let Some((place, _)) = line.strip_prefix("| `").and_then(|rest| rest.split_once('`')).filter(|_| krate.starts_with("nyang-")) {
            found.push(Row { line: i + 1, krate, place });
        }
    }
    found
}

/// Every module file of a library has a row under its crate in ARCHITECTURE.md (a folder's row counts for its files), and every row a file.
pub fn the_map_is_complete(tree: &Tree) -> Vec<Violation> {
    let rows = rows(tree.text(MAP).unwrap_or_default());
    let mut found = Vec::new();
    for (file, rust) in tree.library_code() {
        let Some((krate, module)) = file.path.strip_prefix("crates/").and_then(|path| path.split_once("/src/")) else { continue };
        if module != "lib.rs" && !rust.is_test && !rows.iter().any(|row| row.covers(krate, module)) {
            found.push(Violation::new(&file.path, 1, format!("not on the map: add a row for `{module}` under {krate} in {MAP}")));
        }
    }
    for row in rows.iter().filter(|row| !tree.exists(&format!("crates/{}/src/{}", row.krate, row.place))) {
        found.push(Violation::new(MAP, row.line, format!("{} has no `{}`: take the row away", row.krate, row.place)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_rows_without_the_other_are_found() {
        let map = "## The crates\n### nyang-nn\n| file | what |\n|---|---|\n| `a.rs` | A |\n| `layers/` | layers |\n### nyang-data\n| `b.rs` | B |\n";
        let check = |map: &str, files: &[&str]| {
            let mut all = vec![(MAP, map), ("crates/nyang-nn/src/lib.rs", "#[cfg(test)]\nmod t;"), ("crates/nyang-nn/src/t.rs", "")];
            all.extend(files.iter().map(|file| (*file, "")));
            the_map_is_complete(&Tree::of(&all)).iter().map(|v| (v.file.clone(), v.line)).collect::<Vec<_>>()
        };
        let whole = ["crates/nyang-nn/src/a.rs", "crates/nyang-nn/src/layers/relu.rs", "crates/nyang-data/src/b.rs"];
        assert_eq!(check(map, &whole), []);
        assert_eq!(check(map, &[&whole[..], &["crates/nyang-nn/src/b.rs"]].concat()), [("crates/nyang-nn/src/b.rs".to_owned(), 1)]);
        assert_eq!(check(map, &whole[..2]), [(MAP.to_owned(), 8)]);
        assert_eq!(check(map, &[whole[0], whole[2]]), [(MAP.to_owned(), 6)]);
        assert_eq!(check("", &whole).len(), 3);
    }
}
