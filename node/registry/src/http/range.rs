//! The `Range` header of a download: one range of bytes.

use crate::error::{RegistryError, Result};

/// Reads the header for content of `total` bytes: the first byte and the one after the last. `None` if all of it is to
/// be sent: units other than bytes, several ranges and what is not a range at all are ignored, as RFC 9110 allows.
///
/// # Errors
/// [`RegistryError::RangeInvalid`] if none of the range is within the content.
pub(super) fn parse(header: &str, total: u64) -> Result<Option<(u64, u64)>> {
    let Some((first, last)) = header.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Ok(None);
    };
    let invalid = RegistryError::RangeInvalid { total };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number that does not fit lies beyond every end.
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    let (start, end) = match (first.trim(), last.trim()) {
        ("", suffix) if is_number(suffix) => (total.saturating_sub(number(suffix)), total),
        (first, "") if is_number(first) => (number(first), total),
        (first, last) if is_number(first) && is_number(last) => {
            (number(first), number(last).saturating_add(1).min(total))
        }
        _ => return Ok(None),
    };
    if start >= end { Err(invalid) } else { Ok(Some((start, end))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let cases = [
            ("bytes=0-0", Some((0, 1))),
            ("bytes=500-1499", Some((500, 1000))),
            ("bytes=500-", Some((500, 1000))),
            ("bytes=-500", Some((500, 1000))),
            ("bytes=-5000", Some((0, 1000))),
            ("bytes=999-99999999999999999999999999", Some((999, 1000))),
            ("bytes=0-1,5-6", None),
            ("items=0-1", None),
            ("bytes=a-b", None),
            ("bytes=-", None),
            ("bytes=", None),
            ("bytes=-1-2", None),
        ];
        for (header, range) in cases {
            assert_eq!(parse(header, 1000).ok(), Some(range), "{header}");
        }
    }

    #[test]
    fn none_of_it_is_there() {
        for header in
            ["bytes=500-0", "bytes=1000-", "bytes=5000-10000", "bytes=-0", "bytes=99999999999999999999-"]
        {
            assert!(parse(header, 1000).is_err(), "{header}");
        }
        assert!(parse("bytes=0-", 0).is_err());
        assert!(parse("bytes=-1", 0).is_err());
    }
}
