//! `trustnet registry gc`: the room of what nobody needs comes back.

use serde_json::json;
use trustnet_registry::admin::{Answer, CollectReport, Opening, Operation};

use super::place::{Place, another_version};
use super::screen::Screen;
use super::{count, size, wait};
use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::output::Paint;

/// Give back the room of what nobody needs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A registry that serves collects by itself every hour. What a client was told of in the last hour is
kept, since that client may be about to use it; what goes is kept in quarantine for a day, in case it
was a mistake. On a full disk both can be cut short: stop the registry, then run
`trustnet registry gc --now --purge`.")]
pub(super) struct CollectArgs {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,

    /// Take also what clients were told of in the last hour; the registry must be stopped
    #[arg(long)]
    now: bool,

    /// Empty the quarantine, too
    #[arg(long)]
    purge: bool,
}

pub(super) fn main(args: &CollectArgs, place: &Place, globals: &Globals) -> Result<(), CliError> {
    let operation = Operation::Collect { dry_run: args.dry_run, purge: args.purge };
    let opening = Opening { end_leases: args.now, ..Opening::default() };
    let answer = place.carry_out(&operation, opening, &mut Screen::quiet("gc"))?;
    let Answer::Collected(report) = answer else { return Err(another_version()) };
    let value = json!({ "dry_run": args.dry_run, "report": report });
    globals.output().either(&value, |paint| render(&report, args.dry_run, place, paint))
}

fn render(report: &CollectReport, dry_run: bool, place: &Place, paint: Paint) -> String {
    let mut lines = Vec::new();
    let left = &report.left;
    if dry_run {
        lines.push(format!("would take {} out of service: {}", count(left.files, "file"), size(left.bytes)));
    } else {
        lines.push(format!("took {} out of service: {}", count(report.files, "file"), size(report.bytes)));
        let (files, bytes) = (count(report.purged_files, "file"), size(report.purged_bytes));
        lines.push(format!("removed {files} from quarantine: {bytes} free again"));
        if report.uploads > 0 {
            lines.push(format!("ended {} that rested too long", count(report.uploads, "upload")));
        }
    }
    if left.leased_files > 0 {
        let why =
            if report.is_too_soon { "it is too soon after the start" } else { "a client was told of them" };
        let (files, bytes) = (count(left.leased_files, "file"), size(left.leased_bytes));
        lines.push(format!(
            "{files} ({bytes}) nobody needs and stay up to {} more: {why}",
            wait(left.leased_ms)
        ));
    }
    if left.quarantine_files > 0 {
        let (files, bytes) = (count(left.quarantine_files, "file"), size(left.quarantine_bytes));
        lines.push(format!("{files} ({bytes}) in quarantine, for a day each"));
    }
    let next = if left.leased_files > 0 || left.quarantine_files > 0 {
        format!(
            "next: nothing; the rest goes by itself. On a full disk, stop the registry and: {}",
            place.command("gc --now --purge")
        )
    } else {
        format!("next: {}", place.command("df"))
    };
    lines.push(paint.dim(&next));
    lines.join("\n")
}
