//! What the manifests say: who may depend on whom, and what a published crate brings along.

use super::Violation;
use super::tree::Tree;

/// The arrows of ARCHITECTURE.md: a crate, and the ones it may depend on. Nothing depends on what is not on the right anywhere.
const ARROWS: [(&str, &[&str]); 7] = [
    ("nyang-tensor", &[]),
    ("nyang-nn", &["nyang-tensor"]),
    ("nyang-data", &["nyang-tensor"]),
    ("nyang-optim", &["nyang-nn", "nyang-tensor"]),
    ("nyang-train", &["nyang-data", "nyang-nn", "nyang-optim", "nyang-tensor"]),
    ("nyang-examples", LIBRARIES),
    ("xtask", LIBRARIES),
];
const LIBRARIES: &[&str] = &["nyang-data", "nyang-nn", "nyang-optim", "nyang-tensor", "nyang-train"];

/// A crate depends on those below it in ARCHITECTURE.md's picture and on no others, in tests and build scripts too.
pub fn arrows(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, manifest) in manifests(tree) {
        let Some((name_line, name)) = field(manifest, "package", "name") else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            found.push(Violation::new(
                path,
                name_line,
                format!("`{name}` is not in the picture; give it its arrows in ARCHITECTURE.md and here"),
            ));
            continue;
        };
        for (line, on) in dependencies(manifest) {
            let ours = on.starts_with("nyang-") || on == "xtask";
            if ours && !allowed.contains(&on.as_str()) {
                let may = if allowed.is_empty() { "no crate of this workspace".to_owned() } else { allowed.join(", ") };
                found.push(Violation::new(path, line, format!("{name} must not depend on {on}; it may depend on {may}")));
            }
        }
    }
    found
}

/// A published crate has a README, a changelog, a description, a license, and the workspace's lints.
pub fn published(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, manifest) in manifests(tree).filter(|(path, _)| path.starts_with("crates/")) {
        let folder = path.trim_end_matches("Cargo.toml");
        for file in ["README.md", "CHANGELOG.md"] {
            if !tree.exists(&format!("{folder}{file}")) {
                found.push(Violation::new(path, 1, format!("a published crate has a {file}: write {folder}{file}")));
            }
        }
        match field(manifest, "package", "description") {
            Some((_, text)) if text.split_whitespace().count() >= 3 => {}
            Some((line, text)) => {
                found.push(Violation::new(path, line, format!("the description {text:?} says nothing: write one sentence")))
            }
            None => found.push(Violation::new(path, 1, "a published crate has a description: add one sentence to [package]")),
        }
        if field(manifest, "package", "license").is_none() {
            found.push(Violation::new(path, 1, "a published crate has a license: add `license.workspace = true` to [package]"));
        }
    }
    for (path, manifest) in manifests(tree).filter(|(path, _)| *path != "Cargo.toml") {
        if field(manifest, "lints", "workspace").is_none_or(|(_, value)| value != "true") {
            found.push(Violation::new(path, 1, "the workspace's lints are not in force: add [lints] with workspace = true"));
        }
    }
    found
}

/// Every dependency has its reason in ARCHITECTURE.md.
pub fn dependencies_have_reasons(tree: &Tree) -> Vec<Violation> {
    let (Some(manifest), Some(reasons)) = (tree.text("Cargo.toml"), tree.text("ARCHITECTURE.md")) else { return vec![] };
    let unexplained = |(line, name): (usize, String)| {
        let explained = name.starts_with("nyang-") || reasons.contains(&format!("`{name}`"));
        let what = || format!("`{name}` has no reason: say in ARCHITECTURE.md, under Dependencies, what it is for");
        (!explained).then(|| Violation::new("Cargo.toml", line, what()))
    };
    dependencies(manifest).into_iter().filter_map(unexplained).collect()
}

fn manifests(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.files().iter().filter(|f| f.path.ends_with("Cargo.toml")).map(|f| (f.path.as_str(), f.text.as_str()))
}

/// Each line of a manifest with its number and the section that it is in.
fn lines(manifest: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let mut section = "";
    manifest.lines().enumerate().map(move |(i, line)| {
        if let Some(name) = line.trim().strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
        }
        (i + 1, section, line.trim())
    })
}

/// Line and value of a field; `true` for `name.workspace = true`.
fn field(manifest: &str, section: &str, name: &str) -> Option<(usize, String)> {
    lines(manifest).filter(|(_, s, _)| *s == section).find_map(|(line, _, text)| {
        let (key, value) = text.split_once('=')?;
        let key = key.trim();
        (key == name || key.strip_suffix(".workspace") == Some(name)).then(|| (line, value.trim().trim_matches('"').to_owned()))
    })
}

