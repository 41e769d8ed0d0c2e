//! Tensors: numbers with a shape, seen in different ways without being copied.
//!
//! `cargo run --release --example tensors`
#![allow(clippy::print_stdout)] // printing is what this program is for

use nyang_train::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Two rows of three. The values lie row after row; strides say how far the next one is along each dimension.
    let x = Tensor::from_vec([2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
    println!("x           {}  strides {:?}  {:?}", x.shape(), x.strides(), x.to_vec());

    // Another view of the same memory: only shape and strides are new.
    let t = x.transpose()?;
    println!("transposed  {}  strides {:?}  {:?}", t.shape(), t.strides(), t.to_vec());
    let column = x.slice(1, 0..3, 2)?;
    println!("columns 0,2 {}  strides {:?}  {:?}", column.shape(), column.strides(), column.to_vec());

    // A matrix product, [2, 3] · [3, 2].
    println!("x · xᵀ      {:?}", x.matmul(&t)?.to_vec());

    // One bias for every row, without writing it twice: a stride of 0.
    let bias = Tensor::from_vec([3], vec![10.0, 20.0, 30.0])?.broadcast_to([2, 3])?;
    println!("x + bias    {:?}", x.clone().add(&bias)?.to_vec());

    // A clone is a second handle on the same memory; who writes gets a copy if somebody else still reads.
    let squared = x.clone().map(|v| v * v)?;
    println!("x²          {:?}, and x is still {:?}", squared.to_vec(), x.to_vec());

    // Sums run in a fixed order, so they have the same bits on any number of threads.
    println!("sum {}  mean {}  largest of each row {:?}", x.sum(), x.mean(), x.argmax(1)?);

    // Random numbers come from a seed, and the same seed gives the same numbers on every machine.
    let noise: Tensor = Tensor::normal([4], 0.0, 1.0, &mut Rng::seed(42))?;
    println!("noise       {:.4?}", noise.to_vec());

    // What cannot be is an error that says what was expected.
    if let Err(error) = x.matmul(&x) {
        println!("x · x       {error}");
    }
    Ok(())
}
