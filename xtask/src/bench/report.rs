//! What was measured: as a table, as JSON, and as docs/benchmarks.md.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::gauge::Turns;
use super::machine;
use crate::table::aligned;

/// One case on one number of threads.
pub struct Row {
    /// `train/lenet/64`.
    pub name: String,
    threads: usize,
    /// Multiplications and additions of a call.
    pub flops: Option<u64>,
    /// Side, variant, seconds: ours first.
    times: Vec<(String, String, f64)>,
    /// The most memory of each side, in MiB.
    pub memory: Vec<(String, Option<f64>)>,
    /// The part of the machine that others used meanwhile.
    pub strangers: Option<f64>,
    /// How often the contenders were asked.
    pub turns: Turns,
    /// What a side could not do.
    pub notes: Vec<String>,
}

impl Row {
    /// Nothing is known yet.
    pub fn new(name: &str, threads: usize) -> Row {
        Row {
            name: name.to_owned(),
            threads,
            flops: None,
            times: vec![],
            memory: vec![],
            strangers: None,
            turns: Turns::default(),
            notes: vec![],
        }
    }

    /// What a contender took.
    pub fn add(&mut self, side: &str, variant: &str, seconds: f64) {
        self.times.push((side.to_owned(), variant.to_owned(), seconds));
    }

    /// Our time.
    fn ours(&self) -> f64 {
        self.times.first().map_or(f64::NAN, |t| t.2)
    }

    fn before(&self) -> Option<f64> {
        self.times.iter().find(|t| t.0 == "before").map(|t| t.2)
    }

    /// PyTorch's fastest variant, and its time.
    fn theirs(&self) -> Option<(&str, f64)> {
        let torch = self.times.iter().filter(|t| t.0.starts_with("PyTorch"));
        torch.map(|t| (t.1.as_str(), t.2)).min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// PyTorch's fastest time by ours: above 1 we are faster.
    fn ratio(&self) -> Option<f64> {
        Some(self.theirs()?.1 / self.ours())
    }

    /// Our operations a second, in thousand millions.
    pub fn gflops(&self) -> Option<f64> {
        Some(self.flops? as f64 / self.ours() * 1e-9)
    }

    fn memory_of(&self, side: &str) -> Option<f64> {
        self.memory.iter().find(|m| m.0.starts_with(side))?.1
    }

    /// The row in one line, all variants with it.
    pub fn line(&self) -> String {
        let times: Vec<String> = self
            .times
            .iter()
            .map(|(side, variant, s)| {
                let who = if side == variant || side == "before" { side.clone() } else { variant.clone() };
                format!("{who} {}", ms(*s))
            })
            .collect();
        let ratio = self.ratio().or(self.before().map(|b| b / self.ours())).map_or(String::new(), |r| format!(" → {r:.2}×"));
        let poor = (self.turns.poor > 0).then(|| format!("{} of {} turns without all cores", self.turns.poor, self.turns.taken));
        let notes = self.notes.iter().chain(&poor).map(|note| format!("\n    {note}")).collect::<String>();
        format!("{} on {} threads, ms: {}{ratio}{notes}", self.name, self.threads, times.join(", "))
    }
}

fn ms(seconds: f64) -> String {
    let ms = seconds * 1e3;
    let digits = if ms < 1.0 {
        4
    } else if ms < 10.0 {
        3
    } else if ms < 100.0 {
        2
    } else {
        1
    };
    format!("{ms:.digits$}")
}

/// Everything that one run measured.
pub struct Report {
    /// By cases and threads.
    pub rows: Vec<Row>,
    /// Threads, and the most thousand millions of operations a second that were measured on them.
    pub peaks: Vec<(usize, f64)>,
    cpu: bool,
}

const HEADING: [&str; 11] =
    ["case", "threads", "ours", "PyTorch", "its variant", "ratio", "before", "GFLOP/s", "of peak", "MiB", "strangers"];

impl Report {
    /// An empty one.
    pub fn new(cpu: bool) -> Report {
        Report { rows: Vec::new(), peaks: Vec::new(), cpu }
    }