/// Every dependency with its line: of the crate, its tests and its build script, for any target; a renamed one by its real name.
fn dependencies(manifest: &str) -> Vec<(usize, String)> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let mut found = Vec::new();
    for (line, section, text) in lines(manifest) {
        let mut parts = section.rsplit('.');
        let (last, before) = (parts.next().unwrap_or_default(), parts.next());
        let renamed = text.split_once("package").and_then(|(_, rest)| rest.split('"').nth(1));
        if KINDS.contains(&last) {
            if let Some((key, _)) = text.split_once('=').filter(|_| !text.starts_with('#')) {
                let key = key.trim().trim_matches('"');
                let key = key.strip_suffix(".workspace").unwrap_or(key);
                found.push((line, renamed.unwrap_or(key).to_owned()));
            }
        } else if before.is_some_and(|kind| KINDS.contains(&kind)) && (text.starts_with('[') || text.starts_with("package")) {
            found.push((line, renamed.unwrap_or(last).to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, rest: &str) -> String {
        format!("[package]\nname = \"{name}\"\n{rest}")
    }

    #[test]
    fn every_way_to_write_a_forbidden_dependency_is_found() {
        for rest in [
            "[dependencies]\nnyang-data = { workspace = true }",
            "[dependencies]\nnyang-data.workspace = true",
            "[dev-dependencies]\nnyang-data = \"0.1\"",
            "[build-dependencies]\n\"nyang-data\" = \"0.1\"",
            "[target.'cfg(unix)'.dependencies]\nnyang-data = { path = \"../nyang-data\" }",
            "[dependencies]\ndata = { package = \"nyang-data\", version = \"0.1\" }",
            "[dependencies.nyang-data]\nworkspace = true",
            "[dev-dependencies.data]\npackage = \"nyang-data\"",
            "[dependencies]\nxtask = { path = \"../../xtask\" }",
            "[dependencies]\nnyang-examples = { path = \"../../examples\" }",
        ] {
            let found = arrows(&Tree::of(&[("crates/nyang-nn/Cargo.toml", &manifest("nyang-nn", rest))]));
            assert_eq!(found.len(), 1, "{rest}: {found:?}");
            assert!(found[0].what.contains("must not depend on"), "{}", found[0]);
        }
    }

    #[test]
    fn allowed_arrows_and_other_peoples_crates_are_fine() {
        let rest = "[dependencies]\n# nyang-data = 1\nnyang-tensor = { workspace = true }\nserde.workspace = true\n[lints]\nnyang-data = 1";
        assert_eq!(arrows(&Tree::of(&[("crates/nyang-nn/Cargo.toml", &manifest("nyang-nn", rest))])), []);
        let found = arrows(&Tree::of(&[("crates/nyang-new/Cargo.toml", &manifest("nyang-new", ""))]));
        assert!(found[0].what.contains("not in the picture"), "{found:?}");
    }

    #[test]
    fn what_a_published_crate_lacks_is_found() {
        let whole = manifest("nyang-nn", "description = \"One whole sentence\"\nlicense.workspace = true\n[lints]\nworkspace = true");
        let tree = |manifest: &str, files: &[&str]| {
            let mut all = vec![("crates/nyang-nn/Cargo.toml", manifest)];
            all.extend(files.iter().map(|f| (*f, "")));
            published(&Tree::of(&all)).into_iter().map(|v| v.what).collect::<Vec<_>>()
        };
        let [readme, changelog] = ["crates/nyang-nn/README.md", "crates/nyang-nn/CHANGELOG.md"];
        assert!(tree(&whole, &[readme, changelog]).is_empty());
        for (manifest, files, says) in [
            (whole.clone(), vec![changelog], "README.md"),
            (whole.clone(), vec![readme], "CHANGELOG.md"),
            (whole.replace("One whole sentence", "Soon"), vec![readme, changelog], "says nothing"),
            (whole.replace("description", "title"), vec![readme, changelog], "has a description"),
            (whole.replace("license", "licence"), vec![readme, changelog], "has a license"),
            (whole.replace("workspace = true\"", ""), vec![readme, changelog], ""),
            (whole.replace("[lints]\nworkspace", "[lints]\nelsewhere"), vec![readme, changelog], "lints are not in force"),
        ] {
            let found = tree(&manifest, &files);
            assert!(says.is_empty() || (found.len() == 1 && found[0].contains(says)), "{says}: {found:?}");
        }
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let root = "[workspace.dependencies]\nnyang-nn = { path = \"x\" }\nserde = \"1\"\nrayon = \"1\"";
        let found = dependencies_have_reasons(&Tree::of(&[("Cargo.toml", root), ("ARCHITECTURE.md", "- `rayon`: threads")]));
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("Cargo.toml:3: `serde` has no reason"), "{}", found[0]);
    }
}
