//! What the machine says of itself: names, memory, and who used the processor. `None` where a system has no `/proc`.

use std::fs;

/// The most memory that this process has had, in MiB.
pub fn peak_mb() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

/// The processor time of all threads of this process so far, good to a few milliseconds.
pub fn own_cpu_seconds() -> Option<f64> {
    let tasks = fs::read_dir("/proc/self/task").ok()?;
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    Some(nanoseconds.sum::<f64>() * 1e-9)
}

/// A look at the clocks of the whole machine and of some processes.
pub struct Look {
    all: f64,
    busy: f64,
    own: f64,
}

impl Look {
    /// Now, with the processes whose work is not a stranger's.
    pub fn at(processes: &[u32]) -> Option<Look> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let ticks: Vec<f64> = stat.lines().next()?.split_whitespace().skip(1).take(8).filter_map(|t| t.parse().ok()).collect();
        let [user, nice, system, idle, wait, irq, soft, stolen] = ticks[..] else { return None };
        let busy = user + nice + system + irq + soft + stolen;
        let own = processes.iter().filter_map(|&id| ticks_of(id)).sum();
        Some(Look { all: busy + idle + wait, busy, own })
    }

    /// The part of the machine that strangers had since an earlier look: above some percent the times are not to be trusted.
    pub fn strangers_since(&self, earlier: &Look) -> f64 {
        let (all, busy, own) = (self.all - earlier.all, self.busy - earlier.busy, self.own - earlier.own);
        ((busy - own) / all.max(1.0)).clamp(0.0, 1.0)
    }
}

fn ticks_of(id: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let after_name = stat.rsplit(')').next()?; // a name may hold anything but the last parenthesis
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
}

/// The processor's name, and the generation, which those of a cloud's machines do not tell.
pub fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = |key: &str| {
        let of_key = |line: &str| line.split_once(':').filter(|(k, _)| k.trim() == key).map(|(_, value)| value.trim().to_owned());
        info.lines().find_map(of_key)
    };
    let name = named("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let generation = named("cpu family").zip(named("model")).map(|(family, model)| format!("family {family}, model {model}, "));
    let vector = ["avx512f", "avx2", "avx"].into_iter().find(|set| info.split_whitespace().any(|word| word == *set));
    format!("{name} ({}{})", generation.unwrap_or_default(), vector.unwrap_or("no wide vectors"))
}

/// The date, YYYY-MM-DD in UTC.
pub fn today() -> String {
    let days = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_secs() / 86_400);
    let [year, month, day] = date(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of so many days after 1970-01-01, by counting.
fn date(mut days: u64) -> [u64; 3] {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    [year, month as u64 + 1, days + 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_calendars() {
        for (days, want) in
            [(0, [1970, 1, 1]), (59, [1970, 3, 1]), (10_957, [2000, 1, 1]), (11_016, [2000, 2, 29]), (19_782, [2024, 2, 29])]
        {
            assert_eq!(date(days), want, "{days}");
        }
    }

    #[test]
    fn strangers_are_what_is_busy_and_not_ours() {
        let look = |all, busy, own| Look { all, busy, own };
        assert_eq!(look(200.0, 80.0, 30.0).strangers_since(&look(100.0, 30.0, 10.0)), 0.3);
        assert_eq!(look(200.0, 30.0, 90.0).strangers_since(&look(100.0, 30.0, 10.0)), 0.0);
    }
}
