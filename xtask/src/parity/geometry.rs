//! Layers and losses in random settings, for `--live`: what no list of cases thought of.

use nyang_nn::loss::Loss;
use nyang_nn::{
    AvgPool2d, BatchNorm1d, BatchNorm2d, Bce, Conv2d, CrossEntropy, Dropout, Elu, Flatten, Flow, Gelu, GroupNorm, Hardswish, Init,
    LayerNorm, LeakyRelu, Linear, LogSoftmax, MaxPool2d, Maxout, Module, Mse, PRelu, Registry, Relu, Residual, Result, Rng, Selu, Shape,
    SigmoidFocal, Silu, Softmax, SoftmaxFocal, Softplus, Tanh, Targets, Tensor,
};

use super::draw::{Draw, python};
use super::layers::{of_loss, of_module};
use super::question::{Anything, Question};

/// A module, the same in PyTorch, and an input's shape.
type Drawn = Result<(Box<dyn Module<f64>>, String, Vec<usize>)>;

/// What draws one.
type Drawer = fn(&mut Draw, &mut Init) -> Drawn;

/// How many of each are drawn, by whom.
const LAYERS: [(&str, usize, Drawer); 13] = [
    ("Conv2d", 16, conv),
    ("Conv2d/3×3", 8, conv3x3),
    ("Conv2d/depthwise", 4, depthwise),
    ("Linear", 6, linear),
    ("MaxPool2d", 6, max_pool),
    ("AvgPool2d", 6, avg_pool),
    ("BatchNorm", 6, batch_norm),
    ("GroupNorm", 5, group_norm),
    ("LayerNorm", 5, layer_norm),
    ("Activation", 14, activation),
    ("Dropout", 3, dropout),
    ("Flow", 6, network),
    ("Residual", 4, residual),
];

/// How many losses are drawn.
const LOSSES: usize = 20;

/// Questions about random geometries.
pub fn questions(seed: u64) -> std::result::Result<Vec<Question>, Anything> {
    let mut questions = Vec::new();
    for (kind, (name, count, draw)) in LAYERS.into_iter().enumerate() {
        for i in 0..count {
            let key = [seed, 7, kind as u64, i as u64];
            let (module, torch, input) = draw(&mut Draw(Rng::keyed(key)), &mut Init::seed(seed))?;
            let x = Tensor::normal(Shape::new(&input)?, 0.0, 1.0, &mut Rng::keyed([seed, 8, kind as u64, i as u64]))?;
            let (spec, again) = (module.spec(), module.spec());
            let name = format!("{name}/random {i}");
            let f64 = move |init: &mut Init| Registry::standard().build(&spec, init);
            let f32 = move |init: &mut Init| Registry::standard().build(&again, init);
            questions.extend(of_module(&name, &torch, module, x, seed, f64, f32)?);
        }
    }
    for i in 0..LOSSES {
        questions.push(loss(i, seed)?);
    }
    Ok(questions)
}

fn boxed(module: impl Module<f64>, torch: String, input: &[usize]) -> Drawn {
    Ok((Box::new(module), torch, input.to_vec()))
}

/// A size that a window of `effective` places with this padding fits into, and up to `more` more.
fn size(draw: &mut Draw, effective: usize, padding: usize, more: usize) -> usize {
    let least = effective.saturating_sub(2 * padding).max(1);
    draw.whole(least, least + more)
}

fn conv(draw: &mut Draw, init: &mut Init) -> Drawn {
    let groups = draw.pick(&[1, 1, 1, 2, 3]);
    let (c, o) = (groups * draw.whole(1, 6), groups * draw.whole(1, 6));
    let ([kh, kw], [sh, sw], [dh, dw]) = (draw.pair(1, 5), draw.pair(1, 3), draw.pair(1, 2));
    let [ph, pw] = [draw.whole(0, kh), draw.whole(0, kw)];
    let bias = draw.coin();
    let (h, w) = (size(draw, dh * (kh - 1) + 1, ph, 7), size(draw, dw * (kw - 1) + 1, pw, 7));
    let layer =
        Conv2d::config(c, o, [kh, kw]).stride([sh, sw]).padding([ph, pw]).dilation([dh, dw]).groups(groups).bias(bias).build(init)?;
    let bias = python(bias);
    let torch = format!("nn.Conv2d({c}, {o}, ({kh}, {kw}), ({sh}, {sw}), ({ph}, {pw}), ({dh}, {dw}), {groups}, {bias})");
    boxed(layer, torch, &[draw.whole(1, 3), c, h, w])
}

