//! `cargo xtask gradcheck`: is every backward the gradient of its forward, and does f32 compute what f64 computes?

use std::io::{self, Write};

use nyang_nn::case::CASES;
use nyang_nn::check::{GradReport, check_case, compare_precisions};
use nyang_nn::loss::{self, LossCase};
use nyang_nn::{Mode, Result};

use crate::Outcome;
use crate::table::aligned;

/// The most that a gradient may differ from its central difference. In f64 with h = 1e-6 the difference itself is good to ε/h ≈ 1e-10 times
/// the size of the sums, some tens: 1e-8 for the widest cases.
const GRADIENT: f64 = 1e-7;

/// The most that f32 may differ from f64: sums of up to a few hundred terms of size one, about 80 roundings of 2⁻²³.
const PRECISION: f64 = 1e-5;

/// One line of the table: a case in one mode.
struct Row {
    case: &'static str,
    mode: &'static str,
    found: Result<(GradReport, (f64, String))>,
}

impl Row {
    fn passes(&self) -> bool {
        self.found.as_ref().is_ok_and(|(report, (precision, _))| report.passes(GRADIENT) && *precision <= PRECISION && report.entries > 0)
    }

    fn cells(&self) -> [String; 7] {
        let verdict = if self.passes() { "ok" } else { "FAIL" };
        let [entries, worst, place, precision] = match &self.found {
            Ok((report, (precision, _))) => {
                [report.entries.to_string(), format!("{:.1e}", report.worst), report.place.clone(), format!("{precision:.1e}")]
            }
            Err(_) => ["–"; 4].map(str::to_owned),
        };
        [self.case.to_owned(), self.mode.to_owned(), entries, worst, place, precision, verdict.to_owned()]
    }

    /// What the table has no room for: why a case failed.
    fn reasons(&self) -> Vec<String> {
        let (report, (precision, place)) = match &self.found {
            Ok(found) => found,
            Err(error) => return vec![error.to_string()],
        };
        let mut reasons = Vec::new();
        if report.worst > GRADIENT {
            let GradReport { place, analytic, numeric, .. } = report;
            reasons.push(format!("{place}: backward gives {analytic:e}, the central difference is {numeric:e}"));
        }
        if !report.silent.is_empty() {
            reasons.push(format!("zero gradient everywhere, so probably forgotten in backward: {}", report.silent.join(", ")));
        }
        if *precision > PRECISION {
            reasons.push(format!("{place}: f32 is {precision:.1e} from f64; the gradients are right, a kernel for f32 is not"));
        }
        if report.entries == 0 {
            reasons.push("there was nothing to compare".to_owned());
        }
        reasons
    }
}

/// Every case whose name contains `name`, in both modes, and the losses.
fn rows(name: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for case in CASES.iter().copied().flatten().filter(|case| case.name.contains(name)) {
        for (mode, word) in [(Mode::Train, "train"), (Mode::Eval, "eval")] {
            let found = check_case(case, mode).and_then(|report| Ok((report, compare_precisions(case, mode)?)));
            rows.push(Row { case: case.name, mode: word, found });
        }
    }
    for case in losses().filter(|case| case.name.contains(name)) {
        let found = loss::check::check_case(case).and_then(|report| Ok((report, loss::check::compare_precisions(case)?)));
        rows.push(Row { case: case.name, mode: "–", found });
    }
    rows
}

fn losses() -> impl Iterator<Item = &'static LossCase> {
    loss::CASES.iter().copied().flatten()
}

/// Checks, shows the table, and says whether all is well.
///
/// # Errors
/// If no case has such a name, or nothing can be written.
pub fn run(name: &str, json: bool) -> Outcome {
    let rows = rows(name);
    if rows.is_empty() {
        let mut lists: Vec<Vec<&str>> = CASES.iter().map(|list| list.iter().map(|case| case.name).collect()).collect();
        lists.push(losses().map(|case| case.name).collect());
        let names: Vec<String> = lists.iter().map(|names| names.join(", ")).collect();
        return Err(format!("no case is named like `{name}`; there are\n  {}", names.join("\n  ")).into());
    }
    let text = shown(&rows);
    if json {
        io::stderr().write_all(text.as_bytes())?;
        writeln!(io::stdout(), "{}", summary(&rows))?;
    } else {
        io::stdout().write_all(text.as_bytes())?;
    }
    Ok(rows.iter().all(Row::passes))
}

