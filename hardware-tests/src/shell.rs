//! Commands with a limit in time.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// How often it is looked whether something has happened.
pub const POLL: Duration = Duration::from_millis(100);

/// What a command left.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; `None` if a signal or the limit ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// Its output, if it ended well.
    ///
    /// # Errors
    /// What it said instead.
    pub fn ok(self, what: &str) -> Result<String, Failure> {
        if self.code == Some(0) {
            return Ok(self.out);
        }
        let code = self.code.map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"));
        Err(format!("{what}: {code}: {} {}", self.out.trim(), self.err.trim()).into())
    }
}

/// Runs a command, for as long as `limit`.
///
/// # Errors
/// It does not start.
pub fn run(command: &mut Command, limit: Duration) -> Result<Said, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|why| format!("cannot run {program}: {why}"))?;
    // Read while it runs: a full pipe would stop it.
    let out = child.stdout.take().map(drain);
    let err = child.stderr.take().map(drain);
    let code = wait(&mut child, limit)?;
    let text = |reader: Option<std::thread::JoinHandle<String>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    Ok(Said { code, out: text(out), err: text(err) })
}

fn drain(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error counts.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<i32>, Failure> {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if since.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

/// Asks until there is an answer, for as long as `limit`; says how long it took.
///
/// # Errors
/// The last answer's.
pub fn until<T>(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> Result<T, Failure>,
) -> Result<(T, Duration), Failure> {
    let since = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return Ok((answer, since.elapsed())),
            Err(error) if since.elapsed() > limit => {
                return Err(format!("{what}: not within {} s: {error}", limit.as_secs()).into());
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_heard_and_one_that_hangs_is_ended() {
        let second = Duration::from_secs(5);
        let said = run(Command::new("sh").args(["-c", "echo a; echo b >&2; exit 3"]), second).unwrap();
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(3), "a\n", "b\n"));
        assert!(said.ok("it").unwrap_err().to_string().contains("exit code 3"));
        let said = run(Command::new("sleep").arg("1000"), Duration::from_millis(200)).unwrap();
        assert_eq!(said.code, None);
        assert!(run(&mut Command::new("/no/such/program"), second).is_err());
    }

    #[test]
    fn the_last_refusal_is_what_is_reported() {
        let mut left = 3;
        let (answer, _) = until(Duration::from_secs(5), "it", || {
            left -= 1;
            if left == 0 { Ok(7) } else { Err("not yet".into()) }
        })
        .unwrap();
        assert_eq!(answer, 7);
        let refused = until::<()>(Duration::ZERO, "it", || Err("never".into()));
        assert!(refused.unwrap_err().to_string().ends_with("never"));
    }
}
