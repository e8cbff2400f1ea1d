//! A server that is somebody else's: an upstream registry, a token server or a content network that does as the test
//! says, mostly wrong.

#![allow(dead_code, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What `Content-Length` says, if not the truth; `None`: chunks, without a length.
    pub said_len: Option<usize>,
    /// After how many bytes the connection ends, or pauses for as long.
    pub cut: Option<(usize, Option<Duration>)>,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status, headers: Vec::new(), said_len: Some(body.len()), body, cut: None }
    }

    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, body)
    }

    pub fn redirect(to: impl Into<String>) -> Self {
        Self::new(307, "").with("Location", to)
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn chunked(mut self) -> Self {
        self.said_len = None;
        self
    }

    pub fn saying(mut self, len: usize) -> Self {
        self.said_len = Some(len);
        self
    }

    pub fn cut_after(mut self, len: usize) -> Self {
        self.cut = Some((len, None));
        self
    }

    pub fn pausing_after(mut self, len: usize, pause: Duration) -> Self {
        self.cut = Some((len, Some(pause)));
        self
    }
}

type Answer = dyn Fn(&Asked) -> Reply + Send + Sync;

/// The server; it ends when it is dropped.
pub struct Elsewhere {
    pub addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    is_over: Arc<AtomicBool>,
}

impl Elsewhere {
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (asked, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, over) = (Arc::clone(&asked), Arc::clone(&is_over));
        let answer: Arc<Answer> = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                let Ok(stream) = stream else { return };
                std::thread::spawn(move || drop(serve(stream, &log, &*answer)));
            }
        });
        Self { addr, asked, is_over }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often something was asked whose path contains `part`.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.asked().iter().filter(|asked| asked.method == method && asked.path.contains(part)).count()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the loop, so that nobody is let in any more.
        let _ = TcpStream::connect(self.addr);
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Asked>>, answer: &Answer) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let asked = Asked { method, path, headers };
    log.lock().unwrap().push(asked.clone());
    let reply = answer(&asked);
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", reply.status);
    match reply.said_len {
        Some(len) => write!(head, "Content-Length: {len}\r\n").unwrap(),
        None => head += "Transfer-Encoding: chunked\r\n",
    }
    for (name, value) in &reply.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if asked.method == "HEAD" {
        return Ok(());
    }
    let (first, pause) = match reply.cut {
        Some((len, pause)) => (&reply.body[..len.min(reply.body.len())], pause),
        None => (&reply.body[..], None),
    };
    send(&mut stream, first, reply.said_len.is_none())?;
    if let Some(pause) = pause {
        std::thread::sleep(pause);
        send(&mut stream, &reply.body[first.len()..], reply.said_len.is_none())?;
    }
    if reply.said_len.is_none() && (reply.cut.is_none() || pause.is_some()) {
        stream.write_all(b"0\r\n\r\n")?;
    }
    Ok(())
}

fn send(stream: &mut TcpStream, bytes: &[u8], is_chunked: bool) -> std::io::Result<()> {
    if !is_chunked {
        return stream.write_all(bytes);
    }
    for part in bytes.chunks(10_000) {
        write!(stream, "{:x}\r\n", part.len())?;
        stream.write_all(part)?;
        stream.write_all(b"\r\n")?;
    }
    Ok(())
}

/// Every way in which an answer is not `content`, of more than 600,000 bytes: changed, longer, shorter, broken off, empty; with
/// its length told and without.
pub fn wrong_replies(content: &[u8]) -> Vec<Reply> {
    let mut changed = content.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    let longer = [content, b"more"].concat();
    vec![
        Reply::ok(changed.clone()),
        Reply::ok(changed).chunked(),
        Reply::ok(longer.clone()),
        Reply::ok(longer).chunked(),
        Reply::ok(&content[..600_000]),
        Reply::ok(&content[..600_000]).chunked(),
        Reply::ok(content).cut_after(600_000),
        Reply::ok(content).chunked().cut_after(600_000),
        Reply::ok(""),
        Reply::ok("").chunked(),
        Reply::ok("x"),
        Reply::ok("x").chunked(),
    ]
}
