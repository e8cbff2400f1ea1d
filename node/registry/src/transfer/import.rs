//! Archives taken in.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::adopt::{Adoption, Closure};
use super::docker;
use super::gather::{Gathered, archive_error};
use super::{IMAGE_NAME, REF_NAME};
use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::image::{Config, Descriptor, Document, Platform, PlatformChoice};
use crate::name::{Reference, RepoName, Tag};
use crate::store::Store;
use crate::target::{Target, split_image_name};

/// What was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The images, by repository.
    pub images: Vec<ImportedImage>,
    /// Bytes of the archive's files, unpacked.
    pub bytes: u64,
}

/// An image that was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedImage {
    /// Where it stands now.
    pub repository: RepoName,
    /// What it is called there.
    pub tag: Option<Tag>,
    /// Its manifest.
    pub digest: Digest,
}

/// An image on its way, and what it may be called.
struct Candidate {
    names: Vec<(Option<RepoName>, Option<Tag>)>,
    platform: Option<Platform>,
    descriptor: Descriptor,
}

fn invalid(why: impl Into<String>) -> RegistryError {
    RegistryError::ArchiveInvalid(why.into())
}

/// Takes in an archive: an OCI layout as a tar, or what `docker save` writes; either may be packed with gzip. Its images
/// get the name `target`, or the names that it says itself. The last step makes all of them visible, or none.
///
/// # Errors
/// [`RegistryError::ArchiveInvalid`] when something is wrong with the archive, [`RegistryError::ReadOnly`] when an image
/// would stand among the copies of an upstream, and others when the disk fails. Nothing that was there before is changed
/// then.
pub fn import(
    store: &Store,
    from: &mut dyn Read,
    target: Option<&Target>,
    platform: Option<&PlatformChoice>,
) -> Result<Imported> {
    if let Some(Target { reference: Some(Reference::Digest(_)), .. }) = target {
        return Err(RegistryError::BadParameter("an image is imported under a tag, not under a digest"));
    }
    // Before all of it is read, if that much is known already.
    target.map_or(Ok(()), |target| store.check_own(&target.repo))?;
    let mut gathered = gather(store, from)?;
    let bytes = gathered.bytes;
    let mut candidates = match (gathered.index.take().filter(|_| gathered.is_layout), gathered.docker.take())
    {
        (Some(index), _) => of_layout(&index)?,
        (None, Some(list)) => of_docker(store, &mut gathered, &list)?,
        (None, None) => {
            return Err(invalid(
                "it is neither an OCI layout nor a docker archive: it has no index.json and no manifest.json",
            ));
        }
    };
    if let Some(platform) = platform {
        candidates = choose(store, candidates, platform)?;
    }
    let named = name(candidates, target)?;
    let mut adoptions: BTreeMap<RepoName, Adoption> = BTreeMap::new();
    let mut images = Vec::new();
    for (repo, tag, descriptor) in named {
        store.check_own(&repo)?;
        let adoption = adoptions.entry(repo.clone()).or_insert_with(|| Adoption {
            repo: repo.clone(),
            closure: Closure::default(),
            tags: Vec::new(),
        });
        adoption.closure.add(store, &descriptor)?;
        adoption.tags.extend(tag.clone().map(|tag| (tag, descriptor.digest)));
        images.push(ImportedImage { repository: repo, tag, digest: descriptor.digest });
    }
    store.adopt(&adoptions.into_values().collect::<Vec<_>>()).map_err(|error| match error {
        RegistryError::ManifestBlobUnknown(digest) => {
            invalid(format!("it needs {digest}, which is not in it"))
        }
        error => error,
    })?;
    Ok(Imported { images, bytes })
}

