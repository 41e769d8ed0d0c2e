//! The figures as a table and as plots, and docs/comparison.md, which is prose around them.

use std::path::Path;

use nyang_train::report::LinePlot;
use serde_json::Value;

use super::plan::PLANS;
use super::verdict::{divergence, judge, losses, yardstick};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// `98.33 ± 0.30`: mean and deviation over the seeds.
fn spread(values: &Value) -> String {
    let values: Vec<f64> = values.as_array().into_iter().flatten().map(number).collect();
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0)).sqrt();
    format!("{mean:.2} ± {deviation:.2}")
}

/// A table in Markdown, a row for each model.
pub fn table(figures: &Value) -> String {
    let mut text = format!(
        "| {} | epochs × seeds | f64, apart | f32, apart: ours, PyTorch from itself | times | times, without Winograd \
         | f32 from f64: ours, PyTorch | test accuracy % | epoch, s | peak, MB |\n",
        figures["data"].as_str().unwrap_or_default()
    );
    text.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
    for model in figures["models"].as_array().into_iter().flatten() {
        let f = &model["figures"];
        let n = |name: &str| number(&f[name]);
        let direct = f["f32_times_direct"].as_f64().map_or_else(|| "–".to_owned(), |times| format!("{times:.1}")); // older runs lack it
        let epoch = match model["quiet"].as_bool() {
            Some(true) => format!("{:.3}, PyTorch {:.3}", n("epoch_ours"), n("epoch_theirs")),
            _ => "–".to_owned(),
        };
        text.push_str(&format!(
            "| {} | {} × {} | {:.0e} | {:.0e}, {:.0e} | {:.1} | {} | {:.0e}, {:.0e} | {}, PyTorch {} | {} | {:.0}, PyTorch {:.0} |\n",
            model["model"].as_str().unwrap_or_default(),
            model["epochs"],
            model["runs"].as_array().map_or(0, Vec::len),
            n("f64"),
            n("f32_ours_from_theirs"),
            n("f32_theirs_from_itself"),
            n("f32_times"),
            direct,
            n("f32_ours_from_f64"),
            n("f32_theirs_from_f64"),
            spread(&f["accuracy_ours"]),
            spread(&f["accuracy_theirs"]),
            epoch,
            n("peak_mb_ours"),
            n("peak_mb_theirs"),
        ));
    }
    text
}

/// Between these two lines of docs/comparison.md stand the figures; around them what people wrote.
const BEGIN: &str = "<!-- figures: made by `cargo xtask compare train --write` -->\n";
const END: &str = "<!-- end of figures -->\n";

/// Puts the figures and their plots into `docs/comparison`, and those of every data set there into `docs/comparison.md`.
pub fn write(docs: &Path, figures: &Value) -> Result<(), Box<dyn std::error::Error>> {
    let folder = docs.join("comparison");
    std::fs::create_dir_all(&folder)?;
    let data = figures["data"].as_str().unwrap_or_default();
    let file = folder.join(format!("{data}.json"));
    let figures = beside(figures, std::fs::read(&file).ok().and_then(|old| serde_json::from_slice(&old).ok()));
    std::fs::write(file, serde_json::to_string(&figures)? + "\n")?;
    let mut files: Vec<_> = std::fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>()?.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "json"));
    files.sort();
    let mut text = String::new();
    for file in files {
        let mut figures = serde_json::from_slice(&std::fs::read(file)?)?;
        judge(&mut figures); // by what is asked today
        plots(&folder, &figures)?;
        text.push_str(&section(&figures));
    }
    let page = docs.join("comparison.md");
    let old = std::fs::read_to_string(&page)?;
    let parts = old.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or("docs/comparison.md has lost the lines between which the figures stand")?;
    Ok(std::fs::write(page, format!("{before}{BEGIN}{text}{END}{after}"))?)
}

/// The new figures, and those of an earlier run of the models that they lack, in the order of the plans.
fn beside(new: &Value, old: Option<Value>) -> Value {
    let models = |figures: &Value| figures["models"].as_array().cloned().unwrap_or_default();
    let (fresh, old) = (models(new), old.map(|old| models(&old)).unwrap_or_default());
    let find = |list: &[Value], name: &str| list.iter().find(|model| model["model"] == name).cloned();
    let merged: Vec<Value> = PLANS.iter().filter_map(|plan| find(&fresh, plan.model).or_else(|| find(&old, plan.model))).collect();
    let mut figures = new.clone();
    figures["models"] = merged.into();
    figures
}

fn section(figures: &Value) -> String {
    let data = figures["data"].as_str().unwrap_or_default();
    let models: Vec<&Value> = figures["models"].as_array().into_iter().flatten().collect();
    let mut text = format!(
        "\n### {data}\n\n{} images to train, {} to test; {} threads; PyTorch {}.\n\n{}\n",
        figures["train"],
        figures["test"],
        figures["threads"],
        models.first().map_or("", |model| model["figures"]["version"].as_str().unwrap_or_default()),
        table(figures)
    );
    for name in models.iter().filter_map(|model| model["model"].as_str()) {
        text.push_str(&format!("![{name}: the losses of both](comparison/{data}-{name}-loss.svg)\n"));
        text.push_str(&format!("![{name}: how far they are apart](comparison/{data}-{name}-apart.svg)\n\n"));
    }
    text
}

/// Two plots a model, of the first seed: the losses, and how far apart they are.
fn plots(folder: &Path, figures: &Value) -> std::io::Result<()> {
    let data = figures["data"].as_str().unwrap_or_default();
    let by_step = |values: Vec<f64>| values.into_iter().enumerate().map(|(i, value)| (i as f64 + 1.0, value));
    for model in figures["models"].as_array().into_iter().flatten() {
        let (name, run) = (model["model"].as_str().unwrap_or_default(), &model["runs"][0]);
        let plot = |title: &str| LinePlot::new(format!("{name} on {data}{title}")).x_label("step");
        let loss = plot(": loss").line("PyTorch", by_step(losses(run, "theirs_f32"))).dashed_line("ours", by_step(losses(run, "ours_f32")));
        std::fs::write(folder.join(format!("{data}-{name}-loss.svg")), loss.to_svg())?;
        let apart = plot(", apart so far")
            .log_y()
            .line("f32", by_step(divergence(run, "ours_f32", "theirs_f32")))
            .line("f32 without Winograd", by_step(divergence(run, "ours_f32_direct", "theirs_f32")))
            .line("PyTorch from itself", by_step(yardstick(run)))
            .line("f64", by_step(divergence(run, "ours_f64", "theirs_f64")));
        std::fs::write(folder.join(format!("{data}-{name}-apart.svg")), apart.to_svg())?;
    }
    Ok(())
}
