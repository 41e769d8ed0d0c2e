//! Virtual environments for the Python programs that we are held against.

use std::path::{Path, PathBuf};
use std::process::Command;

type Anything = Box<dyn std::error::Error>;

/// A virtual environment in `folder` with these packages; one that is there already is taken as it is. `None` where pip cannot have them.
pub fn made(folder: &Path, packages: &[&str]) -> Result<Option<PathBuf>, Anything> {
    let python = folder.join("bin/python");
    let ready = folder.join("ready");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&ready).is_ok_and(|had| had == wanted) {
        return Ok(Some(python));
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder).status().is_ok_and(|status| status.success());
    let installed = made && Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages).status()?.success();
    if !installed {
        return Ok(None);
    }
    std::fs::write(&ready, wanted)?;
    Ok(Some(python))
}
