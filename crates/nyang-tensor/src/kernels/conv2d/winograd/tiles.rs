//! Tiles between images and Winograd's domain: cut out and transformed, or transformed back and put in their place.
//!
//! In Winograd's domain a tensor is one matrix for each of the A² points, `[points][tiles or inner channels][channels]`, so that convolving
//! is one matrix product for each point.

#![allow(unsafe_code)] // reads and writes of vectors within bounds that each job checks, and tasks that write disjoint tiles
#![allow(clippy::needless_range_loop)] // loops of fixed length over rows and columns of a tile, which the compiler unrolls

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::super::End;
use super::transforms::Transforms;
use crate::kernels::simd::{Isa, Job};
use crate::kernels::tile::Shared;

/// How the pixels of a batch `[images, height, width]` are cut into tiles, numbered row by row and image by image.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    /// Rows and columns of pixels in a tile.
    pub size: usize,
}

impl Tiles {
    pub fn count(&self) -> usize {
        self.images * self.height.div_ceil(self.size) * self.width.div_ceil(self.size)
    }

    /// The image of a tile and its first pixel there.
    fn place(&self, tile: usize) -> [usize; 3] {
        let (down, across) = (self.height.div_ceil(self.size), self.width.div_ceil(self.size));
        [tile / (down * across), tile / across % down * self.size, tile % across * self.size]
    }
}

/// How the matrices of all points lie in memory: `rows` tiles, `stride` numbers apart, channels filled up to whole vectors.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub rows: usize,
    pub stride: usize,
    /// Distance between points.
    pub point: usize,
}

impl Matrix {
    /// For this many tiles and channels, which a tile may fill up to whole vectors.
    pub fn new(rows: usize, stride: usize) -> Matrix {
        Matrix { rows, stride, point: apart(rows * stride) }
    }
}

/// The distance between points whose matrices have `size` numbers: an odd number of cache lines. A tile is read or written at all points at
/// once, and with a power of two all these places would fall into a few sets of the cache.
pub(super) fn apart(size: usize) -> usize {
    size.next_multiple_of(16) | 16
}

/// How many numbers of a batch of images are still found in the caches near a core. In a larger one a tile, which is a few short runs of
/// pixels, waits for memory that the machine does not foresee; so its kernels ask ahead for the pixels that the tile below will add.
const NEAR: usize = 1 << 18;

/// Tiles on their way to Winograd's domain, where tile `first + i` is row i of each point's matrix.
#[derive(Clone)]
pub(super) struct ToPoints<'a> {
    pub tiles: Tiles,
    pub range: Range<usize>,
    pub first: usize,
    /// The image batch `[images, height, width, channels]`.
    pub from: &'a [f32],
    pub dims: [usize; 3],
    /// Where a tile begins, from its first pixel on.
    pub offset: [isize; 2],
    pub to: Shared<'a>,
    pub matrix: Matrix,
}

/// The tiles of the input, A × A pixels that overlap: Bᵀ d B.
pub(super) struct Input<'a, W, const M: usize, const A: usize>(pub ToPoints<'a>, pub PhantomData<W>);
/// The tiles of the output's gradient, M × M pixels: A dy Aᵀ.
pub(super) struct Spread<'a, W, const M: usize, const A: usize>(pub ToPoints<'a>, pub PhantomData<W>);

/// The transform of one row of N pixels.
trait Row<const N: usize, const A: usize> {
    fn row<S: Isa>(isa: S, pixels: [S::V; N]) -> [S::V; A];
}

impl<W: Transforms<M, A>, const M: usize, const A: usize> Row<A, A> for Input<'_, W, M, A> {
    #[inline(always)]
    fn row<S: Isa>(isa: S, pixels: [S::V; A]) -> [S::V; A] {
        W::input(isa, pixels)
    }
}

impl<W: Transforms<M, A>, const M: usize, const A: usize> Row<M, A> for Spread<'_, W, M, A> {
    #[inline(always)]
    fn row<S: Isa>(isa: S, pixels: [S::V; M]) -> [S::V; A] {
        W::spread(isa, pixels)
    }
}

