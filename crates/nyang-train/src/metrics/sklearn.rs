//! Every score against what scikit-learn 1.9 computes from the same random labels.

use super::{ConfusionMatrix, Scores, accuracy, f1_score, macro_f1};

/// Targets, predictions, and what scikit-learn 1.9 says of them.
struct Golden {
    targets: &'static [usize],
    predictions: &'static [usize],
    rows: &'static [&'static [u64]],
    precision: &'static [f64],
    recall: &'static [f64],
    f1: &'static [f64],
    balanced: f64,
    macro_seen: [f64; 3], // precision_recall_fscore_support(average="macro")
    macro_all: [f64; 3],  // … with labels=range(C)
    weighted: [f64; 3],
    accuracy: f64,
}

const GOLDENS: [Golden; 3] = [
    Golden {
        targets: &[0, 1, 2, 0, 1, 2, 0, 1, 2, 2, 2, 0, 2, 0, 0, 0, 0, 2, 2, 0, 0, 1, 0, 0, 1, 0, 1, 0, 2, 0, 1, 2, 2, 0, 2, 1, 0, 0, 1, 0],
        predictions: &[
            0, 1, 0, 1, 1, 2, 0, 1, 2, 2, 2, 0, 2, 0, 0, 0, 0, 1, 1, 0, 0, 1, 2, 2, 1, 0, 2, 0, 2, 2, 2, 2, 1, 0, 2, 1, 1, 0, 1, 2,
        ],
        rows: &[&[13, 2, 4], &[0, 7, 2], &[1, 3, 8]],
        precision: &[0.928571428571429, 0.583333333333333, 0.571428571428571],
        recall: &[0.684210526315789, 0.777777777777778, 0.666666666666667],
        f1: &[0.787878787878788, 0.666666666666667, 0.615384615384615],
        balanced: 0.709551656920078,
        macro_seen: [0.694444444444444, 0.709551656920078, 0.689976689976690],
        macro_all: [0.694444444444444, 0.709551656920078, 0.689976689976690],
        weighted: [0.743750000000000, 0.7, 0.708857808857809],
        accuracy: 0.7,
    },
    Golden {
        targets: &[
            4, 1, 0, 4, 1, 4, 3, 4, 1, 3, 0, 1, 3, 4, 0, 3, 1, 4, 4, 4, 2, 1, 3, 3, 2, 4, 0, 3, 0, 1, 0, 4, 3, 1, 2, 0, 2, 0, 2, 1, 1, 3,
            1, 0, 0, 1, 1, 1, 3, 2, 0, 2, 2, 4, 2, 3, 4, 0, 1, 4,
        ],
        predictions: &[
            4, 2, 4, 0, 3, 3, 0, 4, 0, 1, 0, 2, 3, 4, 0, 3, 0, 3, 4, 0, 2, 1, 2, 3, 2, 4, 0, 3, 3, 2, 3, 4, 1, 0, 2, 2, 2, 0, 3, 1, 2, 0,
            0, 0, 4, 1, 1, 3, 4, 2, 2, 2, 3, 1, 2, 3, 4, 3, 3, 2,
        ],
        rows: &[&[5, 0, 2, 3, 2], &[4, 4, 4, 3, 0], &[0, 0, 7, 2, 0], &[2, 2, 1, 5, 1], &[2, 1, 1, 2, 7]],
        precision: &[0.384615384615385, 0.571428571428571, 0.466666666666667, 0.333333333333333, 0.700000000000000],
        recall: &[0.416666666666667, 0.266666666666667, 0.777777777777778, 0.454545454545455, 0.538461538461538],
        f1: &[0.400000000000000, 0.363636363636364, 0.583333333333333, 0.384615384615385, 0.608695652173913],
        balanced: 0.490823620823621,
        macro_seen: [0.491208791208791, 0.490823620823621, 0.468056146751799],
        macro_all: [0.491208791208791, 0.490823620823621, 0.468056146751799],
        weighted: [0.502557997557998, 0.466666666666667, 0.460805969392926],
        accuracy: 0.466666666666667,
    },
    // class 5 never occurs, class 6 is only predicted, class 7 never predicted
    Golden {
        targets: &[4, 2, 7, 0, 2, 0, 4, 1, 7, 0, 2, 0, 0, 2, 2, 2, 0, 4, 3, 1, 4, 2, 7, 4, 2, 0, 1, 1, 1, 4],
        predictions: &[1, 2, 3, 0, 2, 2, 4, 1, 3, 3, 2, 0, 6, 0, 1, 2, 3, 4, 3, 1, 4, 1, 3, 4, 1, 6, 4, 1, 1, 4],
        rows: &[
            &[2, 0, 1, 2, 0, 0, 2, 0],
            &[0, 4, 0, 0, 1, 0, 0, 0],
            &[1, 3, 4, 0, 0, 0, 0, 0],
            &[0, 0, 0, 1, 0, 0, 0, 0],
            &[0, 1, 0, 0, 5, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 3, 0, 0, 0, 0],
        ],
        precision: &[0.666666666666667, 0.5, 0.8, 0.166666666666667, 0.833333333333333, 0.0, 0.0, 0.0],
        recall: &[0.285714285714286, 0.8, 0.5, 1.0, 0.833333333333333, 0.0, 0.0, 0.0],
        f1: &[0.4, 0.615384615384615, 0.615384615384615, 0.285714285714286, 0.833333333333333, 0.0, 0.0, 0.0],
        balanced: 0.569841269841270,
        macro_seen: [0.423809523809524, 0.488435374149660, 0.392830978545264],
        macro_all: [0.370833333333333, 0.427380952380952, 0.343727106227106],
        weighted: [0.624444444444444, 0.533333333333333, 0.536190476190476],
        accuracy: 0.533333333333333,
    },
];

