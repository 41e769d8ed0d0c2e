//! A Python with PyTorch: one that is named, or one that is made.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use super::question::{Anything, Question};
use super::store::{self, Arrays};
use crate::python::made;

/// What PyTorch's side needs.
const PACKAGES: [&str; 6] = ["torch", "torchvision", "numpy", "safetensors", "scikit-learn", "scipy"];

/// PyTorch's answers to all questions, by `question|array`, and its version.
pub fn ask(python: Option<&Path>, questions: &[Question]) -> Result<(Arrays, String), Anything> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = match python {
        Some(python) => python.to_owned(),
        None => made(&root.join("../target/python"), &PACKAGES)?
            .ok_or("pip could not install PyTorch: name a Python that has it, `--live PATH`")?,
    };
    let folder = root.join("../target/parity");
    std::fs::create_dir_all(&folder)?;
    let (asked, answered) = (folder.join("questions.safetensors"), folder.join("answers.safetensors"));
    let mut arrays = Arrays::new();
    for question in questions {
        arrays.extend(question.given.iter().map(|(name, array)| (format!("{}|{name}", question.name), array.clone())));
    }
    let expressions: HashMap<&str, [&str; 2]> = questions.iter().map(|q| (q.name.as_str(), [q.how, q.torch.as_str()])).collect();
    store::write(&asked, &arrays, HashMap::from([("torch".to_owned(), serde_json::to_string(&expressions)?)]))?;
    done(Command::new(&python).arg(root.join("parity/reference.py")).args([&asked, &answered]))?;
    let (answers, notes) = store::read(&answered)?;
    Ok((answers, notes.get("version").cloned().unwrap_or_default()))
}

/// Runs a command to its end, which must be a good one.
fn done(command: &mut Command) -> Result<(), Anything> {
    let status = command.status().map_err(|e| format!("cannot start {command:?}: {e}; name a Python with `--live PATH`"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}
