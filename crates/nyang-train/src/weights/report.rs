//! What fits between weights and a model, and all that does not.

use std::collections::BTreeSet;
use std::fmt;

/// What became of each name when weights met a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadReport {
    /// Names whose values the model got, or would have got.
    pub loaded: Vec<String>,
    /// Names that the model has and the weights have not.
    pub missing: Vec<String>,
    /// Names that the weights have and the model has not.
    pub unexpected: Vec<String>,
    /// Names on both sides whose shapes or types differ, with both.
    pub misshapen: Vec<String>,
    /// Names that were loaded from another number type, with that: `conv1.weight (f16)`.
    pub converted: Vec<String>,
    /// Counters, such as `num_batches_tracked`, that the weights lack and the model keeps: no evaluation needs them, and old PyTorch had none.
    pub kept: Vec<String>,
    /// Below this name the weights have more of the model's names than at the top: `module`, as `DataParallel` puts it.
    pub below: Option<String>,
}

impl LoadReport {
    /// Whether every name found its like.
    pub fn fits(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misshapen.is_empty()
    }
}

impl fmt::Display for LoadReport {
    /// Every name that does not fit, what was converted, and how many were loaded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(prefix) = &self.below {
            write!(f, "the model's names are there below `{prefix}`: take `.below(\"{prefix}\")?` of the weights; ")?;
        }
        write!(f, "{} names fit", self.loaded.len())?;
        for (what, names) in [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("misshapen", &self.misshapen),
            ("converted", &self.converted),
            ("counters kept", &self.kept),
        ] {
            if !names.is_empty() {
                write!(f, "; {what}: {}", names.join(", "))?;
            }
        }
        Ok(())
    }
}

/// The name below which `theirs` hold the most of the model's names, if that is more than stand at the top.
pub(super) fn prefix(ours: &[&str], theirs: &BTreeSet<&str>) -> Option<String> {
    let longest = ours.iter().max_by_key(|name| (name.len(), **name))?; // the longest is the least likely to be there twice by chance
    let candidates = theirs.iter().filter_map(|name| name.strip_suffix(longest)?.strip_suffix('.'));
    let at_top = ours.iter().filter(|name| theirs.contains(*name)).count();
    let below = |prefix: &str| ours.iter().filter(|name| theirs.contains(format!("{prefix}.{name}").as_str())).count();
    let best = candidates.map(|prefix| (below(prefix), prefix)).max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(a.1)))?;
    (best.0 > at_top).then(|| best.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_found_where_most_names_stand() {
        let ours = ["conv.weight", "fc.bias", "fc.weight"];
        let find = |theirs: &[&str]| prefix(&ours, &theirs.iter().copied().collect());
        assert_eq!(find(&["module.conv.weight", "module.fc.bias", "module.fc.weight"]).as_deref(), Some("module"));
        assert_eq!(find(&["state_dict.module.conv.weight", "epoch"]).as_deref(), Some("state_dict.module"));
        assert_eq!(find(&["a.conv.weight", "b.conv.weight", "b.fc.bias"]).as_deref(), Some("b"));
        assert_eq!(find(&["conv.weight", "fc.weight", "ema.conv.weight"]), None);
        assert_eq!(find(&["xconv.weight"]), None);
        assert_eq!(prefix(&[], &BTreeSet::new()), None);
    }

    #[test]
    fn a_report_says_all_names() {
        let names = |list: &[&str]| list.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        let report =
            LoadReport { missing: names(&["a", "b"]), unexpected: names(&["c"]), below: Some("module".into()), ..LoadReport::default() };
        let text = report.to_string();
        assert!(text.starts_with("the model's names are there below `module`: take `.below(\"module\")?`"), "{text}");
        assert!(text.ends_with("0 names fit; missing: a, b; unexpected: c") && !report.fits(), "{text}");
    }
}
