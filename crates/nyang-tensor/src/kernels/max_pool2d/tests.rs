//! Max pooling against its plain loops.

use super::*;
use crate::Rng;
use proptest::prelude::*;

fn square(kernel: usize, padding: usize, stride: usize) -> Window {
    Window { stride: [stride; 2], padding: [[padding; 2]; 2], ..Window::new([kernel; 2]) }
}

/// Small integers, so that there are ties, some NaN and −∞; in several memory layouts.
fn tricky<T: Element>([n, c, h, w]: [usize; 4], layout: usize, seed: u64) -> Tensor<T> {
    let mut rng = Rng::seed(seed);
    let mut value = |_| match rng.below(20) {
        0 => T::of(f64::NAN),
        1..4 => T::NEG_INFINITY,
        v => T::of((v % 5) as f64),
    };
    match layout {
        0 => Tensor::from_fn([n, c, h, w], value).unwrap(),
        1 => Tensor::from_fn([n, c, h, w], value).unwrap().channels_last().unwrap(),
        _ => Tensor::from_fn([w, n, 2 * h, c], &mut value).unwrap().slice(2, 0..2 * h, 2).unwrap().permute(&[1, 3, 2, 0]).unwrap(),
    }
}

fn bits<T: Element>(values: Vec<T>) -> Vec<u64> {
    values.into_iter().map(|v| if v.is_nan() { u64::MAX } else { v.to_f64().to_bits() }).collect()
}