impl ToPoints<'_> {
    /// Transforms the tiles of N × N pixels, their columns and then their rows.
    #[inline(always)]
    fn transform<S: Isa, R: Row<N, A>, const N: usize, const A: usize>(self, isa: S) {
        let ([height, width, channels], zero) = (self.dims, isa.splat(0.0));
        let fits = self.tiles.images * height * width * channels <= self.from.len()
            && self.to.holds(A * A * self.matrix.point)
            && channels.next_multiple_of(S::LANES) <= self.matrix.stride
            && self.matrix.rows * self.matrix.stride <= self.matrix.point
            && self.range.start >= self.first
            && self.range.end <= self.tiles.count().min(self.first + self.matrix.rows);
        debug_assert!(fits, "tiles reach outside their memory");
        if !fits {
            return;
        }
        let (to, ahead, step) = (self.to.pointer(), self.from.len() > NEAR, A - 2);
        for tile in self.range.clone() {
            let [n, y, x] = self.tiles.place(tile);
            let (y, x) = (y as isize + self.offset[0], x as isize + self.offset[1]);
            // the tile's rows and columns that are on the image
            let on = |at: isize, size: usize| (0..N as isize).map(move |i| (0..size as isize).contains(&(at + i)));
            let (mut rows, mut columns) = ([false; N], [false; N]);
            rows.iter_mut().zip(on(y, height)).for_each(|(row, on)| *row = on);
            columns.iter_mut().zip(on(x, width)).for_each(|(column, on)| *column = on);
            let inside = rows.iter().chain(&columns).all(|&on| on);
            let corner = self.from.as_ptr().wrapping_offset((((n * height) as isize + y) * width as isize + x) * channels as isize);
            for channel in (0..channels).step_by(S::LANES) {
                let below = corner.wrapping_add((step * width).wrapping_mul(channels).wrapping_add(channel));
                for i in if ahead { N - step..N } else { 0..0 } {
                    for j in N - step..N {
                        isa.prefetch(below.wrapping_add((i * width + j).wrapping_mul(channels)));
                    }
                }
                let mut across = [const { MaybeUninit::uninit() }; N];
                if inside && channel + S::LANES <= channels {
                    for j in 0..N {
                        let mut column = [zero; N];
                        for i in 0..N {
                            let from = corner.wrapping_add((i * width + j).wrapping_mul(channels).wrapping_add(channel));
                            // SAFETY: `fits` says that the image is in the slice, and the tile is on the image.
                            column[i] = unsafe { isa.load(from) };
                        }
                        across[j].write(R::row(isa, column));
                    }
                } else {
                    let mut masks = [isa.first(0); N];
                    for i in 0..N {
                        masks[i] = isa.first(if rows[i] { channels - channel } else { 0 });
                    }
                    for j in 0..N {
                        let mut column = [zero; N];
                        if columns[j] {
                            for i in 0..N {
                                let from = corner.wrapping_add((i * width + j).wrapping_mul(channels).wrapping_add(channel));
                                // SAFETY: where the row or the column is off the image nothing is read; `fits` says that the image is in the
                                // slice, and the mask ends with the channels. Without one it is quicker where masks cost.
                                column[i] = unsafe {
                                    if S::FREE_MASKS || channel + S::LANES > channels {
                                        isa.load_masked(from, masks[i])
                                    } else if rows[i] {
                                        isa.load(from)
                                    } else {
                                        zero
                                    }
                                };
                            }
                        }
                        across[j].write(R::row(isa, column));
                    }
                }
                let first = to.wrapping_add((tile - self.first) * self.matrix.stride + channel);
                for i in 0..A {
                    let mut line = [zero; N];
                    for j in 0..N {
                        // SAFETY: all N were just written.
                        line[j] = unsafe { across[j].assume_init_ref() }[i];
                    }
                    let line = R::row(isa, line);
                    for j in 0..A {
                        let to = first.wrapping_add((i * A + j).wrapping_mul(self.matrix.point));
                        // SAFETY: `fits` says that all points have room for this tile's row, and a tile belongs to one task.
                        unsafe { isa.store(to, line[j]) };
                    }
                }
            }
        }
    }
}

impl<W: Transforms<M, A>, const M: usize, const A: usize> Job for Input<'_, W, M, A> {
    type Output = ();
    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        self.0.transform::<S, Self, A, A>(isa);
    }
}

impl<W: Transforms<M, A>, const M: usize, const A: usize> Job for Spread<'_, W, M, A> {
    type Output = ();
    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        self.0.transform::<S, Self, M, A>(isa);
    }
}

