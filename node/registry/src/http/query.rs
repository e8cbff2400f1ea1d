//! Query strings, and the percent-encoding of paths.

use crate::error::{RegistryError, Result};

/// Most parameters of one request: the specification's largest use is a list of tags.
const MAX_PARAMETERS: usize = 200;

/// Undoes percent-encoding, and `+` for a space if `form`; `None` if it is malformed or gives no UTF-8.
pub(super) fn decode(text: &str, form: bool) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let mut value = [0];
                hex::decode_to_slice(digits, &mut value).ok()?;
                value[0]
            }
            b'+' if form => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

/// Encodes a text so that it can stand as a value of a query.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: Option<&str>) -> Result<Self> {
        let mut parameters = Vec::new();
        for part in text.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            if parameters.len() == MAX_PARAMETERS {
                return Err(RegistryError::BadParameter("the query has too many parameters"));
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (Some(name), Some(value)) = (decode(name, true), decode(value, true)) else {
                return Err(RegistryError::BadParameter("the query is not percent-encoded as it should be"));
            };
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_and_back() {
        let query = Query::parse(Some("tag=a&tag=b%2Bc&x=1+2&empty&=&last=%C3%A9")).unwrap();
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b+c"]);
        assert_eq!((query.get("x"), query.get("empty"), query.get("none")), (Some("1 2"), Some(""), None));
        assert_eq!(query.get("last"), Some("é"));
        let odd = "application/x+json; é&=?#";
        assert_eq!(decode(&encode(odd), true).unwrap(), odd);
    }

    #[test]
    fn malformed_ones_are_refused() {
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1", &"a&".repeat(MAX_PARAMETERS + 1)] {
            assert!(Query::parse(Some(bad)).is_err(), "{bad}");
        }
        assert!(Query::parse(None).unwrap().get("a").is_none());
    }
}