/// Values, positions and gradient against the plain loops, exactly.
fn agrees<T: Element>(dims: [usize; 4], window: &Window, layout: usize) -> bool {
    let x = tricky::<T>(dims, layout, 1);
    let (y, indices) = max_pool2d(&x, window).unwrap();
    let (want, positions) = max_pool2d_plain(&x, window).unwrap();
    let [_, c, h, w] = dims;
    let dy = Tensor::<T>::from_fn(y.shape(), |i| T::of((i % 7) as f64 - 3.0)).unwrap(); // sums of these are exact
    let mut dx = vec![T::ZERO; x.len()];
    let [_, _, oh, ow] = <[usize; 4]>::try_from(y.dims()).unwrap();
    for (i, at) in positions.iter().enumerate() {
        let [q, r] = [i / (oh * ow), i % (oh * ow)];
        assert_eq!(indices.get([q / c, q % c, r / ow, r % ow]).map(|[h, b]| h * w + b), *at);
        if let Some(at) = at {
            dx[q * h * w + at] += T::of((i % 7) as f64 - 3.0);
        }
    }
    drop(Tensor::full(x.shape(), T::of(f64::NAN)).unwrap()); // what is not written shows: the gradient gets this memory
    y.is_channels_last()
        && bits(y.to_vec()) == bits(want.to_vec())
        && bits(max_pool2d_values(&x, window).unwrap().to_vec()) == bits(want.to_vec())
        && max_pool2d_grad_input(&dy, &indices).unwrap().to_vec() == dx
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn pooling_agrees_with_plain_loops(
        n in 0usize..4, c in 0usize..20, size in [0usize..12, 0..12], kernel in [1usize..5, 1..5], stride in [1usize..4, 1..4],
        padding in [[0usize..3, 0..3], [0usize..3, 0..3]], dilation in [1usize..4, 1..4], ceil_mode: bool, layout in 0usize..3,
    ) {
        let (dims, window) = ([n, c, size[0], size[1]], Window { kernel, stride, padding, dilation, ceil_mode });
        if Plan::new(&Shape::from(dims), &window).is_ok() {
            prop_assert!(agrees::<f32>(dims, &window, layout));
            prop_assert!(agrees::<f64>(dims, &window, layout));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn windows_side_by_side_agree_with_plain_loops(
        n in 0usize..4, c in 0usize..40, size in [1usize..12, 1..12], kernel in [1usize..4, 1..4], ceil_mode: bool, layout in 0usize..3,
    ) {
        let (dims, window) = ([n, c, size[0], size[1]], Window { stride: kernel, ceil_mode, ..Window::new(kernel) });
        if let Ok(plan) = Plan::new(&Shape::from(dims), &window) {
            let whole = (0..2).all(|axis| !ceil_mode || size[axis] % kernel[axis] == 0);
            prop_assert!(!whole || n * c == 0 || Look::at(&plan).apart() == Some(kernel));
            prop_assert!(agrees::<f32>(dims, &window, layout));
            prop_assert!(agrees::<f64>(dims, &window, layout));
        }
    }
}

fn of_row(values: &[f64], window: &Window) -> (Vec<f64>, Vec<f64>) {
    let x = Tensor::from_slice([1, 1, 2, values.len() / 2], values).unwrap();
    let (y, indices) = max_pool2d(&x, window).unwrap();
    let dx = max_pool2d_grad_input(&Tensor::ones(y.shape()).unwrap(), &indices).unwrap();
    (y.to_vec(), dx.to_vec())
}

/// PyTorch gives the same for each of these.
#[test]
fn ties_go_to_the_first_and_nan_to_the_last() {
    let (nan, low) = (f64::NAN, f64::NEG_INFINITY);
    let window = Window::new([2, 2]);
    assert_eq!(of_row(&[1.0, 5.0, 5.0, 2.0], &window), (vec![5.0], vec![0.0, 1.0, 0.0, 0.0]));
    let (y, dx) = of_row(&[nan, 5.0, nan, 2.0], &window);
    assert!(y[0].is_nan());
    assert_eq!(dx, [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(of_row(&[low; 4], &window), (vec![low], vec![1.0, 0.0, 0.0, 0.0]));
    // padding is −∞, not 0, and overlapping windows add up: all four see the −1
    assert_eq!(of_row(&[-1.0, -2.0, -3.0, -4.0], &square(3, 1, 1)), (vec![-1.0; 4], vec![4.0, 0.0, 0.0, 0.0]));
}

#[test]
fn rows_below_the_last_window_have_no_gradient() {
    let x = Tensor::<f32>::from_fn([2, 3, 7, 4], |i| (i % 5) as f32).unwrap();
    let window = Window { stride: [6, 2], ..Window::new([2, 2]) }; // sees rows 0 and 1 of 7
    let (y, indices) = max_pool2d(&x, &window).unwrap();
    assert_eq!((y.dims(), indices.apart), (&[2, 3, 1, 2][..], Some([2, 2])));
    drop(Tensor::full(x.shape(), f32::NAN).unwrap());
    let dx = max_pool2d_grad_input(&Tensor::<f32>::ones(y.shape()).unwrap(), &indices).unwrap();
    assert_eq!(dx.sum(), 12.0);
    assert!(dx.slice(2, 2..7, 1).unwrap().to_vec().iter().all(|&d: &f32| d == 0.0));
}

#[test]
fn a_dilated_window_that_misses_the_image_passes_nothing() {
    let window = Window { padding: [[1, 2], [1, 2]], dilation: [3, 3], ..Window::new([2, 2]) }; // sees cells −1 and 2 of one
    let (y, indices) = max_pool2d(&Tensor::<f32>::ones([1, 1, 1, 1]).unwrap(), &window).unwrap();
    assert_eq!((y.to_vec(), indices.get([0; 4])), (vec![f32::NEG_INFINITY], None));
    assert_eq!(max_pool2d_grad_input(&y, &indices).unwrap().to_vec(), [0.0]);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let run = |threads| {
        crate::parallel::with_threads(threads, || {
            let x = Tensor::<f32>::uniform([5, 33, 40, 41], -1.0, 1.0, &mut Rng::seed(1)).unwrap();
            let (y, indices) = max_pool2d(&x, &square(3, 1, 2)).unwrap();
            let dx = max_pool2d_grad_input(&y, &indices).unwrap();
            (y.to_vec(), dx.to_vec())
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn what_cannot_be_pooled_is_an_error() {
    let x = Tensor::<f32>::ones([1, 1, 4, 4]).unwrap();
    let bad = [
        square(0, 0, 1),
        square(2, 0, 0),
        square(5, 0, 1),
        square(2, 2, 1),
        square(3, 2, 1),
        Window { padding: [[0, 0], [0, 2]], ..square(3, 0, 1) },
        Window { dilation: [0, 1], ..square(2, 0, 1) },
    ];
    for window in bad {
        assert!(max_pool2d(&x, &window).is_err() && max_pool2d_values(&x, &window).is_err(), "{window:?}");
    }
    assert!(max_pool2d(&Tensor::<f32>::ones([1, 4, 4]).unwrap(), &square(2, 0, 2)).is_err());
    let (y, indices) = max_pool2d(&x, &square(2, 0, 2)).unwrap();
    assert!(max_pool2d_grad_input(&x, &indices).is_err());
    assert!(max_pool2d_grad_input(&y.reshape([4]).unwrap(), &indices).is_err());
    let wide = Tensor::<f32>::zeros([0, 1, 1 << 20, 1 << 20]).unwrap();
    assert!(matches!(max_pool2d(&wide, &square(2, 0, 2)), Err(Error::Argument { .. })));
    assert!(max_pool2d_values(&wide, &square(2, 0, 2)).is_ok());
}