/// Tiles on their way back: y = act(Aᵀ m A + bias + beside).
pub(super) struct Output<'a, W, const M: usize, const A: usize> {
    pub tiles: Tiles,
    pub range: Range<usize>,
    pub first: usize,
    pub from: &'a [f32],
    pub matrix: Matrix,
    pub end: End<'a, f32>,
    /// The image batch `[images, height, width, channels]`.
    pub to: Shared<'a>,
    pub channels: usize,
    pub transforms: PhantomData<W>,
}

impl<W: Transforms<M, A>, const M: usize, const A: usize> Job for Output<'_, W, M, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let (channels, tiles, zero) = (self.channels, self.tiles, isa.splat(0.0));
        let fits = A * A * self.matrix.point <= self.from.len()
            && channels.next_multiple_of(S::LANES) <= self.matrix.stride
            && self.matrix.rows * self.matrix.stride <= self.matrix.point
            && self.range.start >= self.first
            && self.range.end <= tiles.count().min(self.first + self.matrix.rows)
            && self.end.bias.is_none_or(|bias| bias.len() >= channels);
        debug_assert!(fits, "tiles reach outside their memory");
        if !fits {
            return;
        }
        let ahead = self.to.holds(NEAR + 1);
        for tile in self.range.clone() {
            let [n, y, x] = tiles.place(tile);
            let (rows, columns) = (M.min(tiles.height - y), M.min(tiles.width - x));
            for channel in (0..channels).step_by(S::LANES) {
                let n_channels = S::LANES.min(channels - channel);
                let bias = self.end.bias.map_or(zero, |bias| isa.read(&bias[channel..channel + n_channels]));
                let from = self.from.as_ptr().wrapping_add((tile - self.first) * self.matrix.stride + channel);
                let below = self.to.pointer().wrapping_add(((n * tiles.height + y + M) * tiles.width + x) * channels + channel);
                for i in if ahead { 0..M } else { 0..0 } {
                    for j in 0..M {
                        isa.prefetch(below.wrapping_add((i * tiles.width + j) * channels));
                    }
                }
                let mut across = [const { MaybeUninit::uninit() }; A];
                for j in 0..A {
                    let mut column = [zero; A];
                    for i in 0..A {
                        // SAFETY: `fits` says that all points have this tile's row, filled up to whole vectors.
                        column[i] = unsafe { isa.load(from.wrapping_add((i * A + j).wrapping_mul(self.matrix.point))) };
                    }
                    across[j].write(W::output(isa, column));
                }
                for i in 0..M {
                    let mut line = [zero; A];
                    for j in 0..A {
                        // SAFETY: all A were just written.
                        line[j] = unsafe { across[j].assume_init_ref() }[i];
                    }
                    let line = W::output(isa, line);
                    if i < rows {
                        for j in 0..M {
                            if j < columns {
                                let place = ((n * tiles.height + y + i) * tiles.width + x + j) * channels + channel;
                                let mut y = isa.add(line[j], bias);
                                if let Some(beside) = self.end.beside {
                                    y = isa.add(y, isa.read(&beside[place..place + n_channels]));
                                }
                                let y = self.end.activation.of_vector(isa, y);
                                // SAFETY: a tile belongs to one task.
                                isa.write(unsafe { self.to.from(place).row(n_channels) }, y);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Kernels on their way to Winograd's domain: U = G w Gᵀ for rows `range` of the inner channels and the columns of one panel.
pub(super) struct Kernel<'a, W, const M: usize, const A: usize> {
    /// The weight from the panel's first column on; distances along the inner channels and between columns; the nine taps are neighbours.
    pub weight: &'a [f32],
    pub distance: [usize; 2],
    /// Whether kernels are turned by half a turn, as the gradient in the input wants them.
    pub turned: bool,
    pub range: Range<usize>,
    pub columns: usize,
    /// The panel's rows of the first point, `[inner][width]`, and how far it is to the next point.
    pub to: Shared<'a>,
    pub width: usize,
    pub point: usize,
    pub transforms: PhantomData<W>,
}

impl<W: Transforms<M, A>, const M: usize, const A: usize> Job for Kernel<'_, W, M, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let zero = isa.splat(0.0);
        for k in self.range.clone() {
            for column in (0..self.width).step_by(S::LANES) {
                let lanes = S::LANES.min(self.columns.saturating_sub(column));
                let kernels = self.weight.get(k * self.distance[0] + column * self.distance[1]..).unwrap_or_default();
                let fits = lanes == 0 || (lanes - 1) * self.distance[1] + 9 <= kernels.len();
                debug_assert!(fits, "kernels reach outside the weight");
                if !fits {
                    return;
                }
                // SAFETY: it was just seen that the nine taps of each of these columns' kernels are in the slice.
                let mut taps: [S::V; 9] = unsafe { isa.load_columns(kernels.as_ptr(), self.distance[1], lanes) };
                if self.turned {
                    taps.reverse();
                }
                let mut across = [[zero; A]; 3];
                for j in 0..3 {
                    across[j] = W::kernel(isa, [taps[j], taps[3 + j], taps[6 + j]]);
                }
                let first = k * self.width + column;
                let fits = self.to.holds((A * A - 1) * self.point + first + S::LANES);
                debug_assert!(fits, "a panel reaches outside its memory");
                if !fits {
                    return;
                }
                let to = self.to.pointer().wrapping_add(first);
                for i in 0..A {
                    let line = W::kernel(isa, [across[0][i], across[1][i], across[2][i]]);
                    for j in 0..A {
                        // SAFETY: it was just seen that the last point has room for this vector; a row of a panel belongs to one task.
                        unsafe { isa.store(to.wrapping_add((i * A + j).wrapping_mul(self.point)), line[j]) };
                    }
                }
            }
        }
    }
}

/// Gradients of kernels on their way back: dw += Gᵀ dU G for some output channels.
pub(super) struct KernelBack<'a, W, const M: usize, const A: usize> {
    /// `[pieces][points][C][O]`.
    pub from: &'a [f32],
    pub pieces: usize,
    pub channels: [usize; 2],
    /// Distance between points.
    pub point: usize,
    /// The first output channel; as many as there is room for.
    pub first: usize,
    /// `[…][C][9]`.
    pub dw: &'a mut [f32],
    pub transforms: PhantomData<W>,
}

impl<W: Transforms<M, A>, const M: usize, const A: usize> Job for KernelBack<'_, W, M, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let ([c, o], zero) = (self.channels, isa.splat(0.0));
        let outputs = self.dw.len() / (9 * c);
        for (channel, column) in (0..c).flat_map(|k| (0..outputs).step_by(S::LANES).map(move |j| (k, j))) {
            let lanes = S::LANES.min(outputs - column);
            let (first, mask) = (channel * o + self.first + column, isa.first(lanes));
            let fits = self.pieces == 0 || (self.pieces * A * A - 1) * self.point + first + lanes <= self.from.len();
            debug_assert!(fits, "sums reach outside their memory");
            if !fits {
                return;
            }
            let from = self.from.as_ptr().wrapping_add(first);
            // the next channel's numbers: one short run at each point, which the machine does not foresee
            for point in 0..self.pieces * A * A {
                isa.prefetch(from.wrapping_add(o).wrapping_add(point.wrapping_mul(self.point)));
            }
            let mut across = [[zero; 3]; A];
            for j in 0..A {
                let mut points = [zero; A];
                for i in 0..A {
                    for piece in 0..self.pieces {
                        let place = (piece * A * A + i * A + j).wrapping_mul(self.point);
                        // SAFETY: it was just seen that the last piece's last point has this vector, as far as the mask goes.
                        points[i] = isa.add(points[i], unsafe { isa.load_masked(from.wrapping_add(place), mask) });
                    }
                }
                across[j] = W::kernel_back(isa, points);
            }
            let mut taps = [zero; 9];
            for i in 0..3 {
                let mut line = [zero; A];
                for j in 0..A {
                    line[j] = across[j][i];
                }
                let line = W::kernel_back(isa, line);
                for j in 0..3 {
                    taps[i * 3 + j] = line[j];
                }
            }
            let kernels = &mut self.dw[(column * c + channel) * 9..];
            let fits = (lanes - 1) * c * 9 + 9 <= kernels.len();
            debug_assert!(fits, "kernels reach outside the weight");
            if fits {
                // SAFETY: it was just seen that the nine taps of each of these columns' kernels are in the slice.
                unsafe { isa.add_columns(kernels.as_mut_ptr(), c * 9, lanes, taps) };
            }
        }
    }
}
