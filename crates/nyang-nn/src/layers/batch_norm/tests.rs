//! What rows and images have in common: statistics, gradients, frozen layers.

use super::*;
use crate::{BatchNorm1d, BatchNorm2d, StateDict};

fn column(values: &[f64]) -> Tensor<f64> {
    Tensor::from_slice([values.len(), 1], values).unwrap()
}

fn near(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < tolerance, "{got:?}, not {want:?}"));
}

/// α = 1/n: after two batches the running mean is the mean of the two means, 2.5 and 6; the variances are 5/3 and 8.
#[test]
fn cumulative_statistics_are_plain_means_over_the_batches() {
    let mut layer = BatchNorm1d::config(1).cumulative().build::<f64>(&mut Init::seed(1)).unwrap();
    layer.forward(column(&[1.0, 2.0, 3.0, 4.0]), &mut Ctx::train(1)).unwrap();
    near(&layer.running_mean.to_vec(), &[2.5], 1e-12); // nothing is left of the 0 and the 1 that it began with
    near(&layer.running_var.to_vec(), &[5.0 / 3.0], 1e-12);
    layer.forward(column(&[4.0, 8.0]), &mut Ctx::train(1)).unwrap();
    near(&layer.running_mean.to_vec(), &[4.25], 1e-12);
    near(&layer.running_var.to_vec(), &[(5.0 / 3.0 + 8.0) / 2.0], 1e-12);
    assert_eq!(layer.num_batches_tracked, 2);
}

#[test]
fn frozen_statistics_are_used_in_training_and_do_not_move() {
    let mut layer = BatchNorm1d::config(1).eps(1.0).frozen(true).build::<f64>(&mut Init::seed(1)).unwrap();
    (layer.running_mean, layer.running_var) = (Tensor::full([1], 2.0).unwrap(), Tensor::full([1], 3.0).unwrap());
    layer.weight.value = Tensor::full([1], 6.0).unwrap();
    let y = layer.forward(column(&[4.0, 0.0]), &mut Ctx::train(1)).unwrap();
    near(&y.to_vec(), &[6.0, -6.0], 1e-12); // (x − 2)/√(3 + 1)·6
    let dx = layer.backward(column(&[1.0, 5.0]), &mut Ctx::train(1)).unwrap();
    near(&dx.to_vec(), &[3.0, 15.0], 1e-12); // dy·6/2: constant statistics
    near(&layer.weight.grad.to_vec(), &[-4.0], 1e-12); // 1·1 + 5·(−1)
    near(&layer.bias.grad.to_vec(), &[6.0], 1e-12);
    assert_eq!((layer.running_mean.to_vec(), layer.running_var.to_vec(), layer.num_batches_tracked), (vec![2.0], vec![3.0], 0));

    assert!(layer.forward(column(&[1.0]), &mut Ctx::train(1)).is_ok(), "a single value needs no variance here");
    layer.unfreeze_statistics();
    assert!(!layer.statistics_are_frozen() && layer.forward(column(&[1.0]), &mut Ctx::train(1)).is_err());
    layer.forward(column(&[4.0, 0.0]), &mut Ctx::train(1)).unwrap();
    assert_eq!(layer.num_batches_tracked, 1);
    layer.freeze_statistics();
    assert!(layer.statistics_are_frozen() && layer.spec().bool("frozen").unwrap());
}

#[test]
fn without_affine_there_are_no_parameters_and_no_budget_for_them() {
    let mut layer = BatchNorm2d::config(3).affine(false).build::<f32>(&mut Init::blank(6)).unwrap();
    let names: Vec<String> = StateDict::of(&layer).unwrap().names().map(str::to_owned).collect();
    assert_eq!(names, ["num_batches_tracked", "running_mean", "running_var"]);
    let x = Tensor::from_fn([2, 3, 2, 2], |i| (i * i) as f32).unwrap();
    layer.forward(x.clone(), &mut Ctx::train(1)).unwrap();
    layer.backward(x, &mut Ctx::train(1)).unwrap();
    assert_eq!((layer.weight.grad.to_vec(), layer.weight.value.to_vec()), (vec![0.0; 3], vec![1.0; 3]));
}

