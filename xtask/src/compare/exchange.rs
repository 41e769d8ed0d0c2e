//! Models swapped with Python: torchvision's weights in our models, ours in torchvision's, and our ONNX files in onnxruntime.

use std::io::{self, Write};
use std::path::Path;

use nyang_data::Normalize;
use nyang_nn::case::CASES;
use nyang_nn::check::spread_state;
use nyang_nn::zoo::{self, BuildModel, Task};
use nyang_nn::{Ctx, Init, Module, Rng, Shape, StateDict, StateValue, Tensor};
use nyang_train::Weights;
use nyang_train::onnx::Onnx;

use super::script;
use crate::Outcome;
use crate::table::aligned;

type Anything = Box<dyn std::error::Error>;

/// The most that logits may differ, as a part of the largest of them.
const LIMIT: f64 = 1e-4;

/// torchvision's models, which have our names there.
const TORCHVISION: [(&str, BuildModel<f32>); 4] =
    [("resnet18", zoo::resnet18), ("resnet34", zoo::resnet34), ("vgg11_bn", zoo::vgg11_bn), ("mobilenet_v2", zoo::mobilenet_v2)];

/// Models that PyTorch has no ready form of: its side builds them of its layers.
const PLAIN: [&str; 4] = ["mlp", "lenet", "deepconvnet", "resnet20"];

/// Cases that are no batch of anything, so that they cannot be exported with a free batch size.
const NO_BATCH: [&str; 2] = ["LayerNorm/one_sample", "PRelu/vector"];

/// One thing compared: how far apart the two sides are, or what went wrong.
struct Row(String, Result<f64, String>);

impl Row {
    fn passes(&self) -> bool {
        self.1.as_ref().is_ok_and(|difference| *difference <= LIMIT)
    }
}

/// Swaps everything whose name contains `name`, and shows a table.
pub fn run(python: &Path, name: &str) -> Outcome {
    let rows = swap(python, name)?;
    show(&rows)?;
    Ok(!rows.is_empty() && rows.iter().all(Row::passes))
}

/// What a program says to our ONNX files or weights, in a line: for `cargo xtask clients`.
pub fn said(python: &Path, name: &str) -> Result<String, Anything> {
    let rows = swap(python, name)?;
    let worst = rows.iter().filter_map(|row| row.1.as_ref().ok()).fold(0.0f64, |worst, d| worst.max(*d));
    match rows.iter().find(|row| !row.passes()) {
        None => Ok(format!("{} files, worst {worst:.1e} of the largest output", rows.len())),
        Some(Row(name, Ok(difference))) => Err(format!("{name}: {difference:.1e} of the largest output apart").into()),
        Some(Row(name, Err(wrong))) => Err(format!("{name}: {wrong}").into()),
    }
}

fn swap(python: &Path, name: &str) -> Result<Vec<Row>, Anything> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/exchange");
    let _ = std::fs::remove_dir_all(&folder); // of an earlier run, if there was one
    std::fs::create_dir_all(&folder)?;
    let place = folder.to_str().ok_or("the target folder's path is not UTF-8")?;
    let mut rows = Vec::new();

    let swapped: Vec<_> = TORCHVISION.iter().filter(|(model, _)| format!("weights {model}").contains(name)).collect();
    if !swapped.is_empty() {
        script(python, "exchange.py", &["make", place])?;
    }
    for (model, build) in swapped {
        rows.push(Row(format!("weights from torchvision: {model}"), from_torchvision(&folder, model, *build).map_err(|e| e.to_string())));
        to_torchvision(&folder, model, *build)?;
    }
    let plain = |model: &str| PLAIN.contains(&model) && format!("plain weights {model}").contains(name);
    for (model, build) in zoo::models::<f32>().iter().filter(|(model, _)| plain(model)) {
        let mut built = build(Task::new([1, 16, 16], 10), &mut Init::seed(3))?;
        let x = moved(&mut built, &[4, 1, 16, 16])?;
        Weights::of(&built)?.write(folder.join(format!("{model}.plain.safetensors")))?;
        answer(&folder.join(format!("{model}.plain.answer.safetensors")), &built, x)?;
    }
    for case in
        CASES.iter().copied().flatten().filter(|case| format!("onnx {}", case.name).contains(name) && !NO_BATCH.contains(&case.name))
    {
        let mut model = (case.build_f32)(&mut Init::seed(1))?;
        spread_state(model.as_mut());
        export(&folder, &case.name.replace('/', "."), model.as_ref(), case.input, &Onnx::new())?;
    }
    for (model, build) in zoo::models::<f32>().iter().filter(|(model, _)| format!("onnx zoo.{model}").contains(name)) {
        let image = if ["mlp", "lenet", "simpleconvnet", "deepconvnet"].contains(model) { [1, 28, 28] } else { [3, 32, 32] };
        export_trained(&folder, &format!("zoo.{model}"), *build, Task::new(image, 10), image)?;
    }
    for (model, build) in TORCHVISION.iter().filter(|(model, _)| *model != "vgg11_bn" && format!("onnx imagenet.{model}").contains(name)) {
        export_trained(&folder, &format!("imagenet.{model}"), *build, Task::new([3, 224, 224], 10).imagenet(), [3, 224, 224])?;
    }
    for line in script(python, "exchange.py", &["check", place])?.lines() {
        let answer: serde_json::Value = serde_json::from_str(line)?;
        let said = match answer["difference"].as_f64() {
            Some(difference) => Ok(difference),
            None => Err(answer["wrong"].as_str().unwrap_or("no answer").to_owned()),
        };
        rows.push(Row(answer["name"].as_str().unwrap_or_default().to_owned(), said));
    }
    std::fs::remove_dir_all(&folder)?; // gigabytes
    Ok(rows)
}

