//! What both sides are asked: an expression of PyTorch's, the numbers that it is given, and who answers for us.

use super::store::{Array, Arrays};

use nyang_nn::{Element, Shape, Tensor};

/// Any error.
pub type Anything = Box<dyn std::error::Error>;

/// Numbers by name, or why there are none.
pub type Answer = Result<Arrays, Anything>;

type Answerer = Box<dyn Fn(&Arrays) -> Answer>;

/// One question.
pub struct Question {
    /// The case's name: `Conv2d/strided train`, `AdamW/2`.
    pub name: String,
    /// What is to be done with the expression, which is one of reference.py's functions: `layer_train`, `optimizer`.
    pub how: &'static str,
    /// PyTorch's side.
    pub torch: String,
    /// The numbers that both get.
    pub given: Arrays,
    f64: Answerer,
    f32: Vec<Answerer>,
}

impl Question {
    /// A question with our answers in both number types.
    pub fn new(
        (name, how, torch): (String, &'static str, String),
        given: Arrays,
        f64: impl Fn(&Arrays) -> Answer + 'static,
        f32: impl Fn(&Arrays) -> Answer + 'static,
    ) -> Self {
        Question { name, how, torch, given, f64: Box::new(f64), f32: vec![Box::new(f32)] }
    }

    /// The same, with another way to our answer in f32, which must be right too.
    pub fn and(mut self, f32: impl Fn(&Arrays) -> Answer + 'static) -> Self {
        self.f32.push(Box::new(f32));
        self
    }

    /// A question about numbers that are f64 whatever the tensors are: learning rates, scores.
    pub fn of_numbers(about: (String, &'static str, String), given: Arrays, answer: impl Fn(&Arrays) -> Answer + Clone + 'static) -> Self {
        Question::new(about, given, answer.clone(), answer)
    }

    /// Our answer in f64.
    pub fn answer_f64(&self) -> Answer {
        (self.f64)(&self.given)
    }

    /// The same in f32, from the same numbers, rounded; once for each way to it.
    pub fn answers_f32(&self) -> impl Iterator<Item = Answer> {
        self.f32.iter().map(|answer| answer(&self.given))
    }
}

/// A tensor's numbers.
pub fn array<T: Element>(t: &Tensor<T>) -> Array {
    Array::real(t.dims(), t.to_vec().into_iter().map(T::to_f64).collect())
}

/// A tensor of an array's numbers.
pub fn tensor<T: Element>(array: &Array) -> Result<Tensor<T>, Anything> {
    Ok(Tensor::from_vec(Shape::new(&array.shape)?, array.reals().into_iter().map(T::of).collect())?)
}

/// The array of that name.
pub fn given<'a>(arrays: &'a Arrays, name: &str) -> Result<&'a Array, Anything> {
    arrays.get(name).ok_or_else(|| format!("nothing is given as {name}").into())
}
