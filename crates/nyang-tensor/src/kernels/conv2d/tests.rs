//! Convolution against PyTorch's numbers, against the plain loops over many geometries, and against itself on other threads.

use super::*;
use crate::Rng;
use proptest::prelude::*;

fn geometry(window: Window, groups: usize) -> Conv2dGeometry {
    Conv2dGeometry { window, groups }
}

/// Integers 0 ≤ i·a mod m, less `shift`: the same formula made the PyTorch inputs.
fn counted(dims: [usize; 4], a: usize, m: usize, shift: f64) -> Tensor<f64> {
    Tensor::from_fn(dims, |i| (i * a % m) as f64 - shift).unwrap()
}

/// x, weight, geometry, with a bias 1, 2, … or none; y, dx and dw of dy = (i·3 mod 5) − 2, by PyTorch.
struct Golden {
    sizes: ([usize; 4], [usize; 4]),
    g: Conv2dGeometry,
    bias: bool,
    y: &'static [i32],
    dx: &'static [i32],
    dw: &'static [i32],
}

#[test]
fn values_and_gradients_are_pytorchs() {
    let w = Window::new([2, 2]);
    let cases = [
        Golden {
            sizes: ([1, 2, 3, 3], [2, 2, 2, 2]),
            g: geometry(w, 1),
            bias: true,
            y: &[30, -24, 0, -10, -21, 15, -1, 2],
            dx: &[6, -11, 2, 5, -2, -4, -2, 7, -7, -6, -1, 3, 0, 14, -4, -2, 6, -8],
            dw: &[9, -13, -13, -13, -13, 9, -13, 20, 0, 8, 2, 10, 6, 3, 8, -17],
        },
        Golden {
            sizes: ([1, 2, 4, 3], [2, 1, 3, 2]),
            g: geometry(Window { kernel: [3, 2], stride: [2, 1], padding: [[1, 0], [0, 1]], dilation: [1, 2], ceil_mode: false }, 2),
            bias: false,
            y: &[16, 3, -9, -6, 14, 2, -5, 5],
            dx: &[0, 0, 4, -3, -3, -4, 0, 0, 2, -3, 6, -1, 0, -4, 0, -1, 5, -3, 2, -2, 0, -2, 2, 3],
            dw: &[-3, 3, 8, 8, -14, 11, 4, 4, 8, 3, 10, 2],
        },
        Golden {
            sizes: ([2, 1, 3, 3], [1, 1, 3, 3]),
            g: geometry(Window { stride: [2, 2], padding: [[1, 1], [1, 1]], ..Window::new([3, 3]) }, 1),
            bias: true,
            y: &[-25, -1, 23, -20, -1, -25, 5, 35],
            dx: &[-6, -4, 3, 4, -11, 1, -3, -5, 6, 0, 4, -6, 2, 5, 4, 3, 3, -3],
            dw: &[4, -14, -3, 7, 3, -7, 5, -23, -2],
        },
    ];
    for Golden { sizes: (x, weight), g, bias, y, dx, dw } in cases {
        let exact = |values: &[i32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (x, weight) = (counted(x, 7, 11, 5.0), counted(weight, 5, 7, 3.0));
        let b = Tensor::from_fn([weight.dims()[0]], |i| i as f64 + 1.0).unwrap();
        let out = conv2d(&x, &weight, bias.then_some(&b), &g, Kernels::default()).unwrap();
        let dy = Tensor::from_fn(out.shape(), |i| (i * 3 % 5) as f64 - 2.0).unwrap();
        let mut gradient = Tensor::ones(weight.shape()).unwrap(); // is added to
        conv2d_grad_weight(&dy, &x, &g, Kernels::default(), &mut gradient).unwrap();
        assert_eq!(out.to_vec(), exact(y));
        assert_eq!(conv2d_grad_input(&dy, &weight, x.shape(), &g, Kernels::default()).unwrap().to_vec(), exact(dx));
        assert_eq!(gradient.map(|v| v - 1.0).unwrap().to_vec(), exact(dw));
    }
}

/// A random tensor that lies in memory in one of several ways.
fn laid_out<T: Element>(dims: [usize; 4], layout: usize, seed: u64) -> Tensor<T> {
    let [n, c, h, w] = dims;
    let mut rng = Rng::seed(seed);
    let mut random = |dims: [usize; 4]| Tensor::<T>::uniform(dims, -1.0, 1.0, &mut rng).unwrap();
    match layout {
        0 => random(dims),
        1 => random(dims).channels_last().unwrap(),
        2 => random([n, c, 2 * h, w]).slice(2, 0..2 * h, 2).unwrap(), // gaps between rows
        _ => random([w, n, h, c]).permute(&[1, 3, 2, 0]).unwrap(),
    }
}

/// All three passes, in `T` by every tier and by plain loops in f64 on the same numbers: the largest difference, as a multiple of what a
/// sum of so many products of numbers below 1 may lose to rounding.
fn difference<T: Element>(x: [usize; 4], weight: [usize; 4], g: &Conv2dGeometry, layout: usize, eps: f64) -> f64 {
    let all = if T::f32s(&[]).is_some() { Kernels::available() } else { vec![Kernels::default()] };
    let exact = all.into_iter().map(Kernels::exact).collect();
    difference_of::<T>(exact, x, weight, g, layout, eps).into_iter().fold(0.0, f64::max_or_nan)
}

/// [`difference`] of y, dx and dw by these kernels.
fn difference_of<T: Element>(
    kernels: Vec<Kernels>,
    x: [usize; 4],
    weight: [usize; 4],
    g: &Conv2dGeometry,
    layout: usize,
    eps: f64,
) -> [f64; 3] {
    let (x, w) = (laid_out::<T>(x, layout % 4, 1), laid_out::<T>(weight, layout / 4 % 4, 2));
    let b = Tensor::<T>::uniform([weight[0]], -1.0, 1.0, &mut Rng::seed(3)).unwrap();
    let wide = |t: &Tensor<T>| t.cast::<f64>().unwrap();
    let (x64, w64) = (wide(&x), wide(&w));
    let y64 = conv2d_plain(&x64, &w64, Some(&wide(&b)), g).unwrap();
    let dy = laid_out::<T>(<[usize; 4]>::try_from(y64.dims()).unwrap(), layout / 16 % 4, 4);
    let (dy64, mut dw64) = (wide(&dy), w64.clone());
    conv2d_grad_weight_plain(&dy64, &x64, g, &mut dw64).unwrap();
    let want = [
        (y64, weight[1..].iter().product::<usize>()),
        (conv2d_grad_input_plain(&dy64, &w64, x.shape(), g).unwrap(), w.len() / g.groups / weight[1].max(1)),
        (dw64, dy.len() / weight[0].max(1)),
    ];
    let mut worst = [0.0; 3];
    for kernels in kernels {
        let y = conv2d(&x, &w, Some(&b), g, kernels).unwrap();
        assert!(y.is_channels_last());
        let dx = conv2d_grad_input(&dy, &w, x.shape(), g, kernels).unwrap();
        let mut dw = w.clone();
        conv2d_grad_weight(&dy, &x, g, kernels, &mut dw).unwrap();
        for ((got, (want, terms)), worst) in [y, dx, dw].iter().zip(&want).zip(&mut worst) {
            assert_eq!(got.shape(), want.shape());
            let off = got.to_vec().iter().zip(want.to_vec()).map(|(a, b)| (a.to_f64() - b).abs()).fold(0.0, f64::max_or_nan);
            *worst = f64::max_or_nan(*worst, off / (eps * (2.0 + *terms as f64)));
        }
    }
    worst
}

fn pair(range: std::ops::Range<usize>) -> impl Strategy<Value = [usize; 2]> {
    [range.clone(), range]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn all_passes_agree_with_plain_loops(
        n in 0usize..4, groups in 1usize..4, cg in 0usize..5, og in 0usize..4, size in pair(0..12),
        kernel in pair(1..5), stride in pair(1..4), padding in [pair(0..4), pair(0..4)], dilation in pair(1..4), layout in 0usize..64,
    ) {
        let g = geometry(Window { kernel, stride, padding, dilation, ceil_mode: false }, groups);
        let (x, w) = ([n, groups * cg, size[0], size[1]], [groups * og, cg, kernel[0], kernel[1]]);
        if conv2d_out_shape(&Shape::from(x), &Shape::from(w), &g).is_ok() {
            prop_assert!(difference::<f64>(x, w, &g, layout, f64::EPSILON) < 1.0);
            prop_assert!(difference::<f32>(x, w, &g, layout, f64::from(f32::EPSILON)) < 1.0);
        }
    }

    #[test]
    fn pointwise_and_depthwise_agree_with_plain_loops(
        n in 1usize..4, c in 1usize..40, o in 1usize..40, size in pair(1..14), kernel in pair(1..4), stride in pair(1..3), padding in pair(0..2),
    ) {
        let x = [n, c, size[0], size[1]];
        let pointwise = geometry(Window::new([1, 1]), 1);
        prop_assert!(difference::<f32>(x, [o, c, 1, 1], &pointwise, 1, f64::from(f32::EPSILON)) < 1.0);
        let depthwise = geometry(Window { stride, padding: [padding, padding], ..Window::new(kernel) }, c);
        let w = [c, 1, kernel[0], kernel[1]];
        if conv2d_out_shape(&Shape::from(x), &Shape::from(w), &depthwise).is_ok() {
            prop_assert!(difference::<f32>(x, w, &depthwise, 1, f64::from(f32::EPSILON)) < 1.0);
        }
    }
}

/// What Winograd's convolutions may lose, as a multiple of what the plain sum may. Outputs and input gradients, sums of 126 products and more,
/// stay below 1. A weight gradient over an image of 3 × 4 is a sum of 12, but its transforms round as those of larger images do: up to 2.5.
const WINOGRAD: f64 = 4.0;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn winograd_agrees_with_plain_loops(
        n in 1usize..4, c in 14usize..40, o in 14usize..40, size in pair(2..14), padding in [pair(0..4), pair(0..4)], layout in 0usize..64,
    ) {
        let g = geometry(Window { padding, ..Window::new([3, 3]) }, 1);
        let (x, w) = ([n, c, size[0], size[1]], [o, c, 3, 3]);
        if conv2d_out_shape(&Shape::from(x), &Shape::from(w), &g).is_ok() {
            let off = difference_of::<f32>(Kernels::available(), x, w, &g, layout, f64::from(f32::EPSILON));
            prop_assert!(off.iter().all(|&off| off < WINOGRAD), "{:?}", off);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn pairs_of_pixels_agree_with_plain_loops(
        n in 1usize..4, c in 1usize..4, o in 5usize..9, size in [1usize..12, 3..16], kernel in [1usize..6, 3..6], stride in 1usize..3,
        padding in [pair(0..4), pair(0..4)], dilation in 1usize..3, layout in 0usize..64,
    ) {
        let g = geometry(Window { kernel, stride: [stride, 1], padding, dilation: [dilation, 1], ceil_mode: false }, 1);
        let (x, w) = ([n, c, size[0], size[1]], [o, c, kernel[0], kernel[1]]);
        if conv2d_out_shape(&Shape::from(x), &Shape::from(w), &g).is_ok() {
            let off = difference_of::<f32>(Kernels::available(), x, w, &g, layout, f64::from(f32::EPSILON));
            prop_assert!(off.iter().all(|&off| off < 1.0), "{:?}", off);
        }
    }
}

/// Tiles too many for one round, of channels too many for tasks of their own: 260 in rounds of 256 (answers and the gradient of the input) and
/// of 128 (of the weight, where there is one sum for all), and 189 in rounds of 182.
#[test]
fn winograd_of_wide_layers_agrees_in_several_rounds() {
    let g = geometry(Window { padding: [[1, 1], [1, 1]], ..Window::new([3, 3]) }, 1);
    for (x, w) in [([65, 256, 3, 3], [256, 256, 3, 3]), ([21, 72, 12, 12], [72, 72, 3, 3])] {
        let off = difference_of::<f32>(Kernels::available(), x, w, &g, 1, f64::from(f32::EPSILON));
        assert!(off.iter().all(|&off| off < WINOGRAD), "{x:?}: {off:?}");
    }
}

/// LeNet's first layer is computed so, where vectors have sixteen lanes; a wider stride than a third of the kernel is not.
#[test]
fn few_channels_are_computed_in_pairs_of_pixels() {
    let Some(simd) = Kernels::default().simd().filter(|simd| simd.lanes() == 16) else { return };
    let wide = |stride| {
        let g = geometry(Window { stride: [1, stride], padding: [[2, 2], [2, 2]], ..Window::new([5, 5]) }, 1);
        pairs::widened(simd, &Plan::new(&Shape::from([2, 1, 28, 28]), &Shape::from([6, 1, 5, 5]), &g).unwrap())
    };
    assert_eq!(wide(1).map(|plan| (plan.output, plan.g.window.kernel)), Some(([2, 12, 28, 14], [5, 6])));
    assert!(wide(2).is_none());
}

/// Sizes that cross the borders of tiles, column blocks and pieces.
fn large() -> [([usize; 4], [usize; 4], Conv2dGeometry); 6] {
    let same = Window { padding: [[1, 1], [1, 1]], ..Window::new([3, 3]) };
    [
        ([3, 70, 9, 7], [20, 70, 3, 3], geometry(same, 1)), // kernel rows, then one tap at a time
        ([2, 600, 5, 5], [3, 600, 2, 2], geometry(Window::new([2, 2]), 1)), // a tap in blocks of channels
        ([2, 256, 5, 5], [240, 256, 3, 3], geometry(same, 1)), // a weight too large for eight pieces
        ([5, 66, 16, 17], [66, 1, 3, 3], geometry(Window { stride: [2, 2], ..same }, 66)), // depthwise in several pieces
        ([9, 24, 13, 11], [36, 12, 1, 1], geometry(Window::new([1, 1]), 2)), // pointwise, grouped
        ([9, 1, 28, 28], [6, 1, 5, 5], geometry(Window { padding: [[2, 2], [2, 2]], ..Window::new([5, 5]) }, 1)), // pairs of pixels
    ]
}

#[test]
fn large_convolutions_agree_with_plain_loops() {
    for (x, w, g) in large() {
        assert!(difference::<f32>(x, w, &g, 1, f64::from(f32::EPSILON)) < 1.0, "{x:?} {w:?} {g:?}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for (x, w, g) in large() {
        let passes = |threads| {
            let (x, w) = (laid_out::<f32>(x, 0, 1), laid_out::<f32>(w, 0, 2));
            crate::parallel::with_threads(threads, || {
                let y = conv2d(&x, &w, None, &g, Kernels::default()).unwrap();
                let mut dw = Tensor::zeros(w.shape()).unwrap();
                conv2d_grad_weight(&y, &x, &g, Kernels::default(), &mut dw).unwrap();
                let dx = conv2d_grad_input(&y, &w, x.shape(), &g, Kernels::default()).unwrap();
                [y.to_vec(), dw.to_vec(), dx.to_vec()].map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
            })
        };
        assert_eq!(passes(1), passes(3), "{x:?} {w:?} {g:?}");
    }
}

#[test]
fn an_image_gets_the_same_bits_alone_and_in_a_batch() {
    for (x, w, g) in large() {
        let (x, w) = (laid_out::<f32>(x, 0, 1), laid_out::<f32>(w, 0, 2));
        let batch = conv2d(&x, &w, None, &g, Kernels::default()).unwrap();
        let dx = conv2d_grad_input(&batch, &w, x.shape(), &g, Kernels::default()).unwrap();
        for n in 0..x.dims()[0] {
            let (alone, dy) = (x.slice(0, n..n + 1, 1).unwrap(), batch.slice(0, n..n + 1, 1).unwrap());
            assert_eq!(conv2d(&alone, &w, None, &g, Kernels::default()).unwrap(), dy, "image {n} of {g:?}");
            assert_eq!(conv2d_grad_input(&dy, &w, alone.shape(), &g, Kernels::default()).unwrap(), dx.slice(0, n..n + 1, 1).unwrap());
        }
    }
}

#[test]
fn a_cache_changes_no_bit_and_notices_other_weights() {
    let same = geometry(Window { padding: [[1, 1], [1, 1]], ..Window::new([3, 3]) }, 1);
    for (size, g, kernel) in [([2, 17, 9, 9], same, 3), ([2, 17, 4, 3], same, 3), ([2, 17, 9, 9], geometry(Window::new([2, 2]), 1), 2)] {
        let (cache, x) = (WeightCache::default(), laid_out::<f32>(size, 1, 1));
        let mut w = laid_out::<f32>([18, 17, kernel, kernel], 0, 2);
        for step in 0..3 {
            for kernels in Kernels::available().into_iter().flat_map(|k| [k, k.exact(), k.exact()]) {
                let cached = conv2d_then(&x, &w, &g, &Epilogue::default(), kernels, Some(&cache)).unwrap();
                assert_eq!(cached, conv2d(&x, &w, None, &g, kernels).unwrap(), "step {step} {kernels:?}");
            }
            w.as_mut_slice().unwrap()[5] += 1.0;
        }
    }
}

/// y = act(conv + bias + beside), bit for bit, in one go and step by step.
fn ends_like_its_steps<T: Element>(x: [usize; 4], w: [usize; 4], g: &Conv2dGeometry) {
    let (o, x, w) = (w[0], laid_out::<T>(x, 1, 1), laid_out::<T>(w, 0, 2));
    let bias = Tensor::<T>::uniform([o], -1.0, 1.0, &mut Rng::seed(3)).unwrap();
    for kernels in Kernels::available().into_iter().flat_map(|k| [k, k.exact()]) {
        let sums = conv2d(&x, &w, Some(&bias), g, kernels).unwrap();
        let beside = Tensor::<T>::normal(*sums.shape(), 3.0, 4.0, &mut Rng::seed(4)).unwrap();
        for activation in [Activation::Identity, Activation::Relu, Activation::Relu6] {
            for beside in [None, Some(&beside)] {
                let then = Epilogue { bias: Some(&bias), beside, activation };
                let at_once = conv2d_then(&x, &w, g, &then, kernels, None).unwrap();
                let sums = beside.map_or(Ok(sums.clone()), |beside| sums.clone().add(beside)).unwrap();
                let apart = sums.map(|v| activation.of(v)).unwrap();
                assert_eq!(at_once, apart, "{activation:?}, beside {}, {kernels:?} of {g:?}", beside.is_some());
            }
        }
    }
}

/// dx + beside, bit for bit, in one go and step by step.
fn adds_like_its_steps<T: Element>(x: [usize; 4], w: [usize; 4], g: &Conv2dGeometry) {
    let (w, x) = (laid_out::<T>(w, 0, 2), Shape::from(x));
    let dy = Tensor::<T>::normal(conv2d_out_shape(&x, w.shape(), g).unwrap(), 0.0, 1.0, &mut Rng::seed(1)).unwrap();
    let beside = Tensor::<T>::normal(x, 0.0, 1.0, &mut Rng::seed(3)).unwrap();
    for kernels in Kernels::available().into_iter().flat_map(|k| [k, k.exact()]) {
        let apart = conv2d_grad_input(&dy, &w, &x, g, kernels).unwrap().add(&beside).unwrap();
        assert_eq!(conv2d_grad_input_beside(&dy, &w, &x, g, Some(&beside), kernels).unwrap(), apart, "{kernels:?} of {g:?}");
    }
    assert!(conv2d_grad_input_beside(&dy, &w, &x, g, Some(&dy.reshape([dy.len()]).unwrap()), Kernels::default()).is_err());
}

#[test]
fn what_follows_at_once_has_the_bits_of_what_follows_later() {
    let same = Window { padding: [[1, 1], [1, 1]], ..Window::new([3, 3]) };
    for (x, w, g) in [
        ([2, 17, 9, 10], [19, 17, 3, 3], geometry(same, 1)), // Winograd, or direct
        ([2, 17, 4, 3], [150, 17, 3, 3], geometry(same, 1)), // several panels
        ([2, 12, 7, 6], [10, 6, 3, 3], geometry(Window { stride: [2, 2], ..same }, 2)),
        ([2, 37, 6, 7], [37, 1, 3, 3], geometry(same, 37)),
        ([3, 9, 5, 5], [33, 9, 1, 1], geometry(Window::new([1, 1]), 1)),
        ([2, 4, 6, 5], [9, 4, 3, 3], geometry(same, 1)), // its gradient by patches
    ] {
        ends_like_its_steps::<f32>(x, w, &g);
        ends_like_its_steps::<f64>(x, w, &g);
        adds_like_its_steps::<f32>(x, w, &g);
        adds_like_its_steps::<f64>(x, w, &g);
    }
}

#[test]
fn no_images_and_no_channels_are_no_trouble() {
    let g = geometry(Window { padding: [[1, 1], [1, 1]], ..Window::new([2, 2]) }, 1);
    for (x, w, y) in [
        ([0, 3, 4, 4], [2, 3, 2, 2], [0, 2, 5, 5]),
        ([1, 0, 4, 4], [2, 0, 2, 2], [1, 2, 5, 5]),
        ([1, 3, 4, 4], [0, 3, 2, 2], [1, 0, 5, 5]),
        ([1, 3, 0, 1], [2, 3, 2, 2], [1, 2, 1, 2]),
    ] {
        let (x, w) = (Tensor::<f32>::ones(x).unwrap(), Tensor::ones(w).unwrap());
        let b = Tensor::full([w.dims()[0]], 0.5).unwrap();
        let out = conv2d(&x, &w, Some(&b), &g, Kernels::default()).unwrap();
        assert_eq!(out.dims(), y);
        assert!(out.to_vec().iter().all(|&v| v == 0.5)); // only the bias
        let mut dw = w.clone();
        conv2d_grad_weight(&out, &x, &g, Kernels::default(), &mut dw).unwrap();
        assert_eq!(dw, w);
        assert!(conv2d_grad_input(&out, &w, x.shape(), &g, Kernels::default()).unwrap().to_vec().iter().all(|&v| v == 0.0));
    }
}

#[test]
fn absurd_sizes_of_empty_tensors_are_no_trouble() {
    const HUGE: usize = 1 << 60;
    for (x, w, kernel) in [
        ([0, 2, HUGE, HUGE], [2, 2, 3, 3], [3, 3]),
        ([0, 0, HUGE, 9], [HUGE, 0, 3, 3], [3, 3]),
        ([2, 0, HUGE, HUGE], [0, 0, HUGE, 1], [HUGE, 1]),
        ([0, HUGE, 1, 1], [0, HUGE, 1, 1], [1, 1]),
    ] {
        let (x, w, g) = (Tensor::<f32>::zeros(x).unwrap(), Tensor::zeros(w).unwrap(), geometry(Window::new(kernel), 1));
        let y = conv2d(&x, &w, None, &g, Kernels::default()).unwrap();
        assert!(conv2d_grad_input(&y, &w, x.shape(), &g, Kernels::default()).unwrap().is_empty());
        let mut dw = w.clone();
        conv2d_grad_weight(&y, &x, &g, Kernels::default(), &mut dw).unwrap();
        assert_eq!(dw, w);
    }
}

#[test]
fn what_does_not_fit_together_is_an_error() {
    let shape = |dims: &[usize]| Shape::new(dims).unwrap();
    let g = geometry(Window::new([3, 3]), 1);
    let bad: [(&[usize], &[usize], Conv2dGeometry); 10] = [
        (&[1, 3, 8], &[4, 3, 3, 3], g),
        (&[1, 3, 8, 8], &[4, 27], g),
        (&[1, 3, 8, 8], &[4, 2, 3, 3], g),
        (&[1, 3, 8, 8], &[4, 3, 3, 5], g),
        (&[1, 3, 2, 8], &[4, 3, 3, 3], g),
        (&[1, 3, 8, 8], &[4, 3, 3, 3], geometry(g.window, 0)),
        (&[1, 4, 8, 8], &[3, 2, 3, 3], geometry(g.window, 2)),
        (&[1, 4, 8, 8], &[4, usize::MAX, 3, 3], geometry(g.window, 2)),
        (&[1, 3, 8, 8], &[4, 3, 3, 3], geometry(Window { ceil_mode: true, ..g.window }, 1)),
        (&[1, 3, 8, 8], &[4, 3, 3, 3], geometry(Window { stride: [0, 1], ..g.window }, 1)),
    ];
    for (x, w, g) in bad {
        assert!(conv2d_out_shape(&shape(x), &shape(w), &g).is_err(), "{x:?} {w:?} {g:?}");
    }
    let (x, w) = (Tensor::<f32>::ones([1, 3, 8, 8]).unwrap(), Tensor::ones([4, 3, 3, 3]).unwrap());
    let dy = Tensor::ones([1, 4, 5, 6]).unwrap(); // 6 × 6 it should be
    assert!(conv2d(&x, &w, Some(&Tensor::ones([3]).unwrap()), &g, Kernels::default()).is_err());
    let then = Epilogue { beside: Some(&dy), ..Epilogue::default() };
    assert!(conv2d_then(&x, &w, &g, &then, Kernels::default(), None).is_err());
    assert!(conv2d_grad_input(&dy, &w, x.shape(), &g, Kernels::default()).is_err());
    assert!(conv2d_grad_weight(&dy, &x, &g, Kernels::default(), &mut w.clone()).is_err());
    let far = geometry(Window { padding: [[1 << 40, 1 << 40], [1 << 40, 0]], ..g.window }, 1);
    assert!(matches!(conv2d(&x, &w, None, &far, Kernels::default()), Err(Error::Memory { .. })));
}

#[test]
fn a_wrong_number_of_channels_is_explained() {
    let error =
        conv2d_out_shape(&Shape::from([8, 3, 32, 32]), &Shape::from([64, 32, 3, 3]), &geometry(Window::new([3, 3]), 2)).unwrap_err();
    assert_eq!(error.to_string(), "conv2d expects [N, 64, H, W] for a weight [64, 32, 3, 3] in 2 group(s), got [8, 3, 32, 32]");
}
