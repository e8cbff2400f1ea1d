//! `trustnet registry rebuild`: the metadata made again.

use serde_json::json;
use std::fmt::Write as _;
use trustnet_registry::admin::Administration;

use super::count;
use super::place::Place;
use crate::cli::error::CliError;
use crate::cli::globals::Globals;

pub(super) fn main(place: &Place, globals: &Globals) -> Result<(), CliError> {
    let rebuilt = Administration::rebuild(&place.dir).map_err(|error| place.refusal(&error))?;
    let value = json!({
        "repositories": rebuilt.repositories, "files": rebuilt.files, "manifests": rebuilt.manifests,
        "tags": rebuilt.tags, "bad_lines": rebuilt.bad_lines, "lost": rebuilt.lost,
    });
    globals.output().either(&value, |paint| {
        let mut text = format!(
            "made the metadata again: {}, {}, {}\n",
            if rebuilt.repositories == 1 {
                "1 repository".to_owned()
            } else {
                format!("{} repositories", rebuilt.repositories)
            },
            count(rebuilt.manifests, "manifest"),
            count(rebuilt.tags, "tag")
        );
        if rebuilt.bad_lines > 0 {
            let _ = writeln!(text, "{} of journals could not be read", count(rebuilt.bad_lines, "line"));
        }
        for lost in &rebuilt.lost {
            let _ = writeln!(text, "{} {lost}", paint.red("lost"));
        }
        text + &paint.dim(&format!("next: {}", place.command("ls")))
    })?;
    if rebuilt.lost.is_empty() {
        return Ok(());
    }
    Err(CliError::damaged(format!("{} lost", count(rebuilt.lost.len() as u64, "thing")))
        .next("push the images again that are named above"))
}
