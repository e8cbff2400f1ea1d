//! Calls by URI: `GET /block?height=5`.

use super::args::{Arg, Params};
use super::error::RpcError;
use super::limits::{MAX_ARGS, MAX_QUERY_BYTES};

/// Reads the part of a URI behind `?`. Of a repeated name the first counts, as in `CometBFT`.
///
/// # Errors
/// [`RpcError::InvalidParams`] when it is too long, has too many parts, or is not UTF-8 behind its
/// percent signs.
pub fn parse_query(query: &str) -> Result<Params, RpcError> {
    if query.len() > MAX_QUERY_BYTES {
        return Err(RpcError::InvalidParams(format!(
            "the query has {} bytes, more than the {MAX_QUERY_BYTES} allowed; send the call as POST",
            query.len()
        )));
    }
    let mut named: Vec<(String, Arg)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name)?;
        if named.iter().any(|(known, _)| *known == name) {
            continue;
        }
        if named.len() == MAX_ARGS {
            return Ok(Params::TooMany);
        }
        named.push((name, Arg::Uri(decode(value)?)));
    }
    Ok(Params::Named(named))
}

/// Undoes the percent encoding of a query, in which `+` is a space.
fn decode(text: &str) -> Result<String, RpcError> {
    let broken = || {
        RpcError::InvalidParams("error converting http params to arguments: invalid URL escape".to_owned())
    };
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit().ok_or_else(broken)?, digit().ok_or_else(broken)?);
                (high * 16 + low) as u8
            }
            plain => plain,
        });
    }
    String::from_utf8(out).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn named(query: &str) -> Vec<(String, Arg)> {
        match parse_query(query).unwrap() {
            Params::Named(named) => named,
            other => panic!("{other:?}"),
        }
    }

    fn uri(text: &str) -> Arg {
        Arg::Uri(text.to_owned())
    }

    #[test]
    fn names_and_values_are_decoded() {
        assert_eq!(
            named("path=%22%2Fnode%22&data=0x7b7d&&prove"),
            [("path".into(), uri("\"/node\"")), ("data".into(), uri("0x7b7d")), ("prove".into(), uri(""))]
        );
        assert_eq!(named("a=b+c%20d"), [("a".into(), uri("b c d"))]);
        assert_eq!(named(""), []);
    }

    #[test]
    fn the_first_of_a_repeated_name_counts() {
        assert_eq!(named("a=1&a=2"), [("a".into(), uri("1"))]);
    }

    #[test]
    fn broken_escapes_are_refused() {
        for query in ["a=%", "a=%2", "a=%zz", "a=%ff"] {
            assert_eq!(parse_query(query).unwrap_err().code(), -32_602, "{query}");
        }
    }

    #[test]
    fn too_long_and_too_many_are_refused() {
        assert!(
            parse_query(&"x".repeat(MAX_QUERY_BYTES + 1))
                .unwrap_err()
                .data()
                .contains("send the call as POST")
        );
        let many: Vec<String> = (0..=MAX_ARGS).map(|i| format!("a{i}=1")).collect();
        assert_eq!(parse_query(&many.join("&")).unwrap(), Params::TooMany);
    }
}
