//! Curves as SVG: a picture made of text, sharp at any size, that a browser, an editor and Git can show.

use std::fmt::Write;

use super::html::escaped;

/// Curves over a common axis.
///
/// ```
/// # use nyang_train::report::LinePlot;
/// let losses = |rate: f64| (1..=20).map(move |epoch| (epoch as f64, (-rate * epoch as f64).exp()));
/// let svg = LinePlot::new("Loss")
///     .x_label("epoch")
///     .line("train", losses(0.2))
///     .line("valid", losses(0.1))
///     .mark(17.0, "best")
///     .to_svg();
/// assert!(svg.starts_with("<svg ") && svg.contains(">valid</text>"));
/// # let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("loss.svg"), svg)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct LinePlot {
    title: String,
    x_label: String,
    y_label: String,
    log_x: bool,
    log_y: bool,
    lines: Vec<Line>,
    marks: Vec<(f64, String)>,
}

/// A curve.
#[derive(Clone, Debug)]
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
    dashed: bool,
}

/// Okabe and Ito's colours, which colour-blind people can tell apart.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 340.0;

/// Where the curves are: left, top, right, bottom.
const FRAME: [f64; 4] = [64.0, 44.0, 624.0, 292.0];

/// The most points of a curve that are drawn; of more, every second, third, … is.
const POINTS: usize = 2000;

/// Curves of so few points have a dot at each, which says its values when it is pointed at.
const DOTS: usize = 60;

impl LinePlot {
    /// A plot without curves.
    pub fn new(title: impl Into<String>) -> Self {
        LinePlot { title: title.into(), ..Self::default() }
    }

    /// What the horizontal axis is.
    pub fn x_label(mut self, label: impl Into<String>) -> Self {
        self.x_label = label.into();
        self
    }

    /// What the vertical axis is.
    pub fn y_label(mut self, label: impl Into<String>) -> Self {
        self.y_label = label.into();
        self
    }

    /// Makes the horizontal axis logarithmic; points that are not above 0 are left out.
    pub fn log_x(mut self) -> Self {
        self.log_x = true;
        self
    }

    /// Makes the vertical axis logarithmic; points that are not above 0 are left out.
    pub fn log_y(mut self) -> Self {
        self.log_y = true;
        self
    }

    /// Adds a curve of (x, y). Where a number is NaN or infinite, the curve has a gap.
    pub fn line(mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.lines.push(Line { name: name.into(), points: points.into_iter().collect(), dashed: false });
        self
    }

    /// Adds a curve as [`line`](LinePlot::line) does, drawn with dashes: a curve that it lies on is seen between them.
    pub fn dashed_line(mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.lines.push(Line { name: name.into(), points: points.into_iter().collect(), dashed: true });
        self
    }

    /// Marks a place on the horizontal axis.
    pub fn mark(mut self, x: f64, name: impl Into<String>) -> Self {
        self.marks.push((x, name.into()));
        self
    }

    /// The plot as SVG. The same plot gives the same bytes.
    pub fn to_svg(&self) -> String {
        let all = || self.lines.iter().flat_map(|line| &line.points).filter(|(x, y)| self.can_show(*x, *y));
        let marks = self.marks.iter().map(|(x, _)| *x).filter(|x| self.can_show(*x, 1.0));
        let x_axis = Axis::over(all().map(|(x, _)| *x).chain(marks), self.log_x, false);
        let y_axis = Axis::over(all().map(|(_, y)| *y), self.log_y, true);
        let [left, top, right, bottom] = FRAME;
        let at_x = |x: f64| left + x_axis.place(x) * (right - left);
        let at_y = |y: f64| bottom - y_axis.place(y) * (bottom - top);

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\">\n<title>{}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
            escaped(&self.title)
        );
        text(&mut svg, left, 20.0, "start", "font-size=\"14\" font-weight=\"600\"", &self.title);
        for (x, name) in x_axis.ticks() {
            line(&mut svg, [at_x(x), top, at_x(x), bottom], "#eee");
            text(&mut svg, at_x(x), bottom + 16.0, "middle", "fill=\"#555\"", &name);
        }
        for (y, name) in y_axis.ticks() {
            line(&mut svg, [left, at_y(y), right, at_y(y)], "#ddd");
            text(&mut svg, left - 6.0, at_y(y) + 4.0, "end", "fill=\"#555\"", &name);
        }
        text(&mut svg, (left + right) / 2.0, HEIGHT - 12.0, "middle", "fill=\"#555\"", &self.x_label);
        text(&mut svg, left - 6.0, top - 8.0, "end", "fill=\"#555\"", &self.y_label);
        for (x, name) in self.marks.iter().filter(|(x, _)| self.can_show(*x, 1.0)) {
            line(&mut svg, [at_x(*x), top, at_x(*x), bottom], "#888\" stroke-dasharray=\"4 3");
            let (at, anchor) = if at_x(*x) > right - 80.0 { (at_x(*x) - 4.0, "end") } else { (at_x(*x) + 4.0, "start") };
            text(&mut svg, at, bottom - 6.0, anchor, "fill=\"#555\"", name);
        }
        let mut legend = right;
        // beside the title if there is room, else below it
        let names = self.lines.iter().map(|line| width(&line.name, 7.0) + 38.0).sum::<f64>();
        let row = if left + width(&self.title, 8.5) + names > right { 37.0 } else { 20.0 };
        for (i, Line { name, .. }) in self.lines.iter().enumerate().rev() {
            legend -= width(name, 7.0);
            text(&mut svg, legend, row, "start", "", name);
            line(&mut svg, [legend - 22.0, row - 4.0, legend - 6.0, row - 4.0], &format!("{}\" stroke-width=\"3", colour(i)));
            legend -= 38.0;
        }
        for (i, Line { points, dashed, .. }) in self.lines.iter().enumerate() {
            self.curve(&mut svg, points, *dashed, colour(i), at_x, at_y);
        }
        if all().next().is_none() {
            text(&mut svg, (left + right) / 2.0, (top + bottom) / 2.0, "middle", "fill=\"#888\"", "no points");
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn curve(
        &self,
        svg: &mut String,
        points: &[(f64, f64)],
        dashed: bool,
        colour: &str,
        at_x: impl Fn(f64) -> f64,
        at_y: impl Fn(f64) -> f64,
    ) {
        let dashes = if dashed { " stroke-dasharray=\"7 5\"" } else { "" };
        let (mut path, mut pen_is_down) = (String::new(), false);
        for (x, y) in points.iter().step_by(points.len().div_ceil(POINTS).max(1)) {
            let shown = self.can_show(*x, *y);
            if shown {
                let _ = write!(path, "{}{:.1} {:.1}", if pen_is_down { 'L' } else { 'M' }, at_x(*x), at_y(*y)); // text cannot fail
            }
            pen_is_down = shown;
        }
        let _ =
            writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-linejoin=\"round\"{dashes}/>");
        for (x, y) in points.iter().filter(|(x, y)| points.len() <= DOTS && self.can_show(*x, *y)) {
            let (cx, cy, x, y) = (at_x(*x), at_y(*y), short(*x), short(*y));
            let _ = writeln!(svg, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"2.5\" fill=\"{colour}\"><title>{x}: {y}</title></circle>");
        }
    }

