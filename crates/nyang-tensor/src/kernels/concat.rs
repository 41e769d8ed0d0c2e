//! Several tensors side by side along their channels.

use super::values;
use crate::parallel::{CHUNK, for_each_chunk};
use crate::{Element, Error, Result, Shape, Tensor};

/// The shape of tensors of these shapes side by side: that of the first, with all their channels.
///
/// # Errors
/// [`Error::Argument`] for no shapes, [`Error::Shape`] for a shape of fewer than two dimensions and for one that differs from the first in
/// more than its channels.
pub fn concat_shape(shapes: &[Shape]) -> Result<Shape> {
    const OP: &str = "concat_channels";
    let Some(first) = shapes.first() else { return Err(Error::argument(OP, "parts", "[]", "needs at least one tensor")) };
    let mut dims = first.dims().to_vec();
    let mut channels = 0usize;
    for shape in shapes {
        let &[_, c, ..] = shape.dims() else { return Err(Error::shape(OP, "[N, C, …]", *shape)) };
        let alike = shape.rank() == first.rank() && shape.dims().iter().zip(first.dims()).enumerate().all(|(d, (a, b))| d == 1 || a == b);
        if !alike {
            return Err(Error::shape(OP, format!("a shape that differs from {first} in its channels alone"), *shape));
        }
        channels = channels.saturating_add(c);
    }
    dims[1] = channels; // there are two dimensions at least
    Shape::new(&dims)
}

/// The tensors side by side along dimension 1, `[N, C₁, …], [N, C₂, …], … → [N, C₁ + C₂ + …, …]`; images channels-last.
///
/// The way back is a slice: part k of a gradient is `dy.slice(1, start..start + Cₖ, 1)`, which copies nothing.
///
/// # Errors
/// As [`concat_shape`]; [`Error::Memory`].
pub fn concat_channels<T: Element>(parts: &[Tensor<T>]) -> Result<Tensor<T>> {
    let shape = concat_shape(&parts.iter().map(|part| *part.shape()).collect::<Vec<_>>())?;
    let parts = parts.iter().map(Tensor::channels_last).collect::<Result<Vec<_>>>()?; // row-major unless they are images
    let mut y = Tensor::stale_channels_last(shape)?;
    if y.is_empty() {
        return Ok(y);
    }
    // Each part is a matrix: a row a pixel of images, a row a sample of everything else.
    let rows = if shape.rank() == 4 { shape.len() / shape.dims()[1] } else { shape.dims()[0] };
    let widths: Vec<usize> = parts.iter().map(|part| part.len() / rows).collect();
    let across = shape.len() / rows;
    for_each_chunk(y.memory_mut()?, (CHUNK / across).max(1).saturating_mul(across), |start, chunk| {
        for (i, row) in chunk.chunks_exact_mut(across).enumerate() {
            let mut rest = row;
            for (part, &width) in parts.iter().zip(&widths) {
                let (to, behind) = rest.split_at_mut(width);
                to.copy_from_slice(&values(part)[(start / across + i) * width..][..width]);
                rest = behind;
            }
        }
    });
    Ok(y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_channel_is_where_it_belongs(
            n in 0usize..4, channels in prop::collection::vec(0usize..20, 1..4), h in 0usize..5, w in 1usize..9, rank in 2usize..6, last: bool,
        ) {
            let shape = |c: usize| Shape::new(&[n, c, h, w, 2][..rank]).unwrap();
            let parts: Vec<Tensor<f32>> = channels.iter().enumerate()
                .map(|(k, &c)| Tensor::from_fn(shape(c), |i| (k * 10_000 + i) as f32).unwrap())
                .map(|part| if last { part.channels_last().unwrap() } else { part }).collect();
            let y = concat_channels(&parts).unwrap();
            prop_assert_eq!(*y.shape(), shape(channels.iter().sum()));
            let mut start = 0;
            for part in &parts {
                let c = part.dims()[1];
                prop_assert_eq!(&y.slice(1, start..start + c, 1).unwrap(), part);
                start += c;
            }
        }
    }

    #[test]
    fn many_rows_meet_their_parts() {
        let (a, b) = (Tensor::from_fn([9000, 3], |i| (i / 3) as f64).unwrap(), Tensor::from_fn([9000, 2], |i| (i / 2) as f64).unwrap());
        let y = concat_channels(&[a, b]).unwrap();
        assert!(y.to_vec().chunks(5).enumerate().all(|(i, row)| row.iter().all(|v| *v == i as f64)));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let ones = |dims: &[usize]| Tensor::<f32>::ones(Shape::new(dims).unwrap()).unwrap();
        assert!(concat_channels::<f32>(&[]).unwrap_err().to_string().contains("at least one tensor"));
        assert!(concat_channels(&[ones(&[3])]).is_err());
        let error = concat_channels(&[ones(&[2, 3, 4, 4]), ones(&[2, 1, 4, 5])]).unwrap_err().to_string();
        assert_eq!(error, "concat_channels expects a shape that differs from [2, 3, 4, 4] in its channels alone, got [2, 1, 4, 5]");
        assert!(concat_channels(&[ones(&[2, 3]), ones(&[2, 3, 1])]).is_err());
    }
}