/// The table, what failed and why, and a last line.
fn shown(rows: &[Row]) -> String {
    let heading = ["case", "mode", "entries", "gradient error", "at", "f32 error", ""].map(str::to_owned);
    let cells: Vec<_> = [heading].into_iter().chain(rows.iter().map(Row::cells)).collect();
    let mut text = aligned(&cells, [false, false, true, true, false, true, false]);
    let failed: Vec<&Row> = rows.iter().filter(|row| !row.passes()).collect();
    for row in &failed {
        row.reasons().iter().for_each(|reason| text.push_str(&format!("\n{} ({}): {reason}", row.case, row.mode)));
    }
    text.push_str(&format!(
        "\n{} checks, {} failed; worst gradient error {:.1e} (at most {GRADIENT:.0e}), worst f32 error {:.1e} (at most {PRECISION:.0e})\n",
        rows.len(),
        failed.len(),
        worst(rows, |(report, _)| report.worst),
        worst(rows, |(_, (precision, _))| *precision),
    ));
    text
}

/// `{"cases": N, "failed": F, "worst_error": E}`: rows of the table, how many failed, and the worst gradient error; `null` where a
/// case gave NaN or could not run.
fn summary(rows: &[Row]) -> serde_json::Value {
    let failed = rows.iter().filter(|row| !row.passes()).count();
    serde_json::json!({ "cases": rows.len(), "failed": failed, "worst_error": worst(rows, |(report, _)| report.worst) })
}

fn worst(rows: &[Row], of: impl Fn(&(GradReport, (f64, String))) -> f64) -> f64 {
    rows.iter().map(|row| row.found.as_ref().map_or(f64::INFINITY, &of)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(worst: f64, silent: &[&str], precision: f64) -> Row {
        let silent = silent.iter().map(|s| s.to_string()).collect();
        let report = GradReport { worst, place: "dx[3]".into(), analytic: 1.0, numeric: 2.0, entries: 9, silent };
        Row { case: "Layer/case", mode: "train", found: Ok((report, (precision, "y[1]".into()))) }
    }

    #[test]
    fn each_way_to_fail_fails_and_says_why() {
        let broken = Row { case: "Layer/broken", mode: "eval", found: Err(nyang_nn::Error::NoForward { layer: "Layer" }) };
        let mut nothing = row(0.0, &[], 0.0);
        nothing.found.as_mut().unwrap().0.entries = 0;
        for (row, says) in [
            (row(2e-7, &[], 0.0), "dx[3]: backward gives 1e0, the central difference is 2e0"),
            (row(f64::INFINITY, &[], 0.0), "backward gives"),
            (row(0.0, &["bias"], 0.0), "probably forgotten in backward: bias"),
            (row(0.0, &[], 2e-5), "y[1]: f32 is 2.0e-5 from f64"),
            (nothing, "nothing to compare"),
            (broken, "Layer: backward without a forward"),
        ] {
            let rows = [row];
            let text = shown(&rows);
            assert!(text.contains("FAIL") && text.contains(says) && text.contains("1 checks, 1 failed"), "{text}");
            assert_eq!(summary(&rows)["failed"], 1);
        }
    }

    #[test]
    fn what_passes_is_counted_and_its_worst_error_told() {
        let rows = [row(1e-9, &[], 1e-6), row(5e-8, &[], 0.0)];
        assert!(shown(&rows).contains("2 checks, 0 failed; worst gradient error 5.0e-8 (at most 1e-7), worst f32 error 1.0e-6"));
        assert_eq!(summary(&rows).to_string(), r#"{"cases":2,"failed":0,"worst_error":5e-8}"#);
    }

    #[test]
    fn a_name_chooses_and_no_such_name_lists_all() {
        let chosen = rows("Linear/plain");
        assert_eq!(
            chosen.iter().map(|row| (row.case, row.mode)).collect::<Vec<_>>(),
            [("Linear/plain", "train"), ("Linear/plain", "eval")]
        );
        assert!(chosen.iter().all(Row::passes));
        let error = run("Conv7d", false).unwrap_err().to_string();
        assert!(error.contains("`Conv7d`") && error.contains("Linear/plain") && error.contains("CrossEntropy/soft"), "{error}");
    }
}
