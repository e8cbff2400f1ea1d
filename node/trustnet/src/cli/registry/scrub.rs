//! `trustnet registry scrub`: every file is read, and damage is found.

use serde_json::json;
use std::fmt::Write as _;
use trustnet_registry::admin::{Answer, Event, Opening, Operation};

use super::place::{Place, another_version};
use super::screen::Screen;
use super::{count, size};
use crate::cli::error::CliError;
use crate::cli::globals::Globals;

/// Read every file and find damage
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A registry that serves does this by itself, slowly, once a week. Damaged files are taken out of service
and kept in quarantine; the same content pushed again brings them back.
Exit code: 0 nothing is damaged, 5 something is.")]
pub(super) struct ScrubArgs {
    /// Compute every digest, not only the checksums of pieces: slower, and finds what those could not
    #[arg(long)]
    deep: bool,
}

pub(super) fn main(args: &ScrubArgs, place: &Place, globals: &Globals) -> Result<(), CliError> {
    let mut damaged = Vec::new();
    let answer = {
        let mut screen = Screen::new("scrub", |event| {
            if let Event::Damaged { digest } = event {
                damaged.push(digest);
            }
            Ok(())
        });
        place.carry_out(&Operation::Scrub { deep: args.deep }, Opening::default(), &mut screen)?
    };
    let Answer::Scrubbed(report) = answer else { return Err(another_version()) };
    globals.output().either(&json!({ "report": report, "damaged": damaged }), |paint| {
        let mut text = format!("read {}: {}\n", count(report.files, "file"), size(report.bytes));
        for digest in &damaged {
            let _ = writeln!(text, "{} {digest}", paint.red("damaged"));
        }
        if report.missing > 0 {
            let _ =
                writeln!(text, "{} found damaged earlier and not back yet", count(report.missing, "file"));
        }
        if damaged.is_empty() && report.missing == 0 {
            let _ = write!(
                text,
                "{}\n{}",
                paint.green("all sound"),
                paint.dim(&format!("next: {}", place.command("df")))
            );
        }
        text
    })?;
    if damaged.is_empty() && report.missing == 0 {
        return Ok(());
    }
    let all = count(damaged.len() as u64 + report.missing, "file");
    Err(CliError::damaged(format!("{all} damaged and out of service"))
        .next("push the images again that need them: that brings the content back\nand check the disk (dmesg, smartctl)"))
}
