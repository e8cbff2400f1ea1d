//! The sections of the screen: nodes, trust, hints, problems. Each has a heading and fills its area.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table};

use super::draw::{bold, dim};
use super::format::{centi, fit, grouped, milli_tenths, stars};
use super::model::{Life, NodeRow, PersonRow, TrustPanel};

/// Lines of the trust section at its fullest: heading and five people.
pub const TRUST_LINES: u16 = 6;

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn life(node: &NodeRow) -> (String, Style) {
    let red = Style::new().fg(Color::Red);
    let yellow = Style::new().fg(Color::Yellow);
    match node.life {
        Life::Starting => ("starting".to_owned(), yellow),
        Life::Up => (node.status.clone(), Style::new().fg(Color::Green)),
        Life::Silent => ("no answer".to_owned(), yellow),
        Life::Restarting(seconds) => (format!("died, {seconds} s"), red),
        Life::GivenUp => ("given up".to_owned(), red),
        Life::Stopped => ("stopped".to_owned(), dim()),
    }
}

/// The table of nodes. What does not fit is counted.
pub fn nodes(nodes: &[NodeRow], frame: &mut Frame<'_>, area: Rect) {
    if area.height < 2 {
        return;
    }
    let room = usize::from(area.height - 1);
    let shown = if nodes.len() > room { room - 1 } else { nodes.len() };
    let right = |text: String, width: usize| Span::raw(format!("{text:>width$}"));
    let rows = nodes.iter().take(shown).map(|node| {
        let (status, style) = life(node);
        Row::new([
            Span::styled(format!(" {}", node.name), bold()),
            right(or_dash(node.height.map(grouped)), 9),
            right(or_dash(node.round.map(|r| r.to_string())), 5),
            right(or_dash(node.peers.map(grouped)), 5),
            right(or_dash(node.reputation_mp.map(milli_tenths)), 6),
            Span::styled(status, style),
            Span::raw(node.url.as_str()),
        ])
    });
    let more = (shown < nodes.len()).then(|| {
        let text = format!(" +{} more", nodes.len() - shown);
        Row::new([Span::styled(text, dim())])
    });
    let widths = [
        Constraint::Length(11),
        Constraint::Length(9),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Length(6),
        Constraint::Length(14),
        Constraint::Min(22),
    ];
    let heading = Row::new([" node", "   height", "round", "peers", "  rep.", "status", "RPC"]).style(dim());
    frame.render_widget(Table::new(rows.chain(more), widths).header(heading), area);
}

/// The most and least trusted, side by side.
pub fn trust(panel: &TrustPanel, frame: &mut Frame<'_>, area: Rect) {
    if area.height < 2 {
        return;
    }
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
    people(&format!(" best on {}", panel.day), &panel.top, frame, left);
    let heading = format!(" worst of {}", grouped(panel.of as u64));
    people(&heading, &panel.bottom, frame, right);
}

fn people(heading: &str, people: &[PersonRow], frame: &mut Frame<'_>, area: Rect) {
    let name_width = usize::from(area.width).saturating_sub(19).clamp(4, 24);
    let mut lines =
        vec![Line::styled(format!("{:<name_width$}  score conf stars", fit(heading, name_width)), dim())];
    lines.extend(people.iter().map(|person| {
        let mean = person.mean_milli.map_or_else(|| "-".to_owned(), stars);
        let name = fit(&person.name, name_width - 1);
        let numbers = format!(" {:>6} {:>3}% {mean:>5}", centi(person.score_centi), person.confidence);
        let width = name_width - 1;
        Line::from(vec![Span::styled(format!(" {name:<width$}"), bold()), Span::raw(numbers)])
    }));
    frame.render_widget(Paragraph::new(lines), area);
}

/// What to try next.
pub fn hints(hints: &[String], frame: &mut Frame<'_>, area: Rect) {
    if area.height < 2 || hints.is_empty() {
        return;
    }
    let width = usize::from(area.width).saturating_sub(1);
    let mut lines = vec![Line::styled(" try in another terminal", dim())];
    lines.extend(hints.iter().map(|hint| Line::from(format!(" {}", fit(hint, width)))));
    frame.render_widget(Paragraph::new(lines), area);
}

/// The last problems, newest at the bottom.
pub fn problems(problems: &VecDeque<String>, frame: &mut Frame<'_>, area: Rect) {
    if area.height < 2 || problems.is_empty() {
        return;
    }
    let room = usize::from(area.height - 1);
    let width = usize::from(area.width).saturating_sub(1);
    let red = Style::new().fg(Color::Red);
    let mut lines = vec![Line::styled(" problems", dim())];
    let skipped = problems.len().saturating_sub(room);
    lines.extend(
        problems.iter().skip(skipped).map(|text| Line::styled(format!(" {}", fit(text, width)), red)),
    );
    frame.render_widget(Paragraph::new(lines), area);
}
