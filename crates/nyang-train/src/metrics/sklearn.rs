//! Every score against what scikit-learn computes from the same 220 random cases; xtask/goldens/metrics.py writes them.

use serde::Deserialize;

use super::{ConfusionMatrix, Probabilities, Scores, accuracy, f1_score, macro_f1};

/// Targets and probabilities, and what scikit-learn says of them. The prediction is the first most probable class.
#[derive(Deserialize)]
struct Golden {
    classes: usize,
    targets: Vec<usize>,
    sixtyfourths: Vec<u8>,
    confusion: Vec<u64>,
    precision: Vec<f64>,
    recall: Vec<f64>,
    f1: Vec<f64>,
    support: Vec<u64>,
    binary_f1: Vec<f64>,
    #[serde(rename = "macro")]
    macro_seen: [f64; 3], // precision_recall_fscore_support(average="macro")
    macro_all: [f64; 3], // … with labels=range(C)
    weighted: [f64; 3],
    micro: [f64; 3],
    accuracy: f64,
    balanced: f64,
    mcc: f64,
    kappa: Option<f64>,
    auc: Vec<Option<f64>>,
    log_loss: Option<f64>,
    top2: Option<f64>,
    ece: f64,
}

/// Sums of at most some dozens of numbers below 40 in another order.
const CLOSE: f64 = 1e-12;

#[track_caller]
fn close(ours: f64, theirs: f64, what: &str) {
    assert!((ours - theirs).abs() < CLOSE, "{what}: {ours}, scikit-learn {theirs}");
}

#[track_caller]
fn maybe_close(ours: Option<f64>, theirs: Option<f64>, what: &str) {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => close(ours, theirs, what),
        _ => assert_eq!(ours, theirs, "{what}"),
    }
}

#[track_caller]
fn all_close(ours: Scores, theirs: [f64; 3], what: &str) {
    for ((ours, theirs), of) in [ours.precision, ours.recall, ours.f1].into_iter().zip(theirs).zip(["precision", "recall", "F1"]) {
        close(ours, theirs, &format!("{what} {of}"));
    }
}

#[test]
fn every_score_is_that_of_scikit_learn() {
    let goldens: Vec<Golden> =
        include_str!("../../tests/goldens/metrics.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(goldens.len() >= 200);
    for (case, golden) in goldens.iter().enumerate() {
        let rows: Vec<f32> = golden.sixtyfourths.iter().map(|&n| f32::from(n) / 64.0).collect();
        let highest = |row: &[f32]| (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap(); // the first of equal ones
        let predictions: Vec<usize> = rows.chunks(golden.classes).map(highest).collect();
        let mut matrix = ConfusionMatrix::new(golden.classes).unwrap();
        let mut epoch = Probabilities::new(golden.classes).unwrap();
        for ((p, t), rows) in predictions.chunks(5).zip(golden.targets.chunks(5)).zip(rows.chunks(5 * golden.classes)) {
            matrix.add(p, t).unwrap(); // batches of 5, the last one shorter
            epoch.add(rows, t).unwrap();
        }
        let what = |of: &str| format!("case {case}, {of}");
        assert_eq!(matrix.rows().flatten().copied().collect::<Vec<u64>>(), golden.confusion, "case {case}");
        for (class, scores) in matrix.per_class().unwrap().into_iter().enumerate() {
            all_close(scores, [golden.precision[class], golden.recall[class], golden.f1[class]], &what(&format!("class {class}")));
            assert_eq!(scores.support, golden.support[class], "case {case}");
            close(f1_score(&predictions, &golden.targets, class).unwrap(), golden.binary_f1[class], &what("f1_score"));
        }
        close(matrix.balanced_accuracy().unwrap(), golden.balanced, &what("balanced accuracy"));
        close(matrix.accuracy().unwrap(), golden.accuracy, &what("accuracy"));
        close(accuracy(&predictions, &golden.targets).unwrap(), golden.accuracy, &what("accuracy()"));
        close(macro_f1(&predictions, &golden.targets).unwrap(), golden.macro_seen[2], &what("macro_f1()"));
        all_close(matrix.micro_average().unwrap(), golden.micro, &what("micro"));
        all_close(matrix.macro_average().unwrap(), golden.macro_seen, &what("macro"));
        all_close(matrix.weighted_average().unwrap(), golden.weighted, &what("weighted"));
        close(matrix.matthews().unwrap(), golden.mcc, &what("MCC"));
        maybe_close(matrix.cohen_kappa().unwrap(), golden.kappa, &what("kappa"));
        let matrix = matrix.all_classes(true);
        all_close(matrix.macro_average().unwrap(), golden.macro_all, &what("macro over all classes"));
        all_close(matrix.weighted_average().unwrap(), golden.weighted, &what("weighted over all classes"));

        for (class, (ours, theirs)) in epoch.roc_auc_per_class().unwrap().into_iter().zip(&golden.auc).enumerate() {
            maybe_close(ours, *theirs, &what(&format!("AUC of class {class}")));
        }
        let defined: Vec<f64> = golden.auc.iter().flatten().copied().collect();
        let mean = (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64);
        maybe_close(epoch.roc_auc().unwrap(), mean, &what("AUC"));
        close(epoch.calibration_error(10).unwrap(), golden.ece, &what("calibration"));
        golden.log_loss.iter().for_each(|theirs| close(epoch.log_loss().unwrap(), *theirs, &what("log-loss"))); // not for one class
        golden.top2.iter().for_each(|theirs| close(epoch.top_k(2).unwrap(), *theirs, &what("top 2"))); // not for two
    }
}
