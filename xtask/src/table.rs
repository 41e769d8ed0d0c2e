//! A table of texts, its columns aligned.

/// One line a row, the columns as wide as their widest cell; the first row is the heading. Columns in `right` are flush right.
pub fn aligned<const N: usize>(rows: &[[String; N]], right: [bool; N]) -> String {
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = String::new();
    for (nth, row) in rows.iter().enumerate() {
        let cells =
            row.iter().zip(widths).zip(right).map(|((cell, w), right)| if right { format!("{cell:>w$}") } else { format!("{cell:w$}") });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
        if nth == 0 {
            out.push_str(&"─".repeat(widths.iter().sum::<usize>() + 2 * (N - 1)));
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_letters() {
        let rows = [["name", "n"], ["größer", "7"], ["a", "1234"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows, [false, true]), "name       n\n────────────\ngrößer     7\na       1234\n");
    }
}
