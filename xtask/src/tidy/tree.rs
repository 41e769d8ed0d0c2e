//! The repository's files in memory, so that invariants are functions and their tests can plant violations.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

use super::rust_text::RustText;

/// The folders that belong to the repository; files beside them count too, other folders (build outputs, data) do not.
const FOLDERS: [&str; 7] = [".cargo", ".ci", ".github", "crates", "docs", "examples", "xtask"];

/// Outputs that may lie inside them.
const OUTPUTS: [&str; 2] = ["target", "runs"];

/// A text file.
pub struct File {
    /// Its path from the root, with slashes.
    pub path: String,
    /// What it says.
    pub text: String,
    /// For Rust, the same taken apart.
    pub rust: Option<RustText>,
}

/// The text files of the repository, and the names of all.
pub struct Tree {
    files: Vec<File>,
    names: BTreeSet<String>,
}

impl Tree {
    /// Reads the repository at `root`.
    pub fn read(root: &Path) -> io::Result<Tree> {
        let mut found = Vec::new();
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_file() && name != ".git" {
                // in a second work tree `.git` is a file, and says where the first one is
                found.push((name, fs::read(entry.path())?));
            } else if FOLDERS.contains(&name.as_str()) {
                walk(&entry.path(), &name, &mut found)?;
            }
        }
        Ok(Tree::new(found))
    }

    /// A tree of these files: path and content.
    pub fn new(mut found: Vec<(String, Vec<u8>)>) -> Tree {
        found.sort();
        let names = found.iter().map(|(path, _)| path.clone()).collect();
        let text = |(path, bytes): (String, Vec<u8>)| {
            let text = String::from_utf8(bytes).ok().filter(|t| !t.contains('\0'))?;
            let rust = path.ends_with(".rs").then(|| RustText::new(&text));
            Some(File { path, text, rust })
        };
        let mut tree = Tree { files: found.into_iter().filter_map(text).collect(), names };
        tree.mark_test_files();
        tree
    }

    /// Files that only tests compile: those in `tests` folders, and those that a `#[cfg(test)] mod name;` brings in.
    fn mark_test_files(&mut self) {
        let modules = |file: &File| {
            let stem = file.path.strip_suffix(".rs").unwrap_or(&file.path);
            let folder = ["/mod", "/lib", "/main"].iter().find_map(|root| stem.strip_suffix(root)).unwrap_or(stem).to_owned();
            let names = file.rust.iter().flat_map(|rust| rust.test_modules.clone()).collect::<Vec<_>>();
            names.into_iter().map(move |name| format!("{folder}/{name}"))
        };
        let test: BTreeSet<String> = self.files.iter().flat_map(modules).collect();
        for file in &mut self.files {
            let stem = file.path.strip_suffix(".rs").unwrap_or(&file.path);
            let brought_in = test.contains(stem) || test.iter().any(|name| file.path.starts_with(&format!("{name}/")));
            if let (Some(rust), true) = (&mut file.rust, brought_in || file.path.contains("/tests/") || file.path.contains("/benches/")) {
                rust.is_test = true;
            }
        }
    }

    /// All text files, by path.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The Rust files with their code and comments apart.
    pub fn rust(&self) -> impl Iterator<Item = (&File, &RustText)> {
        self.files.iter().filter_map(|file| Some((file, file.rust.as_ref()?)))
    }

    /// The Rust files of the libraries: what lies in a crate's `src`.
    pub fn library_code(&self) -> impl Iterator<Item = (&File, &RustText)> {
        self.rust().filter(|(file, _)| file.path.starts_with("crates/") && file.path.contains("/src/"))
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// Whether there is a file or folder at this path.
    pub fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        path.is_empty()
            || self.names.contains(path)
            || self.names.iter().any(|name| name.strip_prefix(path).is_some_and(|r| r.starts_with('/')))
    }
}

fn walk(folder: &Path, name: &str, found: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let own = entry.file_name().to_string_lossy().into_owned();
        let (kind, path) = (entry.file_type()?, format!("{name}/{own}"));
        if kind.is_file() {
            found.push((path, fs::read(entry.path())?));
        } else if kind.is_dir() && !OUTPUTS.contains(&own.as_str()) {
            walk(&entry.path(), &path, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
impl Tree {
    /// A tree for a test to plant something in.
    pub fn of(files: &[(&str, &str)]) -> Tree {
        Tree::new(files.iter().map(|(path, text)| (path.to_string(), text.as_bytes().to_vec())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_that_only_tests_bring_in_are_test_files() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "mod b;\n#[cfg(test)]\nmod c;"),
            ("crates/a/src/b.rs", "#[cfg(test)]\nmod d;"),
            ("crates/a/src/b/d.rs", ""),
            ("crates/a/src/c.rs", ""),
            ("crates/a/tests/e.rs", ""),
        ]);
        let tests: Vec<_> = tree.rust().filter(|(_, rust)| rust.is_test).map(|(file, _)| file.path.as_str()).collect();
        assert_eq!(tests, ["crates/a/src/b/d.rs", "crates/a/src/c.rs", "crates/a/tests/e.rs"]);
    }

    #[test]
    fn files_that_are_no_text_have_a_name_only() {
        let tree = Tree::new(vec![("docs/a.png".into(), vec![0xff, 0xd8]), ("docs/b.md".into(), b"b".to_vec())]);
        assert_eq!(tree.files().len(), 1);
        assert!(tree.exists("docs/a.png") && tree.exists("docs") && tree.exists("docs/") && !tree.exists("doc") && !tree.exists("docs/a"));
    }
}
