//! What stands beside an image: compressed copy, hashes, map of blocks, list of what is in it, entry for Raspberry Pi Imager.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::base::Part;
use crate::cache::sha256_hex;
use crate::crates::Crate;
use crate::extent::{BLOCK_BYTES, extent};

/// Level of the compression. Above it gains little and takes long.
const ZSTD_LEVEL: i32 = 15;

/// The image, compressed with zstd. Two workers whatever the machine has: their number decides the bytes.
///
/// # Errors
/// Does not fail but for memory.
pub fn compress(image: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.multithread(2)?;
    encoder.include_contentsize(true)?;
    encoder.set_pledged_src_size(Some(image.len() as u64))?;
    encoder.long_distance_matching(true)?;
    encoder.write_all(image)?;
    encoder.finish()
}

/// The map of blocks, in the format of bmaptool (version 2.0): what lies behind the image's end is left out.
#[must_use]
pub fn block_map(image: &[u8]) -> String {
    let end = extent(image);
    let mapped = end.div_ceil(BLOCK_BYTES);
    let range = if mapped > 1 { format!("0-{}", mapped - 1) } else { "0".to_owned() };
    let data = sha256_hex(&image[..end]);
    let text = |sum: &str| {
        format!(
            "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n  <ImageSize> {} </ImageSize>\n  <BlockSize> {BLOCK_BYTES} </BlockSize>\n  \
             <BlocksCount> {} </BlocksCount>\n  <MappedBlocksCount> {mapped} </MappedBlocksCount>\n  \
             <ChecksumType> sha256 </ChecksumType>\n  <BmapFileChecksum> {sum} </BmapFileChecksum>\n  <BlockMap>\n    <Range chksum=\"{data}\"> {range} </Range>\n  </BlockMap>\n</bmap>\n",
            image.len(),
            image.len().div_ceil(BLOCK_BYTES),
        )
    };
    // The file's own sum is over the file with zeros in its place.
    let sum = sha256_hex(text(&"0".repeat(64)).as_bytes());
    text(&sum)
}

/// Everything that is in the image, as `CycloneDX` 1.5: packages and crates with their licences. Where the crates are not
/// known the list says of itself that it is incomplete.
#[must_use]
pub fn sbom(version: &str, parts: &[Part], crates: Option<&[Crate]>) -> Value {
    let packages = parts.iter().map(|part| {
        let Part { kind, name, version, purl, sha256, licence } = part;
        let mut component = json!({ "type": kind, "name": name, "version": version, "purl": purl });
        if let Some(sha256) = sha256 {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": sha256 }]);
        }
        // Not `expression`: packagers have names of their own beside SPDX's.
        if let Some(licence) = licence {
            component["licenses"] = json!([{ "license": { "name": licence } }]);
        }
        component
    });
    let short = crates.is_none();
    let crates = crates.unwrap_or_default().iter().map(|Crate { name, version, licence }| {
        json!({
            "type": "library",
            "name": name,
            "version": version,
            "purl": format!("pkg:cargo/{name}@{version}"),
            "licenses": [{ "expression": licence }],
        })
    });
    let image = "trustnet-image";
    let mut list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": { "bom-ref": image, "type": "operating-system", "name": image, "version": version }
        },
        "components": packages.chain(crates).collect::<Vec<_>>(),
    });
    if short {
        list["compositions"] = json!([{ "aggregate": "incomplete", "assemblies": [image] }]);
    }
    list
}

/// The entry with which Raspberry Pi Imager lists the image.
#[must_use]
pub fn imager_entry(version: &str, file: &str, image: &[u8], compressed: &[u8]) -> Value {
    json!({
        "os_list": [{
            "name": format!("TrustNet {version}"),
            "description": "A node of a network in which nobody has to be believed",
            "icon": "",
            "url": file,
            "extract_size": image.len(),
            "extract_sha256": sha256_hex(image),
            "image_download_size": compressed.len(),
            "image_download_sha256": sha256_hex(compressed),
            "release_date": "",
            "devices": ["pi3-64bit", "pi4-64bit", "pi5-64bit"],
            "init_format": "none",
        }]
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn image() -> Vec<u8> {
        let mut image = vec![0; 20 * BLOCK_BYTES];
        image[0] = 1;
        image[5 * BLOCK_BYTES..7 * BLOCK_BYTES].fill(7);
        image
    }

    #[test]
    fn the_map_is_one_range_that_leaves_out_no_zeros_but_those_at_the_end() {
        let map = block_map(&image());
        assert!(map.contains("<MappedBlocksCount> 7 </MappedBlocksCount>"), "{map}");
        let data = sha256_hex(&image()[..7 * BLOCK_BYTES]);
        assert!(map.contains(&format!("<Range chksum=\"{data}\"> 0-6 </Range>")), "{map}");
        assert_eq!(map.matches("<Range").count(), 1);
        let sum = map.split("<BmapFileChecksum> ").nth(1).unwrap()[..64].to_owned();
        assert_eq!(sha256_hex(map.replace(&sum, &"0".repeat(64)).as_bytes()), sum);
    }

    #[test]
    fn a_compressed_image_reads_back_and_is_the_same_every_time() {
        let packed = compress(&image()).unwrap();
        assert_eq!(zstd::decode_all(packed.as_slice()).unwrap(), image());
        assert_eq!(compress(&image()).unwrap(), packed);
    }

    #[test]
    fn the_list_names_packages_and_crates() {
        let part = Part {
            kind: "firmware",
            name: "raspi-firmware".into(),
            version: "1+ds".into(),
            purl: "pkg:deb/debian/raspi-firmware@1%2Bds".into(),
            sha256: Some("ab".into()),
            licence: Some("GPL-2+".into()),
        };
        let bare = Part { sha256: None, licence: None, ..part.clone() };
        let redb = Crate { name: "redb".into(), version: "4.4.0".into(), licence: "MIT".into() };
        let list = sbom("0.1.0", &[part.clone(), bare], Some(&[redb]));
        assert_eq!(list["components"][0]["type"], "firmware");
        assert_eq!(list["components"][0]["licenses"][0]["license"]["name"], "GPL-2+");
        assert!(list["components"][1].get("licenses").is_none());
        assert_eq!(list["components"][2]["licenses"][0]["expression"], "MIT");
        assert!(list.get("compositions").is_none());
        assert_eq!(sbom("0.1.0", &[part], None)["compositions"][0]["aggregate"], "incomplete");
    }
}