fn gather(store: &Store, from: &mut dyn Read) -> Result<Gathered> {
    let mut magic = [0; 6];
    let mut filled = 0;
    while filled < magic.len() {
        match from.read(&mut magic[filled..]).map_err(archive_error)? {
            0 => return Err(invalid("it is empty, or shorter than any archive")),
            read => filled += read,
        }
    }
    let mut whole = Cursor::new(magic).chain(from);
    match magic {
        [0x1f, 0x8b, ..] => Gathered::read(store, &mut MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Err(invalid("it is packed with zstd; unpack it first: zstd -d")),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Err(invalid("it is packed with xz; unpack it first: xz -d")),
        [b'B', b'Z', b'h', ..] => Err(invalid("it is packed with bzip2; unpack it first: bzip2 -d")),
        _ => Gathered::read(store, &mut whole),
    }
}

/// The images that a layout's index names.
fn of_layout(index: &[u8]) -> Result<Vec<Candidate>> {
    let index = Document::read(index).map_err(|error| invalid(format!("index.json: {error}")))?;
    let mut candidates = Vec::new();
    for descriptor in index.manifests.into_iter().flatten() {
        if !descriptor.is_manifest() {
            return Err(invalid(format!(
                "index.json names something of the media type {:?}, which is no image",
                crate::image::shown(&descriptor.media_type)
            )));
        }
        let whole = descriptor.annotation(IMAGE_NAME).and_then(split_image_name);
        let name = whole.map(|(repo, tag)| (Some(repo), tag)).or_else(|| {
            let name = descriptor.annotation(REF_NAME)?;
            match name.parse::<Tag>() {
                Ok(tag) => Some((None, Some(tag))),
                Err(_) => split_image_name(name).map(|(repo, tag)| (Some(repo), tag)),
            }
        });
        let platform = descriptor.platform.clone();
        candidates.push(Candidate { names: name.into_iter().collect(), platform, descriptor });
    }
    Ok(candidates)
}

fn of_docker(store: &Store, gathered: &mut Gathered, list: &[u8]) -> Result<Vec<Candidate>> {
    let images = docker::images(store, gathered, list)?;
    Ok(images
        .into_iter()
        .map(|made| {
            let names = made.names.iter().filter_map(|name| split_image_name(name));
            let names = names.map(|(repo, tag)| (Some(repo), tag)).collect();
            Candidate { names, platform: Some(made.platform), descriptor: made.descriptor }
        })
        .collect())
}

/// Keeps the images for one platform, of indexes as well.
fn choose(store: &Store, candidates: Vec<Candidate>, choice: &PlatformChoice) -> Result<Vec<Candidate>> {
    let mut chosen = Vec::new();
    for mut candidate in candidates {
        if candidate.descriptor.is_index() {
            let Some(descriptor) = store.pick(&candidate.descriptor, choice)? else { continue };
            candidate.descriptor = descriptor;
            chosen.push(candidate);
            continue;
        }
        let platform = match candidate.platform.take() {
            Some(platform) => Some(platform),
            None => store.platform_of(&candidate.descriptor)?,
        };
        if platform.is_some_and(|platform| choice.takes(&platform)) {
            chosen.push(candidate);
        }
    }
    if chosen.is_empty() {
        return Err(invalid(format!("it holds no image for {choice}")));
    }
    Ok(chosen)
}

impl Store {
    /// The image of an index for a platform.
    pub(super) fn pick(&self, index: &Descriptor, choice: &PlatformChoice) -> Result<Option<Descriptor>> {
        let document = Document::read(&self.read_document(&index.digest)?)?;
        let mut images = document.manifests.into_iter().flatten();
        Ok(images.find(|image| {
            !image.is_index() && image.platform.as_ref().is_some_and(|platform| choice.takes(platform))
        }))
    }

    /// What an image runs on, as its configuration says.
    fn platform_of(&self, image: &Descriptor) -> Result<Option<Platform>> {
        let document = Document::read(&self.read_document(&image.digest)?)?;
        let Some(config) = document.config else { return Ok(None) };
        let config = serde_json::from_slice::<Config>(&self.read_document(&config.digest)?);
        Ok(config.ok().map(|config| config.platform))
    }
}

/// Says where each image is to stand, and under which tag.
fn name(
    candidates: Vec<Candidate>,
    target: Option<&Target>,
) -> Result<Vec<(RepoName, Option<Tag>, Descriptor)>> {
    let is_only = candidates.len() == 1;
    if candidates.is_empty() {
        return Err(invalid("it holds no image"));
    }
    let first_repo =
        candidates.iter().flat_map(|candidate| &candidate.names).find_map(|(repo, _)| repo.clone());
    let Some(repo) = target.map(|target| target.repo.clone()).or(first_repo) else {
        return Err(invalid("it does not say what its image is called; add --as REPOSITORY:TAG"));
    };
    if !is_only && target.is_some_and(|target| target.reference.is_some()) {
        let count = candidates.len();
        return Err(invalid(format!(
            "it holds {count} images, which cannot all have one tag; add --as REPOSITORY, or choose one by --platform"
        )));
    }
    let latest = || "latest".parse::<Tag>().ok();
    let mut named = Vec::new();
    for Candidate { names, descriptor, .. } in candidates {
        if let Some(target) = target {
            let own = names.first().and_then(|(_, tag)| tag.clone());
            let tag = target.tag().cloned().or(own).or_else(|| latest().filter(|_| is_only));
            named.push((repo.clone(), tag, descriptor));
        } else if names.is_empty() {
            // Attached to another one, most likely: it is found by its digest.
            named.push((repo.clone(), None, descriptor));
        } else {
            for (own, tag) in names {
                named.push((own.unwrap_or_else(|| repo.clone()), tag.or_else(latest), descriptor.clone()));
            }
        }
    }
    Ok(named)
}
