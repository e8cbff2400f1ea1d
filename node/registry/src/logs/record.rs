//! One line of the access log.
//!
//! What is told of a request is bounded, whatever the client sends, and holds nothing that a terminal would obey. The
//! query and the headers that say who it is are not told at all: both may hold what opens doors.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::date_time_ymd;
use serde::{Serialize, Serializer};

/// Longest method, in bytes; none that is known here is longer than 7.
const MAX_METHOD_BYTES: usize = 16;
/// Longest path, in bytes; that of a blob has at most 402.
const MAX_PATH_BYTES: usize = 512;
/// Longest name of whoever asks, in bytes.
const MAX_WHO_BYTES: usize = 256;
/// Longest name of a program that asks, in bytes.
const MAX_AGENT_BYTES: usize = 256;
/// The last millisecond that has a date of four digits.
const MAX_TIME_MS: u64 = 253_402_300_799_999;

/// A request, and what was answered.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    /// When it came.
    time: Moment,
    client: Option<IpAddr>,
    who: String,
    method: String,
    path: String,
    status: u16,
    /// Length of the answer's body, if its head told it.
    bytes: Option<u64>,
    /// From the request's head to that of the answer.
    ms: u64,
    agent: String,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The beginning of a text, without what terminals obey.
fn plain(text: &str, max_bytes: usize) -> String {
    let begin = &text[..text.floor_char_boundary(max_bytes)];
    begin.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A moment, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Moment(u64);

impl Moment {
    fn now() -> Self {
        // A clock before 1970 is that of a board that does not know the time.
        Self(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

/// As RFC 3339 has it, in UTC, to the millisecond. The calendar is that of the certificates.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = date_time_ymd(1970, 1, 1) + Duration::from_millis(self.0.min(MAX_TIME_MS));
        let (month, millisecond) = (u8::from(at.month()), at.millisecond());
        write!(f, "{:04}-{month:02}-{:02}", at.year(), at.day())?;
        write!(f, "T{:02}:{:02}:{:02}.{millisecond:03}Z", at.hour(), at.minute(), at.second())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Record {
    /// A request that came now.
    pub(crate) fn begin(client: Option<IpAddr>, method: &str, path: &str, agent: &[u8]) -> Self {
        Self {
            time: Moment::now(),
            client: client.map(|address| address.to_canonical()),
            who: String::new(),
            method: plain(method, MAX_METHOD_BYTES),
            path: plain(path, MAX_PATH_BYTES),
            status: 0,
            bytes: None,
            ms: 0,
            agent: plain(&String::from_utf8_lossy(agent), MAX_AGENT_BYTES),
        }
    }

    /// What was answered to `who`, and after how long.
    pub(crate) fn end(&mut self, who: &str, status: u16, bytes: Option<u64>, took: Duration) {
        self.who = plain(who, MAX_WHO_BYTES);
        (self.status, self.bytes, self.ms) = (status, bytes, millis(took));
    }

    /// Adds it to a text, as a line.
    pub(super) fn write(&self, text: &mut Vec<u8>) {
        let begin = text.len();
        match serde_json::to_writer(&mut *text, self) {
            Ok(()) => text.push(b'\n'),
            Err(_) => text.truncate(begin),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(record: &Record) -> String {
        let mut text = Vec::new();
        record.write(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_request_is_one_line() {
        let mut record =
            Record::begin("::ffff:192.0.2.7".parse().ok(), "GET", "/v2/a/tags/list", b"containerd/2.1");
        record.time = Moment(1_795_884_065_042);
        record.end("user:alice", 200, Some(17), Duration::from_micros(3_900));
        let expected = r#"{"time":"2026-11-28T16:41:05.042Z","client":"192.0.2.7","who":"user:alice","method":"GET","path":"/v2/a/tags/list","status":200,"bytes":17,"ms":3,"agent":"containerd/2.1"}"#;
        assert_eq!(line(&record), format!("{expected}\n"));
    }

    #[test]
    fn whatever_clients_send_it_stays_one_line_and_short() {
        let long = "é\"\n\u{1b}[31m\u{9b}".repeat(20_000);
        let mut record = Record::begin(None, &long, &long, &[b"\xff\n\0".repeat(9_000), vec![b'x']].concat());
        record.end(&long, 418, None, Duration::MAX);
        let line = line(&record);
        assert!(line.len() < 6_000, "{}", line.len());
        assert_eq!(line.find('\n'), Some(line.len() - 1));
        assert!(line.chars().all(|c| c == '\n' || !c.is_control()));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&read["client"], &read["bytes"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    }

    #[test]
    fn moments_are_written_as_they_are_sorted() {
        for (at_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_825_601_009, "2000-02-29T12:00:01.009Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (MAX_TIME_MS, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Moment(at_ms).to_string(), expected);
        }
    }
}
