//! Images as people and archives see them: more of a manifest than the registry itself needs, read one at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{RegistryError, Result};
use crate::limits::{MAX_MANIFEST_BYTES, MAX_MEDIA_TYPE_BYTES, MAX_REFERENCES};
use crate::manifest::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::store::Store;

/// Longest part of a platform's name, in bytes.
const MAX_PLATFORM_BYTES: usize = 64;

/// What an image runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Operating system.
    #[serde(default)]
    pub os: String,
    /// Processor.
    #[serde(default)]
    pub architecture: String,
    /// Kind of processor.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// Why a text names no platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a platform is written as os/architecture or os/architecture/variant, such as linux/arm64")]
pub struct NoPlatform;

/// Which image of an index is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlatformChoice(Platform);

impl PlatformChoice {
    /// Whether an image for `platform` will do. Without a variant any will.
    pub fn takes(&self, platform: &Platform) -> bool {
        let wanted = &self.0;
        wanted.os == platform.os
            && wanted.architecture == platform.architecture
            && (wanted.variant.is_empty() || wanted.variant == platform.variant)
    }
}

impl FromStr for PlatformChoice {
    type Err = NoPlatform;

    fn from_str(text: &str) -> std::result::Result<Self, NoPlatform> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &&str| {
            !part.is_empty()
                && part.len() <= MAX_PLATFORM_BYTES
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        match parts.as_slice() {
            [os, architecture, rest @ ..] if rest.len() <= 1 && parts.iter().all(is_word) => {
                let variant = rest.first().copied().unwrap_or_default().to_owned();
                let (os, architecture) = ((*os).to_owned(), (*architecture).to_owned());
                Ok(Self(Platform { os, architecture, variant }))
            }
            _ => Err(NoPlatform),
        }
    }
}

impl TryFrom<String> for PlatformChoice {
    type Error = NoPlatform;

    fn try_from(text: String) -> std::result::Result<Self, NoPlatform> {
        text.parse()
    }
}

impl From<PlatformChoice> for String {
    fn from(choice: PlatformChoice) -> Self {
        choice.0.to_string()
    }
}

impl fmt::Display for PlatformChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a manifest says of something that it refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    /// Something without a platform or annotations.
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let media_type = media_type.to_owned();
        Self { media_type, digest, size, artifact_type: None, platform: None, annotations: None }
    }

    /// Whether it is a manifest of a kind that the registry takes.
    pub(crate) fn is_manifest(&self) -> bool {
        [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].contains(&self.media_type.as_str())
    }

    /// Whether it is a list of manifests.
    pub(crate) fn is_index(&self) -> bool {
        is_index(&self.media_type)
    }

    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }
}

/// Whether a media type is one of a list of manifests.
pub(crate) fn is_index(media_type: &str) -> bool {
    media_type == OCI_INDEX || media_type == DOCKER_LIST
}

/// A manifest, an index, or the `index.json` of a layout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    pub(crate) schema_version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) layers: Option<Vec<Descriptor>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifests: Option<Vec<Descriptor>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Descriptor>,
}

impl Document {
    pub(crate) fn read(text: &[u8]) -> Result<Self> {
        let document: Self = serde_json::from_slice(text)
            .map_err(|error| RegistryError::ManifestInvalid(error.to_string()))?;
        let count =
            document.layers.as_ref().map_or(0, Vec::len) + document.manifests.as_ref().map_or(0, Vec::len);
        if count > MAX_REFERENCES {
            let why = format!("it refers to more than {MAX_REFERENCES} others");
            return Err(RegistryError::ManifestInvalid(why));
        }
        Ok(document)
    }
}

/// What an image's configuration says to people, and to those who read its layers.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Config {
    #[serde(flatten)]
    pub(crate) platform: Platform,
    pub(crate) created: Option<String>,
    #[serde(default)]
    pub(crate) rootfs: RootFs,
}

/// The layers of an image, unpacked.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct RootFs {
    #[serde(default)]
    pub(crate) diff_ids: Vec<Digest>,
}

/// A text from outside, short enough to be shown.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(MAX_MEDIA_TYPE_BYTES).map(|c| if c.is_control() { '?' } else { c }).collect()
}

impl Store {
    /// Reads a short document that is in service: a manifest or a configuration.
    pub(crate) fn read_document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let len = self.meta.read(|view| crate::meta::blobs::size(view, digest))?;
        let len = len.ok_or(RegistryError::BlobUnknown(*digest))?;
        if len > MAX_MANIFEST_BYTES {
            return Err(RegistryError::ManifestTooLarge);
        }
        let (file, len) = self.open_content(digest, len)?.ok_or(RegistryError::BlobUnknown(*digest))?;
        let mut text = vec![0; len as usize];
        file.read_at(&mut text, 0).map_err(|e| RegistryError::io("read", &digest.to_string(), e))?;
        Ok(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_chosen_by_what_was_named() {
        let any: PlatformChoice = "linux/arm".parse().unwrap();
        let v7: PlatformChoice = "linux/arm/v7".parse().unwrap();
        let platform = |variant: &str| Platform {
            os: "linux".to_owned(),
            architecture: "arm".to_owned(),
            variant: variant.to_owned(),
        };
        assert!(any.takes(&platform("v6")) && v7.takes(&platform("v7")) && !v7.takes(&platform("v6")));
        assert_eq!(v7.to_string(), "linux/arm/v7");
        for bad in ["", "linux", "linux/", "/arm", "a/b/c/d", "a b/c", "linux/\u{e4}"] {
            assert_eq!(bad.parse::<PlatformChoice>(), Err(NoPlatform), "{bad}");
        }
    }

    #[test]
    fn a_document_that_refers_to_too_much_is_refused() {
        let one = r#"{"mediaType":"a/b","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}"#;
        let text =
            |count: usize| format!(r#"{{"schemaVersion":2,"layers":[{}]}}"#, vec![one; count].join(","));
        assert!(Document::read(text(2).as_bytes()).is_ok());
        assert!(Document::read(text(MAX_REFERENCES + 1).as_bytes()).is_err());
        assert!(Document::read(b"[]").is_err());
    }
}
