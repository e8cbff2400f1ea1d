//! `trustnet registry inspect`: what an image is made of.

use std::fmt::Write as _;

use serde_json::json;
use trustnet_registry::admin::{Answer, Inspected, Opening, Operation};

use super::place::{Place, another_version, target};
use super::screen::Screen;
use super::{count, size};
use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::output::{Align, Paint, Table, harmless};

/// Show what an image is made of
#[derive(Debug, clap::Args)]
pub(super) struct InspectArgs {
    /// The image: REPOSITORY[:TAG] or REPOSITORY@DIGEST
    image: String,
}

pub(super) fn main(args: &InspectArgs, place: &Place, globals: &Globals) -> Result<(), CliError> {
    let target = target(&args.image)?;
    let operation = Operation::Inspect { target };
    let answer = place.carry_out(&operation, Opening::default(), &mut Screen::quiet("inspect"))?;
    let Answer::Inspected(found) = answer else { return Err(another_version()) };
    globals.output().either(&json!(found), |paint| render(&found, place, paint))
}

fn render(found: &Inspected, place: &Place, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.bold(&format!("{}@{}", found.repository, found.digest)));
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<10} {value}", format!("{name}:"));
    };
    let tags: Vec<String> = found.tags.iter().map(ToString::to_string).collect();
    line("tags", if tags.is_empty() { "none".to_owned() } else { tags.join(", ") });
    line("type", found.artifact_type.as_ref().unwrap_or(&found.media_type).clone());
    line("size", size(found.bytes));
    if let Some(platform) = &found.platform {
        line("platform", harmless(&platform.to_string()));
    }
    if let Some(created) = &found.created {
        line("created", created.clone());
    }
    if let Some(subject) = &found.subject {
        line("attached to", subject.to_string());
    }
    for missing in &found.missing {
        line("missing", paint.red(&missing.to_string()));
    }
    if !found.images.is_empty() {
        let mut table =
            Table::new(&[("platform", Align::Left), ("size", Align::Right), ("digest", Align::Left)]);
        for image in &found.images {
            let platform =
                image.platform.as_ref().map_or("any".to_owned(), |platform| harmless(&platform.to_string()));
            table.row([platform, size(image.bytes), image.digest.to_string()]);
        }
        text += &table.render(paint);
    }
    if !found.layers.is_empty() {
        let mut table =
            Table::new(&[("layer", Align::Left), ("size", Align::Right), ("digest", Align::Left)]);
        for (number, layer) in found.layers.iter().enumerate() {
            let name = if number == 0 { "config".to_owned() } else { number.to_string() };
            table.row([name, size(layer.bytes), layer.digest.to_string()]);
        }
        text += &table.render(paint);
    }
    if !found.referrers.is_empty() {
        let mut table = Table::new(&[("attached", Align::Left), ("digest", Align::Left)]);
        for referrer in &found.referrers {
            let kind = referrer.artifact_type.clone().unwrap_or_else(|| "unknown".to_owned());
            table.row([kind, referrer.digest.to_string()]);
        }
        text += &table.render(paint);
    }
    let next = match found.images.first() {
        Some(image) => place.command(&format!("inspect {}@{}", found.repository, image.digest)),
        None if found.missing.is_empty() => {
            place.command(&format!("export {}@{} FILE.tar", found.repository, found.digest))
        }
        None => {
            format!("push it again: that brings back {}", count(found.missing.len() as u64, "missing file"))
        }
    };
    text + &paint.dim(&format!("next: {next}"))
}
