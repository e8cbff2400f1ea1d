//! The operator's way to a registry, serving or stopped.

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::execute::{Channel, execute};
use super::operation::{Answer, Operation};
use super::server::{short_path, socket_path};
use super::wire::{
    Data, MAX_DATA_BYTES, MAX_REPLY_BYTES, Reply, Request, VERSION, read_line, write_data, write_line,
};
use crate::error::RegistryError;
use crate::files::OsFiles;
use crate::layout;
use crate::rebuild::Rebuilt;
use crate::settings::{LiveSettings, SETTINGS_FILE, Settings, SettingsError};
use crate::store::{Options, Store};
use crate::upstream::{UpstreamSettings, UpstreamSettingsError};
use crate::uptime::{Clock, SystemClock};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The directory holds none.
    #[error("there is no registry in {0}")]
    NoRegistry(String),
    /// It can be done with the registry stopped only.
    #[error("the registry in {0} is serving, and this can be done only while it is stopped")]
    Serving(String),
    /// The store says no.
    #[error(transparent)]
    Store(#[from] RegistryError),
    /// Its settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A registry that it should keep copies of.
    #[error(transparent)]
    Upstream(#[from] UpstreamSettingsError),
    /// The registry that serves says no.
    #[error("{message}")]
    Refused {
        /// The specification's code of the reason.
        code: String,
        /// What happened.
        message: String,
    },
    /// The connection to the registry that serves broke.
    #[error("the registry that serves from {path} cannot be talked to: {source}")]
    Lost {
        /// Its directory.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl AdminError {
    /// The specification's code of the reason; empty if it has none.
    pub fn code(&self) -> &str {
        match self {
            Self::Store(error) => error.code(),
            Self::Refused { code, .. } => code,
            _ => "",
        }
    }
}

/// Whether the settings in the directory of a registry that is stopped are kept to. One that serves keeps to its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heed {
    /// They are not looked at: to look has to work with a file that is wrong, too.
    #[default]
    No,
    /// As far as they are right.
    IfRight,
    /// A file that is wrong is an error.
    Yes,
}

/// How a registry that is stopped is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Makes one if there is none.
    pub create: bool,
    /// Whether its settings are kept to.
    pub heed: Heed,
    /// Lets the time pass for which content is kept that clients were told of: nobody pushes to a registry that is
    /// stopped. Refused while it serves.
    pub end_leases: bool,
}

/// A registry to be administered.
pub enum Administration {
    /// It serves; the work is done by the process that does.
    Serving(PathBuf),
    /// It is stopped; the work is done here.
    Stopped(Box<Store>),
}

/// A clock that says that a while has passed already.
struct Later(SystemClock, u64);

impl Clock for Later {
    fn elapsed_ms(&self) -> u64 {
        self.0.elapsed_ms().saturating_add(self.1)
    }
}

fn exists(directory: &Path) -> bool {
    [layout::BLOBS, layout::REPOSITORIES].iter().all(|name| directory.join(name).exists())
}

fn is_serving(directory: &Path) -> bool {
    short_path(directory).and_then(|(path, _folder)| UnixStream::connect(path)).is_ok()
}

/// Lets the settings in a registry's directory govern it, if there are any.
fn govern(store: &Store, directory: &Path) -> Result<(), AdminError> {
    let path = directory.join(SETTINGS_FILE);
    if !path.exists() {
        return Ok(());
    }
    let settings = Settings::read(&path)?;
    let copies = settings.upstream.iter().map(UpstreamSettings::keeping).collect::<Result<_, _>>()?;
    store.govern(LiveSettings::fixed(settings.compiled()?));
    store.keep_copies(copies);
    Ok(())
}

