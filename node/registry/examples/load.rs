//! Asks a registry as fast as it answers, to compare registries: `.ci/registry-compare` calls it.
//!
//! ```text
//! load ADDRESS head SECONDS THREADS            HEAD of one blob; prints requests a second
//! load ADDRESS put SECONDS THREADS BYTES       blobs of BYTES, each started and ended as clients do; prints MB a second
//! load ADDRESS upload BLOBS BYTES              BLOBS of BYTES at the same time; prints seconds
//! ```

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use trustnet_registry::{Algorithm, Digest, Hasher};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// No answer is waited for longer.
const PATIENCE: Duration = Duration::from_secs(120);
/// How much is written at once.
const PART_BYTES: usize = 256 * 1024;

struct Client {
    reader: BufReader<TcpStream>,
}

struct Said {
    status: u16,
    location: Option<String>,
}

impl Client {
    fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    fn head(&mut self, head: &str) -> Result<()> {
        Ok(self.reader.get_mut().write_all(head.as_bytes())?)
    }

    fn answer(&mut self, has_body: bool) -> Result<Said> {
        let (mut line, mut len, mut location) = (String::new(), 0, None);
        self.reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no answer")?;
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => len = value.trim().parse()?,
                "location" => location = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        if has_body {
            std::io::copy(&mut (&mut self.reader).take(len), &mut std::io::sink())?;
        }
        Ok(Said { status, location })
    }

    /// Pushes a blob in two requests, as clients do.
    fn push(&mut self, host: &str, repo: &str, blob: &Blob) -> Result<()> {
        self.head(&format!(
            "POST /v2/{repo}/blobs/uploads/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"
        ))?;
        let location = self.answer(true)?.location.ok_or("no upload was started")?;
        // Some give a whole address.
        let path = location
            .split_once("://")
            .map_or(location.as_str(), |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
        let joint = if path.contains('?') { '&' } else { '?' };
        self.head(&format!(
            "PUT {path}{joint}digest={} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            blob.digest, blob.bytes
        ))?;
        blob.each_part(|part| Ok(self.reader.get_mut().write_all(part)?))?;
        let status = self.answer(true)?.status;
        if status == 201 { Ok(()) } else { Err(format!("a push was answered by {status}").into()) }
    }
}

/// Content that is unlike any other, made as it is sent.
struct Blob {
    seed: u64,
    bytes: u64,
    digest: Digest,
}

impl Blob {
    fn new(seed: u64, bytes: u64) -> Result<Self> {
        let mut blob = Self { seed, bytes, digest: Digest::of(Algorithm::Sha256, b"") };
        let mut hasher = Hasher::new(Algorithm::Sha256);
        blob.each_part(|part| {
            hasher.update(part);
            Ok(())
        })?;
        blob.digest = hasher.finish();
        Ok(blob)
    }

    fn each_part(&self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut part = vec![0x5a; PART_BYTES];
        let mut left = self.bytes;
        let mut number = 0_u64;
        while left > 0 {
            part[..8].copy_from_slice(&self.seed.to_le_bytes());
            part[8..16].copy_from_slice(&number.to_le_bytes());
            let len = PART_BYTES.min(usize::try_from(left).unwrap_or(PART_BYTES));
            each(&part[..len])?;
            (left, number) = (left - len as u64, number + 1);
        }
        Ok(())
    }
}

fn seed() -> Result<u64> {
    Ok(u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos())?)
}

/// Lets threads work for a while; gives how often they did, and how long it took.
fn for_a_while(
    seconds: u64,
    threads: u64,
    work: impl Fn(u64, &AtomicBool, &AtomicU64) -> Result<()> + Send + Sync + 'static,
) -> Result<(u64, f64)> {
    let (work, is_over, count) =
        (Arc::new(work), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|number| {
            let (work, is_over, count) = (Arc::clone(&work), Arc::clone(&is_over), Arc::clone(&count));
            thread::spawn(move || work(number, &is_over, &count))
        })
        .collect();
    thread::sleep(Duration::from_secs(seconds));
    is_over.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.join().map_err(|_| "a thread panicked")??;
    }
    Ok((count.load(Ordering::SeqCst), begun.elapsed().as_secs_f64()))
}

#[allow(clippy::cast_precision_loss)]
fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| -> Result<u64> { Ok(args.get(at).ok_or("a number is missing")?.parse()?) };
    let address = args.first().ok_or("usage: load ADDRESS head|put|upload ...")?.clone();
    match args.get(1).map(String::as_str) {
        Some("head") => {
            let blob = Blob::new(seed()?, 1_000)?;
            Client::connect(&address)?.push(&address, "load/head", &blob)?;
            let head =
                format!("HEAD /v2/load/head/blobs/{} HTTP/1.1\r\nHost: {address}\r\n\r\n", blob.digest);
            let (count, seconds) = for_a_while(number(2)?, number(3)?, move |_, is_over, count| {
                let mut client = Client::connect(&address)?;
                while !is_over.load(Ordering::Relaxed) {
                    client.head(&head)?;
                    if client.answer(false)?.status != 200 {
                        return Err("HEAD was not answered by 200".into());
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })?;
            println!("{:.0}", count as f64 / seconds);
        }
        Some("put") => {
            let (bytes, seed) = (number(4)?, seed()?);
            let (count, seconds) = for_a_while(number(2)?, number(3)?, move |thread, is_over, count| {
                let mut client = Client::connect(&address)?;
                let mut next = seed.wrapping_add(thread << 40);
                while !is_over.load(Ordering::Relaxed) {
                    client.push(&address, "load/put", &Blob::new(next, bytes)?)?;
                    next = next.wrapping_add(1);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })?;
            println!("{:.1} {:.1}", (count * bytes) as f64 / seconds / 1e6, count as f64 / seconds);
        }
        Some("upload") => {
            let (blobs, bytes, seed) = (number(2)?, number(3)?, seed()?);
            let begun = Instant::now();
            let workers: Vec<_> = (0..blobs)
                .map(|blob| {
                    let address = address.clone();
                    thread::spawn(move || -> Result<()> {
                        let blob = Blob::new(seed.wrapping_add(blob << 40), bytes)?;
                        Client::connect(&address)?.push(&address, "load/upload", &blob)
                    })
                })
                .collect();
            for worker in workers {
                worker.join().map_err(|_| "a thread panicked")??;
            }
            println!("{:.1}", begun.elapsed().as_secs_f64());
        }
        _ => return Err("usage: load ADDRESS head|put|upload ...".into()),
    }
    Ok(())
}
