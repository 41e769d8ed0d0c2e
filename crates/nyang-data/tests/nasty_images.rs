//! Images that break readers, from the test suites of Pillow and others: each is read or refused with its name, in little memory.
//!
//! They are not part of this repository. `NYANG_DATA=FOLDER cargo test -p nyang-data --test nasty_images` reads `FOLDER/nasty-images`.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may fail loudly, and says what it skips

use std::path::PathBuf;

use nyang_data::{Decode, Error};

/// What Pillow refuses and this reads.
const READ: [(&str, &str); 1] = [("png_decompression_dos.png", "the text that would become huge is skipped, not unpacked")];

/// What Pillow reads and this refuses.
const REFUSED: [(&str, &str); 2] = [
    ("multipage.tiff", "a palette of one bit, which the TIFF decoder does not know"),
    ("bmp_b_badrle.bmp", "a damaged run, which Pillow ends silently"),
];

#[test]
fn each_is_read_or_refused_as_by_pillow_or_for_a_reason() {
    let Some(folder) = std::env::var_os("NYANG_DATA").map(|root| PathBuf::from(root).join("nasty-images")) else {
        return println!("skipped: NYANG_DATA does not name a folder with nasty-images");
    };
    let mut manifest = csv::Reader::from_path(folder.join("manifest.csv")).unwrap();
    let mut surprises = Vec::new();
    for row in manifest.records() {
        let row = row.unwrap();
        let (name, pillow) = (&row[0], &row[5]);
        let path = folder.join("files").join(name);
        if !path.exists() {
            continue; // some names are too awkward for a copy
        }
        let listed = |list: &[(&str, &str)]| list.iter().any(|(known, _)| *known == name);
        let expected = listed(&READ) || (pillow.starts_with("ok") && !listed(&REFUSED));
        match Decode::new().exif(false).file(&path) {
            Ok(image) => {
                let size = format!("{}x{}", image.width(), image.height());
                if !expected || (pillow.starts_with("ok") && !pillow.contains(&size)) {
                    surprises.push(format!("{name}: read as {size}, by Pillow {pillow}"));
                }
            }
            Err(error) => {
                assert!(matches!(error, Error::Unreadable { .. }) && error.to_string().contains(name), "{error}");
                if expected {
                    surprises.push(format!("{error}, by Pillow {pillow}"));
                }
            }
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap();
        assert!(peak < 512 * 1024, "{peak} kB were taken at the most");
        println!("{peak} kB at the most");
    }
}
