//! The documentation's site, page by page: `xtask/site/check.py` in a Python that has Streamlit and a way to drive a browser; and the spelling.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::python::made;

/// What the site and its check need.
const PACKAGES: [&str; 8] = ["streamlit", "numpy", "pandas", "altair", "pillow", "onnxruntime", "playwright", "codespell"];

/// Runs the check; skipped, and said so, where pip has no registry.
///
/// # Errors
/// If Python cannot be started.
pub fn run(root: &Path, python: Option<&Path>) -> Outcome {
    let target = root.join("target/site");
    let python = match python {
        Some(python) => python.to_owned(),
        None => match made(&target.join("python"), &PACKAGES)? {
            Some(python) => python,
            None => {
                writeln!(io::stdout(), "skipped: pip could not install {}; is there a registry?", PACKAGES.join(", "))?;
                return Ok(true);
            }
        },
    };
    let mut check = Command::new(&python);
    check.arg(root.join("xtask/site/check.py")).arg(root.join("docs")).arg(target.join("pictures"));
    let status = check.env("PYTHONWARNINGS", "ignore").status().map_err(|e| format!("cannot start {}: {e}", python.display()))?;
    Ok(status.success())
}
