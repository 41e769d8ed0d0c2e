//! Exclusive or: four points that no straight line can separate, and two layers with a bend between them that can.
//!
//! `cargo run --release --example xor`
#![allow(clippy::print_stdout)] // printing is what this program is for

use nyang_train::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let x = Tensor::from_vec([4, 2], vec![0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?;
    let t = Targets::Classes(vec![0, 1, 1, 0]);

    let straight = Flow::input([2]).linear(2).build(&mut Init::seed(3))?;
    let bent = Flow::input([2]).linear(8).tanh().linear(2).build(&mut Init::seed(3))?;
    for (name, mut model) in [("one linear layer", straight), ("two, with a tanh between", bent)] {
        let mut adam = Adam::new(0.05);
        let mut last = f64::NAN;
        for _ in 0..300 {
            let mut cx = Ctx::train(1);
            let logits = model.forward(x.clone(), &mut cx)?;
            let loss = CrossEntropy::new().value_grad(&logits, &t)?.mean()?;
            model.backward_params(loss.gradient, &mut cx)?;
            adam.step(&mut model)?;
            last = loss.value;
        }
        let answers = model.infer(x.clone(), &mut Ctx::eval())?.argmax(1)?;
        println!("{name}: loss {last:.4}, says {answers:?} for [0, 1, 1, 0]"); // ln 2 = 0.6931 is knowing nothing
    }
    Ok(())
}
