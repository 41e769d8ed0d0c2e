//! The page: everything that is known of a run, as one HTML file with nothing outside it.

use std::fmt::Write;

use super::html::{data_url, escaped, image, pairs};
use super::plot::LinePlot;
use super::snapshot::{Mistake, Snapshot};
use crate::insight::Picture;
use crate::metrics::Scores;
use crate::{EpochReport, Result};

/// What the page is made of.
pub(super) struct Page<'a> {
    pub title: &'a str,
    /// How the run stands.
    pub status: &'a str,
    pub history: &'a [EpochReport],
    pub best: Option<&'a Snapshot>,
    pub preview: Option<&'a Picture>,
    pub configuration: &'a [(String, String)],
    pub model: &'a str,
}

/// Confusion matrices of more classes are shown as a picture.
const CELLS: usize = 40;

/// The longest side of that picture.
const LARGEST: usize = 300;

/// Of more classes the table shows those with the lowest F1.
const ROWS: usize = 500;

/// How many pairs of classes that were mistaken for one another are listed.
const PAIRS: usize = 12;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, 'Noto Sans KR', 'NanumGothic', 'Malgun Gothic', sans-serif; color: #222; max-width: 1320px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #ddd }
p.note { color: #666; margin: .2rem 0 .8rem } .row { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start }
.card { border: 1px solid #ddd; border-radius: 6px; padding: .5rem 1rem; min-width: 7rem } .card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #eee }
th { font-weight: 600 } th:first-child, .pairs td { text-align: left } .scroll { overflow-x: auto; max-width: 100% }
.matrix td, .matrix th { text-align: center; padding: .2rem .45rem; min-width: 1.6rem } .matrix th:first-child { text-align: right }
.matrix thead th { writing-mode: vertical-rl; text-orientation: sideways; transform: rotate(180deg); max-height: 11rem; text-align: left }
figure { margin: 0; width: 128px; font-size: 12px; line-height: 1.3; overflow-wrap: anywhere } figure img { image-rendering: pixelated; display: block; margin-bottom: .2rem }
img { max-width: 100%; height: auto; image-rendering: pixelated } pre { overflow-x: auto; font-size: 12.5px; background: #f7f7f7; padding: .8rem } svg { max-width: 100%; height: auto }
";

impl Page<'_> {
    /// The page as text.
    pub fn to_html(&self) -> Result<String> {
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p class=\"note\">{status}</p>\n",
            title = escaped(self.title),
            status = escaped(self.status)
        );
        if let Some(best) = self.best {
            html.push_str("<div class=\"row\">\n");
            for (name, value) in &best.scores {
                let _ = writeln!(html, "<div class=\"card\">{}<b>{}</b></div>", escaped(name), score(*value)); // text cannot fail
            }
            let _ = writeln!(html, "</div>\n<p class=\"note\">On the validation part, after epoch {}, the best.</p>", best.epoch);
        }
        self.curves(&mut html);
        if let Some(best) = self.best {
            confusion(&mut html, best)?;
            per_class(&mut html, best);
            mistakes(&mut html, &best.mistakes);
        }
        if let Some(preview) = self.preview {
            html.push_str(
                "<h2>Augmentation</h2>\n<p class=\"note\">On the left the image, to its right what training may see of it.</p>\n",
            );
            html.push_str(&image(preview, "images and their augmented versions")?);
        }
        html.push_str("\n<h2>Configuration</h2>\n");
        html.push_str(&pairs(self.configuration.iter().map(|(name, value)| (name, value))));
        let _ = writeln!(html, "<h2>Model</h2>\n<pre>{}</pre>\n</body>\n</html>", escaped(self.model));
        Ok(html)
    }

    fn curves(&self, html: &mut String) {
        let of = |value: fn(&EpochReport) -> f64| self.history.iter().map(move |report| (report.epoch as f64, value(report)));
        let best = self.best.map(|best| best.epoch as f64);
        let plot = |title: &str| {
            let plot = LinePlot::new(title).x_label("epoch");
            if let Some(epoch) = best { plot.mark(epoch, "best") } else { plot }
        };
        html.push_str("<h2>Curves</h2>\n<div class=\"row\">\n");
        html.push_str(&plot("Loss").line("train", of(|r| r.train_loss)).line("valid", of(|r| r.valid_loss)).to_svg());
        let right = plot("Accuracy and F1").line("train", of(|r| r.train_accuracy)).line("valid", of(|r| r.valid_accuracy));
        html.push_str(&right.line("valid macro F1", of(|r| r.valid_macro_f1)).to_svg());
        html.push_str(&plot("Learning rate").line("lr", of(|r| r.lr)).to_svg());
        html.push_str("</div>\n<p class=\"note\">Training is measured while the model learns, validation after the epoch.</p>\n");
    }
}

/// A number that is read, not computed with.
fn score(value: f64) -> String {
    format!("{value:.4}")
}

fn confusion(html: &mut String, best: &Snapshot) -> Result<()> {
    let names: Vec<&str> = best.report.classes.iter().map(|(name, _)| name.as_str()).collect();
    html.push_str("<h2>Confusion matrix</h2>\n<p class=\"note\">Rows are true classes, columns predicted ones; the darker, the larger the share of the row.</p>\n");
    let share = |row: &[u64], count: u64| count as f64 / row.iter().sum::<u64>().max(1) as f64;
    if names.len() > CELLS {
        let shares: Vec<f32> = best.confusion.iter().flat_map(|row| row.iter().map(|&count| 1.0 - share(row, count) as f32)).collect();
        let picture = Picture::grey(names.len(), names.len(), &shares)?;
        html.push_str(&image(&picture.shrunk_to(LARGEST).enlarged(LARGEST / names.len()), "confusion matrix")?);
    } else {
        html.push_str("<div class=\"scroll\"><table class=\"matrix\">\n<thead><tr><th></th>");
        names.iter().for_each(|name| html.push_str(&format!("<th>{}</th>", escaped(name))));
        html.push_str("</tr></thead>\n");
        for (target, (name, row)) in names.iter().zip(&best.confusion).enumerate() {
            let _ = write!(html, "<tr><th>{}</th>", escaped(name));
            for (prediction, &count) in row.iter().enumerate() {
                let share = share(row, count);
                let colour = if target == prediction { "0,114,178" } else { "213,94,0" };
                let ink = if share > 0.6 { ";color:#fff" } else { "" };
                let text = if count == 0 { String::new() } else { count.to_string() };
                let _ = write!(html, "<td style=\"background:rgba({colour},{share:.2}){ink}\">{text}</td>");
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</table></div>\n");
    }
    let mut mistaken: Vec<(u64, usize, usize)> = Vec::new();
    for (target, row) in best.confusion.iter().enumerate() {
        mistaken.extend(row.iter().enumerate().filter(|(p, count)| *p != target && **count > 0).map(|(p, &count)| (count, target, p)));
    }
    mistaken.sort_by_key(|&(count, target, prediction)| (std::cmp::Reverse(count), target, prediction));
    if !mistaken.is_empty() {
        html.push_str("<p class=\"note\">Most often mistaken:</p>\n");
        let name = |class: usize| names.get(class).copied().unwrap_or_default();
        html.push_str(&pairs(mistaken.iter().take(PAIRS).map(|&(count, t, p)| (format!("{} taken for {}", name(t), name(p)), count))));
    }
    Ok(())
}

fn per_class(html: &mut String, best: &Snapshot) {
    html.push_str("<h2>Classes</h2>\n");
    let mut rows: Vec<(&str, Option<Scores>)> = best.report.classes.iter().map(|(name, scores)| (name.as_str(), *scores)).collect();
    if rows.len() > ROWS {
        rows.sort_by(|a, b| a.1.map_or(2.0, |s| s.f1).total_cmp(&b.1.map_or(2.0, |s| s.f1)));
        rows.truncate(ROWS);
        let _ = writeln!(html, "<p class=\"note\">The {ROWS} of {} with the lowest F1.</p>", best.report.classes.len());
    }
    html.push_str("<table>\n<tr><th>class</th><th>precision</th><th>recall</th><th>F1</th><th>support</th></tr>\n");
    let averages = [("macro average", Some(best.report.macro_avg)), ("weighted average", Some(best.report.weighted_avg))];
    for (name, scores) in rows.into_iter().chain(averages) {
        let _ = match scores {
            Some(Scores { precision, recall, f1, support }) => writeln!(
                html,
                "<tr><th>{}</th><td>{precision:.3}</td><td>{recall:.3}</td><td>{f1:.3}</td><td>{support}</td></tr>",
                escaped(name)
            ),
            None => writeln!(html, "<tr><th>{}</th><td>–</td><td>–</td><td>–</td><td>0</td></tr>", escaped(name)),
        };
    }
    html.push_str("</table>\n");
}

fn mistakes(html: &mut String, mistakes: &[Mistake]) {
    html.push_str("<h2>Worst mistakes</h2>\n");
    if mistakes.is_empty() {
        html.push_str("<p class=\"note\">None: every sample of the validation part is right.</p>\n");
        return;
    }
    html.push_str("<p class=\"note\">The samples whose own class the model thought least likely.</p>\n<div class=\"row\">\n");
    for Mistake { png, target, prediction, probability, of_target, source } in mistakes {
        let [source, target, prediction] = [source, target, prediction].map(|text| escaped(text));
        let _ = writeln!(
            html,
            "<figure title=\"{source}\"><img src=\"{}\" alt=\"{source}\"><b>{target}</b> ({:.1} %)<br>taken for <b>{prediction}</b> ({:.1} %)</figure>",
            data_url(png),
            100.0 * of_target,
            100.0 * probability,
        );
    }
    html.push_str("</div>\n");
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::SIDE;
    use super::*;
    use crate::metrics::ClassificationReport;
    use nyang_nn::Rng;

    /// A picture of noise: nothing is larger as a PNG.
    fn noise(height: usize, width: usize) -> Picture {
        let mut rng = Rng::seed(1);
        Picture::new(height, width, (0..height * width * 3).map(|_| rng.below(256) as u8).collect()).unwrap()
    }

    #[test]
    fn a_page_of_a_thousand_classes_and_of_pictures_of_noise_is_below_2_mb() {
        let mut rng = Rng::seed(2);
        let scores = Scores { precision: 1.0 / 3.0, recall: 0.5, f1: 0.4, support: 50 };
        let mistake = Mistake {
            png: noise(SIDE, SIDE).png().unwrap(),
            target: "a class with a name".to_owned(),
            prediction: "another".to_owned(),
            probability: 0.9,
            of_target: 0.1,
            source: "images/of/a/class/with/a/name/0001.jpg".to_owned(),
        };
        let best = Snapshot {
            epoch: 3,
            scores: vec![("accuracy".to_owned(), 0.5)],
            report: ClassificationReport {
                classes: (0..1000).map(|i| (format!("class with the number {i}"), (i != 7).then_some(scores))).collect(),
                accuracy: 0.5,
                macro_avg: scores,
                weighted_avg: scores,
            },
            confusion: (0..1000).map(|_| (0..1000).map(|_| rng.below(5) as u64).collect()).collect(),
            mistakes: vec![mistake; 24],
        };
        let preview = noise(4 * 74, 8 * 74);
        let page =
            Page { title: "t", status: "s", history: &[], best: Some(&best), preview: Some(&preview), configuration: &[], model: "m" };
        let html = page.to_html().unwrap();
        assert!(html.len() < 2_000_000 && html.ends_with("</html>\n"), "{} bytes", html.len());
        assert!(html.contains("The 500 of 1000 with the lowest F1."));
    }
}
