//! A page for each layer, loss, optimizer, schedule, transform and metric: its documentation, taken from where it stands in the code.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use nyang_nn::case::CASES;
use nyang_nn::loss;

use super::{plot, transforms};

/// Where the pages are written, from the root of the repository.
pub const FOLDER: &str = "docs/reference";

/// The pages' folders, what they are called, and where the code stands.
const SECTIONS: [(&str, &str, &str); 6] = [
    ("layers", "Layers", "crates/nyang-nn/src/layers"),
    ("losses", "Losses", "crates/nyang-nn/src/loss"),
    ("optimizers", "Optimizers", "crates/nyang-optim/src"),
    ("schedules", "Schedules", "crates/nyang-optim/src/schedule"),
    ("transforms", "Transforms", "crates/nyang-data/src/transform"),
    ("metrics", "Metrics", "crates/nyang-train/src/metrics"),
];

/// A public item with its documentation.
struct Item {
    name: String,
    docs: Vec<String>,
}

/// Whether an item has a page: it has a formula, or it is of a kind whose every type has one.
fn has_page(section: &str, item: &Item) -> bool {
    let formula = item.docs.iter().any(|line| line == "```text");
    match section {
        "transforms" => item.name.starts_with(char::is_uppercase) && item.docs.len() > 2,
        "metrics" => item.docs.len() > 2,
        _ => formula,
    }
}

/// The public types and functions of one Rust file that stand at the margin.
fn items(text: &str) -> Vec<Item> {
    let (mut found, mut docs) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match line.strip_prefix("///") {
            Some(doc) => docs.push(doc.strip_prefix(' ').unwrap_or(doc).to_owned()),
            None if line.starts_with("#[") => {}
            None => {
                let rest = ["pub struct ", "pub type ", "pub enum ", "pub fn "].iter().find_map(|kind| line.strip_prefix(kind));
                let name = rest.and_then(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next());
                let docs = std::mem::take(&mut docs);
                found.extend(name.map(|name| Item { name: name.to_owned(), docs }));
            }
        }
    }
    found
}

/// Documentation as a page of its own: headings one level deeper, links into the code as names, and examples as a reader runs them.
fn markdown(docs: &[String]) -> String {
    let (mut out, mut code) = (String::new(), None);
    for line in docs {
        if let Some(language) = line.strip_prefix("```") {
            code = if code.is_some() { None } else { Some(language) };
            let rust = matches!(language, "" | "no_run" | "should_panic") && code.is_some();
            out.push_str(if rust { "```rust" } else { line });
        } else if code.is_some_and(|language| language != "text") {
            match line.strip_prefix("# ") {
                Some(import) if import.starts_with("use ") => out.push_str(import), // the compiler needs it, and so does who copies the example
                Some(_) => continue,                                                // only the compiler needs it
                None if line == "#" => continue,
                None => out.push_str(line),
            }
        } else if code.is_some() {
            out.push_str(line);
        } else if line.starts_with('#') {
            out.push('#');
            out.push_str(line);
        } else {
            out.push_str(&unlinked(line));
        }
        out.push('\n');
    }
    out
}

/// Text without links into the code: `[`Loss`](crate::Loss)` and `[`Loss`]` become `Loss` in code letters; links to the web stay.
fn unlinked(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(start) = rest.find("[`") {
        let Some(end) = rest[start..].find("`]").map(|end| start + end) else { break };
        out.push_str(&rest[..start]);
        out.push_str(&rest[start + 1..=end]);
        rest = &rest[end + 2..];
        if let Some(target) = rest.strip_prefix('(').and_then(|link| link.split_once(')')).filter(|(target, _)| !target.contains("//")) {
            rest = target.1;
        }
    }
    out.push_str(rest);
    out
}

