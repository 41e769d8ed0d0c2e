//! A model for other runtimes: trained here, written as ONNX, with its preprocessing and softmax inside.
//!
//! `cargo run --release --example onnx`, and then in Python:
//!
//! ```text
//! import numpy, onnxruntime
//! session = onnxruntime.InferenceSession("runs/onnx/digits.onnx")
//! [probabilities] = session.run(None, {"images": numpy.zeros((1, 1, 8, 8), "float32")})
//! ```
//!
//! With `-- docs/demo` behind it, the files are docs/demo.onnx and docs/demo.nyang, the two faces of the model that the site's demo asks.
#![allow(clippy::print_stdout)] // printing is what this program is for

use nyang_train::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let to = std::env::args().nth(1).unwrap_or("runs/onnx/digits".to_owned());

    // Turned, moved and sized a little, so that digits of other hands and pens are read too.
    let varied = transforms![Affine::new().degrees(10.0).translate(0.06, 0.06).scale(0.85..=1.1).shear(10.0)];
    let parts = Digits::load()?.split(Split::stratified(0.6, 0.2, 0.2).seed(1))?;
    let normalize = Normalize::fit(&parts.train)?;
    let train = Loader::new(parts.train).batch_size(64).shuffle(1).transform(varied).normalize(normalize.clone());
    let valid = Loader::new(parts.valid).batch_size(256).normalize(normalize.clone());
    let test = Loader::new(parts.test).batch_size(256).normalize(normalize.clone());

    #[rustfmt::skip] // one line a stage
    let model = Flow::input([1, 8, 8])
        .conv(16, 3).batch_norm().relu()
        .conv(32, 3).batch_norm().relu()
        .conv(32, 3).batch_norm().relu().global_avg_pool()
        .linear(10)
        .build(&mut Init::seed(1))?;
    let run = Trainer::new(model, CrossEntropy::new())
        .optimizer(AdamW::new(1e-2))
        .schedule(OneCycle::new())
        .epochs(100)
        .overwrite(true)
        .fit(&train, &valid, "runs/onnx")?;
    let classifier = run.best()?;
    println!("test accuracy {:.3}", classifier.evaluate(&test)?.accuracy());

    classifier.save(format!("{to}.nyang"))?;
    let path = format!("{to}.onnx");
    Onnx::new().normalize(normalize).softmax(true).write(&path, classifier.model.as_ref(), [1, 8, 8])?;
    println!(
        "{path}: {} bytes; input `images` [N, 1, 8, 8], values from 0 to 1; output `probabilities` [N, 10]",
        std::fs::metadata(&path)?.len()
    );
    Ok(())
}
