//! TensorBoard: it serves our run, and says what is in it.

use std::path::Path;

use serde_json::Value as Json;

use super::Checked;
use super::job::Job;
use super::process::{Server, free_port, program};

/// Curves with the numbers that were logged, the picture, histograms and texts are served.
pub fn serves_the_run(python: &Path, job: &Job) -> Checked {
    let port = free_port()?;
    let mut command = program(python, "tensorboard");
    command
        .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--load_fast", "false", "--logdir"])
        .arg(job.folder.join("tensorboard"));
    let server = Server::start(port, &mut command)?;
    let json = |path: &str| -> Result<Json, Box<dyn std::error::Error>> { Ok(serde_json::from_slice(&server.get(path)?)?) };

    // it reads its files after it has begun to listen
    let mut tags = Json::Null;
    for _ in 0..600 {
        tags = json("/data/plugin/scalars/tags")?;
        if tags["."]["valid/loss"].is_object() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let points = json("/data/plugin/scalars/scalars?run=.&tag=valid%2Floss")?;
    let served: Vec<f64> = points.as_array().into_iter().flatten().filter_map(|point| point[2].as_f64()).collect();
    let logged: Vec<f64> = job.losses.iter().map(|&loss| f64::from(loss as f32)).collect(); // it keeps floats
    if served != logged {
        return Err(format!("validation losses: {logged:?} were logged, {served:?} are served; of {tags}").into());
    }
    let batches = json("/data/plugin/scalars/scalars?run=.&tag=batch%2Floss")?.as_array().map_or(0, Vec::len);
    if batches != job.steps {
        return Err(format!("{} batches were logged, {batches} are served", job.steps).into());
    }
    let image = json("/data/plugin/images/images?run=.&tag=train%2Fbatch&sample=0")?;
    let query = image[0]["query"].as_str().ok_or("no picture")?.to_owned();
    if !server.get(&format!("/data/plugin/images/individualImage?{query}"))?.starts_with(b"\x89PNG") {
        return Err("the picture is no PNG".into());
    }
    let histogram = json("/data/plugin/histograms/histograms?run=.&tag=0.weight")?.as_array().map_or(0, Vec::len);
    if histogram != job.epochs {
        return Err(format!("{} histograms were logged, {histogram} are served", job.epochs).into());
    }
    let texts = json("/data/plugin/text/tags")?["."].as_array().map_or(0, Vec::len);
    if texts != 2 {
        return Err(format!("2 texts were logged, {texts} are served").into());
    }
    Ok(format!(
        "{} points of {} curves, a picture, histograms and texts over HTTP",
        served.len() + batches,
        tags["."].as_object().map_or(0, |t| t.len())
    ))
}
