//! What can be measured, and the words by which both sides know it.

use super::models::MODELS;

/// A case: its name in tables and in `ratios`, and its words for the workers.
#[derive(Clone, Debug)]
pub struct Case {
    /// `train/lenet/64`.
    pub name: String,
    /// `train lenet 64`.
    pub words: Vec<String>,
}

impl Case {
    fn new(name: String, words: &str) -> Case {
        Case { name, words: words.split_whitespace().map(str::to_owned).collect() }
    }
}

/// Each of the chosen models at each batch size.
pub fn models(what: &str, chosen: &[String], batches: &[usize]) -> Vec<Case> {
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|c| c == name);
    let models = MODELS.iter().map(|entry| entry.name).filter(|name| is_chosen(name));
    models.flat_map(|name| batches.iter().map(move |n| Case::new(format!("{what}/{name}/{n}"), &format!("{what} {name} {n}")))).collect()
}

/// Images in every batch of [`operations`].
const N: usize = 64;

/// C, O, size, kernel, stride, padding, groups.
const CONVOLUTIONS: [[usize; 7]; 17] = [
    [3, 64, 32, 3, 1, 1, 1],
    [3, 16, 32, 3, 1, 1, 1],
    [16, 16, 32, 3, 1, 1, 1],
    [32, 32, 16, 3, 1, 1, 1],
    [64, 64, 32, 3, 1, 1, 1],
    [128, 128, 16, 3, 1, 1, 1],
    [256, 256, 8, 3, 1, 1, 1],
    [512, 512, 4, 3, 1, 1, 1],
    [64, 128, 32, 3, 2, 1, 1],
    [256, 512, 8, 3, 2, 1, 1],
    [64, 64, 32, 1, 1, 0, 1],
    [96, 24, 16, 1, 1, 0, 1],
    [64, 128, 32, 1, 2, 0, 1],
    [1, 6, 28, 5, 1, 2, 1],
    [6, 16, 14, 5, 1, 0, 1],
    [96, 96, 16, 3, 1, 1, 96],
    [96, 96, 32, 3, 2, 1, 96],
];

/// Layers without multiplications to speak of: kind, channels, size.
const LAYERS: [(&str, usize, usize); 10] = [
    ("batch_norm", 64, 32),
    ("batch_norm", 16, 32),
    ("batch_norm_relu", 64, 32),
    ("batch_norm_relu", 16, 32),
    ("relu", 64, 32),
    ("add", 64, 32),
    ("max_pool", 64, 32),
    ("max_pool", 6, 28),
    ("max_pool", 30, 24),
    ("global_avg_pool", 512, 4),
];

/// Single operations whose name contains one of `chosen`.
pub fn operations(chosen: &[String]) -> Vec<Case> {
    let mut all = Vec::new();
    for [c, o, size, k, s, p, g] in CONVOLUTIONS {
        let stride = if s > 1 { format!("s{s}") } else { String::new() };
        let name = if g > 1 { format!("dwconv{k}x{k}{stride}_{c}@{size}") } else { format!("conv{k}x{k}{stride}_{c}-{o}@{size}") };
        for pass in ["fwd", "input", "weight"] {
            all.push(Case::new(format!("ops/{name}/{pass}"), &format!("conv {N} {c} {o} {size} {k} {s} {p} {g} {pass}")));
        }
    }
    for (kind, c, size) in LAYERS {
        for pass in ["fwd", "both"] {
            all.push(Case::new(format!("ops/{kind}_{c}@{size}/{pass}"), &format!("layer {kind} {N} {c} {size} {pass}")));
        }
    }
    for [inputs, outputs] in [[784, 512], [512, 256], [4320, 100]] {
        for pass in ["fwd", "both"] {
            all.push(Case::new(format!("ops/linear_{inputs}-{outputs}/{pass}"), &format!("linear {N} {inputs} {outputs} {pass}")));
        }
    }
    all.push(Case::new("ops/cross_entropy_1000/both".into(), &format!("cross_entropy {N} 1000 both")));
    all.extend([256, 512, 1024, 2048].map(|n| Case::new(format!("ops/gemm_{n}"), &format!("gemm {n}"))));
    all.extend(["adam", "sgd"].map(|kind| Case::new(format!("ops/{kind}_11M"), &format!("optimizer {kind}"))));
    all.retain(|case| chosen.is_empty() || chosen.iter().any(|c| case.name.contains(c)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_name() {
        let names = |cases: Vec<Case>| cases.into_iter().map(|c| c.name).collect::<Vec<_>>();
        assert_eq!(names(models("infer", &["lenet".into()], &[1, 64])), ["infer/lenet/1", "infer/lenet/64"]);
        assert_eq!(models("train", &[], &[64]).len(), MODELS.len());
        assert_eq!(names(operations(&["dwconv3x3s2".into()])).len(), 3);
        let all = names(operations(&[]));
        assert!(all.iter().all(|name| all.iter().filter(|other| *other == name).count() == 1), "a name is taken twice");
    }
}
