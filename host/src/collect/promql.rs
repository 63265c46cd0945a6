//! Reads from a query what needs no full grammar: which series it selects, how far back it reads, and what surrounds
//! them. A query that is misread becomes a question that the source refuses, never one that passes for an answer.
//!
//! This is no parser of PromQL: those that exist bring a parser generator along, and the source itself is asked anyway.

/// Words before a list of labels.
const LABEL_LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words of the language that stand where a metric's name could.
const WORDS: [&str; 8] = ["and", "or", "unless", "atan2", "bool", "offset", "inf", "nan"];
/// What makes one series of several, or fewer.
const AGGREGATORS: [&str; 14] = [
    "sum",
    "avg",
    "min",
    "max",
    "count",
    "group",
    "stddev",
    "stdvar",
    "quantile",
    "topk",
    "bottomk",
    "count_values",
    "limitk",
    "limit_ratio",
];

/// What a query is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading<'a> {
    /// What it selects, in the order in which it stands there.
    pub(super) selectors: Vec<Selector<'a>>,
    /// The aggregations that it uses, as they are written.
    pub(super) aggregators: Vec<&'a str>,
    /// Whether it puts a number where there is no series: `or vector(0)`.
    pub(super) fills_silence: bool,
    /// Whether it is one selector and nothing else.
    pub(super) is_bare: bool,
}

/// One selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector<'a> {
    /// The metric's name, where it stands before the braces.
    pub(super) name: Option<&'a str>,
    /// Name and braces as they are written; without range, offset and `@`.
    pub(super) text: &'a str,
    /// The functions around it, outermost first; a bracket alone is the empty word.
    pub(super) inside: Vec<&'a str>,
    /// How far back it is looked at, in milliseconds, subqueries included; 0 for the present alone.
    pub(super) range_ms: u64,
}

impl Selector<'_> {
    /// Whether it asks for what is not there, so that no series behind it is good news.
    pub(super) fn is_of_absence(&self) -> bool {
        self.inside.iter().any(|function| matches!(*function, "absent" | "absent_over_time"))
    }
}

/// Reads a query, to its end, whatever it is.
pub(super) fn read(query: &str) -> Reading<'_> {
    let mut reader = Reader::new(query);
    while !reader.rest.is_empty() {
        reader.next();
    }
    let mut reading = reader.reading;
    reading.is_bare =
        matches!(&reading.selectors[..], [only] if only.text == query.trim() && only.range_ms == 0);
    reading
}

struct Reader<'a> {
    query: &'a str,
    rest: &'a str,
    reading: Reading<'a>,
    /// The functions of the brackets that are open, and how many selectors there were before each.
    open: Vec<(&'a str, usize)>,
    /// The function whose bracket is to come.
    function: &'a str,
    /// From which selector on a range in brackets is meant.
    ranged: usize,
    /// Whether the last word was `or`.
    after_or: bool,
}

impl<'a> Reader<'a> {
    fn new(query: &'a str) -> Self {
        Self {
            query,
            rest: query,
            reading: Reading::default(),
            open: Vec::new(),
            function: "",
            ranged: 0,
            after_or: false,
        }
    }

    fn next(&mut self) {
        let Some(c) = self.rest.chars().next() else { return };
        match c {
            '"' | '\'' | '`' => self.rest = after_string(self.rest, c),
            '#' => self.rest = self.rest.split_once('\n').map_or("", |(_, after)| after),
            '{' => {
                let after = after_braces(self.rest);
                self.select(None, self.rest, after);
            }
            '[' => self.range(),
            '(' => {
                let function = std::mem::take(&mut self.function);
                self.open.push((function, self.reading.selectors.len()));
                self.rest = &self.rest[1..];
            }
            ')' => {
                self.ranged = self.open.pop().map_or(0, |(_, before)| before);
                self.rest = &self.rest[1..];
            }
            _ if c.is_ascii_alphabetic() || c == '_' || c == ':' => self.word(),
            // A number with its unit, such as `5m`, is not a name.
            _ if c.is_ascii_digit() => {
                self.rest = self.rest.trim_start_matches(|c: char| is_name(c) || c == '.');
            }
            _ => self.rest = &self.rest[c.len_utf8()..],
        }
    }

    fn word(&mut self) {
        let end = self.rest.find(|c: char| !is_name(c)).unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at(end);
        let is_one_of = |words: &[&str]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
        let (follows, from) = (after.trim_start(), self.rest);
        if is_one_of(&LABEL_LISTS) {
            let list = follows.strip_prefix('(');
            self.rest = list.map_or(after, |list| list.split_once(')').map_or("", |(_, after)| after));
            return;
        }
        if is_one_of(&WORDS) {
            (self.rest, self.after_or) = (after, word.eq_ignore_ascii_case("or"));
            return;
        }
        let aggregates = is_one_of(&AGGREGATORS) && (follows.starts_with('(') || grouped(follows));
        if aggregates || follows.starts_with('(') {
            if aggregates {
                self.reading.aggregators.push(word);
            }
            self.reading.fills_silence |= self.after_or && word == "vector";
            (self.rest, self.function, self.after_or) = (after, word, false);
            return;
        }
        let after = if follows.starts_with('{') { after_braces(follows) } else { after };
        self.select(Some(word), from, after);
    }

