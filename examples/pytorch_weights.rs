//! Weights from PyTorch and to it: the same names, the same layouts, the same logits.
//!
//! `cargo run --release --example pytorch_weights` shows the way with weights of its own. With a file it reads torchvision's:
//!
//! ```text
//! python -c "import torch, torchvision; torch.save(torchvision.models.resnet18(weights='DEFAULT').state_dict(), 'resnet18.pth')"
//! cargo run --release --example pytorch_weights --features pytorch -- resnet18.pth
//! ```
#![allow(clippy::print_stdout)] // printing is what this program is for

use nyang_train::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(path) = std::env::args().nth(1) {
        let mut model = zoo::resnet18::<f32>(zoo::Task::new([3, 224, 224], 1000).imagenet(), &mut Init::seed(1))?;
        println!("{}", Weights::read(&path)?.load_into(&mut model)?);
        let logits = model.infer(Tensor::zeros([1, 3, 224, 224])?, &mut Ctx::eval())?;
        println!("a grey image is class {}", logits.argmax(1)?[0]);
        return Ok(());
    }

    // To PyTorch: safetensors.torch.load_file("runs/resnet20.safetensors") is a state dict.
    std::fs::create_dir_all("runs")?;
    let path = "runs/resnet20.safetensors";
    let trained = zoo::resnet20::<f32>(zoo::Task::new([3, 32, 32], 10), &mut Init::seed(1))?;
    Weights::of(&trained)?.write(path)?;

    // From PyTorch, or here from that file: all names must fit.
    let mut same = zoo::resnet20::<f32>(zoo::Task::new([3, 32, 32], 10), &mut Init::seed(2))?;
    let report = Weights::read(path)?.load_into(&mut same)?;
    println!("into the same model: {report}");
    assert_eq!(StateDict::of(&same)?, StateDict::of(&trained)?);

    // For five classes of one's own the last layer does not fit. An error lists what does not …
    let mut mine = zoo::resnet20::<f32>(zoo::Task::new([3, 32, 32], 5), &mut Init::seed(2))?;
    if let Err(error) = Weights::read(path)?.load_into(&mut mine) {
        println!("into another: {error}");
    }
    // … unless that is what is wanted: the rest is loaded, the last layer stays new, and can be trained on top.
    println!("what fits: {}", Weights::read(path)?.load_matching(&mut mine)?);
    Ok(())
}