    fn cells(&self, row: &Row) -> [String; 11] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let peak = self.peaks.iter().find(|p| p.0 == row.threads).map_or(f64::NAN, |p| p.1);
        let memory = |side| row.memory_of(side).map(|m| format!("{m:.0}"));
        [
            row.name.clone(),
            row.threads.to_string(),
            ms(row.ours()),
            or_dash(row.theirs().map(|t| ms(t.1))),
            or_dash(row.theirs().map(|t| t.0.to_owned())),
            or_dash(row.ratio().map(|r| format!("{r:.2}"))),
            or_dash(row.before().map(|b| format!("{:.2}", b / row.ours()))),
            or_dash(row.gflops().map(|g| format!("{g:.1}"))),
            or_dash(row.gflops().map(|g| format!("{:.0} %", 100.0 * g / peak))),
            [memory("ours"), memory("PyTorch")].into_iter().flatten().collect::<Vec<_>>().join(" / "),
            or_dash(row.strangers.map(|s| format!("{:.0} %", 100.0 * s))),
        ]
    }

    /// The table, with what the columns mean.
    pub fn shown(&self) -> String {
        let heading = HEADING.map(str::to_owned);
        let cells: Vec<_> = [heading].into_iter().chain(self.rows.iter().map(|row| self.cells(row))).collect();
        let mut text = aligned(&cells, [false, true, true, true, false, true, true, true, true, true, true]);
        for row in self.rows.iter().filter(|row| !row.notes.is_empty()) {
            text.push_str(&format!("\n{}: {}", row.name, row.notes.join("; ")));
        }
        let clock = if self.cpu { "processor time" } else { "the clock" };
        text.push_str(&format!(
            "\nMedian milliseconds by {clock}; ratio: PyTorch's fastest variant by ours; before: the older build by ours.\n"
        ));
        text.push_str(&format!("Multiply-add peak, measured: {}. Turns: {}.\n", self.peak_text(), self.turns_text()));
        text
    }

    /// How many turns there were, and during how many the machine was not all there.
    fn turns_text(&self) -> String {
        let sum = |of: fn(&Turns) -> usize| self.rows.iter().map(|row| of(&row.turns)).sum::<usize>();
        let (taken, again, poor) = (sum(|t| t.taken), sum(|t| t.again), sum(|t| t.poor));
        format!("{taken}; {again} others were taken again, for the cores gave less than their peak, as they did in {poor} that count")
    }

    fn peak_text(&self) -> String {
        let peaks: Vec<String> = self.peaks.iter().map(|(threads, peak)| format!("{peak:.0} GFLOP/s on {threads}")).collect();
        peaks.join(", ")
    }

    /// `{"ratios": {"train/lenet/64": 2.5, …}, …}`: those of the most threads; those of fewer are under `ratios_on_N`.
    pub fn json(&self) -> Value {
        let most = self.rows.iter().map(|row| row.threads).max().unwrap_or(0);
        let mut all = Map::new();
        let mut put = |group: String, row: &Row, value: Option<f64>| {
            let group = if row.threads == most { group } else { format!("{group}_on_{}", row.threads) };
            let entry = all.entry(group).or_insert_with(|| json!({}));
            if let (Some(map), Some(value)) = (entry.as_object_mut(), value) {
                map.insert(row.name.clone(), json!(rounded(value)));
            }
        };
        for row in &self.rows {
            put("ratios".into(), row, row.ratio());
            put("before".into(), row, row.before().map(|b| b / row.ours()));
            put("ms".into(), row, Some(row.ours() * 1e3));
            put("torch_ms".into(), row, row.theirs().map(|t| t.1 * 1e3));
            put("gflops".into(), row, row.gflops());
            put("peak_mb".into(), row, row.memory_of("ours"));
            put("torch_peak_mb".into(), row, row.memory_of("PyTorch"));
            put("strangers".into(), row, row.strangers);
            put("turns_without_all_cores".into(), row, Some(row.turns.poor as f64));
        }
        let peaks: Map<String, Value> = self.peaks.iter().map(|(threads, peak)| (threads.to_string(), json!(rounded(*peak)))).collect();
        all.insert("peak_gflops".into(), Value::Object(peaks));
        Value::Object(all)
    }

    /// Writes docs/benchmarks.md: this processor's section anew, those of others as they are.
    pub fn write(&self) -> std::io::Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks.md");
        let before = match std::fs::read_to_string(&path) {
            Err(none) if none.kind() == std::io::ErrorKind::NotFound => String::new(),
            page => page?, // a page that can't be read is not one to write over
        };
        std::fs::write(path, page(&before, &machine::processor(), &self.section()))
    }

    /// What stands below the processor's name.
    fn section(&self) -> String {
        let version = self.rows.iter().flat_map(|row| &row.memory).map(|m| m.0.as_str()).find(|name| name.starts_with("PyTorch"));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = format!(
            "- On {}, {cores} cores; multiply-add peak, measured: {}\n- nyangtorch {}, compared with {}\n- Times: {}\n- Turns: {}\n\n",
            machine::today(),
            self.peak_text(),
            env!("CARGO_PKG_VERSION"),
            version.unwrap_or("nothing"),
            if self.cpu { "the processor's, on one thread, for others used the machine too" } else { "the clock's" },
            self.turns_text(),
        );
        text.push_str(&row(&HEADING.map(str::to_owned)));
        text.push_str(&row(&[":--", "--:", "--:", "--:", ":--", "--:", "--:", "--:", "--:", "--:", "--:"].map(str::to_owned)));
        self.rows.iter().for_each(|r| text.push_str(&row(&self.cells(r))));
        text
    }
}