#[track_caller]
fn close(ours: f64, sklearn: f64, what: &str) {
    assert!((ours - sklearn).abs() < 1e-14, "{what}: {ours}, scikit-learn {sklearn}"); // the goldens have 15 digits
}

#[track_caller]
fn all_close(ours: Scores, sklearn: [f64; 3], what: &str) {
    for ((ours, sklearn), of) in [ours.precision, ours.recall, ours.f1].into_iter().zip(sklearn).zip(["precision", "recall", "F1"]) {
        close(ours, sklearn, &format!("{what} {of}"));
    }
}

#[test]
fn every_score_is_that_of_scikit_learn() {
    for golden in &GOLDENS {
        let mut matrix = ConfusionMatrix::new(golden.rows.len()).unwrap();
        for (p, t) in golden.predictions.chunks(7).zip(golden.targets.chunks(7)) {
            matrix.add(p, t).unwrap(); // batches of 7, the last one shorter
        }
        assert_eq!(matrix.rows().collect::<Vec<_>>(), golden.rows);
        for (class, scores) in matrix.per_class().unwrap().into_iter().enumerate() {
            all_close(scores, [golden.precision[class], golden.recall[class], golden.f1[class]], &format!("class {class}"));
            assert_eq!(scores.support, golden.rows[class].iter().sum::<u64>());
            close(f1_score(golden.predictions, golden.targets, class).unwrap(), golden.f1[class], "f1_score");
        }
        close(matrix.balanced_accuracy().unwrap(), golden.balanced, "balanced accuracy");
        close(matrix.accuracy().unwrap(), golden.accuracy, "accuracy");
        close(accuracy(golden.predictions, golden.targets).unwrap(), golden.accuracy, "accuracy()");
        close(macro_f1(golden.predictions, golden.targets).unwrap(), golden.macro_seen[2], "macro_f1()");
        all_close(matrix.micro_average().unwrap(), [golden.accuracy; 3], "micro");
        all_close(matrix.macro_average().unwrap(), golden.macro_seen, "macro");
        all_close(matrix.weighted_average().unwrap(), golden.weighted, "weighted");
        let matrix = matrix.all_classes(true);
        all_close(matrix.macro_average().unwrap(), golden.macro_all, "macro over all classes");
        all_close(matrix.weighted_average().unwrap(), golden.weighted, "weighted over all classes");
    }
}
