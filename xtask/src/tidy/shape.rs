//! How files are made: one idea, said in the first line; and every layer in every list.

use super::Violation;
use super::tree::Tree;

/// The most lines a file may have, its tests included. Past it there is surely a second idea.
const LINES: usize = 500;

/// Names that say nothing: a function lives with the idea that it serves.
const NAMES: [&str; 6] = ["utils", "util", "helpers", "helper", "common", "misc"];

/// A Rust file says in its first line what it is, has at most 500 lines, and a name that says something.
pub fn files_say_what_they_are(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (file, _) in tree.rust() {
        if !file.text.starts_with("//!") && !file.text.starts_with("#![") {
            found.push(Violation::new(&file.path, 1, "the first line does not say what the file is and why: start with `//!`"));
        }
        let lines = file.text.lines().count();
        if lines > LINES {
            found.push(Violation::new(
                &file.path,
                LINES + 1,
                format!("{lines} lines; past {LINES} there is a second idea: give it its own file"),
            ));
        }
        let stems = file.path.trim_end_matches(".rs").split('/').filter(|part| NAMES.contains(part));
        found.extend(
            stems.map(|name| Violation::new(&file.path, 1, format!("`{name}` names nothing: put each function with the idea it serves"))),
        );
    }
    found
}

const LAYERS: &str = "crates/nyang-nn/src/layers/";

/// Files there that are no layers.
const NO_LAYERS: [&str; 2] = ["mod", "flow_builder"];

/// Every layer has cases, which the gradient check runs, and is in the list of `layers/mod.rs`.
pub fn layers_are_in_the_list(tree: &Tree) -> Vec<Violation> {
    let list = tree.text(&format!("{LAYERS}mod.rs")).unwrap_or_default();
    let mut found = Vec::new();
    for (file, rust) in tree.rust() {
        let Some(layer) = file.path.strip_prefix(LAYERS).and_then(|name| name.strip_suffix(".rs")) else { continue };
        if NO_LAYERS.contains(&layer) || rust.is_test || layer.contains('/') {
            continue;
        }
        let mut lacks = |what: String| found.push(Violation::new(&file.path, 1, what));
        if !rust.shipped().any(|line| line.code.contains("const CASES: &[Case]")) {
            lacks("a layer without cases is checked by nothing: end the file with its CASES".to_owned());
        }
        if !list.lines().any(|line| line.trim_start().starts_with(&format!("{layer}: "))) {
            lacks(format!("`{layer}: …;` is missing in the list of {LAYERS}mod.rs: nobody can use, build or check it"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_a_first_line_or_with_too_many_or_no_name_are_found() {
        let check = |path: &str, text: &str| files_say_what_they_are(&Tree::of(&[(path, text)])).len();
        assert_eq!(check("crates/a/src/b.rs", "//! B."), 0);
        assert_eq!(check("crates/a/src/b.rs", "#![no_std]"), 0);
        assert_eq!(check("crates/a/src/b.rs", "use b;"), 1);
        assert_eq!(check("crates/a/src/b.rs", &"//!\n".repeat(LINES)), 0);
        assert_eq!(check("crates/a/src/b.rs", &"//!\n".repeat(LINES + 1)), 1);
        for path in ["crates/a/src/utils.rs", "crates/a/src/helpers/mod.rs", "xtask/src/misc.rs", "crates/a/tests/common/mod.rs"] {
            assert_eq!(check(path, "//! x"), 1, "{path}");
        }
    }

    #[test]
    fn layers_that_are_not_in_the_list_are_found() {
        let check = |list: &str, layer: &str| {
            let files =
                [(&*format!("{LAYERS}mod.rs"), list), (&*format!("{LAYERS}relu.rs"), layer), (&*format!("{LAYERS}flow_builder.rs"), "")];
            layers_are_in_the_list(&Tree::of(&files)).len()
        };
        const LAYER: &str = "pub(crate) const CASES: &[Case] = &[];";
        assert_eq!(check("    relu: Relu;", LAYER), 0);
        assert_eq!(check("    relu: Relu;", "// const CASES: &[Case]"), 1);
        assert_eq!(check("    prelu: PRelu;", LAYER), 1);
        assert_eq!(check("", ""), 2);
    }
}
