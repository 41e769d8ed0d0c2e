//! A linear layer by hand: forward, loss, backward and step as the formulas say, and the same by the library's layer.
//!
//! `cargo run --release --example linear_by_hand`
#![allow(clippy::print_stdout)] // printing is what this program is for

use nyang_train::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Points near the line y = 2 x₁ − 3 x₂ + 1.
    let mut rng = Rng::seed(1);
    let x: Tensor<f64> = Tensor::normal([64, 2], 0.0, 1.0, &mut rng)?;
    let noise = Tensor::normal([64, 1], 0.0, 0.05, &mut rng)?;
    let slope = Tensor::from_vec([2, 1], vec![2.0, -3.0])?;
    let t = x.matmul(&slope)?.map(|v| v + 1.0)?.add(&noise)?;

    // By hand: y = x wᵀ + b, loss = mean (y − t)².
    let (mut w, mut b) = (Tensor::zeros([1, 2])?, 0.0);
    let lr = 0.1;
    for step in 1..=60 {
        let y = x.matmul(&w.transpose()?)?.map(|v| v + b)?;
        let error = y.zip(&t, |y, t| y - t)?;
        let loss = error.clone().map(|e| e * e)?.mean();

        let dy = error.scale(2.0 / 64.0)?; // ∂loss/∂y
        let dw = dy.transpose()?.matmul(&x)?; // ∂loss/∂w = dyᵀ x
        let db = dy.sum(); // ∂loss/∂b = Σ dy

        w = w.zip(&dw, |w, dw| w - lr * dw)?;
        b -= lr * db;
        if step % 20 == 0 {
            println!("step {step}: loss {loss:.6}  w {:.3?}  b {b:.3}", w.to_vec());
        }
    }

    // The same by the layer, the loss and the optimizer.
    let mut layer = Linear::config(2, 1).build::<f64>(&mut Init::seed(1))?;
    layer.weight.value = Tensor::zeros([1, 2])?;
    if let Some(bias) = &mut layer.bias {
        bias.value = Tensor::zeros([1])?;
    }
    let mut sgd = Sgd::new(lr);
    for _ in 1..=60 {
        let mut cx = Ctx::train(1);
        let y = layer.forward(x.clone(), &mut cx)?;
        let loss = Mse::new().value_grad(&y, &Targets::Soft(t.clone()))?.mean()?;
        layer.backward(loss.gradient, &mut cx)?;
        sgd.step(&mut layer)?;
    }
    let apart = layer.weight.value.zip(&w, |a, b| (a - b).abs())?.max().unwrap_or(f64::NAN);
    println!("the layer's weights differ from those by hand by {apart:.1e}");
    if apart.is_nan() || apart > 1e-12 {
        return Err("they should be the same".into());
    }
    Ok(())
}