    /// What stands from `from` to `after` selects.
    fn select(&mut self, name: Option<&'a str>, from: &'a str, after: &'a str) {
        let start = self.query.len() - from.len();
        let text = self.query[start..self.query.len() - after.len()].trim_end();
        let inside = self.open.iter().map(|(function, _)| *function).collect();
        self.ranged = self.reading.selectors.len();
        self.reading.selectors.push(Selector { name, text, inside, range_ms: 0 });
        (self.rest, self.after_or) = (after, false);
    }

    /// A range or a subquery's: how far back what stands before it is looked at.
    fn range(&mut self) {
        let (range, after) = self.rest[1..].split_once(']').unwrap_or((&self.rest[1..], ""));
        let ms = duration_ms(range.split(':').next().unwrap_or_default().trim());
        for selector in self.reading.selectors.iter_mut().skip(self.ranged) {
            selector.range_ms = selector.range_ms.saturating_add(ms);
        }
        self.rest = after;
    }
}

/// Whether an aggregation's list of labels comes before what it aggregates.
fn grouped(follows: &str) -> bool {
    let end = follows.find(|c: char| !is_name(c)).unwrap_or(follows.len());
    ["by", "without"].iter().any(|word| word.eq_ignore_ascii_case(&follows[..end]))
}

/// A duration as the language writes it, such as `1h30m` or, of late, a number of seconds; what is none is 0.
fn duration_ms(text: &str) -> u64 {
    const UNITS: [(&str, u64); 7] = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
        ("y", 31_536_000_000),
    ];
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(number) = rest[..digits].parse::<u64>() else { return 0 };
        let letters = rest[digits..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len() - digits);
        let word = &rest[digits..digits + letters];
        let word = if word.is_empty() { "s" } else { word };
        let Some((_, ms)) = UNITS.iter().find(|(unit, _)| *unit == word) else { return 0 };
        total = total.saturating_add(number.saturating_mul(*ms));
        rest = &rest[digits + letters..];
        if letters == 0 && !rest.is_empty() {
            return total;
        }
    }
    total
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn after_string(text: &str, quote: char) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
        } else if c == quote {
            return &text[at + c.len_utf8()..];
        }
    }
    ""
}

fn after_braces(text: &str) -> &str {
    let mut rest = &text[1..];
    while let Some(c) = rest.chars().next() {
        rest = match c {
            '}' => return &rest[1..],
            '"' | '\'' | '`' => after_string(rest, c),
            _ => &rest[c.len_utf8()..],
        };
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(query: &str) -> Vec<(&str, u64)> {
        read(query).selectors.into_iter().map(|one| (one.text, one.range_ms)).collect()
    }

    #[test]
    fn finds_what_a_query_selects_and_how_far_back() {
        for (query, expected) in [
            ("sum(rate(requests_total[2m]))", vec![("requests_total", 120_000)]),
            ("a{b=\"}\"} / on (c) group_left (d) e", vec![("a{b=\"}\"}", 0), ("e", 0)]),
            (
                "SUM BY (x) (a {b='c'} offset 5m) or {__name__=~\"d.*\"}[1h30m]",
                vec![("a {b='c'}", 0), ("{__name__=~\"d.*\"}", 5_400_000)],
            ),
            ("max_over_time(rate(a[1m])[10m:15s]) + b", vec![("a", 660_000), ("b", 0)]),
            ("(a + b)[5m:] - c @ start()", vec![("a", 300_000), ("b", 300_000), ("c", 0)]),
            ("sum(a) by (b) > bool 3 and on () c # d", vec![("a", 0), ("c", 0)]),
            ("topk(5, a) * 2e3 - 0x1f", vec![("a", 0)]),
            ("job:a:rate5m @ 1609746000 unless Inf", vec![("job:a:rate5m", 0)]),
            ("vector(1) + time()", vec![]),
            ("rate(a[300])", vec![("a", 300_000)]),
        ] {
            assert_eq!(selected(query), expected, "{query}");
        }
    }

    #[test]
    fn tells_aggregations_from_metrics_of_their_names() {
        assert_eq!(read("sum by (a) (b) + max(c)").aggregators, ["sum", "max"]);
        assert_eq!(read("quantile without (a) (b) / count").aggregators, ["quantile"]);
        assert_eq!(selected("count + up"), [("count", 0), ("up", 0)]);
    }

    #[test]
    fn knows_a_bare_selector() {
        assert!(read(" up{job=\"a\"} ").is_bare);
        for query in ["up[5m]", "up + up", "sum(up)", "up offset 5m", "-up", "(up)", "1"] {
            assert!(!read(query).is_bare, "{query}");
        }
    }

    #[test]
    fn knows_what_fills_silence_with_a_number() {
        for query in ["sum(a) or vector(0)", "sum(a) OR on() vector(0)", "a or\nvector(1)"] {
            assert!(read(query).fills_silence, "{query}");
        }
        for query in ["vector(0) + a", "a or b + vector(1)", "a or label_replace(b, 'c', '', '', '')"] {
            assert!(!read(query).fills_silence, "{query}");
        }
    }

    #[test]
    fn knows_what_is_asked_for_its_absence() {
        let found = read("absent(up{job='a'}) + sum(b)").selectors;
        assert_eq!(found.iter().map(Selector::is_of_absence).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn reads_broken_queries_to_their_end() {
        for query in
            ["sum(", ")))", "a{b=\"", "'\\", "{", "#", "é_total", "sum by (x", "5m_total(", "a[", "[é", "a["]
        {
            let _ = read(query);
        }
    }
}
