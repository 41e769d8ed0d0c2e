//! `cargo xtask docs`: the table of everything there is, and a page for each part, taken from where it stands in the code, so that they cannot
//! say anything else.
//!
//! What has a page is a public type whose documentation has a formula: a `text` block.

mod pages;
mod plot;
mod site;
mod transforms;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{fs, iter};

use nyang_nn::case::CASES;
use nyang_nn::loss;

use crate::Outcome;

/// Where the table is written, from the root of the repository.
const TABLE: &str = "docs/reference.md";

const INTRODUCTION: &str = "# What there is

Every layer, loss, optimizer and schedule with its formula, taken from the page where it stands: formula first, then shapes, training and
evaluation, errors, source, and an example. The numbers are those of its *cases*: settings in which `cargo xtask gradcheck` compares its
backward with central differences, and f32 with f64.

This file is written by `cargo xtask docs`. The zoo of ready models has [a table of its own](../crates/nyang-nn/src/zoo/mod.rs).
";

/// A part of the table: its heading, what its pages have in common, and their folder.
const SECTIONS: [(&str, &str, &str); 4] = [
    (
        "Layers and containers",
        "Each is a [`Module`](../crates/nyang-nn/src/module.rs): `infer`, `forward` and `backward`.",
        "crates/nyang-nn/src/layers",
    ),
    (
        "Losses",
        "Each is a [`Loss`](../crates/nyang-nn/src/loss/mod.rs): the sum of the losses, of their weights, and the gradient of the sum.",
        "crates/nyang-nn/src/loss",
    ),
    (
        "Optimizers, and what goes with them",
        "Each step changes every parameter by its gradient and sets the gradient to zero.",
        "crates/nyang-optim/src",
    ),
    (
        "Schedules",
        "Each is a [`Schedule`](../crates/nyang-optim/src/schedule/mod.rs): the learning rate as a function of the time t, in epochs or steps.",
        "crates/nyang-optim/src/schedule",
    ),
];

/// One row: a public type with a formula.
#[derive(Debug, PartialEq)]
struct Page {
    name: String,
    sentence: String,
    formula: Vec<String>,
    shapes: String,
}

/// The pages of one Rust file.
fn pages(text: &str) -> Vec<Page> {
    let mut found = Vec::new();
    let mut docs: Vec<&str> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("///") {
            Some(doc) => docs.push(doc.strip_prefix(' ').unwrap_or(doc)),
            None if line.starts_with("#[") => {}
            None => {
                let name = ["pub struct ", "pub type ", "pub enum ", "pub fn "].iter().find_map(|kind| line.strip_prefix(kind));
                found.extend(name.and_then(|rest| page(rest, &docs)));
                docs.clear();
            }
        }
    }
    found
}

/// A page, if its documentation has a formula. `rest` is the declaration from the name on.
fn page(rest: &str, docs: &[&str]) -> Option<Page> {
    let formula = docs.iter().skip_while(|line| **line != "```text").skip(1);
    let formula: Vec<String> = formula.take_while(|line| !line.is_empty() && **line != "```").map(|line| line.to_string()).collect();
    let paragraph =
        |from: usize| docs.iter().skip(from).take_while(|line| !line.is_empty()).map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    let shapes = docs.iter().position(|line| *line == "# Shapes").map_or(String::new(), |heading| paragraph(heading + 1));
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned();
    (!formula.is_empty()).then(|| Page { name, sentence: paragraph(0), formula, shapes })
}

/// The first paragraph of the documentation of what is declared by this text.
fn sentence(text: &str, declaration: &str) -> Option<String> {
    let before = text.split_once(&format!("\n{declaration}"))?.0;
    let mut docs: Vec<&str> = before.lines().rev().take_while(|line| line.starts_with("///") || line.starts_with("#[")).collect();
    docs.reverse();
    let docs = docs.iter().filter_map(|line| line.strip_prefix("///").map(str::trim));
    Some(docs.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" "))
}

/// How many cases there are of a layer or loss.
fn cases(name: &str) -> usize {
    let layers = CASES.iter().copied().flatten().map(|case| case.name);
    let losses = loss::CASES.iter().copied().flatten().map(|case| case.name);
    layers.chain(losses).filter(|case| case.split('/').next() == Some(name)).count()
}

/// Text as a cell of a table: without links, which lead from the page and not from here, and without what ends a cell.
fn cell(text: &str) -> String {
    let mut out = text.replace('|', "\\|");
    while let Some((before, rest)) = out.split_once("](") {
        let Some((_, after)) = rest.split_once(')') else { break };
        let Some((start, label)) = before.rsplit_once('[') else { break };
        out = format!("{start}{label}{after}");
    }
    out.replace("[`", "`").replace("`]", "`")
}

/// The row of a page, its formula's columns kept apart; the page stands in the file at `path`.
fn row(page: &Page, path: &str, shapes: bool) -> String {
    let Page { name, sentence, formula, .. } = page;
    let formula = formula.join("<br>").replace('|', "\\|").replace("< ", "&lt; ");
    let mut cells = vec![format!("[{name}](../{path})"), cell(sentence), format!("<pre>{formula}</pre>")];
    if shapes {
        cells.extend([cell(&page.shapes), cases(name).to_string()]);
    }
    format!("| {} |\n", cells.join(" | "))
}

