//! Transforms with fixed parameters give what Pillow, torchvision and albumentations give.
//!
//! `goldens/transforms.json` is written by `xtask/goldens/transforms.py`; each case says how near the values must be.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may fail loudly, and says how near it came

use nyang_data::{Image, Step, Transform};
use nyang_tensor::Rng;
use serde_json::Value;

const GOLDENS: &str = include_str!("goldens/transforms.json");

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn image(entry: &Value) -> Image {
    let size: Vec<usize> = entry["size"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    Image::from_bytes(size[0], size[1], size[2], bytes(&entry["values"])).unwrap()
}

#[test]
fn fixed_transforms_equal_those_of_the_other_programs() {
    let goldens: Value = serde_json::from_str(GOLDENS).unwrap();
    let picture = image(&goldens["picture"]);
    let mut wrong = Vec::new();
    for case in goldens["cases"].as_array().unwrap() {
        let step: Step = serde_json::from_value(case["step"].clone()).unwrap();
        let (ours, theirs) = (step.apply(picture.clone(), &mut Rng::seed(0)).unwrap(), image(case));
        let size = |image: &Image| (image.height(), image.width(), image.channels());
        assert_eq!(size(&ours), size(&theirs), "{step:?}");
        let apart: Vec<u8> = ours.bytes().unwrap().iter().zip(theirs.bytes().unwrap()).map(|(a, b)| a.abs_diff(*b)).collect();
        let within = case["within"].as_u64().unwrap() as u8;
        let share = apart.iter().filter(|d| **d <= within).count() as f64 / apart.len() as f64;
        if share < case["share"].as_f64().unwrap() {
            let worst = apart.iter().max().unwrap();
            wrong.push(format!("{step:?}: {:.1} % are within {within} of {}, the worst is {worst}", 100.0 * share, case["program"]));
        }
    }
    assert!(wrong.is_empty(), "{} of them differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_golden_is_a_transform_that_changes_the_picture() {
    let goldens: Value = serde_json::from_str(GOLDENS).unwrap();
    let unchanged = goldens["cases"].as_array().unwrap().iter().filter(|case| case["values"] == goldens["picture"]["values"]);
    assert_eq!(unchanged.map(|case| case["step"].to_string()).collect::<Vec<_>>(), [] as [String; 0]);
}
