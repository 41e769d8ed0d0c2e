//! Writes the handwritten digits as a folder of pictures, one subfolder a class: something to try the other programs with.
//!
//! `cargo run --release --example digits_folder -- FOLDER`
#![allow(clippy::print_stdout)] // printing is what this program is for

use nyang_train::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("which folder is to be made?")?;
    let digits = Digits::load()?;
    for i in 0..digits.len() {
        let Sample { image, label, .. } = digits.get(i)?;
        let class = std::path::Path::new(&folder).join(label.to_string());
        std::fs::create_dir_all(&class)?;
        image.save_png(class.join(format!("{i:04}.png")))?;
    }
    println!("{} pictures of {} classes in {folder}", digits.len(), digits.classes().len());
    Ok(())
}
