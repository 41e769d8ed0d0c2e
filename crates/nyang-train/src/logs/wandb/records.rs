//! The records of a run: what each says, and in which field of W&B's `wandb_internal.Record`.

use serde_json::Value as Json;

use crate::files::protobuf::Message;
use crate::logs::histogram::Histogram;

/// The kinds of record, by their field.
pub(super) mod field {
    pub const HISTORY: u32 = 2;
    pub const SUMMARY: u32 = 3;
    pub const FILES: u32 = 6;
    pub const STATS: u32 = 7;
    pub const METRIC: u32 = 12;
    pub const RUN: u32 = 17;
    pub const EXIT: u32 = 18;
    pub const HEADER: u32 = 21;
}

/// A value under a name, as JSON.
pub(super) type Item = (String, String);

/// A number as JSON, which has no NaN: W&B takes its name as a string.
pub(super) fn number(x: f64) -> String {
    match x {
        x if x.is_nan() => "\"NaN\"".to_owned(),
        f64::INFINITY => "\"Infinity\"".to_owned(),
        f64::NEG_INFINITY => "\"-Infinity\"".to_owned(),
        x if x == x.trunc() && x.abs() < 1e15 => (x as i64).to_string(),
        x => Json::from(x).to_string(),
    }
}

/// Who wrote the file, and the oldest client that can read it.
pub(super) fn header() -> Message {
    Message::new().message(1, Message::new().string(1, env!("CARGO_PKG_VERSION")).string(2, "0.70.0"))
}

/// A moment: seconds and nanoseconds.
pub(super) fn timestamp(time: f64) -> Message {
    Message::new().int(1, time as i64).int(2, (time.fract() * 1e9) as i64)
}

/// The run itself.
pub(super) fn run(id: &str, settings: &super::Settings, config: &[Item], started: f64) -> Message {
    let mut run = Message::new().string(1, id).string(3, &settings.project);
    let mut all = Message::new();
    for (key, value) in config {
        all = all.message(1, Message::new().string(1, key).string(16, value));
    }
    run = run.message(4, all);
    for (field, text) in [(6, &settings.group), (8, &settings.name), (9, &settings.notes)] {
        if let Some(text) = text {
            run = run.string(field, text);
        }
    }
    for tag in &settings.tags {
        run = run.string(10, tag);
    }
    run.message(17, timestamp(started))
}

/// How a curve is drawn: over what, and which of its values stands for it.
pub(super) fn metric(name: &str, over: Option<&str>, best: Option<&str>) -> Message {
    let mut metric = Message::new().string(1, name);
    if let Some(over) = over {
        metric = metric.string(4, over);
    }
    let mut options = Message::new().int(3, 1); // it was defined by hand
    if over.is_some() {
        options = options.int(1, 1); // each point gets the newest value of what it is drawn over
    }
    metric = metric.message(6, options);
    match best {
        Some("min") => metric.message(7, Message::new().int(1, 1)),
        Some("max") => metric.message(7, Message::new().int(2, 1)),
        _ => metric,
    }
}

/// A row of the curves.
pub(super) fn history(row: i64, items: &[Item]) -> Message {
    let mut history = Message::new();
    for (key, value) in items {
        history = history.message(1, Message::new().string(2, key).string(16, value)); // a nested key of one part
    }
    history.message(2, Message::new().int(1, row))
}

/// The newest values.
pub(super) fn summary(items: &[Item]) -> Message {
    let update = |summary: Message, (key, value): &Item| summary.message(1, Message::new().string(2, key).string(16, value));
    items.iter().fold(Message::new(), update)
}

/// Processor and memory at a moment.
pub(super) fn stats(time: f64, items: &[Item]) -> Message {
    let stats = Message::new().int(1, 0).message(2, timestamp(time));
    items.iter().fold(stats, |stats, (key, value)| stats.message(3, Message::new().string(1, key).string(16, value)))
}

/// A file to upload, by its path in the run's folder `files`.
pub(super) fn media(path: &str) -> Message {
    const NOW: i64 = 0;
    const MEDIA: i64 = 2;
    Message::new().message(1, Message::new().string(1, path).int(2, NOW).int(3, MEDIA))
}

/// The end of the run.
pub(super) fn exit(code: i32, seconds: f64) -> Message {
    Message::new().int(1, i64::from(code)).int(2, seconds as i64)
}

/// A histogram as a value of a row.
pub(super) fn histogram(h: &Histogram) -> String {
    serde_json::json!({ "_type": "histogram", "bins": h.edges, "values": h.counts }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_does_not_know_are_strings() {
        for (x, text) in [
            (0.5, "0.5"),
            (3.0, "3"),
            (-0.0, "0"),
            (1e300, "1e+300"),
            (1e-9, "1e-9"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(number(x), text);
        }
    }
}
