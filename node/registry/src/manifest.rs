//! What the registry has to know of a manifest: its kind, what it refers to, what it is attached to. Everything else
//! in it is the client's, and is stored byte for byte.

use std::io::{BufReader, Read};

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::files::FileHandle;
use crate::limits::{MAX_MEDIA_TYPE_BYTES, MAX_REFERENCES};

/// Media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of Docker's manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of Docker's list of manifests.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Layers of these types may be had elsewhere only, and need not be pushed.
const LAYERS_FROM_ELSEWHERE: [&str; 2] =
    ["application/vnd.oci.image.layer.nondistributable.", "application/vnd.docker.image.rootfs.foreign."];

/// How much of a manifest's file is read at once, in bytes.
const READ_BUFFER_BYTES: usize = 32 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    #[serde(deserialize_with = "digest")]
    digest: Digest,
    size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u64,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
}

/// Read apart, and only of a manifest that will be listed: annotations may be as long as the manifest.
#[derive(Deserialize)]
struct Annotated {
    annotations: Option<Box<RawValue>>,
}

fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// Something that a manifest refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needed {
    pub(crate) digest: Digest,
    /// Length, in bytes, as the manifest says.
    pub(crate) size: u64,
    /// Whether it may be missing.
    pub(crate) optional: bool,
}

/// A manifest, as far as the registry reads it.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) needed: Vec<Needed>,
    pub(crate) subject: Option<Digest>,
    artifact_type: Option<String>,
    annotations: Option<Box<RawValue>>,
}

/// How a manifest shows in the list of referrers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Referrer<'a> {
    media_type: &'a str,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a RawValue>,
}

/// Reads a file from its start.
struct FromStart<'a> {
    file: &'a dyn FileHandle,
    offset: u64,
    len: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let part = buf.len().min(usize::try_from(self.len - self.offset).unwrap_or(usize::MAX));
        self.file.read_at(&mut buf[..part], self.offset)?;
        self.offset += part as u64;
        Ok(part)
    }
}

fn invalid(why: impl Into<String>) -> RegistryError {
    RegistryError::ManifestInvalid(why.into())
}

/// Accepts a map of texts and keeps nothing of it.
struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, Text>()?.is_some() {}
        Ok(())
    }
}

/// A text of which nothing is kept.
struct Text;

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyText;
        impl Visitor<'_> for AnyText {
            type Value = Text;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E>(self, _: &str) -> Result<Text, E> {
                Ok(Text)
            }
        }
        deserializer.deserialize_str(AnyText)
    }
}

/// Whether a text can be a media type: it goes into headers and journals.
pub(crate) fn is_media_type(text: &str) -> bool {
    text.len() <= MAX_MEDIA_TYPE_BYTES
        && text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/!#$&-^_.+".contains(&byte))
}

impl Manifest {
    /// Reads a manifest of `len` bytes that the client called `content_type`, without its parameters.
    pub(crate) fn read(file: &dyn FileHandle, len: u64, content_type: Option<&str>) -> Result<Self> {
        let from_start = || BufReader::with_capacity(READ_BUFFER_BYTES, FromStart { file, offset: 0, len });
        let document: Document = serde_json::from_reader(from_start()).map_err(|e| invalid(e.to_string()))?;
        if document.schema_version != 2 {
            return Err(invalid("its schemaVersion is not 2"));
        }
        let media_type = match (content_type, &document.media_type) {
            (Some(said), Some(inside)) if said != inside => {
                return Err(invalid(format!(
                    "its mediaType {inside:?} is not the request's Content-Type {said:?}"
                )));
            }
            (Some(said), _) => said.to_owned(),
            (None, Some(inside)) => inside.clone(),
            (None, None) => return Err(invalid("neither the request nor the manifest says its media type")),
        };
        let is_index = match media_type.as_str() {
            OCI_MANIFEST | DOCKER_MANIFEST => false,
            OCI_INDEX | DOCKER_LIST => true,
            other => {
                return Err(invalid(format!("media type {other:?} is not one that this registry takes")));
            }
        };
        // A document that can be read as both kinds would mean different things to different clients.
        let (needed, config_type) = match (is_index, document.config, document.layers, document.manifests) {
            (false, Some(config), layers, None) => {
                let needed = Needed::by_image(&config, &layers.unwrap_or_default());
                (needed, Some(config.media_type))
            }
            (true, None, None, Some(manifests)) => (manifests.iter().map(Needed::always).collect(), None),
            (false, None, ..) => return Err(invalid("it has no config")),
            (false, ..) => return Err(invalid("it is an image manifest and has a list of manifests")),
            (true, _, _, None) => return Err(invalid("it has no list of manifests")),
            (true, ..) => return Err(invalid("it is an index and has a config or layers")),
        };
        if needed.len() > MAX_REFERENCES {
            return Err(invalid(format!("it refers to more than {MAX_REFERENCES} others")));
        }
        let subject = document.subject.map(|subject| subject.digest);
        let annotations = if subject.is_some() {
            let document: Annotated =
                serde_json::from_reader(from_start()).map_err(|e| invalid(e.to_string()))?;
            document.annotations
        } else {
            None
        };
        if let Some(annotations) = &annotations {
            let mut text = serde_json::Deserializer::from_str(annotations.get());
            text.deserialize_map(Texts).map_err(|e| invalid(format!("annotations: {e}")))?;
        }
        let artifact_type = document.artifact_type.filter(|kind| !kind.is_empty()).or(config_type);
        Ok(Self { media_type, needed, subject, artifact_type, annotations })
    }

    /// What filters of the list of referrers look at. An image manifest that says none has its configuration's type.
    pub(crate) fn artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref()
    }

    /// How the manifest, whose digest and length in bytes are given, shows in the list of referrers.
    pub(crate) fn as_referrer(&self, digest: &Digest, size: u64) -> Result<String> {
        let referrer = Referrer {
            media_type: &self.media_type,
            digest: digest.to_string(),
            size,
            artifact_type: self.artifact_type(),
            annotations: self.annotations.as_deref(),
        };
        serde_json::to_string(&referrer).map_err(|e| invalid(e.to_string()))
    }
}

impl Needed {
    fn always(descriptor: &Descriptor) -> Self {
        Self { digest: descriptor.digest, size: descriptor.size, optional: false }
    }

    fn by_image(config: &Descriptor, layers: &[Descriptor]) -> Vec<Self> {
        let layers = layers.iter().map(|layer| {
            let optional = LAYERS_FROM_ELSEWHERE.iter().any(|kind| layer.media_type.starts_with(kind));
            Self { optional, ..Self::always(layer) }
        });
        std::iter::once(Self::always(config)).chain(layers).collect()
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
