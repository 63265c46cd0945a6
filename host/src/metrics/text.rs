//! The text format of Prometheus, version 0.0.4.

use super::known::{DROPPED, Metric};
use std::fmt::{Display, Write as _};

/// What a family is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Only rises.
    Counter,
    /// Is what it is.
    Gauge,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// Families, one after the other, each with a bounded number of samples.
#[derive(Debug)]
pub(super) struct Text {
    text: String,
    cap: usize,
    dropped: u64,
}

/// One family that is being written.
pub(super) struct Family<'a> {
    text: &'a mut Text,
    name: &'static str,
    samples: usize,
}

impl Text {
    /// An empty text; no family gets more samples than `cap`.
    pub(super) fn new(cap: usize) -> Self {
        Self { text: String::new(), cap, dropped: 0 }
    }

    /// Begins a family.
    pub(super) fn family(&mut self, metric: Metric) -> Family<'_> {
        let Metric { name, help, .. } = metric;
        let kind = metric.kind();
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text: self, name, samples: 0 }
    }

    /// All of it, with how much the bound has left out.
    pub(super) fn finish(mut self) -> String {
        let dropped = self.dropped;
        self.family(DROPPED).sample(&[], dropped);
        self.text
    }
}

impl Family<'_> {
    /// Writes a sample.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.samples += 1;
        // One more than the bound, for what a counter keeps of everything beyond it.
        if self.samples > self.text.cap + 1 {
            self.text.dropped += 1;
            return;
        }
        let text = &mut self.text.text;
        text.push_str(self.name);
        for (index, (name, value)) in labels.iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(text, "{name}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_samples_bounded() {
        let mut text = Text::new(1);
        let some = Metric { name: "a", help: "Some.", ..DROPPED };
        let mut family = text.family(some);
        family.sample(&[("x", "a\"b\\c\nd"), ("y", "")], 1);
        family.sample(&[], 2);
        family.sample(&[], 3);
        let expected = "# HELP a Some.\n# TYPE a gauge\na{x=\"a\\\"b\\\\c\\nd\",y=\"\"} 1\na 2\n\
            # HELP plimsoll_metrics_dropped_series Series that were left out of this answer, beyond the limit of a family.\n\
            # TYPE plimsoll_metrics_dropped_series gauge\nplimsoll_metrics_dropped_series 1\n";
        assert_eq!(text.finish(), expected);
    }
}
