//! What no text file of the repository says, and where its links lead.

use super::Violation;
use super::rust_text::has;
use super::tree::Tree;

/// Work that was put off, or a test that does not run. (Written in two pieces, so that this file has none itself.)
const LEFTOVERS: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("to", "do!"),
    concat!("un", "implemented!"),
    concat!("#[ig", "nore"),
];

/// Nothing is put off: no notes to oneself, no unfinished code, no test that does not run.
pub fn nothing_is_left_over(tree: &Tree) -> Vec<Violation> {
    let found =
        |line: &str| LEFTOVERS.iter().find(|left| has(line, left)).map(|left| format!("`{left}`: do it now, or say it in an issue"));
    each_line(tree, found)
}

/// Where people and machines keep their files.
const PLACES: [&str; 5] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/op", "t/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

/// No file names a path that only one machine has.
pub fn no_machine_is_named(tree: &Tree) -> Vec<Violation> {
    let part_of_longer = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    let absolute =
        |line: &str, place: &&&str| line.match_indices(**place).any(|(at, _)| !line[..at].chars().next_back().is_some_and(part_of_longer));
    let found = |line: &str| {
        let place = PLACES.iter().find(|place| absolute(line, place));
        place.map(|place| format!("`{place}…` is a path of one machine: make it relative, or an argument"))
    };
    each_line(tree, found)
}

fn each_line(tree: &Tree, found: impl Fn(&str) -> Option<String>) -> Vec<Violation> {
    let lines = tree.files().iter().flat_map(|file| file.text.lines().enumerate().map(move |(i, line)| (&file.path, i + 1, line)));
    lines.filter_map(|(path, number, line)| Some(Violation::new(path, number, found(line)?))).collect()
}

/// Every relative link of a Markdown file leads to a file or folder of the repository.
pub fn links_lead_somewhere(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.files().iter().filter(|file| file.path.ends_with(".md")) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (line, target) in links(&file.text) {
            let path = target.split(['#', '?']).next().unwrap_or_default();
            let elsewhere = target.contains(':') || path.is_empty(); // another site, a Rust path, or a heading of this file
            if !elsewhere && !resolved(folder, path).is_some_and(|path| tree.exists(&path)) {
                found.push(Violation::new(&file.path, line, format!("the link to `{target}` leads nowhere: mend it")));
            }
        }
    }
    found
}

/// Every page with a program is among those that `cargo test` compiles: they stand in `examples/lib.rs`. (The pages of the reference are made
/// from the code's documentation, and compiled there.)
pub fn programs_in_pages_are_tested(tree: &Tree) -> Vec<Violation> {
    const LIST: &str = "examples/lib.rs";
    let tested = tree.text(LIST).unwrap_or_default();
    let written = |path: &str| path.starts_with("docs/") && path.ends_with(".md") && !path.starts_with("docs/reference/");
    let pages = tree.files().iter().filter(|file| written(&file.path));
    let untested = pages.filter_map(|file| {
        let line = file.text.lines().position(|line| line.starts_with("```rust"))? + 1;
        let listed = tested.contains(&format!("include_str!(\"../{}\")", file.path));
        (!listed).then(|| Violation::new(&file.path, line, format!("nobody compiles this program: put the page into {LIST}")))
    });
    untested.collect()
}

/// The targets of `[text](target)` and `[name]: target` with their lines, code left out.
fn links(markdown: &str) -> Vec<(usize, String)> {
    let (mut found, mut in_code) = (Vec::new(), false);
    for (i, line) in markdown.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let inline = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        let definition = prose.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target.trim());
        found.extend(inline.chain(definition).map(|target| (i + 1, target.trim_matches(['<', '>']).to_owned())));
    }
    found
}

/// `path` seen from `folder`; `None` if it leaves the repository.
fn resolved(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_found_in_any_file() {
        for left in LEFTOVERS {
            for path in ["crates/a/src/lib.rs", "docs/a.md", ".ci/run"] {
                let found = nothing_is_left_over(&Tree::of(&[(path, &format!("fine\n// {left} later"))]));
                assert!(found.len() == 1 && found[0].line == 2, "{left} in {path}: {found:?}");
            }
        }
        assert_eq!(nothing_is_left_over(&Tree::of(&[("a.md", "a todo list, TODOS, unimplemented")])), []);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for place in PLACES {
            for text in [format!("{place}x"), format!("open(\"{place}x\")"), format!("see `{place}x`")] {
                assert_eq!(no_machine_is_named(&Tree::of(&[("docs/a.md", &text)])).len(), 1, "{text}");
            }
            for text in [format!("https://example.org{place}x"), format!("frame{place}x"), format!("..{place}x")] {
                assert_eq!(no_machine_is_named(&Tree::of(&[("docs/a.md", &text)])), [], "{text}");
            }
        }
    }

    #[test]
    fn a_page_whose_program_nobody_compiles_is_found() {
        let tree = |page: &str, list: &str| Tree::of(&[("docs/ko/a.md", page), ("examples/lib.rs", list)]);
        let page = "# A page\n```rust,no_run\nfn main() {}\n```\n";
        let found = programs_in_pages_are_tested(&tree(page, "#[doc = include_str!(\"../docs/a.md\")]"));
        assert!(found.len() == 1 && found[0].line == 2, "{found:?}");
        assert_eq!(programs_in_pages_are_tested(&tree(page, "#[doc = include_str!(\"../docs/ko/a.md\")]")), []);
        assert_eq!(programs_in_pages_are_tested(&tree("```sh\nrustup\n```", "")), []);
        assert_eq!(programs_in_pages_are_tested(&Tree::of(&[("docs/reference/layers/A.md", page)])), []);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let text = "[a](b.md) [c](../README.md#top) [d](https://x.org/y) [e](#here) `[f](no.md)` [g](../crates/)\n\
                    ```text\n[h](no.md)\n```\n[i](crate::Tensor) [j](<b.md>) [k](b.md \"title\")\n[l]: ../README.md\n";
        let tree = |text: &str| Tree::of(&[("docs/a.md", text), ("docs/b.md", ""), ("README.md", ""), ("crates/x/README.md", "")]);
        assert_eq!(links_lead_somewhere(&tree(text)), []);
        for lost in ["[a](no.md)", "text\n[a](../b.md)", "[a](../../README.md)", "[b]: no.md", "![p](no.png)", "x](y.md)"] {
            let found = links_lead_somewhere(&tree(lost));
            assert_eq!(found.len(), 1, "{lost}: {found:?}");
            assert_eq!(found[0].line, lost.lines().count());
        }
    }
}
