//! `trustnet registry export`: an image as a file or folder.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::thread;

use clap::ValueEnum;
use serde_json::json;
use trustnet_registry::admin::{Answer, Opening, Operation};
use trustnet_registry::transfer::{ExportFormat, PlatformChoice, unpack};

use super::place::{Place, another_version, target};
use super::screen::Screen;
use super::{count, size};
use crate::cli::error::CliError;
use crate::cli::globals::Globals;

/// Give an image out as a file or folder
#[derive(Debug, clap::Args)]
#[command(after_help = "\
PATH that ends in .tar becomes a tar archive, another one a folder, - is standard output. The same
image gives the same bytes. `docker load` and `podman load` read what --format docker writes.")]
pub(super) struct ExportArgs {
    /// The image: REPOSITORY[:TAG] or REPOSITORY@DIGEST
    image: String,

    /// Where it goes; must not be there yet
    path: PathBuf,

    /// What kind of archive
    #[arg(long, value_enum, default_value_t = Format::Oci)]
    format: Format,

    /// Give one platform of an image for several, such as linux/arm64
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<PlatformChoice>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// An OCI image layout
    Oci,
    /// The same, for docker load
    Docker,
}

pub(super) fn main(args: &ExportArgs, place: &Place, globals: &Globals) -> Result<(), CliError> {
    let target = target(&args.image)?;
    let format = match args.format {
        Format::Oci => ExportFormat::Oci,
        Format::Docker => ExportFormat::Docker,
    };
    let operation = Operation::Export { target, format, platform: args.platform.clone() };
    let path = args.path.as_path();
    let is_stdout = path.as_os_str() == "-";
    let answer = if is_stdout {
        if io::stdout().is_terminal() {
            return Err(
                CliError::usage("an archive is nothing for a terminal").next("give a path, or redirect")
            );
        }
        to_writer(&operation, place, io::stdout().lock())?
    } else if path.try_exists().unwrap_or(true) {
        return Err(CliError::failed(format!("{} is there already", path.display()))
            .next("choose another path, or remove it"));
    } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar")) {
        to_file(&operation, place, path)?
    } else if args.format == Format::Docker {
        return Err(CliError::usage("a docker archive is a file").next("give a path that ends in .tar"));
    } else {
        to_folder(&operation, place, path)?
    };
    let Answer::Exported(exported) = answer else { return Err(another_version()) };
    if is_stdout {
        return Ok(());
    }
    globals.output().either(&json!({ "path": path, "exported": exported }), |paint| {
        let files = count(exported.files, "file");
        let next = match args.format {
            Format::Docker => format!("docker load -i {}", path.display()),
            Format::Oci => place.command(&format!("import {} --as REPOSITORY:TAG", path.display())),
        };
        format!(
            "wrote {}: {files}, {}\n{}",
            path.display(),
            size(exported.bytes),
            paint.dim(&format!("next: {next}"))
        )
    })
}

fn to_writer(operation: &Operation, place: &Place, to: impl Write) -> Result<Answer, CliError> {
    place.carry_out(operation, Opening::default(), &mut Screen::quiet("export").writing(to))
}

/// A name beside `path` while it is not complete.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    PathBuf::from(name)
}

fn cannot_write(path: &Path) -> impl Fn(io::Error) -> CliError + '_ {
    move |error| CliError::failed(format!("cannot write {}: {error}", path.display()))
}

fn to_file(operation: &Operation, place: &Place, path: &Path) -> Result<Answer, CliError> {
    let partial = partial(path);
    let file = File::create_new(&partial).map_err(cannot_write(path))?;
    let done = to_writer(operation, place, &file)
        .and_then(|answer| file.sync_all().map(|()| answer).map_err(cannot_write(path)))
        .and_then(|answer| fs::rename(&partial, path).map(|()| answer).map_err(cannot_write(path)));
    if done.is_err() {
        // The first error is the one to be told.
        let _ = fs::remove_file(&partial);
    }
    done
}

fn to_folder(operation: &Operation, place: &Place, path: &Path) -> Result<Answer, CliError> {
    let partial = partial(path);
    let (mut from, to) = io::pipe().map_err(cannot_write(path))?;
    let folder = partial.clone();
    let unpacking = thread::spawn(move || unpack(&mut from, &folder));
    let answer = to_writer(operation, place, to);
    let unpacked =
        unpacking.join().unwrap_or_else(|_| Err(io::Error::other("the thread that unpacks ended")));
    // If the registry failed, the archive broke off because of that; if unpacking failed, the pipe did.
    let done = match (answer, unpacked) {
        (_, Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => Err(cannot_write(path)(error)),
        (Err(error), _) => Err(error),
        (Ok(_), Err(error)) => Err(cannot_write(path)(error)),
        (Ok(answer), Ok(())) => fs::rename(&partial, path).map(|()| answer).map_err(cannot_write(path)),
    };
    if done.is_err() {
        let _ = fs::remove_dir_all(&partial);
    }
    done
}
