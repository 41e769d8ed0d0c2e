//! A model of one's own: a struct with its own fields, forward and backward, that is checked, trained, saved and loaded like any other.
//!
//! `cargo run --release --example own_model`
#![allow(clippy::print_stdout)] // printing is what this program is for

use nyang_train::prelude::*;

/// Looks at an image twice, through convolutions and as raw pixels, and adds up what it sees: y = f(x) + g(x).
struct TwoViews<T: Element> {
    image: Flow<T>,
    pixels: Flow<T>,
}

impl<T: Element> Module<T> for TwoViews<T> {
    fn kind(&self) -> &'static str {
        "TwoViews"
    }
    fn out_shape(&self, input: &Shape) -> ModelResult<Shape> {
        self.image.out_shape(input)
    }
    fn infer(&self, x: Tensor<T>, cx: &mut Ctx<T>) -> ModelResult<Tensor<T>> {
        let pixels = cx.infer("pixels", &self.pixels, x.clone())?;
        Ok(cx.infer("image", &self.image, x)?.add(&pixels)?)
    }
    fn forward(&mut self, x: Tensor<T>, cx: &mut Ctx<T>) -> ModelResult<Tensor<T>> {
        let pixels = cx.forward("pixels", &mut self.pixels, x.clone())?;
        Ok(cx.forward("image", &mut self.image, x)?.add(&pixels)?)
    }
    fn backward(&mut self, dy: Tensor<T>, cx: &mut Ctx<T>) -> ModelResult<Tensor<T>> {
        let dx = cx.backward("pixels", &mut self.pixels, dy.clone())?; // dx = f′(dy) + g′(dy)
        Ok(cx.backward("image", &mut self.image, dy)?.add(&dx)?)
    }
    state!(T: child image, child pixels);
}

/// Eight by eight pixels in, ten logits out.
fn two_views<T: Element>(init: &mut Init) -> ModelResult<TwoViews<T>> {
    let image = Flow::input([1, 8, 8]).conv(16, 3).batch_norm().relu().max_pool(2).linear(10).build(init)?;
    let pixels = Flow::input([1, 8, 8]).linear(10).build(init)?;
    Ok(TwoViews { image, pixels })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Is backward the gradient of forward?
    let x = Tensor::normal([3, 1, 8, 8], 0.0, 1.0, &mut Rng::seed(1))?;
    let check = check_gradients(&mut two_views(&mut Init::seed(1))?, &x, &GradCheck::default())?;
    println!("worst gradient error {:.1e} at {} of {} entries", check.worst, check.place, check.entries);
    if !check.passes(1e-7) {
        return Err("the gradients are wrong".into());
    }

    // Train it.
    let parts = Digits::load()?.split(Split::stratified(0.6, 0.2, 0.2).seed(1))?;
    let train = Loader::new(parts.train).batch_size(64).shuffle(1);
    let valid = Loader::new(parts.valid).batch_size(256);
    let run = Trainer::new(two_views(&mut Init::seed(1))?, CrossEntropy::new())
        .optimizer(Adam::new(0.01))
        .epochs(8)
        .overwrite(true)
        .callback(Progress::new())
        .fit(&train, &valid, "runs/own_model")?;

    // Load it again: the registry is told how to build a TwoViews, the weights are in the file.
    let registry = Registry::standard().with("TwoViews", |_, build| Ok(Box::new(two_views(build.init)?)));
    let classifier = Classifier::load_with(&run.path, &registry)?;
    let result = classifier.evaluate(&Loader::new(parts.test).batch_size(256))?;
    println!("test accuracy {:.3}  macro F1 {:.3}", result.accuracy(), result.macro_f1());
    Ok(())
}
