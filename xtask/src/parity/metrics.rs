//! Metrics of random answers, against scikit-learn.

use nyang_nn::Rng;
use nyang_train::metrics::{ConfusionMatrix, Probabilities, Scores};

use super::draw::Draw;
use super::question::{Answer, Anything, Question, given};
use super::store::{Array, Arrays, Values};

/// How many lists of answers.
const LISTS: usize = 12;

/// Questions about lists in which classes are missing, too.
pub fn questions(seed: u64) -> Result<Vec<Question>, Anything> {
    let question = |i: usize| {
        let draw = &mut Draw(Rng::keyed([seed, 14, 0, i as u64]));
        let (classes, n) = (draw.whole(3, 9), draw.whole(1, 40));
        let (lowest, all) = (draw.whole(0, classes / 2), i.is_multiple_of(2));
        let targets: Vec<i64> = (0..n).map(|_| draw.whole(lowest, classes - 1) as i64).collect();
        let right = |t: &i64, draw: &mut Draw| if draw.coin() { *t } else { draw.whole(0, classes - 1) as i64 };
        let predictions: Vec<i64> = targets.iter().map(|t| right(t, draw)).collect();
        let given = Arrays::from([
            ("targets".to_owned(), Array::whole(&[n], targets)),
            ("predictions".to_owned(), Array::whole(&[n], predictions)),
            ("probabilities".to_owned(), Array::real(&[n, classes], (0..n).flat_map(|_| probabilities(classes, draw)).collect())),
        ]);
        // scikit-learn averages over the classes that occur, unless it is told all
        let labels = if all { format!("range({classes})") } else { "None".to_owned() };
        let about = (format!("metrics/{i}"), "metrics", format!("({classes}, {labels})"));
        Question::of_numbers(about, given, move |given| scores(given, classes, all))
    };
    Ok((0..LISTS).map(question).collect())
}

/// A row that sums to 1, of numbers that f32 holds exactly: sixteenths, so that there are ties.
fn probabilities(classes: usize, draw: &mut Draw) -> Vec<f64> {
    let mut row = vec![0.0; classes];
    (0..16).for_each(|_| row[draw.0.below(classes)] += 1.0 / 16.0);
    row
}

fn scores(arrays: &Arrays, classes: usize, all: bool) -> Answer {
    let list = |name: &str| match &given(arrays, name)?.values {
        Values::Whole(list) => Ok::<Vec<usize>, Anything>(list.iter().map(|v| *v as usize).collect()),
        Values::Real(_) => Err(format!("{name} are no class indices").into()),
    };
    let mut matrix = ConfusionMatrix::new(classes)?.all_classes(all);
    matrix.add(&list("predictions")?, &list("targets")?)?;
    let mut rows = Probabilities::new(classes)?;
    let values: Vec<f32> = given(arrays, "probabilities")?.reals().into_iter().map(|p| p as f32).collect();
    rows.add(&values, &list("targets")?)?;
    let three = |s: Scores| vec![s.precision, s.recall, s.f1];
    let one = |value: f64| Array::real(&[], vec![value]);
    let per_class: Vec<f64> = matrix.per_class()?.into_iter().flat_map(three).collect();
    let counts = matrix.rows().flatten().map(|n| *n as i64).collect();
    Ok([
        ("accuracy", one(matrix.accuracy()?)),
        ("balanced_accuracy", one(matrix.balanced_accuracy()?)),
        ("matthews", one(matrix.matthews()?)),
        ("kappa", one(matrix.cohen_kappa()?.unwrap_or(f64::NAN))),
        ("top_2", one(rows.top_k(2)?)),
        ("log_loss", one(rows.log_loss()?)),
        ("roc_auc", Array::real(&[classes], rows.roc_auc_per_class()?.into_iter().map(|auc| auc.unwrap_or(f64::NAN)).collect())),
        ("matrix", Array::whole(&[classes, classes], counts)),
        ("per_class", Array::real(&[classes, 3], per_class)),
        ("macro", Array::real(&[3], three(matrix.macro_average()?))),
        ("weighted", Array::real(&[3], three(matrix.weighted_average()?))),
        ("micro", Array::real(&[3], three(matrix.micro_average()?))),
    ]
    .into_iter()
    .map(|(name, array)| (name.to_owned(), array))
    .collect())
}
