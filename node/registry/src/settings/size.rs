//! Sizes as people write them.

use serde::Deserialize;

/// A number of bytes: `1048576`, or `"1 MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "Written")]
pub struct Size(pub u64);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a size: a number of bytes, or a text such as \"10 GiB\"")]
enum Written {
    Number(u64),
    Text(String),
}

const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KIB", 1 << 10),
    ("MIB", 1 << 20),
    ("GIB", 1 << 30),
    ("TIB", 1 << 40),
];

fn parse(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim().to_ascii_uppercase();
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*bytes)
}

impl TryFrom<Written> for Size {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => parse(text.trim()).map(Self).ok_or_else(|| {
                format!("{text:?} is no size; write it as \"500 MiB\", \"10 GB\" or in bytes")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("1KiB", 1_024),
            ("1 kb", 1_000),
            ("500 MiB", 500 * 1_048_576),
            ("10 GB", 10_000_000_000),
            ("2 GiB", 2 << 30),
            ("1TiB", 1 << 40),
            ("1 TB", 1_000_000_000_000),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for bad in ["", "GB", "-1", "1.5 GB", "1 EiB", "1 G B", "99999999999999999999", "99999999 TiB", "1é"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