    fn can_show(&self, x: f64, y: f64) -> bool {
        let room = |x: f64, log: bool| x.abs() <= 1e300 && (!log || x > 0.0); // beyond it, differences would be infinite
        room(x, self.log_x) && room(y, self.log_y)
    }
}

/// Of the curve with this number.
fn colour(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

/// About how wide a text is whose Latin letters are so wide.
fn width(text: &str, letter: f64) -> f64 {
    text.chars().map(|c| if c.is_ascii() { letter } else { 1.8 * letter }).sum()
}

fn line(svg: &mut String, [x1, y1, x2, y2]: [f64; 4], stroke: &str) {
    let _ = writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\"/>"); // text cannot fail
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, more: &str, what: &str) {
    if !what.is_empty() {
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {more}>{}</text>", escaped(what));
    }
}

/// A range of numbers, and how it is divided.
struct Axis {
    /// The ends: of the numbers, or of their decimal logarithms.
    low: f64,
    high: f64,
    log: bool,
    /// Between two ticks, of a linear axis.
    step: f64,
}

impl Axis {
    /// An axis that has room for these numbers; if `round`, from tick to tick.
    fn over(numbers: impl Iterator<Item = f64>, log: bool, round: bool) -> Self {
        let (mut low, mut high, mut whole) = (f64::INFINITY, f64::NEG_INFINITY, true);
        for x in numbers {
            let at = if log { x.log10() } else { x };
            (low, high, whole) = (low.min(at), high.max(at), whole && x == x.trunc());
        }
        whole &= !round;
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= 1e-12 * low.abs().max(high.abs()) {
            let room = if log || low == 0.0 { 0.5 } else { 0.05 * low.abs() };
            (low, high) = (low - room, high + room);
        }
        let step = nice((high - low) / 5.0);
        let step = if whole && !log { step.max(1.0) } else { step }; // there is no epoch 1.5
        if round && !log {
            (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        }
        Axis { low, high, log, step }
    }

    /// From 0 at the low end to 1 at the high one.
    fn place(&self, x: f64) -> f64 {
        let x = if self.log { x.log10() } else { x };
        (x - self.low) / (self.high - self.low)
    }

    /// Where the ticks are, and what is written there.
    fn ticks(&self) -> Vec<(f64, String)> {
        if self.log {
            let (first, last) = (self.low.floor() as i32, self.high.ceil() as i32);
            let parts: &[f64] = if last - first > 3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let every = ((last - first) / 8 + 1) as usize;
            let powers = (first..=last).step_by(every);
            let ticks = powers.flat_map(|power| parts.iter().map(move |part| (power, part * 10f64.powi(power), *part)));
            let inside = ticks.filter(|(_, x, _)| (-1e-9..=1.0 + 1e-9).contains(&self.place(*x)));
            return inside
                .map(|(power, x, part)| (x, if (-2..=3).contains(&power) { short(x) } else { format!("{part}e{power}") }))
                .collect();
        }
        let digits = (-self.step.log10().floor()).clamp(0.0, 12.0) as usize;
        let first = (self.low / self.step - 1e-9).ceil() as i64;
        let last = (self.high / self.step + 1e-9).floor() as i64;
        let large = self.low.abs().max(self.high.abs()) >= 1e6 || self.step < 1e-5;
        (first..=last.min(first + 20))
            .map(|i| {
                (
                    i as f64 * self.step,
                    if large { format!("{:.1e}", i as f64 * self.step) } else { format!("{:.digits$}", i as f64 * self.step) },
                )
            })
            .collect()
    }
}

/// 1, 2 or 5 times a power of ten: the least that is not below `x`.
fn nice(x: f64) -> f64 {
    let power = 10f64.powf(x.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|part| part * power).find(|step| *step >= x * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// Four digits that count.
fn short(x: f64) -> String {
    if x != 0.0 && !(1e-3..1e6).contains(&x.abs()) {
        return format!("{x:.3e}");
    }
    let digits = if x == 0.0 { 0 } else { (3.0 - x.abs().log10().floor()).clamp(0.0, 6.0) as usize };
    let text = format!("{x:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(names(&Axis::over([0.13, 0.93].into_iter(), false, true)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(names(&Axis::over([1.0, 10.0].into_iter(), false, false)), ["2", "4", "6", "8", "10"]);
        assert_eq!(names(&Axis::over([1.0, 3.0].into_iter(), false, false)), ["1", "2", "3"]);
        assert_eq!(names(&Axis::over([1e-7, 10.0].into_iter(), true, false)), ["1e-7", "1e-5", "1e-3", "0.1", "10"]);
        assert_eq!(names(&Axis::over([0.1, 1.0].into_iter(), true, false)), ["0.1", "0.2", "0.5", "1"]);
        assert_eq!([0.3, 0.2, 7.0, 1.0, 0.011].map(nice), [0.5, 0.2, 10.0, 1.0, 0.02]);
        assert_eq!([0.0, 1.0, 0.12345, 1234.56, 1e-7, 2e7].map(short), ["0", "1", "0.1235", "1235", "1.000e-7", "2.000e7"]);
    }

    #[test]
    fn points_are_where_they_belong() {
        let svg = LinePlot::new("t").line("a", [(0.0, 0.0), (1.0, 1.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 0.0)]).to_svg();
        assert!(svg.contains("M64.0 292.0L204.0 44.0M484.0 44.0L624.0 292.0\""), "{svg}"); // a gap where there is no number
    }

    #[test]
    fn a_dashed_line_is_dashed_and_no_other() {
        let points = [(0.0, 0.0), (1.0, 1.0)];
        let svg = LinePlot::new("t").line("a", points).dashed_line("b", points).to_svg();
        let paths: Vec<&str> = svg.lines().filter(|line| line.starts_with("<path")).collect();
        assert_eq!(paths.iter().map(|path| path.contains("stroke-dasharray")).collect::<Vec<_>>(), [false, true]);
        assert!(paths[0].contains(COLOURS[0]) && paths[1].contains(COLOURS[1])); // in the order given: the dashed one lies above
    }

    #[test]
    fn names_stand_beside_the_title_or_below_it() {
        let rows = |title: &str| {
            let svg = LinePlot::new(title).line("PyTorch from itself", []).line("f32 without Winograd", []).to_svg();
            ["PyTorch from itself", "f32 without Winograd"].map(|name| svg.lines().any(|l| l.contains(name) && l.contains(" y=\"20.0\"")))
        };
        assert_eq!(rows("lenet"), [true; 2]);
        assert_eq!(rows("deepconvnet on fashion-mnist, apart so far"), [false; 2]);
    }

    #[test]
    fn odd_plots_are_plots_too() {
        let plots = [
            LinePlot::new("no curve"),
            LinePlot::new("no point").line("a", []),
            LinePlot::new("one point").line("a", [(1.0, 5.0)]),
            LinePlot::new("no number").line("a", [(f64::NAN, 1.0), (1.0, f64::INFINITY)]).mark(f64::NAN, "m"),
            LinePlot::new("below zero").line("a", [(-1.0, -1.0), (0.0, 0.0)]).log_x().log_y(),
            LinePlot::new("huge").line("a", [(0.0, -1e300), (1e300, 1e300)]),
            LinePlot::new("tiny").line("a", [(0.0, 1e-300), (1e-300, 2e-300)]),
            LinePlot::new("equal").line("a", [(1.0, 7.0), (2.0, 7.0)]).log_y(),
            LinePlot::new("many").line("a", (0..100_000).map(|i| (i as f64, (i as f64).sin()))),
        ];
        for plot in plots {
            let svg = plot.to_svg();
            assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(svg.len() < 60_000, "{} has {} bytes", plot.title, svg.len());
        }
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let svg = LinePlot::new("<b>&").line("\"><script>", [(0.0, 0.0)]).mark(0.0, "</svg>").to_svg();
        assert!(!svg.contains("<script") && !svg.contains("<b>") && svg.matches("</svg>").count() == 1, "{svg}");
    }
}
