//! The terminal: full screen while the network is shown, and as it was before when it is not.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use super::{Model, draw};

/// What somebody pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// End (q, Escape, Ctrl-C).
    Quit,
    /// Show or hide the report (r).
    Report,
    /// Show the trust of the other day (d).
    Day,
    /// Scroll by so many lines.
    Scroll(i16),
}

/// The full screen. Dropping it gives the terminal back as it was; so does a panic.
#[derive(Debug)]
pub struct Terminal(DefaultTerminal);

impl Terminal {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When standard output is no terminal that can do it.
    pub fn open() -> io::Result<Self> {
        ratatui::try_init().map(Self)
    }

    /// Paints.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn paint(&mut self, model: &Model) -> io::Result<()> {
        self.0.draw(|frame| draw(model, frame)).map(|_| ())
    }

    /// Waits up to `wait` for a key that means something.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn key(&mut self, wait: Duration) -> io::Result<Option<Key>> {
        if !event::poll(wait)? {
            return Ok(None);
        }
        Ok(meaning(&event::read()?))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that has gone cannot be restored, and needs not.
        let _ = ratatui::try_restore();
    }
}

fn meaning(event: &Event) -> Option<Key> {
    let Event::Key(key) = event else { return None };
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if control => Some(Key::Quit),
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Key::Quit),
        KeyCode::Char('r') => Some(Key::Report),
        KeyCode::Char('d') => Some(Key::Day),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Scroll(-1)),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Scroll(1)),
        KeyCode::PageUp => Some(Key::Scroll(-10)),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(Key::Scroll(10)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
        meaning(&Event::Key(KeyEvent::new(code, modifiers)))
    }

    #[test]
    fn q_escape_and_control_c_quit_and_a_plain_c_does_not() {
        for (code, modifiers) in [
            (KeyCode::Char('q'), KeyModifiers::NONE),
            (KeyCode::Esc, KeyModifiers::NONE),
            (KeyCode::Char('c'), KeyModifiers::CONTROL),
        ] {
            assert_eq!(press(code, modifiers), Some(Key::Quit));
        }
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(meaning(&Event::Resize(80, 24)), None);
    }
}