/// The settings that are checked, and the same in PyTorch.
fn cases(name: &str) -> String {
    let of = |case: &str| case.split('/').next() == Some(name);
    let layers = CASES.iter().copied().flatten().filter(|case| of(case.name)).map(|case| (case.name, case.input, case.torch));
    let losses = loss::CASES.iter().copied().flatten().filter(|case| of(case.name)).map(|case| (case.name, case.logits, case.torch));
    let mut out = String::new();
    for (case, shape, torch) in layers.chain(losses) {
        if out.is_empty() {
            out.push_str("\n## Checked\n\nIn these settings, against central differences (`cargo xtask gradcheck ");
            out.push_str(&format!(
                "{name}/`) and against PyTorch (`cargo xtask parity {name}/`).\n\n| case | input | in PyTorch |\n|---|---|---|\n"
            ));
        }
        let torch = torch.map_or("–".to_owned(), |torch| format!("`{}`", torch.replace('|', "\\|")));
        out.push_str(&format!("| {} | `{shape:?}` | {torch} |\n", case.rsplit('/').next().unwrap_or(case)));
    }
    out
}

/// All pages and their pictures, and the list of them, by path from the root of the repository.
///
/// # Errors
/// If a file cannot be read.
pub fn pages(root: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut list = "# Pages\n\nOne for each part, taken from the code by `cargo xtask docs`.\n".to_owned();
    for (section, heading, folder) in SECTIONS {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(root.join(folder))? {
            let entry = entry?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if path.ends_with(".rs") {
                let items = items(&fs::read_to_string(entry.path())?);
                found
                    .extend(items.into_iter().filter(|item| has_page(section, item)).map(|item| (item.name.clone(), (path.clone(), item))));
            }
        }
        list.push_str(&format!("\n## {heading}\n\n"));
        for (name, (source, item)) in &found {
            let mut text = format!("# {name}\n\n");
            if let Some(picture) = plot::of(name, &item.docs) {
                text.push_str(&format!("![{name}](../pictures/{name}.svg)\n\n"));
                files.insert(format!("{FOLDER}/pictures/{name}.svg"), picture);
            }
            text.push_str(&markdown(&item.docs));
            text.push_str(&cases(name));
            if let Some(code) = transforms::example(name) {
                text.push_str(&format!("\n## In a picture\n\n![A picture, and three results](../../transforms/{name}.png)\n\n"));
                text.push_str(&format!("```rust\nuse nyang_data::*;\n\nlet shown = transforms![{code}];\n```\n"));
            }
            let file = source.rsplit('/').next().unwrap_or(source);
            text.push_str(&format!("\nThe code: [{file}](../../../{source})\n"));
            files.insert(format!("{FOLDER}/{section}/{name}.md"), text);
            list.push_str(&format!("- [{name}]({section}/{name}.md)\n"));
        }
    }
    files.insert(format!("{FOLDER}/README.md"), list);
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_what_a_reader_can_run_and_names_instead_of_links() {
        let docs = [
            "See [`Twice`](crate::Twice) and [`Other`].",
            "",
            "```",
            "# use a::b;",
            "# hidden();",
            "shown();",
            "```",
            "",
            "# Errors",
            "None.",
        ];
        let page = markdown(&docs.map(str::to_owned));
        assert_eq!(page, "See `Twice` and `Other`.\n\n```rust\nuse a::b;\nshown();\n```\n\n## Errors\nNone.\n");
    }

    #[test]
    fn links_to_the_web_stay() {
        assert_eq!(unlinked("as [`x`](https://a.b/c) says"), "as `x`(https://a.b/c) says");
    }

    #[test]
    fn every_layer_and_loss_has_its_page() {
        let pages = pages(Path::new("..")).unwrap();
        let layers = CASES.iter().filter_map(|list| list.first()).map(|case| (case.name, "layers"));
        let losses = loss::CASES.iter().filter_map(|list| list.first()).map(|case| (case.name, "losses"));
        for (case, section) in layers.chain(losses) {
            let name = case.split('/').next().unwrap();
            let page = pages.get(&format!("{FOLDER}/{section}/{name}.md")).unwrap_or_else(|| panic!("no page for {name}"));
            assert!(page.contains("## Checked") && page.contains("```text"), "{page}");
        }
    }
}
