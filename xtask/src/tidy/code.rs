//! What Rust code may do where: `unsafe`, printing, allowed lints, types of other people's crates.

use super::Violation;
use super::rust_text::{RustText, has};
use super::tree::Tree;

/// `unsafe` is only in nyang-tensor's sources and in tests (an allocator that counts), in files that say why at their top, and each block
/// and impl has its `// SAFETY:` just above.
pub fn unsafe_is_confined_and_explained(tree: &Tree) -> Vec<Violation> {
    const ABOVE: usize = 6; // lines that a SAFETY comment and the statement it belongs to may take
    let mut found = Vec::new();
    for (file, rust) in tree.rust() {
        let place = file.path.starts_with("crates/nyang-tensor/src/") || rust.is_test;
        let permitted = place && rust.all().any(|line| line.code.contains("#![allow(unsafe_code)]"));
        let first = rust.all().find(|line| has(line.code, "unsafe"));
        if let (Some(line), false) = (first, permitted) {
            let what = "unsafe is for nyang-tensor's pool and kernels, in files with `#![allow(unsafe_code)] // why`; find a safe way";
            found.push(Violation::new(&file.path, line.number, what));
        }
        for line in rust.all().filter(|line| line.code.contains("unsafe {") || line.code.contains("unsafe impl")) {
            let above = line.number.saturating_sub(ABOVE)..=line.number;
            if !above.into_iter().any(|n| rust.comment(n).contains("SAFETY:")) {
                let what = "unsafe without its reason: put `// SAFETY:` above it, with the bound that makes it sound";
                found.push(Violation::new(&file.path, line.number, what));
            }
        }
    }
    found
}

/// What no library does: print, read the environment or the clock, end the process.
const LOUD: [&str; 13] = [
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
    "dbg!",
    "stdout",
    "stderr",
    "env::var",
    "env::vars",
    "env::var_os",
    "SystemTime",
    "Instant",
    "process::exit",
];

/// The one display, which is given to a trainer by whoever wants to see something; and the one clock, for what logs and timings are about.
const PERMITTED: [(&str, &str); 3] = [
    ("crates/nyang-train/src/progress.rs", "stderr"),
    ("crates/nyang-train/src/logs/clock.rs", "SystemTime"),
    ("crates/nyang-train/src/logs/clock.rs", "Instant"),
];

/// Library code prints nothing, reads neither environment nor clock, and ends no process.
pub fn libraries_are_quiet(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (file, rust) in tree.library_code() {
        for line in rust.shipped() {
            for loud in LOUD.iter().filter(|loud| has(line.code, loud)).filter(|loud| !PERMITTED.contains(&(file.path.as_str(), loud))) {
                let what = format!("`{loud}` in a library: return it, take it as an argument, or leave it to a callback");
                found.push(Violation::new(&file.path, line.number, what));
            }
        }
    }
    found
}

/// The two globals of the libraries: idle memory and idle threads, neither of which changes a result.
const GLOBALS: [&str; 2] = ["crates/nyang-tensor/src/buffer.rs", "crates/nyang-tensor/src/team.rs"];

/// No library has global state but the buffer pool and the team of threads.
pub fn globals_are_confined(tree: &Tree) -> Vec<Violation> {
    let global = |code: &str| has(&code.replace("'static", ""), "static") || has(code, "thread_local!");
    let files = tree.library_code().filter(|(file, _)| !GLOBALS.contains(&file.path.as_str()));
    let lines = files.flat_map(|(file, rust)| rust.shipped().filter(|line| global(line.code)).map(move |line| (file, line.number)));
    lines.map(|(file, line)| Violation::new(&file.path, line, "global state: make it a value that callers hold and pass")).collect()
}

/// Every `allow` of a lint outside tests says why, in a comment beside or above it or in its `reason`.
pub fn allowed_lints_have_reasons(tree: &Tree) -> Vec<Violation> {
    let is_reason = |comment: &str| comment.starts_with("//") && !comment.starts_with("///") && !comment.starts_with("//!");
    let mut found = Vec::new();
    for (file, rust) in tree.rust() {
        for line in rust.shipped() {
            let allows = ["#[allow(", "#![allow(", "#[expect(", "#![expect("].iter().any(|form| line.code.contains(form));
            let explained = [line.number, line.number - 1].iter().any(|n| is_reason(rust.comment(*n))) || has(line.code, "reason =");
            if allows && !explained {
                found.push(Violation::new(&file.path, line.number, "a lint is allowed without a reason: say why in a comment beside it"));
            }
        }
    }
    found
}

/// Where `ndarray`'s types may appear: its releases must not be ours.
const BORDER: [&str; 2] = ["crates/nyang-tensor/src/ndarray.rs", "crates/nyang-data/src/in_memory.rs"];

