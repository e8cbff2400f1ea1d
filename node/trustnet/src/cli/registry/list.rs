//! `trustnet registry ls`: which repositories and tags there are.

use serde_json::{Value, json};
use trustnet_registry::RepoName;
use trustnet_registry::admin::{Event, Opening, Operation, RepositorySummary, TagSummary};

use super::place::Place;
use super::screen::Screen;
use super::size;
use crate::cli::error::CliError;
use crate::cli::format::short;
use crate::cli::globals::Globals;
use crate::output::{Align, Paint, Table};

/// Name the repositories, or the tags of one
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// The repository whose tags are wanted
    repository: Option<String>,
}

pub(super) fn main(args: &ListArgs, place: &Place, globals: &Globals) -> Result<(), CliError> {
    let repo = match &args.repository {
        Some(name) => {
            Some(name.parse::<RepoName>().map_err(|error| CliError::usage(format!("`{name}`: {error}")))?)
        }
        None => None,
    };
    let (mut repositories, mut tags) = (Vec::new(), Vec::new());
    {
        let mut screen = Screen::new("ls", |event| {
            match event {
                Event::Repository(repository) => repositories.push(repository),
                Event::Tag(tag) => tags.push(tag),
                _ => {}
            }
            Ok(())
        });
        place.carry_out(&Operation::List { repo: repo.clone() }, Opening::default(), &mut screen)?;
    }
    match repo {
        None => globals.output().either(&json!({ "repositories": repositories }), |paint| {
            render_repositories(&repositories, place, paint)
        }),
        Some(repo) => {
            let value: Value = json!({ "repository": repo, "tags": tags });
            globals.output().either(&value, |paint| render_tags(&repo, &tags, place, paint))
        }
    }
}

fn render_repositories(repositories: &[RepositorySummary], place: &Place, paint: Paint) -> String {
    let Some(first) = repositories.first() else {
        return format!("No images yet.\n{}", paint.dim(&format!("next: {}", place.command("import FILE"))));
    };
    let columns = [
        ("repository", Align::Left),
        ("tags", Align::Right),
        ("manifests", Align::Right),
        ("size", Align::Right),
    ];
    let mut table = Table::new(&columns);
    for repository in repositories {
        let RepositorySummary { name, tags, manifests, bytes } = repository;
        table.row([name.to_string(), tags.to_string(), manifests.to_string(), size(*bytes)]);
    }
    let next = format!("next: {}", place.command(&format!("ls {}", first.name)));
    table.render(paint) + &paint.dim(&next)
}

fn render_tags(repo: &RepoName, tags: &[TagSummary], place: &Place, paint: Paint) -> String {
    let Some(first) = tags.first() else {
        return format!("{repo} has no tags; what it holds was pushed by digest.");
    };
    let mut table = Table::new(&[
        ("tag", Align::Left),
        ("digest", Align::Left),
        ("kind", Align::Left),
        ("size", Align::Right),
        ("", Align::Left),
    ]);
    for tag in tags {
        let digest = tag.digest.to_string();
        let digest =
            digest.split_once(':').map_or(digest.clone(), |(kind, hex)| format!("{kind}:{}", short(hex)));
        let kind = if tag.media_type.ends_with("index.v1+json") || tag.media_type.contains("list") {
            "index"
        } else {
            "image"
        };
        let note = if tag.is_whole { String::new() } else { paint.red("damaged") };
        table.row([tag.tag.to_string(), digest, kind.to_owned(), size(tag.bytes), note]);
    }
    let next = format!("next: {}", place.command(&format!("inspect {repo}:{}", first.tag)));
    table.render(paint) + &paint.dim(&next)
}
