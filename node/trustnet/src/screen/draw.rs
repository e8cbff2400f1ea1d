//! Painting a [`Model`]: headed sections without boxes, because 80 by 24 characters are few.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Gauge, Paragraph, Sparkline};

use super::format::{duration_ms, fit, grouped};
use super::model::{Activity, ImportLine, Model};
use super::sections;

/// From this width on, trust and hints stand side by side.
pub const WIDE: u16 = 130;
/// So many lines left over are plenty.
const ROOMY: u16 = 9;
/// Below this size there is no room for anything but the title.
const MIN_HEIGHT: u16 = 6;

/// Headings and names.
pub fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// What matters less.
pub fn dim() -> Style {
    Style::new().fg(Color::DarkGray)
}

/// How many lines each section gets, headings included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heights {
    /// The table of nodes.
    pub nodes: u16,
    /// The most and least trusted.
    pub trust: u16,
    /// What to try next.
    pub hints: u16,
    /// What went wrong.
    pub problems: u16,
}

/// Shares `room` lines out: nodes come first, then problems if there are any, trust, hints.
pub fn heights(
    room: u16,
    nodes: u16,
    has_trust: bool,
    hints: u16,
    problems: u16,
    side_by_side: bool,
) -> Heights {
    let full_trust = if has_trust { sections::TRUST_LINES } else { 0 };
    let full_hints = if hints > 0 { hints + 1 } else { 0 };
    let mut left = room;
    let mut take = |wanted: u16, least: u16| {
        let given = wanted.min(left);
        let given = if given < least { 0 } else { given };
        left -= given;
        given
    };
    let nodes = take(nodes + 1, 2);
    // Two lines of problems are kept free for when there are some; more is given at the end.
    let reserved = take(if problems > 0 { 3 } else { 0 }, 2);
    let trust = take(if side_by_side { full_trust.max(full_hints) } else { full_trust }, 2);
    let hints = if side_by_side { trust } else { take(full_hints, 2) };
    let rest = take(u16::MAX, 0);
    Heights { nodes, trust, hints, problems: reserved + rest }
}

/// Paints the whole screen.
pub fn draw(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.height < MIN_HEIGHT || area.width < 20 {
        frame.render_widget(Paragraph::new("the window is too small"), area);
        return;
    }
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ]);
    let [title, stats, activity, body, footer] = rows.areas(area);
    draw_title(model, frame, title);
    draw_stats(model, frame, stats);
    draw_activity(model, frame, activity);
    if model.show_report {
        draw_report(model, frame, body);
    } else {
        draw_body(model, frame, body);
    }
    draw_footer(model, frame, footer);
}

fn draw_title(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let age = model
        .block_age_ms
        .map_or_else(|| "no block yet".to_owned(), |ms| format!("last block {} ago", duration_ms(ms)));
    let right = format!("height {}  {age} ", grouped(model.height));
    let left = format!(" TrustNet  {}", model.chain_id);
    let left = fit(&left, usize::from(area.width).saturating_sub(right.chars().count() + 1));
    let gap = usize::from(area.width).saturating_sub(left.chars().count() + right.chars().count());
    let line = format!("{left}{}{right}", " ".repeat(gap));
    frame.render_widget(Paragraph::new(line).style(bold().add_modifier(Modifier::REVERSED)), area);
}

