//! The lines of the administration's socket, each a JSON value, and the bytes between them.
//!
//! ```text
//!   client: {"version":1,"operation":{...}}           then, if it takes bytes: {"data":N}, N bytes, ..., {"data":0}
//!   server: {"event":{...}} or {"data":N} and N bytes, any number; at the end {"answer":{...}} or {"error":{...}}
//! ```

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use super::operation::{Answer, Event, Operation};

/// What both sides speak.
pub(super) const VERSION: u32 = 1;
/// Longest line that a client sends, in bytes.
pub(super) const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// Longest line that a server sends, in bytes: an index of ten thousand images, inspected.
pub(super) const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;
/// Most bytes that follow one line.
pub(super) const MAX_DATA_BYTES: usize = 128 * 1024;

/// What a client asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) version: u32,
    pub(super) operation: Operation,
}

/// Says that bytes follow, or, with 0, that no more do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Data {
    pub(super) data: usize,
}

/// What a server says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Event(Event),
    Data(usize),
    Answer(Answer),
    Error(Refusal),
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// Writes one line.
pub(super) fn write_line(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Reads one line; `None` at the end.
pub(super) fn read_line<T: for<'a> Deserialize<'a>>(
    from: &mut impl BufRead,
    max_bytes: usize,
) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.take(max_bytes as u64 + 1).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(invalid("a line is too long, or broke off"));
    }
    serde_json::from_slice(&line).map(Some).map_err(io::Error::from)
}

/// Writes bytes after a line that announces them.
pub(super) fn write_data(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    for part in bytes.chunks(MAX_DATA_BYTES) {
        write_line(to, &Data { data: part.len() })?;
        to.write_all(part)?;
    }
    Ok(())
}

/// Bytes that come in announced parts.
pub(super) struct DataReader<R> {
    from: R,
    left: usize,
    is_done: bool,
}

impl<R: BufRead> DataReader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, left: 0, is_done: false }
    }
}

impl<R: BufRead> Read for DataReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.is_done {
            let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "the other side went away");
            let next: Data = read_line(&mut self.from, MAX_REQUEST_BYTES)?.ok_or_else(broken)?;
            if next.data > MAX_DATA_BYTES {
                return Err(invalid("more bytes in one part than may be"));
            }
            (self.left, self.is_done) = (next.data, next.data == 0);
        }
        if self.is_done || buf.is_empty() {
            return Ok(0);
        }
        let part = buf.len().min(self.left);
        let read = self.from.read(&mut buf[..part])?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other side went away"));
        }
        self.left -= read;
        Ok(read)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_as_they_were_sent() {
        let mut sent = Vec::new();
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        write_data(&mut sent, &bytes).unwrap();
        write_line(&mut sent, &Data { data: 0 }).unwrap();
        sent.extend_from_slice(b"rest");
        let (mut read, mut from) = (Vec::new(), sent.as_slice());
        DataReader::new(&mut from).read_to_end(&mut read).unwrap();
        assert_eq!((read, from), (bytes, b"rest".as_slice()));
    }

    #[test]
    fn what_breaks_off_is_no_end() {
        for sent in
            ["", "{\"data\":5}\nabc", "{\"data\":", "{\"data\":9999999}\n", "[]\n", "{\"data\":2}\nab"]
        {
            let read = DataReader::new(sent.as_bytes()).read_to_end(&mut Vec::new());
            assert!(read.is_err(), "{sent}");
        }
    }

    #[test]
    fn long_lines_are_refused() {
        let line = format!("\"{}\"\n", "x".repeat(100));
        assert!(read_line::<String>(&mut line.as_bytes(), 200).unwrap().is_some());
        assert!(read_line::<String>(&mut line.as_bytes(), 50).is_err());
        assert!(read_line::<String>(&mut "".as_bytes(), 50).unwrap().is_none());
    }
}