/// The convolution that most networks are made of, with more channels, where fast algorithms have their seams.
fn conv3x3(draw: &mut Draw, init: &mut Init) -> Drawn {
    let ([c, o], stride, padding) = (draw.pair(3, 40), draw.pick(&[1, 1, 2]), draw.whole(0, 1));
    let [h, w] = draw.pair(3, 15);
    let layer = Conv2d::config(c, o, 3).stride(stride).padding(padding).bias(false).build(init)?;
    boxed(layer, format!("nn.Conv2d({c}, {o}, 3, {stride}, {padding}, bias=False)"), &[draw.whole(1, 3), c, h, w])
}

fn depthwise(draw: &mut Draw, init: &mut Init) -> Drawn {
    let (c, multiplier, k, stride) = (draw.whole(1, 35), draw.whole(1, 2), draw.pick(&[3, 5]), draw.whole(1, 2));
    let (o, [h, w]) = (c * multiplier, draw.pair(k, 12));
    let layer = Conv2d::config(c, o, k).stride(stride).padding(k / 2).groups(c).build(init)?;
    boxed(layer, format!("nn.Conv2d({c}, {o}, {k}, {stride}, {}, groups={c})", k / 2), &[draw.whole(1, 3), c, h, w])
}

fn linear(draw: &mut Draw, init: &mut Init) -> Drawn {
    let ([n, o], bias) = (draw.pair(1, 150), draw.coin());
    let layer = Linear::config(n, o).bias(bias).build(init)?;
    boxed(layer, format!("nn.Linear({n}, {o}, bias={})", python(bias)), &[draw.whole(1, 9), n])
}

fn max_pool(draw: &mut Draw, _: &mut Init) -> Drawn {
    let ([kh, kw], [sh, sw], [dh, dw], ceil) = (draw.pair(1, 4), draw.pair(1, 4), draw.pair(1, 2), draw.coin());
    let [ph, pw] = [draw.whole(0, kh / 2), draw.whole(0, kw / 2)];
    // A dilated window over a single row may hit no cell. Ours gives −∞ then; PyTorch 2.15 writes outside of its memory, going backward.
    let (h, w) = (size(draw, dh * (kh - 1) + 1, ph, 7).max(dh), size(draw, dw * (kw - 1) + 1, pw, 7).max(dw));
    let layer = MaxPool2d::config([kh, kw]).stride([sh, sw]).padding([ph, pw]).dilation([dh, dw]).ceil_mode(ceil).build()?;
    let ceil = python(ceil);
    let torch = format!("nn.MaxPool2d(({kh}, {kw}), ({sh}, {sw}), ({ph}, {pw}), ({dh}, {dw}), ceil_mode={ceil})");
    boxed(layer, torch, &[draw.whole(1, 3), draw.whole(1, 20), h, w])
}

fn avg_pool(draw: &mut Draw, _: &mut Init) -> Drawn {
    let ([kh, kw], [sh, sw], ceil, count) = (draw.pair(1, 4), draw.pair(1, 4), draw.coin(), draw.coin());
    let [ph, pw] = [draw.whole(0, kh / 2), draw.whole(0, kw / 2)];
    let (h, w) = (size(draw, kh, ph, 7), size(draw, kw, pw, 7));
    let mut config = AvgPool2d::config([kh, kw]).stride([sh, sw]).padding([ph, pw]).ceil_mode(ceil).count_include_pad(count);
    let mut torch = format!("nn.AvgPool2d(({kh}, {kw}), ({sh}, {sw}), ({ph}, {pw}), {}, {}", python(ceil), python(count));
    if draw.0.below(4) == 0 {
        let divisor = draw.whole(1, 9);
        config = config.divisor_override(divisor);
        torch.push_str(&format!(", {divisor}"));
    }
    boxed(config.build()?, torch + ")", &[draw.whole(1, 3), draw.whole(1, 20), h, w])
}

fn batch_norm(draw: &mut Draw, init: &mut Init) -> Drawn {
    let (c, n, eps, momentum, affine) = (draw.whole(1, 40), draw.whole(2, 6), draw.real(1e-3, 0.1), draw.real(0.01, 0.99), draw.coin());
    let torch = |kind: &str| format!("nn.BatchNorm{kind}({c}, {eps:?}, {momentum:?}, {})", python(affine));
    if draw.coin() {
        let layer = BatchNorm1d::config(c).eps(eps).momentum(momentum).affine(affine).build(init)?;
        return boxed(layer, torch("1d"), &[n, c]);
    }
    let layer = BatchNorm2d::config(c).eps(eps).momentum(momentum).affine(affine).build(init)?;
    boxed(layer, torch("2d"), &[n, c, draw.whole(1, 7), draw.whole(1, 7)])
}