fn from_torchvision(folder: &Path, name: &str, build: BuildModel<f32>) -> Result<f64, Anything> {
    let mut model = build(Task::new([3, 224, 224], 10).imagenet(), &mut Init::seed(2))?;
    Weights::read(folder.join(format!("{name}.theirs.pth")))?.load_into(&mut model)?;
    let answer = Weights::<f32>::read(folder.join(format!("{name}.theirs.answer.safetensors")))?;
    let (Some(StateValue::Tensor(x)), Some(StateValue::Tensor(y))) = (answer.get("x"), answer.get("y")) else {
        return Err("Python's answer lacks x or y".into());
    };
    let ours = model.infer(x.clone(), &mut Ctx::eval())?.to_vec();
    let size = y.to_vec().iter().fold(1.0f32, |size, v| size.max(v.abs()));
    let errors = ours.iter().zip(y.to_vec()).map(|(a, b)| if a.is_nan() { f64::INFINITY } else { f64::from((a - b).abs() / size) });
    Ok(errors.fold(0.0, f64::max))
}

fn to_torchvision(folder: &Path, name: &str, build: BuildModel<f32>) -> Result<(), Anything> {
    let mut model = build(Task::new([3, 224, 224], 10).imagenet(), &mut Init::seed(3))?;
    let x = moved(&mut model, &[2, 3, 224, 224])?;
    Weights::of(&model)?.write(folder.join(format!("{name}.ours.safetensors")))?;
    answer(&folder.join(format!("{name}.ours.answer.safetensors")), &model, x)
}

/// Runs a model in training mode, so that running statistics are no longer 0 and 1; gives a random input of these sizes.
fn moved(model: &mut dyn Module<f32>, dims: &[usize]) -> Result<Tensor<f32>, Anything> {
    let mut rng = Rng::seed(4);
    let x = Tensor::normal(Shape::new(dims)?, 0.0, 1.0, &mut rng)?;
    model.forward(x, &mut Ctx::train(1))?;
    Ok(Tensor::normal(Shape::new(dims)?, 0.0, 1.0, &mut rng)?)
}

fn export_trained(folder: &Path, name: &str, build: BuildModel<f32>, task: Task, [c, h, w]: [usize; 3]) -> Result<(), Anything> {
    let mut model = build(task, &mut Init::seed(5))?;
    let dims = [3, c, h, w];
    moved(&mut model, &dims)?;
    let normalize = Normalize::new(vec![0.3; c], vec![0.7; c])?;
    export(folder, name, &model, &dims, &Onnx::new())?;
    if name == "zoo.lenet" {
        // what the graph can have beside the model: compared with softmax and standardisation done here
        let wrapped = "zoo.lenet with preprocessing and softmax";
        Onnx::new().softmax(true).normalize(normalize.clone()).write(folder.join(format!("{wrapped}.onnx")), &model, [c, h, w])?;
        let x = Tensor::uniform(dims, 0.0, 1.0, &mut Rng::seed(6))?;
        let logits = model.infer(normalize.apply(x.clone())?, &mut Ctx::eval())?;
        let y = nyang_nn::Softmax::<f32>::new().infer(logits, &mut Ctx::eval())?;
        write_answer(&folder.join(format!("{wrapped}.safetensors")), x, y)?;
    }
    Ok(())
}

fn export(folder: &Path, name: &str, model: &dyn Module<f32>, dims: &[usize], onnx: &Onnx) -> Result<(), Anything> {
    onnx.write(folder.join(format!("{name}.onnx")), model, Shape::new(dims.get(1..).unwrap_or_default())?)?;
    let x = Tensor::normal(Shape::new(dims)?, 0.0, 1.0, &mut Rng::seed(6))?;
    answer(&folder.join(format!("{name}.safetensors")), model, x)
}

fn answer(path: &Path, model: &dyn Module<f32>, x: Tensor<f32>) -> Result<(), Anything> {
    let y = model.infer(x.clone(), &mut Ctx::eval())?;
    write_answer(path, x, y)
}

fn write_answer(path: &Path, x: Tensor<f32>, y: Tensor<f32>) -> Result<(), Anything> {
    let mut arrays = StateDict::default();
    arrays.insert("x", StateValue::Tensor(x));
    arrays.insert("y", StateValue::Tensor(y));
    Ok(Weights::from(arrays).write(path)?)
}

fn show(rows: &[Row]) -> io::Result<()> {
    let heading = ["what", "difference", ""].map(str::to_owned);
    let cells = |row: &Row| {
        let difference = row.1.as_ref().map_or_else(|_| "–".to_owned(), |d| format!("{d:.1e}"));
        [row.0.clone(), difference, if row.passes() { "ok" } else { "FAIL" }.to_owned()]
    };
    let mut out = io::stdout();
    out.write_all(aligned(&[heading].into_iter().chain(rows.iter().map(cells)).collect::<Vec<_>>(), [false, true, false]).as_bytes())?;
    for Row(name, said) in rows {
        if let Err(wrong) = said {
            writeln!(out, "\n{name}: {wrong}")?;
        }
    }
    let failed = rows.iter().filter(|row| !row.passes()).count();
    let worst = rows.iter().filter_map(|row| row.1.as_ref().ok()).fold(0.0f64, |worst, d| worst.max(*d));
    writeln!(out, "\n{} compared, {failed} failed; worst {worst:.1e} of the largest logit (at most {LIMIT:.0e})", rows.len())
}