const INTRODUCTION: &str = "# Benchmarks

Written by `cargo xtask bench … --write`, a section for each processor it ran on.

Milliseconds, medians of turns that the sides took one after the other in one run. Ratio: PyTorch's fastest stock variant by
ours, so above 1 we are faster. MiB: the most memory of our process, and of PyTorch's. Strangers: the part of the machine that other
programs used meanwhile; where it is more than some percent the row is not to be trusted. Turns: a virtual machine's two processors are at
times two threads of one core; before and after each turn their multiply-add peak is measured, and where it is less than four fifths of the
best the turn is taken again, ours and PyTorch's alike, three times at most.
";

/// The page with this processor's section, at its place if it has one there, and at the end if not.
fn page(before: &str, processor: &str, section: &str) -> String {
    const HEAD: &str = "\n## ";
    let mut sections: Vec<(&str, &str)> = before.split(HEAD).skip(1).filter_map(|text| text.split_once("\n\n")).collect();
    match sections.iter_mut().find(|(name, _)| *name == processor) {
        Some((_, old)) => *old = section,
        None => sections.push((processor, section)),
    }
    let sections = sections.iter().map(|(name, text)| format!("{HEAD}{name}\n\n{}\n", text.trim_end()));
    sections.fold(INTRODUCTION.to_owned(), |page, section| page + &section)
}

/// To four digits: more would be noise.
fn rounded(value: f64) -> f64 {
    let scale = 10f64.powi(3 - value.abs().max(1e-30).log10().floor() as i32);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(threads: usize) -> Row {
        let mut row = Row::new("train/lenet/64", threads);
        row.add("ours", "ours", 0.002);
        row.add("before", "ours", 0.003);
        row.add("PyTorch 9", "eager", 0.006);
        row.add("PyTorch 9", "eager+cl", 0.005);
        row.flops = Some(100_000_000);
        row.memory = vec![("ours".into(), Some(20.0)), ("PyTorch 9".into(), Some(700.0))];
        row
    }

    #[test]
    fn ratios_are_to_pytorchs_fastest_variant() {
        let report = Report { rows: vec![row(2), row(1)], peaks: vec![(2, 200.0)], cpu: false };
        let json = report.json();
        assert_eq!(json["ratios"]["train/lenet/64"], 2.5);
        assert_eq!(json["ratios_on_1"]["train/lenet/64"], 2.5);
        assert_eq!(json["before"]["train/lenet/64"], 1.5);
        assert_eq!(json["gflops"]["train/lenet/64"], 50.0);
        assert_eq!(json["peak_gflops"]["2"], 200.0);
        let text = report.shown();
        assert!(text.contains("2.50") && text.contains("eager+cl") && text.contains("25 %") && text.contains("20 / 700"), "{text}");
    }

    #[test]
    fn without_pytorch_there_is_no_ratio() {
        let mut alone = Row::new("peak", 1);
        alone.add("ours", "ours", 0.5);
        let report = Report { rows: vec![alone], peaks: vec![], cpu: true };
        assert!(report.json()["ratios"].as_object().unwrap().is_empty());
        assert!(report.shown().contains('–'));
    }

    #[test]
    fn a_page_keeps_what_other_processors_gave() {
        let first = page("", "A", "a\n");
        assert_eq!(first, format!("{INTRODUCTION}\n## A\n\na\n"));
        let both = page(&first, "B", "b\n");
        assert_eq!(both, format!("{INTRODUCTION}\n## A\n\na\n\n## B\n\nb\n"));
        assert_eq!(page(&both, "A", "- new\n\n| t |\n"), format!("{INTRODUCTION}\n## A\n\n- new\n\n| t |\n\n## B\n\nb\n"));
    }

    #[test]
    fn numbers_are_rounded_to_four_digits() {
        assert_eq!([1.234_56, 1234.56, 0.000_123_456].map(rounded), [1.235, 1235.0, 0.000_123_5]);
    }
}
