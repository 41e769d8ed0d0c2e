//! A model as a table: each part's path, kind, output shape and number of parameters.

use std::fmt;

use nyang_tensor::{Element, Shape, Tensor};

use crate::{Ctx, Module, Observer, Param, Pass, Path, Result, Visit};

/// A table of a model's parts. Made by [`summary`], printed by `Display`.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The parts, in the order in which they run.
    pub rows: Vec<Row>,
    /// The number of values in all parameters, and in those that are trained.
    pub parameters: usize,
    /// The number of values in parameters that training changes.
    pub trainable: usize,
    /// The input's shape, one sample.
    pub input: Shape,
    /// The output's shape for it.
    pub output: Shape,
}

/// A part of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its path, as in the state dict.
    pub path: String,
    /// Its kind.
    pub kind: &'static str,
    /// The shape of its output for one sample.
    pub output: Shape,
    /// The number of values in its parameters, its children's among them.
    pub parameters: usize,
}

/// Runs one sample of zeros of shape `input` (without the batch dimension) through the model and notes what each part gives.
///
/// # Errors
/// Any that the model gives for that shape.
pub fn summary<T: Element>(model: &dyn Module<T>, input: impl Into<Shape>) -> Result<Summary> {
    let input = input.into().batch_of(1)?;
    model.out_shape(&input)?;
    let mut notes = Notes { rows: vec![], open: vec![] };
    let y = model.infer(Tensor::zeros(input)?, &mut Ctx::eval().observed(&mut notes))?;
    let mut counts = Counts::default();
    model.visit(Path::ROOT, &mut counts);
    let own = |path: &str| {
        let inside = |name: &str| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        counts.0.iter().filter(|c| inside(&c.0)).map(|c| c.1).sum()
    };
    let mut rows = notes.rows;
    rows.iter_mut().for_each(|row| row.parameters = own(&row.path));
    let total = |only: &dyn Fn(bool) -> bool| counts.0.iter().filter(|c| only(c.2)).map(|c| c.1).sum();
    Ok(Summary { rows, parameters: total(&|_| true), trainable: total(&|t| t), input, output: *y.shape() })
}

/// Notes each part when it starts, so that a container stands above its children, and its output when it ends.
struct Notes {
    rows: Vec<Row>,
    open: Vec<usize>,
}

impl<T: Element> Observer<T> for Notes {
    fn before(&mut self, path: &str, kind: &'static str, _: Pass, x: &Tensor<T>) {
        self.open.push(self.rows.len());
        self.rows.push(Row { path: path.to_owned(), kind, output: *x.shape(), parameters: 0 });
    }
    fn after(&mut self, _: &str, _: &'static str, _: Pass, y: &Tensor<T>) {
        if let Some(row) = self.open.pop().and_then(|i| self.rows.get_mut(i)) {
            row.output = *y.shape();
        }
    }
}

/// Path, number of values, whether trained, of each parameter.
#[derive(Default)]
struct Counts(Vec<(String, usize, bool)>);

impl<T: Element> Visit<T> for Counts {
    fn param(&mut self, at: Path<'_>, param: &Param<T>) {
        self.0.push((at.to_string(), param.value.len(), param.trainable));
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = self.rows.iter().map(|r| [r.path.clone(), r.kind.to_owned(), r.output.to_string(), thousands(r.parameters)]);
        let table: Vec<[String; 4]> = [["path", "layer", "output", "parameters"].map(str::to_owned)].into_iter().chain(cells).collect();
        let width = |i: usize| table.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
        let [a, b, c, d] = [0, 1, 2, 3].map(width);
        for (i, [path, kind, output, parameters]) in table.iter().enumerate() {
            writeln!(f, "{path:a$}  {kind:b$}  {output:c$}  {parameters:>d$}")?;
            if i == 0 {
                writeln!(f, "{}", "─".repeat(a + b + c + d + 6))?;
            }
        }
        write!(f, "{} parameters", thousands(self.parameters))?;
        if self.trainable != self.parameters {
            write!(f, ", {} of them trained", thousands(self.trainable))?;
        }
        write!(f, ", {} → {}", self.input, self.output)
    }
}

/// 1234567 as "1,234,567".
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, zoo};

    #[test]
    fn lenet_has_its_61_706_parameters() {
        let model = zoo::lenet::<f32>(zoo::Task::new([1, 28, 28], 10), &mut Init::seed(1)).unwrap();
        let summary = summary(&model, [1, 28, 28]).unwrap();
        assert_eq!((summary.parameters, summary.output.dims()), (61_706, [1, 10].as_slice()));
        let text = summary.to_string();
        assert!(text.contains("3     Conv2d     [1, 16, 10, 10]       2,416"), "{text}");
        assert!(text.ends_with("61,706 parameters, [1, 1, 28, 28] → [1, 10]"), "{text}");
    }

    #[test]
    fn an_input_that_does_not_fit_is_an_error() {
        let model = zoo::lenet::<f32>(zoo::Task::new([1, 28, 28], 10), &mut Init::seed(1)).unwrap();
        assert!(summary(&model, [3, 28, 28]).is_err());
    }
}