#[test]
fn a_full_counter_stays_full() {
    let mut layer = BatchNorm1d::config(1).cumulative().build::<f64>(&mut Init::seed(1)).unwrap();
    layer.num_batches_tracked = u64::MAX;
    layer.forward(column(&[1.0, 2.0]), &mut Ctx::train(1)).unwrap();
    assert_eq!(layer.num_batches_tracked, u64::MAX);
}

#[test]
fn nan_and_infinity_stay_in_their_channel() {
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut layer = BatchNorm1d::config(2).build::<f32>(&mut Init::seed(1)).unwrap();
        let x = Tensor::from_vec([2, 2], vec![odd, 1.0, 2.0, 3.0]).unwrap();
        let y = layer.forward(x.clone(), &mut Ctx::train(1)).unwrap().to_vec();
        assert!(y[0].is_nan() && y[2].is_nan() && (y[1] + 1.0).abs() < 1e-4 && (y[3] - 1.0).abs() < 1e-4, "{odd}: {y:?}");
        assert!(!layer.running_mean.to_vec()[0].is_finite() && layer.running_mean.to_vec()[1] == 0.2);
        let dx = layer.backward(Tensor::ones([2, 2]).unwrap(), &mut Ctx::train(1)).unwrap().to_vec();
        assert!(dx[0].is_nan() && dx[1].abs() < 1e-6 && dx[3].abs() < 1e-6, "{odd}: {dx:?}");
    }
}

#[test]
fn images_stay_channels_last_and_strides_change_no_bit() {
    let x = Tensor::from_fn([2, 3, 4, 5], |i| (i * i % 17) as f32).unwrap();
    let wide = Tensor::from_fn([2, 3, 4, 10], |i| ((i / 2) * (i / 2) % 17) as f32).unwrap();
    let outputs = [x.clone(), x.channels_last().unwrap(), wide.slice(3, 0..10, 2).unwrap()].map(|x| {
        let mut layer = BatchNorm2d::config(3).build::<f32>(&mut Init::seed(1)).unwrap();
        let y = layer.forward(x.clone(), &mut Ctx::train(1)).unwrap();
        let dx = layer.backward(x, &mut Ctx::train(1)).unwrap();
        assert!(y.is_channels_last() && dx.is_channels_last());
        (y.to_vec(), dx.to_vec(), layer.running_var.to_vec())
    });
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0], outputs[2]);
}

#[test]
fn bad_configurations_are_errors_that_name_the_field() {
    let config = BatchNorm2d::config;
    let bad = [
        (config(0), "channels = 0"),
        (config(1).eps(0.0), "eps = 0"),
        (config(1).eps(-1e-5), "eps = -0.00001"),
        (config(1).eps(f64::NAN), "eps = NaN"),
        (config(1).eps(f64::INFINITY), "eps = inf"),
        (config(1).momentum(-0.1), "momentum = -0.1"),
        (config(1).momentum(1.5), "momentum = 1.5"),
        (config(1).momentum(f64::NAN), "momentum = NaN"),
    ];
    for (config, what) in bad {
        let error = config.build::<f32>(&mut Init::seed(1)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("BatchNorm2d: {what} is not valid")), "{error}");
    }
    for edge in [config(1).momentum(0.0), config(1).momentum(1.0), config(1).momentum(0.3).cumulative()] {
        assert!(edge.build::<f32>(&mut Init::seed(1)).is_ok(), "{edge:?}");
    }
}

#[test]
fn bad_descriptions_are_errors() {
    let good = BatchNorm1d::config(2).build::<f32>(&mut Init::seed(1)).unwrap().spec();
    let registry = crate::Registry::<f32>::standard();
    assert!(registry.build(&good, &mut Init::seed(1)).is_ok());
    for (field, value) in [("momentum", Value::from("slow")), ("affine", Value::from(1.0)), ("frozen", Value::from("no"))] {
        let error = registry.build(&good.clone().with(field, value), &mut Init::seed(1)).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.starts_with(&format!("the description of a BatchNorm1d is not valid: `{field}` must be")), "{error}");
    }
}
