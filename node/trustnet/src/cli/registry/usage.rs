//! `trustnet registry df`: what takes how much of the disk.

use serde_json::json;
use std::fmt::Write as _;
use trustnet_registry::admin::{Answer, Event, Opening, Operation, RepositoryUsage, Usage};

use super::place::{Place, another_version};
use super::screen::Screen;
use super::{count, size};
use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::output::{Align, Paint, Table};

pub(super) fn main(place: &Place, globals: &Globals) -> Result<(), CliError> {
    let mut repositories = Vec::new();
    let answer = {
        let mut screen = Screen::new("df", |event| {
            if let Event::Usage(usage) = event {
                repositories.push(usage);
            }
            Ok(())
        });
        place.carry_out(&Operation::Usage, Opening::default(), &mut screen)?
    };
    let Answer::Usage(usage) = answer else { return Err(another_version()) };
    repositories.sort_by_key(|repository| std::cmp::Reverse(repository.own_bytes));
    globals.output().either(&json!({ "repositories": repositories, "total": usage }), |paint| {
        render(&repositories, &usage, place, paint)
    })
}

fn render(repositories: &[RepositoryUsage], usage: &Usage, place: &Place, paint: Paint) -> String {
    let mut text = String::new();
    if !repositories.is_empty() {
        let mut table = Table::new(&[
            ("repository", Align::Left),
            ("size", Align::Right),
            ("of that its own", Align::Right),
        ]);
        for RepositoryUsage { name, bytes, own_bytes } in repositories {
            table.row([name.to_string(), size(*bytes), size(*own_bytes)]);
        }
        text += &table.render(paint);
    }
    let mut table = Table::new(&[("", Align::Left), ("size", Align::Right), ("", Align::Left)]);
    let mut row = |name: &str, bytes: u64, note: String| table.row([name.to_owned(), size(bytes), note]);
    row("content", usage.bytes, count(usage.files, "file"));
    row("shared by repositories", usage.shared_bytes, String::new());
    row("held by none", usage.unheld_bytes, "goes by itself".to_owned());
    row("quarantine", usage.quarantine_bytes, count(usage.quarantine_files, "file"));
    row("unfinished uploads", usage.upload_bytes, count(usage.uploads, "upload"));
    row("metadata", usage.metadata_bytes, String::new());
    row("access log", usage.log_bytes, String::new());
    if let (Some(free), Some(disk)) = (usage.free_bytes, usage.disk_bytes) {
        row("free on the disk", free, format!("of {}", size(disk)));
    }
    text += &table.render(paint);
    if usage.damaged > 0 {
        let _ = writeln!(
            text,
            "{}",
            paint.red(&format!("{} damaged and out of service", count(usage.damaged, "file")))
        );
    }
    let next = if usage.damaged > 0 { "scrub" } else { "gc --dry-run" };
    text + &paint.dim(&format!("next: {}", place.command(next)))
}
