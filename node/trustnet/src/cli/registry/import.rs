//! `trustnet registry import`: an archive is taken in.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use serde_json::json;
use trustnet_registry::admin::{Answer, Heed, Opening, Operation};
use trustnet_registry::transfer::{FolderTar, PlatformChoice};

use super::place::{Place, another_version, target};
use super::screen::Screen;
use super::{count, size};
use crate::cli::error::CliError;
use crate::cli::globals::Globals;

/// Take in an OCI layout or a docker archive
#[derive(Debug, clap::Args)]
#[command(after_help = "\
PATH is the folder of an OCI layout, the same as a tar, or what `docker save` or `podman save` writes;
tars may be packed with gzip; - reads standard input. Everything is checked against its digest, and
nothing is visible before all of it is there. To import the same again changes nothing. Below the
prefix of an [[upstream]] are copies of another registry; nothing is imported there.")]
pub(super) struct ImportArgs {
    /// The archive, or - for standard input
    path: PathBuf,

    /// What the image is to be called [default: as the archive says]
    #[arg(long = "as", value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,

    /// Take one platform of an image for several, such as linux/arm64
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<PlatformChoice>,
}

pub(super) fn main(args: &ImportArgs, place: &Place, globals: &Globals) -> Result<(), CliError> {
    let target = args.name.as_deref().map(target).transpose()?;
    let (from, total) = open(&args.path)
        .map_err(|error| CliError::failed(format!("cannot read {}: {error}", args.path.display())))?;
    let mut screen = Screen::quiet("import").reading(from, total);
    let operation = Operation::Import { target, platform: args.platform.clone() };
    let opening = Opening { create: true, heed: Heed::Yes, ..Opening::default() };
    let answer = place.carry_out(&operation, opening, &mut screen)?;
    let Answer::Imported(imported) = answer else { return Err(another_version()) };
    globals.output().either(&json!(imported), |paint| {
        let mut text = String::new();
        for image in &imported.images {
            let tag = image.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
            let _ = writeln!(text, "{}{tag} {}", image.repository, paint.dim(&image.digest.to_string()));
        }
        let images = count(imported.images.len() as u64, "image");
        let _ = writeln!(text, "imported {images}, {}", size(imported.bytes));
        match imported.images.first() {
            Some(first) => {
                text + &paint.dim(&format!("next: {}", place.command(&format!("ls {}", first.repository))))
            }
            None => text,
        }
    })
}

fn open(path: &std::path::Path) -> io::Result<(Box<dyn Read>, u64)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(io::stdin().lock()), 0));
    }
    if path.is_dir() {
        let folder = FolderTar::open(path)?;
        let total = folder.total_bytes();
        return Ok((Box::new(folder), total));
    }
    let file = File::open(path)?;
    let total = file.metadata()?.len();
    Ok((Box::new(file), total))
}