/// The types of `ndarray` appear only where arrays come in and go out.
pub fn ndarray_stays_at_the_border(tree: &Tree) -> Vec<Violation> {
    let names_it = |rust: &RustText| {
        let line = rust.all().find(|l| (has(l.code, "ndarray::") && !l.code.contains("::ndarray::")) || l.code.contains("use ndarray"));
        line.map(|l| l.number)
    };
    let outside = tree.rust().filter(|(file, _)| file.path.starts_with("crates/") && !BORDER.contains(&file.path.as_str()));
    let violation = |path: &str, line| {
        Violation::new(path, line, format!("`ndarray` is for {} only: take or give a Tensor here", BORDER.join(" and ")))
    };
    outside.filter_map(|(file, rust)| Some(violation(&file.path, names_it(rust)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(check: fn(&Tree) -> Vec<Violation>, path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)])).iter().map(|v| v.line).collect()
    }

    #[test]
    fn unsafe_elsewhere_or_unexplained_is_found() {
        const KERNEL: &str = "crates/nyang-tensor/src/kernels/new.rs";
        let check = |path, text: &str| lines(unsafe_is_confined_and_explained, path, text);
        let good =
            "//! x\n#![allow(unsafe_code)] // why\n// SAFETY: i < n\nlet x = unsafe { *p };\n// SAFETY: own\nunsafe impl Send for X {}\n";
        assert_eq!(check(KERNEL, good), [] as [usize; 0]);
        assert_eq!(check("crates/nyang-nn/src/new.rs", good), [4]);
        assert_eq!(check("xtask/src/new.rs", good), [4]);
        assert_eq!(check("crates/nyang-nn/tests/new.rs", good), [] as [usize; 0]);
        assert_eq!(check("crates/nyang-nn/tests/new.rs", &good.replace("#![allow(unsafe_code)] // why", "")), [4]);
        assert_eq!(check(KERNEL, &good.replace("#![allow(unsafe_code)] // why", "")), [4]);
        assert_eq!(check(KERNEL, &good.replace("SAFETY: i", "i")), [4]);
        let far = "\n".repeat(6);
        assert_eq!(check(KERNEL, &format!("#![allow(unsafe_code)] // why\n// SAFETY: too far\n{far}unsafe {{ f() }}")), [9]);
        assert_eq!(check("crates/nyang-nn/src/new.rs", "// unsafe {\nlet unsafe_code = \"unsafe { }\";"), [] as [usize; 0]);
    }

    #[test]
    fn loud_libraries_are_found() {
        const NEW: &str = "crates/nyang-nn/src/new.rs";
        let check = |path, text: &str| lines(libraries_are_quiet, path, text);
        for loud in LOUD {
            assert_eq!(check(NEW, &format!("fn f() {{\n  std::{loud}(x);\n}}")), [2], "{loud}");
        }
        let quiet = "/// println!(x)\nfn f() { g(\"println!\") } // dbg!\n#[cfg(test)]\nmod tests { fn t() { println!(\"x\") } }";
        assert_eq!(check(NEW, quiet), [] as [usize; 0]);
        assert_eq!(check("crates/nyang-train/src/progress.rs", "write(stderr());"), [] as [usize; 0]);
        assert_eq!(check("crates/nyang-train/src/progress.rs", "eprintln!()"), [1]);
        assert_eq!(check("crates/nyang-train/src/logs/clock.rs", "use std::time::{Instant, SystemTime};"), [] as [usize; 0]);
        assert_eq!(check("crates/nyang-train/src/logs/history.rs", "use std::time::Instant;"), [1]);
        assert_eq!(check("examples/src/digits.rs", "println!()"), [] as [usize; 0]);
    }

    #[test]
    fn globals_are_found() {
        let check = |path, text: &str| lines(globals_are_confined, path, text);
        for text in ["static X: u8 = 0;", "pub(crate) static mut X: u8 = 0;", "thread_local! { }"] {
            assert_eq!(check("crates/nyang-nn/src/new.rs", text), [1], "{text}");
            GLOBALS.iter().for_each(|global| assert_eq!(check(global, text), [] as [usize; 0]));
        }
        assert_eq!(check("crates/nyang-nn/src/new.rs", "const X: &'static str = \"static\"; // static"), [] as [usize; 0]);
    }

    #[test]
    fn lints_that_are_allowed_for_no_reason_are_found() {
        let check = |text: &str| lines(allowed_lints_have_reasons, "xtask/src/new.rs", text);
        assert_eq!(check("#[allow(dead_code)]\nfn f() {}"), [1]);
        assert_eq!(check("/// A doc is no reason.\n#[allow(dead_code)]\nfn f() {}"), [2]);
        let fine = "#![allow(a)] // why\n\n// why\n#[allow(b)]\n#[expect(c, reason = \"why\")]\n#[cfg(test)]\nmod tests {\n#[allow(d)]\n}";
        assert_eq!(check(fine), [] as [usize; 0]);
    }

    #[test]
    fn arrays_beyond_the_border_are_found() {
        let check = |path, text: &str| lines(ndarray_stays_at_the_border, path, text);
        for text in ["use ndarray::Array1;", "fn f(x: ndarray::Array1<f32>) {}", "pub use ndarray;"] {
            assert_eq!(check("crates/nyang-nn/src/new.rs", text), [1], "{text}");
            assert_eq!(check(BORDER[0], text), [] as [usize; 0]);
        }
        assert_eq!(check("crates/nyang-tensor/src/lib.rs", "mod ndarray;\nuse crate::ndarray::x; // ndarray::y"), [] as [usize; 0]);
    }
}
