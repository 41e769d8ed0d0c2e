//! How much of the machine this process uses, as Linux tells it in `/proc`. Elsewhere there is nothing to say.

use std::fs;

use super::records::{Item, number};
use crate::logs::Stopwatch;

/// Ticks of processor time a second: fixed in Linux's interface to programs, whatever the kernel counts in.
const TICKS: f64 = 100.0;

/// The use since the last look.
#[derive(Debug)]
pub(super) struct System {
    since: Stopwatch,
    ticks: u64,
}

impl System {
    /// Starts to count.
    pub fn start() -> Self {
        System { since: Stopwatch::start(), ticks: ticks(&read("self/stat")).unwrap_or(0) }
    }

    /// By W&B's names: percent of all processors, megabytes and percent of memory, threads.
    pub fn items(&mut self) -> Vec<Item> {
        let (status, memory) = (read("self/status"), read("meminfo"));
        let mut items = Vec::new();
        let mut put = |name: &str, value: Option<f64>| items.extend(value.map(|value| (name.to_owned(), number(value))));
        let (seconds, cores) = (self.since.elapsed().as_secs_f64(), std::thread::available_parallelism().map_or(1, usize::from) as f64);
        let ticks = ticks(&read("self/stat"));
        let used = ticks.map(|ticks| ticks.saturating_sub(self.ticks) as f64 / TICKS);
        put("cpu", used.map(|used| 100.0 * used / (seconds.max(1e-3) * cores)));
        put("proc.cpu.threads", field(&status, "Threads:"));
        let resident = field(&status, "VmRSS:");
        put("proc.memory.rssMB", resident.map(|kb| kb / 1024.0));
        put("proc.memory.percent", resident.zip(field(&memory, "MemTotal:")).map(|(kb, total)| 100.0 * kb / total));
        let free = field(&memory, "MemAvailable:").zip(field(&memory, "MemTotal:"));
        put("memory_percent", free.map(|(free, total)| 100.0 * (1.0 - free / total)));
        *self = System { since: Stopwatch::start(), ticks: ticks.unwrap_or(self.ticks) };
        items
    }
}

fn read(name: &str) -> String {
    fs::read_to_string(format!("/proc/{name}")).unwrap_or_default()
}

/// Processor time of all threads, in ticks: fields 14 and 15, counted after the name in parentheses, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// The number behind a name.
fn field(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_lines_are_read() {
        let stat = "4242 (a (strange) name) S 1 2 3 4 5 6 7 8 9 10 1200 34 0 0 20 0 9 0 100 200 300";
        assert_eq!(ticks(stat), Some(1234));
        assert_eq!(ticks("nothing"), None);
        assert_eq!(field("VmPeak:\t 10 kB\nVmRSS:\t  204800 kB\n", "VmRSS:"), Some(204800.0));
        assert_eq!(field("", "VmRSS:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_memory() {
        let items = System::start().items();
        let resident = items.iter().find(|(name, _)| name == "proc.memory.rssMB").unwrap();
        assert!(resident.1.parse::<f64>().unwrap() > 0.5, "{items:?}");
    }
}
