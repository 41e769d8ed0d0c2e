//! A model for other runtimes: trained here, written as ONNX, with its preprocessing and softmax inside.
//!
//! `cargo run --release --example onnx`, and then in Python:
//!
//! ```text
//! import numpy, onnxruntime
//! session = onnxruntime.InferenceSession("runs/onnx/digits.onnx")
//! [probabilities] = session.run(None, {"images": numpy.zeros((1, 1, 8, 8), "float32")})
//! ```
#![allow(clippy::print_stdout)] // printing is what this program is for

use nyang_train::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parts = Digits::load()?.split(Split::stratified(0.6, 0.2, 0.2).seed(1))?;
    let normalize = Normalize::fit(&parts.train)?;
    let train = Loader::new(parts.train).batch_size(64).shuffle(1).normalize(normalize.clone());
    let valid = Loader::new(parts.valid).batch_size(256).normalize(normalize.clone());

    let model = Flow::input([1, 8, 8]).conv(16, 3).batch_norm().relu().max_pool(2).linear(10).build(&mut Init::seed(1))?;
    let run = Trainer::new(model, CrossEntropy::new()).epochs(5).overwrite(true).fit(&train, &valid, "runs/onnx")?;

    let classifier = Classifier::load(&run.path)?;
    let path = "runs/onnx/digits.onnx";
    Onnx::new().normalize(normalize).softmax(true).write(path, classifier.model.as_ref(), [1, 8, 8])?;
    println!(
        "{path}: {} bytes; input `images` [N, 1, 8, 8], values from 0 to 1; output `probabilities` [N, 10]",
        std::fs::metadata(path)?.len()
    );
    Ok(())
}