fn group_norm(draw: &mut Draw, init: &mut Init) -> Drawn {
    let (groups, eps, affine) = (draw.whole(1, 6), draw.real(1e-3, 0.1), draw.coin());
    let c = groups * draw.whole(1, 7);
    let layer = GroupNorm::config(groups, c).eps(eps).affine(affine).build(init)?;
    let torch = format!("nn.GroupNorm({groups}, {c}, {eps:?}, {})", python(affine));
    boxed(layer, torch, &[draw.whole(1, 4), c, draw.whole(1, 6), draw.whole(2, 6)])
}

fn layer_norm(draw: &mut Draw, init: &mut Init) -> Drawn {
    let (shape, eps) = ([draw.whole(1, 9), draw.whole(1, 9), draw.whole(2, 9)], draw.real(1e-3, 0.1));
    let last = &shape[draw.whole(0, 2)..];
    let layer = LayerNorm::config(Shape::new(last)?).eps(eps).build(init)?;
    boxed(layer, format!("nn.LayerNorm({last:?}, {eps:?})"), &[&[draw.whole(1, 4)], &shape[..]].concat())
}

fn activation(draw: &mut Draw, init: &mut Init) -> Drawn {
    let c = 2 * draw.whole(1, 9);
    let input = [draw.whole(1, 4), c, draw.whole(1, 7), draw.whole(1, 7)];
    let input = &input[..draw.pick(&[2, 3, 4])];
    match draw.whole(0, 13) {
        0 => {
            let slope = draw.real(0.0, 0.5);
            boxed(LeakyRelu::<f64>::new(slope)?, format!("nn.LeakyReLU({slope:?})"), input)
        }
        1 => {
            let alpha = draw.real(0.1, 2.0);
            boxed(Elu::<f64>::new(alpha)?, format!("nn.ELU({alpha:?})"), input)
        }
        2 => {
            let (beta, threshold) = (draw.real(0.5, 3.0), draw.real(0.5, 20.0));
            boxed(Softplus::<f64>::with_threshold(beta, threshold)?, format!("nn.Softplus({beta:?}, {threshold:?})"), input)
        }
        3 => boxed(PRelu::config(c).build(init)?, format!("nn.PReLU({c})"), input),
        4 => boxed(PRelu::config(1).build(init)?, "nn.PReLU()".into(), input),
        5 => boxed(Softmax::<f64>::new(), "nn.Softmax(1)".into(), input),
        6 => boxed(LogSoftmax::<f64>::new(), "nn.LogSoftmax(1)".into(), input),
        7 => boxed(Maxout::<f64>::new(2)?, "Lambda(lambda x: x.unflatten(1, (-1, 2)).max(2).values)".into(), input),
        8 => boxed(Gelu::<f64>::new(), "nn.GELU()".into(), input),
        9 => boxed(Selu::<f64>::new(), "nn.SELU()".into(), input),
        10 => boxed(Silu::<f64>::new(), "nn.SiLU()".into(), input),
        11 => boxed(Tanh::<f64>::new(), "nn.Tanh()".into(), input),
        12 => boxed(Hardswish::<f64>::new(), "nn.Hardswish()".into(), input),
        _ => boxed(Relu::<f64>::new(), "nn.ReLU()".into(), input),
    }
}

fn dropout(draw: &mut Draw, _: &mut Init) -> Drawn {
    let p = draw.real(0.05, 0.95);
    boxed(Dropout::<f64>::new(p)?, format!("nn.Dropout({p:?})"), &[draw.whole(2, 9), draw.whole(2, 30)])
}

