//! The administration's socket on the side of the registry that serves.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::execute::{Channel, execute};
use super::operation::Event;
use super::wire::{
    DataReader, MAX_REQUEST_BYTES, Refusal, Reply, Request, VERSION, read_line, write_data, write_line,
};
use crate::error::{RegistryError, Result};
use crate::layout;
use crate::store::Store;

/// Operations at once; further clients wait.
const MAX_OPERATIONS: usize = 4;
/// How often a waiting operation looks whether the registry stops.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a client may neither send nor take a byte: a person may be reading its output page by page.
const PATIENCE: Duration = Duration::from_mins(10);
/// How long the end waits for operations to let go.
const END_TIME: Duration = Duration::from_secs(5);
/// Pause after the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The socket's folder and name below the registry's directory.
pub(super) fn socket_path(directory: &Path) -> PathBuf {
    directory.join(layout::ADMIN).join(layout::ADMIN_SOCKET)
}

/// Longest path that a socket can have everywhere, in bytes.
const MAX_SOCKET_PATH_BYTES: usize = 100;

/// A path to the socket that is short enough, and what has to stay open while it is used.
pub(super) fn short_path(directory: &Path) -> io::Result<(PathBuf, Option<fs::File>)> {
    let path = socket_path(directory);
    if path.as_os_str().len() <= MAX_SOCKET_PATH_BYTES {
        return Ok((path, None));
    }
    let folder = fs::File::open(directory.join(layout::ADMIN))?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&folder);
    Ok((PathBuf::from(format!("/proc/self/fd/{number}")).join(layout::ADMIN_SOCKET), Some(folder)))
}

/// Listens until it is dropped.
pub struct AdminServer {
    path: PathBuf,
    task: JoinHandle<()>,
    places: Arc<Semaphore>,
    is_stopping: Arc<AtomicBool>,
}

impl AdminServer {
    /// Starts to listen in `directory`, which is the store's. Needs a runtime.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn start(store: &Arc<Store>, directory: &Path) -> Result<Self> {
        let path = socket_path(directory);
        let listener = listen(directory, &path)
            .map_err(|error| RegistryError::io("listen on", &path.display().to_string(), error))?;
        let places = Arc::new(Semaphore::new(MAX_OPERATIONS));
        let is_stopping = Arc::new(AtomicBool::new(false));
        let task =
            tokio::spawn(accept(listener, Arc::clone(store), Arc::clone(&places), Arc::clone(&is_stopping)));
        Ok(Self { path, task, places, is_stopping })
    }

    /// Ends operations and waits a moment until they have let the store go.
    pub async fn stop(mut self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.task.abort();
        // It has the store, too, until it has gone.
        let _ = (&mut self.task).await;
        let all = u32::try_from(MAX_OPERATIONS).unwrap_or(u32::MAX);
        if tokio::time::timeout(END_TIME, self.places.acquire_many(all)).await.is_err() {
            tracing::warn!("an operation of the administration did not end in time");
        }
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.task.abort();
        // One that stays is replaced by the next start.
        let _ = fs::remove_file(&self.path);
    }
}

fn listen(directory: &Path, path: &Path) -> io::Result<UnixListener> {
    let folder = directory.join(layout::ADMIN);
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        // Also one that is there: somebody may have opened it to others.
        _ => fs::set_permissions(&folder, Permissions::from_mode(0o700))?,
    }
    // Whoever served from here before does so no longer: the store's lock is ours.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (short, _folder) = short_path(directory)?;
    let listener = UnixListener::bind(short)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn accept(
    listener: UnixListener,
    store: Arc<Store>,
    places: Arc<Semaphore>,
    is_stopping: Arc<AtomicBool>,
) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the system refused a connection of the administration");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (store, is_stopping) = (Arc::clone(&store), Arc::clone(&is_stopping));
        // A thread of its own: an operation may take hours, and the runtime's few threads serve images.
        let work = move || {
            if let Err(error) = stream.into_std().and_then(|stream| serve(&store, stream, is_stopping)) {
                tracing::debug!(%error, "a connection of the administration ended early");
            }
            drop((store, place));
        };
        if let Err(error) = Builder::new().name("registry-admin".to_owned()).spawn(work) {
            tracing::warn!(%error, "the system refused a thread for the administration");
        }
    }
}

/// A stream that waits for its client, but not for ever, and not when the registry stops.
#[derive(Clone)]
struct Patient {
    stream: Arc<UnixStream>,
    is_stopping: Arc<AtomicBool>,
}

impl Patient {
    fn try_until<T>(&self, mut act: impl FnMut(&UnixStream) -> io::Result<T>) -> io::Result<T> {
        let until = Instant::now() + PATIENCE;
        loop {
            match act(&self.stream) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if self.is_stopping.load(Ordering::SeqCst) {
                        return Err(io::Error::other("the registry stops"));
                    }
                    if Instant::now() >= until {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                done => return done,
            }
        }
    }
}

impl Read for Patient {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_until(|mut stream| stream.read(buf))
    }
}

impl Write for Patient {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.try_until(|mut stream| stream.write(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The person's side, at the other end of the socket.
struct Remote {
    incoming: DataReader<BufReader<Patient>>,
    outgoing: Patient,
}

impl Remote {
    fn check(&self) -> io::Result<()> {
        if self.outgoing.is_stopping.load(Ordering::SeqCst) {
            return Err(io::Error::other("the registry stops"));
        }
        Ok(())
    }
}

impl Channel for Remote {
    fn event(&mut self, event: Event) -> io::Result<()> {
        self.check()?;
        write_line(&mut self.outgoing, &Reply::Event(event))
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.incoming.read(buf)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        write_data(&mut self.outgoing, bytes)
    }
}

/// Serves one connection: one operation.
fn serve(store: &Store, stream: UnixStream, is_stopping: Arc<AtomicBool>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LOOK_EVERY))?;
    stream.set_write_timeout(Some(LOOK_EVERY))?;
    let mut outgoing = Patient { stream: Arc::new(stream), is_stopping };
    let mut incoming = BufReader::new(outgoing.clone());
    let refusal = |code: &str, message: String| Reply::Error(Refusal { code: code.to_owned(), message });
    let request = match read_line::<Request>(&mut incoming, MAX_REQUEST_BYTES) {
        Ok(Some(request)) => request,
        Ok(None) => return Ok(()),
        Err(error) => return write_line(&mut outgoing, &refusal("UNSUPPORTED", error.to_string())),
    };
    if request.version != VERSION {
        let message = format!(
            "the registry speaks version {VERSION} of its administration; use the trustnet that it runs"
        );
        return write_line(&mut outgoing, &refusal("UNSUPPORTED", message));
    }
    let mut remote = Remote { incoming: DataReader::new(incoming), outgoing: outgoing.clone() };
    let reply = match execute(store, &request.operation, &mut remote) {
        Ok(answer) => Reply::Answer(answer),
        Err(error) => refusal(error.code(), error.to_string()),
    };
    write_line(&mut outgoing, &reply)
}
