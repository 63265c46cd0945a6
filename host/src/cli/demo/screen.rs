//! Draws the screen: lines of text, made from a picture and a size and from nothing else.

use super::picture::{Course, Picture, Seat};
use super::story::{DAY, clock};
use super::teller::Tone;

/// One line, at most as wide as the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) tone: Shade,
    pub(super) text: String,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shade {
    Plain,
    Strong,
    Faint,
    Good,
    Bad,
    Fault,
    Chart,
}

/// Everything, in so many columns and rows.
pub(super) fn draw(picture: &Picture, width: usize, height: usize) -> Vec<Row> {
    let mut rows = vec![
        row(Shade::Strong, head(picture, width)),
        row(Shade::Faint, format!(" wishes come from {}", picture.deciding)),
    ];
    let chart_rows = if height >= 34 { 8 } else { 4 };
    rows.extend(chart(picture, width, chart_rows));
    rows.push(rule(width, "members"));
    rows.extend(members(picture, width));
    rows.push(rule(width, "plan"));
    rows.extend(plan(picture.plan.as_ref(), width));
    rows.push(rule(width, "what happened"));
    let figures = figures(picture, width);
    let room = height.saturating_sub(rows.len() + figures.len() + 1);
    rows.extend(feed(picture, room));
    rows.push(rule(width, "so far"));
    rows.extend(figures);
    for row in &mut rows {
        row.text = cut(&row.text, width);
    }
    rows.truncate(height);
    rows
}

fn row(tone: Shade, text: impl Into<String>) -> Row {
    Row { tone, text: text.into() }
}

/// At most so many characters; all that we print are one column wide.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn rule(width: usize, title: &str) -> Row {
    let dashes = width.saturating_sub(title.chars().count() + 4);
    row(Shade::Faint, format!("─ {title} {}", "─".repeat(dashes)))
}

fn head(picture: &Picture, width: usize) -> String {
    let left = format!(" plimsoll demo   {}   {} members", clock(picture.now_ms), picture.size);
    let right = format!("load {}/s   capacity {}/s ", picture.demand, picture.capacity);
    let gap = width.saturating_sub(left.chars().count() + right.chars().count()).max(1);
    format!("{left}{}{right}", " ".repeat(gap))
}

const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The day from left to right: load as bars, capacity as a line above them, midnight to midnight.
fn chart(picture: &Picture, width: usize, height: usize) -> Vec<Row> {
    let columns = width.saturating_sub(8).max(1);
    let points = sampled(&picture.points, columns);
    let seen = picture.points.iter().map(|(demand, capacity)| (*demand).max(*capacity)).max().unwrap_or(0);
    // Room for what is to come, so that the scale does not jump.
    let top = seen.max(8_000).div_ceil(1_000) * 1_000;
    let mut rows = Vec::new();
    for level in (0..height).rev() {
        let axis = if level + 1 == height {
            format!("{top:>6} ")
        } else if level == 0 {
            format!("{:>6} ", 0)
        } else {
            " ".repeat(7)
        };
        let cells = points.iter().map(|point| point.map_or(' ', |point| cell(point, level, height, top)));
        rows.push(row(Shade::Chart, format!("{axis}{}", cells.collect::<String>())));
    }
    rows.push(row(Shade::Faint, hours(columns)));
    rows
}

/// One point a column; columns that are still to come have none.
fn sampled(points: &[(u64, u64)], columns: usize) -> Vec<Option<(u64, u64)>> {
    let whole = usize::try_from(DAY / 300_000).unwrap_or(288);
    (0..columns)
        .map(|column| {
            let (from, to) = (
                column * whole / columns,
                ((column + 1) * whole / columns).max(column * whole / columns + 1),
            );
            let span = points.get(from..to.min(points.len()))?;
            // The worst of the span: a short overload must not vanish between two columns.
            Some((
                span.iter().map(|(demand, _)| *demand).max()?,
                span.iter().map(|(_, capacity)| *capacity).min()?,
            ))
        })
        .collect()
}

fn cell((demand, capacity): (u64, u64), level: usize, height: usize, top: u64) -> char {
    let eighths = |value: u64| usize::try_from(value * height as u64 * 8 / top.max(1)).unwrap_or(0);
    let (load, room) = (eighths(demand), eighths(capacity));
    let filled = load.saturating_sub(level * 8);
    if filled > 0 {
        return EIGHTHS.get(filled.min(8) - 1).copied().unwrap_or('█');
    }
    if room / 8 == level { '─' } else { ' ' }
}

