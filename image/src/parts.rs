//! Debian's packages for the list of what is in an image: their licences are in their `copyright` files (DEP 5).

use std::collections::BTreeSet;

use crate::base::Part;
use crate::lock::Pin;

/// The form of `copyright` files that programs can read; older ones are prose.
const DEP5: &str = "Format:";

/// A package and the text of its `copyright` file, if it has one of its own.
#[must_use]
pub fn debian(pin: &Pin, copyright: Option<&[u8]>) -> Part {
    let Pin { component, name, version, sha256, .. } = pin;
    Part {
        kind: if component == "main" { "application" } else { "firmware" },
        name: name.clone(),
        version: version.clone(),
        purl: format!("pkg:deb/debian/{name}@{}?arch=arm64&distro=trixie", version.replace('+', "%2B")),
        sha256: Some(sha256.clone()),
        licence: copyright.and_then(|text| licences(&String::from_utf8_lossy(text))),
    }
}

/// The licences that a `copyright` file names, in Debian's words; `None` if it is prose.
fn licences(text: &str) -> Option<String> {
    if !text.trim_start().starts_with(DEP5) {
        return None;
    }
    let names = text.lines().filter_map(|line| line.strip_prefix("License:")).map(str::trim);
    let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    // Each is that of some of the files; all together are the package's.
    let names: Vec<String> = names
        .iter()
        .map(|name| if name.contains(' ') { format!("({name})") } else { (*name).to_owned() })
        .collect();
    (!names.is_empty()).then(|| names.join(" and "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pin() -> Pin {
        Pin {
            component: "non-free-firmware".into(),
            name: "raspi-firmware".into(),
            version: "1+ds".into(),
            sha256: "ab".into(),
            bytes: 1,
            path: "pool/non-free-firmware/r/raspi-firmware/x.deb".into(),
        }
    }

    #[test]
    fn licences_are_those_that_the_package_names() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+\n text\n\n\
            Files: a\nLicense: MIT or BSD-3-clause\n\nLicense: GPL-2+\n License: no\n\nLicense:\n";
        let part = debian(&pin(), Some(text.as_bytes()));
        assert_eq!(part.licence.unwrap(), "GPL-2+ and (MIT or BSD-3-clause)");
        assert_eq!((part.kind, part.purl.contains("1%2Bds")), ("firmware", true));
    }

    #[test]
    fn prose_and_no_file_name_no_licence() {
        assert_eq!(debian(&pin(), Some(b"This is free software.\nLicense: GPL\n")).licence, None);
        assert_eq!(debian(&pin(), Some(b"Format: x\n")).licence, None);
        assert_eq!(debian(&pin(), None).licence, None);
    }
}