/// The whole table.
fn table(root: &Path) -> io::Result<String> {
    let mut text = INTRODUCTION.to_owned();
    for (heading, about, folder) in SECTIONS {
        let shapes = folder.starts_with("crates/nyang-nn");
        text.push_str(&format!("\n## {heading}\n\n{about}\n\n| | what | formula |{}\n", if shapes { " shapes | cases |" } else { "" }));
        text.push_str(if shapes { "|---|---|---|---|---|\n" } else { "|---|---|---|\n" });
        let mut rows: Vec<(String, String)> = Vec::new();
        for entry in fs::read_dir(root.join(folder))? {
            let entry = entry?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if path.ends_with(".rs") {
                rows.extend(pages(&fs::read_to_string(entry.path())?).iter().map(|page| (page.name.clone(), row(page, &path, shapes))));
            }
        }
        rows.sort();
        rows.iter().for_each(|(_, row)| text.push_str(row));
    }
    Ok(text)
}

/// What is to be done with the documentation.
#[derive(clap::Args)]
pub struct How {
    /// Write nothing: fail if a file does not say what the code says
    #[arg(long)]
    check: bool,
    /// Then run every page of the site, and photograph it in a browser if there is one; with this Python, or one that is made in target/
    #[arg(long, value_name = "PYTHON", num_args = 0..=1)]
    site: Option<Option<PathBuf>>,
}

/// Writes or checks the pages, then the site if asked.
///
/// # Errors
/// If a file cannot be read or written, or Python cannot be run.
pub fn run(how: &How) -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let well = written_or_checked(root, how.check)?;
    match &how.site {
        Some(python) => Ok(site::run(root, python.as_deref())? && well),
        None => Ok(well),
    }
}

/// Everything that is written as text, by path from the root of the repository.
fn written(root: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = pages::pages(root)?;
    files.insert(TABLE.to_owned(), table(root)?);
    Ok(files)
}

/// The files below `folder`, by path from the root of the repository.
fn present(root: &Path, folder: &str) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return Ok(found) };
    for entry in entries {
        let entry = entry?;
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() { found.extend(present(root, &path)?) } else { found.push(path) }
    }
    Ok(found)
}

/// Writes table and pages and removes pages of what is gone, or with `check` says whether all that stands there is the same.
fn written_or_checked(root: &Path, check: bool) -> Outcome {
    let pictures_are_right = transforms::run(root, check)?;
    let files = written(root)?;
    let gone: Vec<String> = present(root, pages::FOLDER)?.into_iter().filter(|path| !files.contains_key(path)).collect();
    if !check {
        for (path, text) in &files {
            let file = root.join(path);
            fs::create_dir_all(file.parent().unwrap_or(root))?;
            fs::write(file, text)?;
        }
        gone.iter().try_for_each(|path| fs::remove_file(root.join(path)))?;
        writeln!(io::stdout(), "{} files written, {} removed", files.len(), gone.len())?;
        return Ok(true);
    }
    let mut stale: Vec<String> = gone.into_iter().map(|path| format!("{path}: a page of nothing that there is")).collect();
    for (path, text) in &files {
        let old = fs::read_to_string(root.join(path)).unwrap_or_default();
        if *text != old {
            let differs = iter::zip(text.lines(), old.lines()).position(|(new, old)| new != old);
            let line = differs.unwrap_or(text.lines().count().min(old.lines().count())) + 1;
            stale.push(format!("{path}:{line}: no longer what the code says"));
        }
    }
    stale.iter().try_for_each(|what| writeln!(io::stdout(), "{what}"))?;
    let verdict = if stale.is_empty() { "say what the code says" } else { "are stale: run `cargo xtask docs` and commit them" };
    writeln!(io::stdout(), "{} of {} files {verdict}", if stale.is_empty() { files.len() } else { stale.len() }, files.len())?;
    Ok(stale.is_empty() && pictures_are_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
//! A file.

/// One sentence over
/// two lines, see [`Other`](crate::Other).
///
/// ```text
/// y = |x|           dx = dy
///     and more
///
/// not this
/// ```
///
/// # Shapes
/// `[N] → [N]`
///
/// # Errors
/// None.
#[derive(Clone)]
pub struct Abs<T> {
}

/// No formula.
pub struct AbsConfig {
}
";

    #[test]
    fn a_page_is_a_public_type_with_a_formula() {
        let found = pages(PAGE);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "Abs");
        assert_eq!(found[0].formula, ["y = |x|           dx = dy", "    and more"]);
        assert_eq!(
            row(&found[0], "crates/a.rs", true),
            "| [Abs](../crates/a.rs) | One sentence over two lines, see `Other`. | <pre>y = \\|x\\|           dx = dy<br>    and more</pre> | `[N] → [N]` | 0 |\n"
        );
    }

    #[test]
    fn every_layer_and_loss_has_a_row_with_its_cases() {
        let text = table(Path::new("..")).unwrap();
        let kinds = CASES.iter().filter_map(|list| list.first()).map(|case| case.name);
        let losses = loss::CASES.iter().filter_map(|list| list.first()).map(|case| case.name);
        for name in kinds.chain(losses).filter_map(|name| name.split('/').next()) {
            let row = text.lines().find(|line| line.starts_with(&format!("| [{name}]"))).unwrap_or_else(|| panic!("no row for {name}"));
            assert!(row.ends_with(&format!("| {} |", cases(name))) && cases(name) > 0, "{row}");
        }
    }
}