fn hours(columns: usize) -> String {
    let mut line: Vec<char> = vec![' '; columns];
    for hour in (0..24).step_by(3) {
        for (at, digit) in (hour * columns / 24..).zip(format!("{hour:02}").chars()) {
            if let Some(place) = line.get_mut(at) {
                *place = digit;
            }
        }
    }
    format!("       {}", line.into_iter().collect::<String>())
}

/// A row a domain, a cell a member.
fn members(picture: &Picture, width: usize) -> Vec<Row> {
    let room = width.saturating_sub(10);
    let most = picture.domains.values().map(Vec::len).max().unwrap_or(1).max(4);
    let each = room / most;
    let mut rows = Vec::new();
    for (domain, seats) in &picture.domains {
        let cells: String =
            seats.iter().map(|seat| format!("{:<each$}", cut(&described(seat, each), each))).collect();
        let tone = if seats.iter().any(|seat| seat.state == "failed") {
            Shade::Fault
        } else if seats.iter().any(|seat| seat.state != "serving") {
            Shade::Good
        } else {
            Shade::Plain
        };
        rows.push(row(tone, format!(" {domain:<8} {cells}")));
    }
    rows
}

fn described(seat: &Seat, width: usize) -> String {
    let mark = match seat.state {
        "serving" => '●',
        "failed" => '✗',
        "draining" => '▼',
        "empty" => '○',
        _ => '▲',
    };
    let disk = seat.disk_percent.map_or_else(String::new, |percent| format!(" {percent}%"));
    // Mark, slot, state, bar and per cent, with a space behind.
    if width >= 27 {
        let tenths = usize::try_from(seat.disk_percent.unwrap_or(0)).unwrap_or(0).div_ceil(20).min(5);
        let bar = if disk.is_empty() {
            String::new()
        } else {
            format!(" {}{}", "▪".repeat(tenths), "·".repeat(5 - tenths))
        };
        return format!("{mark} {:<5} {:<8}{bar}{disk}", seat.slot, seat.state);
    }
    // Where there is little room, the mark alone says that a member serves.
    let state = if seat.state == "serving" { disk } else { format!(" {}", seat.state) };
    format!("{mark} {}{state}", seat.slot)
}

fn plan(course: Option<&Course>, width: usize) -> Vec<Row> {
    let Some(course) = course else {
        return vec![
            row(Shade::Faint, " none: the size is as wished, or not allowed to change"),
            row(Shade::Plain, ""),
            row(Shade::Plain, ""),
        ];
    };
    let phases = course.phases.iter().map(|(mark, name, no_return)| {
        let flag = if *no_return { "⚑" } else { "" };
        format!("{mark} {name}{flag}")
    });
    let legend = if width >= 110 { "   (⚑ cannot be taken back)" } else { "" };
    vec![
        row(Shade::Strong, format!(" {}{legend}", course.title)),
        row(Shade::Good, format!(" {}", phases.collect::<Vec<_>>().join("  "))),
        row(
            Shade::Faint,
            if course.waits.is_empty() { String::new() } else { format!(" waits for {}", course.waits) },
        ),
    ]
}

fn feed(picture: &Picture, room: usize) -> Vec<Row> {
    let skip = picture.recent.len().saturating_sub(room);
    let mut rows: Vec<Row> = picture
        .recent
        .iter()
        .skip(skip)
        .map(|line| {
            let tone = match line.tone {
                Tone::Plain => Shade::Plain,
                Tone::Good => Shade::Good,
                Tone::Bad => Shade::Bad,
                Tone::Fault => Shade::Fault,
            };
            row(tone, format!(" {}", line.full()))
        })
        .collect();
    rows.resize(room, row(Shade::Plain, ""));
    rows
}

fn figures(picture: &Picture, width: usize) -> Vec<Row> {
    let figures = &picture.figures;
    let plans: u64 = figures.plans.values().sum();
    let mut kinds: Vec<(&String, &u64)> = figures.refusals.iter().collect();
    kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(**count), (*kind).clone()));
    let kinds = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ");
    let first = format!(
        " {} decisions   {plans} plans   {} calls   {} daemon kills   overload {} s",
        figures.decisions, figures.calls, picture.kills, picture.violated_s
    );
    let second = format!(" refused: {}", if kinds.is_empty() { "nothing yet" } else { &kinds });
    let third = format!(
        " {} acknowledged writes, lost because of Plimsoll: {}",
        picture.acknowledged, picture.lost_by_us
    );
    let hint = if width >= 110 { "      Ctrl-C ends it" } else { "" };
    let tone = if picture.lost_by_us == 0 { Shade::Good } else { Shade::Fault };
    vec![row(Shade::Plain, first), row(Shade::Bad, second), row(tone, format!("{third}{hint}"))]
}
