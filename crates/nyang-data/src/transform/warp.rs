//! Looking up each new pixel somewhere in the old image: what rotations, perspectives and distortions share.

use crate::image::{Channel, same_kind};
use crate::{Border, Error, Image, Interpolation, Result};

/// Whether pixels can be looked up in this way.
pub(crate) fn check_lookup(op: &'static str, interpolation: Interpolation, border: &Border) -> Result<()> {
    if !matches!(interpolation, Interpolation::Nearest | Interpolation::Bilinear) {
        return Err(Error::argument(op, "interpolation", format!("{interpolation:?}"), "must be Nearest or Bilinear"));
    }
    border.check(op)
}

/// An image of the same size whose pixel with its middle at (x, y) is the old image's value at `from(x, y)`.
///
/// Places are measured as areas: the first pixel reaches from 0 to 1 and its middle is at 0.5, as in Pillow. A place outside the image is the
/// border; within half a pixel of the edge the edge counts alone, so that a constant border does not shine through.
pub(crate) fn warp(
    image: &Image,
    from: impl Fn(f64, f64) -> (f64, f64),
    interpolation: Interpolation,
    border: &Border,
    op: &'static str,
) -> Result<Image> {
    let fill = border.fill(op, image.channels)?;
    let look = Look { height: image.height, width: image.width, fill: &fill, border };
    let pixels = same_kind!(&image.pixels, |values| look.all(values, from, interpolation));
    Ok(Image { pixels, ..*image })
}

struct Look<'a> {
    height: usize,
    width: usize,
    fill: &'a [f32],
    border: &'a Border,
}

impl Look<'_> {
    fn all<T: Channel>(&self, values: &[T], from: impl Fn(f64, f64) -> (f64, f64), interpolation: Interpolation) -> Vec<T> {
        let mut out = Vec::with_capacity(values.len());
        for y in 0..self.height {
            for x in 0..self.width {
                let place = from(x as f64 + 0.5, y as f64 + 0.5);
                match interpolation {
                    Interpolation::Nearest => self.nearest(values, place, &mut out),
                    _ => self.bilinear(values, place, &mut out),
                }
            }
        }
        out
    }

    fn nearest<T: Channel>(&self, values: &[T], (x, y): (f64, f64), out: &mut Vec<T>) {
        match self.pixel(x.floor(), y.floor()) {
            Some(start) => out.extend_from_slice(&values[start..start + self.fill.len()]),
            None => out.extend(self.fill.iter().map(|&v| T::nearest(v))),
        }
    }

    fn bilinear<T: Channel>(&self, values: &[T], (x, y): (f64, f64), out: &mut Vec<T>) {
        if self.pixel(x.floor(), y.floor()).is_none() {
            return out.extend(self.fill.iter().map(|&v| T::nearest(v)));
        }
        let (x0, y0) = ((x - 0.5).floor(), (y - 0.5).floor());
        let (fx, fy) = ((x - 0.5 - x0) as f32, (y - 0.5 - y0) as f32);
        let corner = |x: f64, y: f64| {
            self.pixel(x, y).or_else(|| self.pixel(x.clamp(0.0, self.width as f64 - 1.0), y.clamp(0.0, self.height as f64 - 1.0)))
        };
        let corners = [corner(x0, y0), corner(x0 + 1.0, y0), corner(x0, y0 + 1.0), corner(x0 + 1.0, y0 + 1.0)].map(|c| c.unwrap_or(0));
        for c in 0..self.fill.len() {
            let [a, b, d, e] = corners.map(|start| values[start + c].value());
            let (above, below) = (a + (b - a) * fx, d + (e - d) * fx);
            out.push(T::nearest(above + (below - above) * fy));
        }
    }

    /// Where the values of this pixel begin; `None` for the constant around the image, or what is no place at all.
    fn pixel(&self, x: f64, y: f64) -> Option<usize> {
        const FAR: f64 = 1e15; // beyond this a place has no fraction, and NaN is nowhere
        if !(x.abs() < FAR && y.abs() < FAR) {
            return None;
        }
        let row = self.border.place(y as isize, self.height)?;
        let column = self.border.place(x as isize, self.width)?;
        Some((row * self.width + column) * self.fill.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[u8], from: impl Fn(f64) -> f64, interpolation: Interpolation, border: Border) -> Vec<u8> {
        let image = Image::from_bytes(1, values.len(), 1, values.to_vec()).unwrap();
        warp(&image, |x, y| (from(x), y), interpolation, &border, "test").unwrap().bytes().unwrap().to_vec()
    }

    #[test]
    fn places_by_hand() {
        let (nearest, bilinear, nine) = (Interpolation::Nearest, Interpolation::Bilinear, Border::from(9.0));
        assert_eq!(row(&[10, 20, 30], |x| x, nearest, nine.clone()), [10, 20, 30]);
        assert_eq!(row(&[10, 20, 30], |x| x, bilinear, nine.clone()), [10, 20, 30]);
        assert_eq!(row(&[10, 20, 30], |x| x - 1.0, bilinear, nine.clone()), [9, 10, 20]);
        assert_eq!(row(&[10, 20, 30], |x| x + 0.25, bilinear, nine.clone()), [12, 22, 30]); // 12.5 → 12, 22.5 → 22, the edge alone
        assert_eq!(row(&[10, 20, 30], |x| x + 0.25, nearest, nine.clone()), [10, 20, 30]);
        assert_eq!(row(&[10, 20, 30], |x| x - 2.0, bilinear, Border::Reflect), [30, 20, 10]);
        assert_eq!(row(&[10, 20, 30], |_| f64::NAN, bilinear, nine.clone()), [9, 9, 9]);
        assert_eq!(row(&[10, 20, 30], |_| f64::INFINITY, nearest, Border::Edge), [0, 0, 0]); // nowhere
    }

    #[test]
    fn only_two_ways_to_look_up() {
        assert!(check_lookup("Rotate", Interpolation::Lanczos, &Border::Edge).is_err());
        assert!(check_lookup("Rotate", Interpolation::Nearest, &Border::from(f32::NAN)).is_err());
        assert!(check_lookup("Rotate", Interpolation::Bilinear, &Border::Edge).is_ok());
    }
}
