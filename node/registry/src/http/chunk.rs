//! The `Content-Range` header of a chunk.

use axum::http::{HeaderMap, header};

use crate::error::{RegistryError, Result};

const BAD: RegistryError = RegistryError::UploadInvalid("Content-Range is not written as <first>-<last>");

/// Which bytes of the upload a request sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The first one, if the request says so.
    pub(super) start: Option<u64>,
    /// How many, if the request says so.
    pub(super) len: Option<u64>,
}

/// A header of which there is one, as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Result<Option<&'a str>> {
    let value = headers.get(name).map(|value| value.to_str());
    value.transpose().map_err(|_| RegistryError::UploadInvalid("a header is not plain text"))
}

/// The length of a request's body, if it says so.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>> {
    let len = text(headers, &header::CONTENT_LENGTH)?.map(str::parse);
    len.transpose().map_err(|_| RegistryError::SizeInvalid)
}

impl Chunk {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self> {
        let sent = content_length(headers)?;
        let Some(range) = text(headers, &header::CONTENT_RANGE)? else {
            return Ok(Self { start: None, len: sent });
        };
        let number = |text: &str| {
            let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|digits| digits.parse::<u64>().ok()).ok_or(BAD)
        };
        let (first, last) = range.split_once('-').ok_or(BAD)?;
        let (start, last) = (number(first)?, number(last)?);
        if sent == Some(0) {
            // There is no range of no bytes; some clients name one all the same when they end an upload.
            return Ok(Self { start: Some(start), len: sent });
        }
        let len = last.checked_sub(start).and_then(|len| len.checked_add(1)).ok_or(BAD)?;
        if sent.is_some_and(|sent| sent != len) {
            return Err(RegistryError::SizeInvalid);
        }
        Ok(Self { start: Some(start), len: Some(len) })
    }

    /// Refuses a chunk that does not begin where the upload ends.
    pub(super) fn check_start(self, offset: u64) -> Result<()> {
        match self.start {
            Some(start) if start != offset => Err(RegistryError::OutOfOrder { offset }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(length: Option<&str>, range: Option<&str>) -> Result<Chunk> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::CONTENT_LENGTH, length), (header::CONTENT_RANGE, range)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        }
        Chunk::read(&headers)
    }

    #[test]
    fn chunks() {
        assert_eq!(read(None, None).unwrap(), Chunk { start: None, len: None });
        assert_eq!(read(Some("5"), None).unwrap(), Chunk { start: None, len: Some(5) });
        assert_eq!(read(Some("5"), Some("10-14")).unwrap(), Chunk { start: Some(10), len: Some(5) });
        assert_eq!(read(None, Some("0-0")).unwrap(), Chunk { start: Some(0), len: Some(1) });
        assert!(read(Some("0"), Some("10-9")).is_ok());
        for (length, range) in [
            (None, "bytes 0-4/5"),
            (None, "0"),
            (None, "-"),
            (None, "5-4"),
            (None, "+1-2"),
            (None, " 1-2"),
            (None, "0-18446744073709551615"),
            (None, "99999999999999999999-99999999999999999999"),
            (Some("4"), "0-4"),
            (Some("6"), "0-4"),
        ] {
            assert!(read(length, Some(range)).is_err(), "{length:?} {range}");
        }
    }
}
