//! Curves as SVG: a frame, ticks, and a line for each series.

use std::fmt::Write;

/// A line of a plot: its name, and a value for each step from 1 on.
pub struct Series {
    pub name: String,
    pub values: Vec<f64>,
    /// Drawn with dashes, so that a line below it is seen.
    pub dashed: bool,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 32.0;
const BOTTOM: f64 = 44.0;
/// Colours that are told apart by the colour-blind, too (Okabe & Ito).
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];

/// The series over their steps; the values by their logarithms if `log`, those of 0 left out.
pub fn svg(title: &str, what: &str, log: bool, series: &[Series]) -> String {
    let scaled = |v: f64| if log { v.log10() } else { v };
    let shown = || series.iter().flat_map(|s| s.values.iter().map(|v| scaled(*v)).filter(|v| v.is_finite()));
    let (low, high) = (shown().fold(f64::INFINITY, f64::min), shown().fold(f64::NEG_INFINITY, f64::max));
    let (low, high) =
        if low < high { (if log { low.floor() } else { low.min(0.0) }, if log { high.ceil() } else { high }) } else { (0.0, 1.0) };
    let steps = series.iter().map(|s| s.values.len()).max().unwrap_or(1).max(2);
    let x = |step: usize| LEFT + (WIDTH - LEFT - RIGHT) * step as f64 / (steps - 1) as f64;
    let y = |v: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (v - low) / (high - low);

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n"
    );
    let _ = writeln!(out, "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>"); // writing to a String cannot fail
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{title}</text>");
    let marks: Vec<f64> = if log {
        let every = ((high - low) / 6.0).ceil().max(1.0);
        (0..=6).map(|i| low + f64::from(i) * every).filter(|v| *v <= high).collect()
    } else {
        (0..=4).map(|i| low + (high - low) * f64::from(i) / 4.0).collect()
    };
    for mark in marks {
        let label = if log { format!("1e{mark}") } else { format!("{mark:.2}") };
        let at = y(mark);
        let _ = writeln!(out, "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#ddd\"/>", WIDTH - RIGHT);
        let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, at + 4.0);
    }
    for quarter in 0..=4 {
        let step = (steps - 1) * quarter / 4;
        let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>", x(step), HEIGHT - BOTTOM + 18.0, step + 1);
    }
    let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{what}, by step</text>", WIDTH - RIGHT, 20.0);
    for (nth, (line, colour)) in series.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let mut path = String::new();
        let mut pen = 'M';
        for (step, v) in line.values.iter().map(|v| scaled(*v)).enumerate() {
            if v.is_finite() {
                let _ = write!(path, "{pen}{:.1} {:.1}", x(step), y(v));
                pen = 'L';
            } else {
                pen = 'M';
            }
        }
        let dashes = if line.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        let _ = writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"{dashes}/>");
        let (tx, ty) = (LEFT + 8.0 + 190.0 * (nth % 3) as f64, HEIGHT - 8.0 - 14.0 * (nth / 3) as f64);
        let _ = writeln!(out, "<text x=\"{tx:.1}\" y=\"{ty:.1}\" fill=\"{colour}\">{}</text>", line.name);
    }
    out + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_from_corner_to_corner_and_zeros_have_no_logarithm() {
        let line = |values: &[f64]| [Series { name: "ours".into(), values: values.to_vec(), dashed: false }];
        assert!(svg("t", "loss", false, &line(&[0.0, 1.0])).contains("d=\"M64.0 276.0L624.0 32.0\""));
        assert!(svg("t", "loss", true, &line(&[1e-4, 0.0, 1e-2])).contains("d=\"M64.0 276.0M624.0 32.0\""));
        assert!(svg("t", "loss", true, &line(&[0.0, 0.0])).ends_with("</svg>\n"));
    }
}