impl Administration {
    /// Finds out how to get at the registry in `directory`.
    ///
    /// # Errors
    /// When there is none, or it can be got at neither way.
    pub fn open(directory: &Path, opening: Opening) -> Result<Self, AdminError> {
        let shown = || directory.display().to_string();
        if is_serving(directory) {
            if opening.end_leases {
                return Err(AdminError::Serving(shown()));
            }
            return Ok(Self::Serving(directory.to_owned()));
        }
        if !opening.create && !exists(directory) {
            return Err(AdminError::NoRegistry(shown()));
        }
        let mut options = Options::default();
        if opening.end_leases {
            let lease_ms = u64::try_from(options.lease.as_millis()).unwrap_or(u64::MAX);
            options.clock = Arc::new(Later(SystemClock::start(), lease_ms.saturating_add(1)));
            options.lease = Duration::ZERO;
        }
        let store = Store::open(OsFiles::new(directory), &options)?;
        match opening.heed {
            Heed::No => {}
            Heed::IfRight => drop(govern(&store, directory)),
            Heed::Yes => govern(&store, directory)?,
        }
        Ok(Self::Stopped(Box::new(store)))
    }

    /// Makes the metadata of a registry that is stopped again, from its journals and blobs.
    ///
    /// # Errors
    /// When there is none, it serves, or the disk fails.
    pub fn rebuild(directory: &Path) -> Result<Rebuilt, AdminError> {
        if is_serving(directory) {
            return Err(AdminError::Serving(directory.display().to_string()));
        }
        if !exists(directory) {
            return Err(AdminError::NoRegistry(directory.display().to_string()));
        }
        let store = Store::open_rebuilding(OsFiles::new(directory), &Options::default())?;
        Ok(store.rebuilt().cloned().unwrap_or_default())
    }

    /// Whether another process serves it.
    pub fn is_serving(&self) -> bool {
        matches!(self, Self::Serving(_))
    }

    /// Carries out an operation, here or there.
    ///
    /// # Errors
    /// When it cannot be done.
    pub fn carry_out(&self, operation: &Operation, channel: &mut dyn Channel) -> Result<Answer, AdminError> {
        match self {
            Self::Stopped(store) => Ok(execute(store, operation, channel)?),
            Self::Serving(directory) => {
                let lost = |source| AdminError::Lost { path: directory.display().to_string(), source };
                match ask(directory, operation, channel).map_err(lost)? {
                    Ok(answer) => Ok(answer),
                    Err(super::wire::Refusal { code, message }) => Err(AdminError::Refused { code, message }),
                }
            }
        }
    }
}

type Said = Result<Answer, super::wire::Refusal>;

fn ask(directory: &Path, operation: &Operation, channel: &mut dyn Channel) -> io::Result<Said> {
    let (path, _folder) = short_path(directory)?;
    let stream = UnixStream::connect(path)?;
    let mut outgoing = &stream;
    let mut incoming = BufReader::new(&stream);
    write_line(&mut outgoing, &Request { version: VERSION, operation: operation.clone() })?;
    if operation.takes_bytes() {
        match send(&mut outgoing, channel) {
            // The registry has refused what it has seen so far, and says why.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {}
            sent => sent?,
        }
    }
    let gone = || {
        let why = format!("it ended before its answer ({})", socket_path(directory).display());
        io::Error::new(io::ErrorKind::UnexpectedEof, why)
    };
    loop {
        match read_line::<Reply>(&mut incoming, MAX_REPLY_BYTES)?.ok_or_else(gone)? {
            Reply::Event(event) => channel.event(event)?,
            Reply::Answer(answer) => return Ok(Ok(answer)),
            Reply::Error(refusal) => return Ok(Err(refusal)),
            Reply::Data(len) if len <= MAX_DATA_BYTES => {
                let mut bytes = vec![0; len];
                incoming.read_exact(&mut bytes)?;
                channel.write(&bytes)?;
            }
            Reply::Data(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn send(to: &mut impl Write, channel: &mut dyn Channel) -> io::Result<()> {
    let mut part = vec![0; MAX_DATA_BYTES];
    loop {
        let len = channel.read(&mut part)?;
        if len == 0 {
            return write_line(to, &Data { data: 0 });
        }
        write_data(to, &part[..len])?;
    }
}