/// A small network, as everybody builds one. At least two channels come in: a batch norm undoes the scale of one, so that the weight before it would
/// have a gradient of zero, a difference of equal numbers, in which f32 has no digits.
fn network(draw: &mut Draw, init: &mut Init) -> Drawn {
    let ([c, o], k, classes) = (draw.pair(2, 9), draw.pick(&[1, 3, 5]), draw.whole(2, 11));
    let [h, w] = draw.pair(4, 9);
    let features = o * (h / 2) * (w / 2);
    let model = Flow::new()
        .then(Conv2d::config(c, o, k).padding(k / 2).bias(false).build(init)?)
        .then(BatchNorm2d::config(o).build(init)?)
        .then(Relu::new())
        .then(MaxPool2d::config(2).build()?)
        .then(Flatten::new())
        .then(Linear::config(features, classes).build(init)?);
    let torch = format!(
        "nn.Sequential(nn.Conv2d({c}, {o}, {k}, padding={}, bias=False), nn.BatchNorm2d({o}), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), \
         nn.Linear({features}, {classes}))",
        k / 2
    );
    boxed(model, torch, &[draw.whole(2, 5), c, h, w])
}

/// He et al.'s block, with a learnt shortcut; channels as in [`network`].
fn residual(draw: &mut Draw, init: &mut Init) -> Drawn {
    let ([c, o], stride, [h, w]) = (draw.pair(2, 9), draw.whole(1, 2), draw.pair(3, 8));
    let body = Flow::new()
        .named("conv1", Conv2d::config(c, o, 3).stride(stride).padding(1).bias(false).build(init)?)
        .named("bn1", BatchNorm2d::config(o).build(init)?)
        .named("relu1", Relu::new())
        .named("conv2", Conv2d::config(o, o, 3).padding(1).bias(false).build(init)?)
        .named("bn2", BatchNorm2d::config(o).build(init)?);
    let shortcut =
        Flow::new().then(Conv2d::config(c, o, 1).stride(stride).bias(false).build(init)?).then(BatchNorm2d::config(o).build(init)?);
    let block = Residual::new(body).shortcut("downsample", shortcut).after("relu2", Relu::new());
    boxed(block, format!("BasicBlock({c}, {o}, stride={stride}, shortcut='conv')"), &[draw.whole(2, 4), c, h, w])
}

/// A loss in f64 and f32.
fn both<L: Loss<f64> + Loss<f32> + Clone + 'static>(loss: L) -> (Box<dyn Loss<f64>>, Box<dyn Loss<f32>>) {
    (Box::new(loss.clone()), Box::new(loss))
}

fn loss(i: usize, seed: u64) -> std::result::Result<Question, Anything> {
    let draw = &mut Draw(Rng::keyed([seed, 9, 0, i as u64]));
    let (n, c) = (draw.whole(1, 12), draw.whole(2, 15));
    let z = Tensor::normal([n, c], 0.0, 3.0, &mut draw.0)?;
    let classes = Targets::Classes((0..n).map(|_| draw.0.below(c)).collect());
    let soft = Targets::Soft(Tensor::uniform([n, c], 0.0, 1.0, &mut draw.0)?);
    let (weights, smoothing, gamma) = (draw.reals(c, 0.1, 3.0), draw.real(0.0, 0.5), draw.real(0.0, 4.0));
    let (kind, torch, targets, loss) = match i % 5 {
        0 => {
            let torch = format!("F.cross_entropy(z, t, torch.tensor({weights:?}), label_smoothing={smoothing:?})");
            ("CrossEntropy", torch, classes, both(CrossEntropy::new().class_weights(weights).label_smoothing(smoothing)))
        }
        1 => {
            let torch = format!("F.cross_entropy(z, t, torch.tensor({weights:?}), label_smoothing={smoothing:?})");
            ("CrossEntropy/soft", torch, soft, both(CrossEntropy::new().class_weights(weights).label_smoothing(smoothing)))
        }
        2 => {
            let torch = format!("F.binary_cross_entropy_with_logits(z, t, pos_weight=torch.tensor({weights:?}))");
            ("Bce", torch, soft, both(Bce::new().pos_weight(weights)))
        }
        3 => {
            let torch = format!("torchvision.ops.sigmoid_focal_loss(z, t, {smoothing:?}, {gamma:?}, 'mean')");
            ("SigmoidFocal", torch, soft, both(SigmoidFocal::new().alpha(smoothing).gamma(gamma)))
        }
        _ if draw.coin() => ("Mse", "F.mse_loss(z, t)".into(), soft, both(Mse::new())),
        _ => {
            let torch = format!("(-F.one_hot(t, {c}) * (1 - z.softmax(1))**{gamma:?} * z.log_softmax(1)).sum(1).mean()");
            ("SoftmaxFocal", torch, classes, both(SoftmaxFocal::new(gamma)))
        }
    };
    of_loss((format!("{kind}/random {i}"), torch), z, &targets, loss)
}
