//! `trustnet registry rm`: a tag, an image, a repository goes.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use serde_json::json;
use trustnet_registry::admin::{Answer, Heed, Opening, Operation, Removal};
use trustnet_registry::{Tag, Target};

use super::place::{Place, another_version, target};
use super::screen::Screen;
use super::{count, size};
use crate::cli::error::CliError;
use crate::cli::globals::Globals;

/// Most tags that are named in a sentence.
const MAX_NAMED: usize = 5;

/// Remove a tag, an image, or a whole repository
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A tag takes its image with it, unless another tag or an index leads to that image. What is attached to
an image goes with it. The room comes back with the next collections: see `trustnet registry gc`.
What registry.toml says is immutable stays, and what that needs, unless --force is given.")]
pub(super) struct RemoveArgs {
    /// What goes: REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST
    target: String,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Only say what would go
    #[arg(long)]
    dry_run: bool,

    /// Remove also what is immutable by registry.toml, even if that file is wrong
    #[arg(long)]
    force: bool,
}

pub(super) fn main(args: &RemoveArgs, place: &Place, globals: &Globals) -> Result<(), CliError> {
    let target = target(&args.target)?;
    if !args.yes {
        let removal = args.carry_out(place, &target, true)?;
        if args.dry_run {
            return globals.output().either(&json!({ "dry_run": true, "removal": removal }), |_| {
                format!("would remove {}", told(&removal))
            });
        }
        ask(&target, &removal, place, globals)?;
    }
    let removal = args.carry_out(place, &target, args.dry_run)?;
    globals.output().either(&json!({ "dry_run": args.dry_run, "removal": removal }), |paint| {
        let verb = if args.dry_run { "would remove" } else { "removed" };
        let next = paint.dim(&format!("next: {}", place.command("gc")));
        format!("{verb} {}\n{next}", told(&removal))
    })
}

impl RemoveArgs {
    fn carry_out(&self, place: &Place, target: &Target, dry_run: bool) -> Result<Removal, CliError> {
        let operation = Operation::Remove { target: target.clone(), dry_run, force: self.force };
        let heed = if self.force { Heed::IfRight } else { Heed::Yes };
        let opening = Opening { heed, ..Opening::default() };
        match place.carry_out(&operation, opening, &mut Screen::quiet("rm"))? {
            Answer::Removed(removal) => Ok(removal),
            _ => Err(another_version()),
        }
    }
}

/// What goes, in a sentence.
fn told(removal: &Removal) -> String {
    let Removal { tags, names, manifests, files, bytes, immutable } = removal;
    let list = |tags: &[Tag]| tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut text = count(*tags, "tag");
    if !names.is_empty() && names.len() as u64 == *tags && names.len() <= MAX_NAMED {
        let _ = write!(text, " ({})", list(names));
    }
    let _ = write!(text, " and {}", count(*manifests, "manifest"));
    if !immutable.is_empty() {
        let more = if immutable.len() > MAX_NAMED { " and others" } else { "" };
        let _ = write!(
            text,
            "; by force, though immutable: {}{more}",
            list(&immutable[..immutable.len().min(MAX_NAMED)])
        );
    }
    if *files == 0 {
        text + "; nothing is freed, since all of its content is needed elsewhere"
    } else {
        text + &format!("; {} in {} will be freed", size(*bytes), count(*files, "file"))
    }
}

fn ask(target: &Target, removal: &Removal, place: &Place, globals: &Globals) -> Result<(), CliError> {
    let stdin = io::stdin();
    if globals.json || !stdin.is_terminal() {
        return Err(CliError::usage(format!("to remove {target} takes a yes, and this is no terminal"))
            .next(place.command(&format!("rm {target} --yes"))));
    }
    eprint!("Remove {target}: {}? [y/N] ", told(removal));
    // A prompt that cannot be shown is answered by nothing, which is no yes.
    let _ = io::stderr().flush();
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(CliError::failed(format!("not confirmed: {target} stays")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_says_what_is_freed() {
        let v1 = || vec!["v1".parse().unwrap()];
        let mut removal =
            Removal { tags: 1, names: v1(), manifests: 1, files: 3, bytes: 2_500_000, immutable: Vec::new() };
        assert_eq!(told(&removal), "1 tag (v1) and 1 manifest; 2.5 MB in 3 files will be freed");
        removal.immutable = v1();
        assert!(told(&removal).contains("1 manifest; by force, though immutable: v1; 2.5 MB"));
        (removal.manifests, removal.files, removal.bytes) = (0, 0, 0);
        assert!(told(&removal).contains("nothing is freed"));
    }
}