fn draw_stats(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let interval = model.interval_ms.map_or_else(|| "-".to_owned(), duration_ms);
    let peers = model.nodes.iter().filter_map(|node| node.peers).min();
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), grouped);
    let faults = match model.faults_tolerated {
        None => String::new(),
        Some(0) => "  tolerates no fault".to_owned(),
        Some(1) => "  tolerates 1 fault".to_owned(),
        Some(n) => format!("  tolerates {n} faults"),
    };
    let rate = model.throughput.back().copied().unwrap_or(0);
    let left = format!(" interval {interval}  peers {}  pool {}{faults}", number(peers), number(model.pool));
    let rate = format!("  tx/s {} ", grouped(rate));
    let width = |text: &str| u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    let columns = [Constraint::Length(width(&left)), Constraint::Length(width(&rate)), Constraint::Min(0)];
    let [a, b, c] = Layout::horizontal(columns).areas(area);
    frame.render_widget(Paragraph::new(left), a);
    frame.render_widget(Paragraph::new(rate), b);
    let shown = model.throughput.len().min(usize::from(c.width));
    let history: Vec<u64> = model.throughput.iter().skip(model.throughput.len() - shown).copied().collect();
    frame.render_widget(Sparkline::default().data(history).style(Style::new().fg(Color::Cyan)), c);
}

fn draw_activity(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let text = match &model.activity {
        Activity::Importing(import) => {
            draw_gauge(import, frame, area);
            return;
        }
        Activity::Starting => Span::raw(" starting the nodes ..."),
        Activity::Stopping => Span::raw(" stopping the nodes ..."),
        Activity::Running if !model.report.is_empty() && !model.show_report => {
            Span::styled(" the import is finished: press r for the report", Style::new().fg(Color::Green))
        }
        Activity::Running => return,
    };
    frame.render_widget(Paragraph::new(Line::from(text)), area);
}

fn draw_gauge(import: &ImportLine, frame: &mut Frame<'_>, area: Rect) {
    let (done, all) = (import.committed.min(import.total) as u64, import.total.max(1) as u64);
    let percent = u16::try_from(done * 100 / all).unwrap_or(100);
    let label = format!(
        "import: {} {} of {} ({percent} %), {} tx/s",
        import.phase,
        grouped(done),
        grouped(import.total as u64),
        grouped(import.per_second)
    );
    let gauge = Gauge::default().percent(percent).label(label).gauge_style(Style::new().fg(Color::Cyan));
    let inner = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    frame.render_widget(gauge, inner);
}

fn draw_body(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let count = |len: usize| u16::try_from(len).unwrap_or(u16::MAX - 1);
    let wide = area.width >= WIDE && model.trust.is_some();
    let shares = heights(
        area.height,
        count(model.nodes.len()),
        model.trust.is_some(),
        count(model.hints.len()),
        count(model.problems.len()),
        wide,
    );
    let hints_below = if wide { 0 } else { shares.hints };
    // Where there is plenty of room, sections stand apart.
    let gap = u16::from(shares.problems >= ROOMY);
    let rows = [shares.nodes, shares.trust, hints_below, shares.problems - 3 * gap].map(Constraint::Length);
    let [nodes, middle, below, problems] = Layout::vertical(rows).spacing(gap).areas(area);
    sections::nodes(&model.nodes, frame, nodes);
    let (trust, hints) = if wide {
        let [left, right] = Layout::horizontal([Constraint::Length(84), Constraint::Min(0)]).areas(middle);
        (left, right)
    } else {
        (middle, below)
    };
    if let Some(panel) = &model.trust {
        sections::trust(panel, frame, trust);
    }
    sections::hints(&model.hints, frame, hints);
    sections::problems(&model.problems, frame, problems);
}

fn draw_report(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width).saturating_sub(1);
    let lines: Vec<Line<'_>> =
        model.report.iter().map(|line| Line::from(format!(" {}", fit(line, width)))).collect();
    let last = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(area.height);
    frame.render_widget(Paragraph::new(lines).scroll((model.scroll.min(last), 0)), area);
}

fn draw_footer(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let keys = match (model.show_report, model.report.is_empty()) {
        (true, _) => " q quit   r back to the network   up/down scroll",
        (false, false) => " q quit   r report   d other day",
        (false, true) if model.trust.is_some() => " q quit   d other day",
        (false, true) => " q quit",
    };
    frame.render_widget(Paragraph::new(keys).style(dim()), area);
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
