//! Arguments of a call: read from JSON or from a URI into a small, bounded form, then typed by name.
//!
//! No method takes nested values, so nesting is skipped while reading, not kept: a body of four
//! megabytes cannot become a tree of hundreds.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::error::RpcError;
use super::limits::MAX_ARGS;

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    /// `null`, or not given.
    Null,
    /// A JSON boolean.
    Bool(bool),
    /// A JSON number without fraction.
    Int(i64),
    /// A JSON string.
    Text(String),
    /// The text behind `name=` in a URI: its form depends on what the method expects.
    Uri(String),
    /// Something that no method takes: a fraction, a list, an object.
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Arg {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ArgVisitor)
    }
}

struct ArgVisitor;

impl<'de> Visitor<'de> for ArgVisitor {
    type Value = Arg;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Arg, E> {
        Ok(Arg::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Arg, E> {
        Ok(Arg::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Arg, E> {
        Ok(Arg::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Arg, E> {
        Ok(i64::try_from(value).map_or(Arg::Other("a number above 2^63"), Arg::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Arg, E> {
        // Every whole number below 2^53 is exact in both types; NaN fails both comparisons.
        let whole = value.fract().abs() <= 0.0 && value.abs() < 9.0e15;
        Ok(if whole { Arg::Int(value as i64) } else { Arg::Other("a fraction") })
    }

    fn visit_str<E>(self, value: &str) -> Result<Arg, E> {
        Ok(Arg::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Arg, E> {
        Ok(Arg::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Arg, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Arg::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Arg, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Arg::Other("an object"))
    }
}

/// All arguments of a call, as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Params {
    /// None.
    #[default]
    None,
    /// By name.
    Named(Vec<(String, Arg)>),
    /// By position.
    Listed(Vec<Arg>),
    /// Neither an object nor a list.
    Bad,
    /// More than [`MAX_ARGS`].
    TooMany,
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParamsVisitor)
    }
}

struct ParamsVisitor;

impl<'de> Visitor<'de> for ParamsVisitor {
    type Value = Params;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of arguments")
    }

    fn visit_unit<E>(self) -> Result<Params, E> {
        Ok(Params::None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Params, E> {
        Ok(Params::Bad)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Params, E> {
        Ok(Params::Bad)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Params, E> {
        Ok(Params::Bad)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Params, E> {
        Ok(Params::Bad)
    }

    fn visit_str<E>(self, _: &str) -> Result<Params, E> {
        Ok(Params::Bad)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Params, A::Error> {
        let mut list = Vec::new();
        while list.len() < MAX_ARGS {
            match seq.next_element()? {
                Some(arg) => list.push(arg),
                None => return Ok(Params::Listed(list)),
            }
        }
        let mut more = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok(if more { Params::TooMany } else { Params::Listed(list) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
        let mut named = Vec::new();
        while named.len() < MAX_ARGS {
            match map.next_entry()? {
                Some(entry) => named.push(entry),
                None => return Ok(Params::Named(named)),
            }
        }
        let mut more = false;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok(if more { Params::TooMany } else { Params::Named(named) })
    }
}

/// The arguments of a call under the names that its method gives them.
#[derive(Clone, Debug)]
pub struct Args {
    named: Vec<(&'static str, Arg)>,
}

impl Args {
    /// Brings `params` under the method's argument `names`. Unknown names are ignored, as in `CometBFT`.
    ///
    /// # Errors
    /// [`RpcError::InvalidParams`] when a list has the wrong length, or it is neither list nor object.
    pub fn bind(params: Params, names: &[&'static str]) -> Result<Self, RpcError> {
        let named = match params {
            Params::None => Vec::new(),
            Params::Named(given) => given
                .into_iter()
                .filter_map(|(name, arg)| {
                    names.iter().find(|known| **known == name).map(|known| (*known, arg))
                })
                .collect(),
            Params::Listed(list) if list.is_empty() => Vec::new(),
            Params::Listed(list) if list.len() == names.len() => names.iter().copied().zip(list).collect(),
            Params::Listed(list) => {
                return Err(RpcError::InvalidParams(format!(
                    "error converting json params to arguments: expected {} parameters ({}), got {}",
                    names.len(),
                    names.join(" "),
                    list.len()
                )));
            }
            Params::Bad => {
                return Err(RpcError::InvalidParams(
                    "error converting json params to arguments: unknown type for JSON params; expected map or array"
                        .to_owned(),
                ));
            }
            Params::TooMany => {
                return Err(RpcError::InvalidParams(format!(
                    "more than {MAX_ARGS} arguments; no method takes so many"
                )));
            }
        };
        Ok(Self { named })
    }

    fn get(&self, name: &str) -> &Arg {
        // The last of a repeated JSON member counts, as in Go; a URI's repetitions are dropped when it is read.
        let found = self.named.iter().rev().find(|(known, _)| *known == name).map(|(_, arg)| arg);
        match found {
            Some(Arg::Uri(text)) if text.is_empty() => &Arg::Null,
            Some(arg) => arg,
            None => &Arg::Null,
        }
    }

    /// A whole number, written as a number or, as `CometBFT` has it for 64 bits, as text.
    ///
    /// # Errors
    /// [`RpcError::InvalidParams`] when it is anything else.
    pub fn int(&self, name: &str) -> Result<Option<i64>, RpcError> {
        let text = match self.get(name) {
            Arg::Null => return Ok(None),
            Arg::Int(number) => return Ok(Some(*number)),
            Arg::Text(text) => text.as_str(),
            Arg::Uri(text) => unquoted(text),
            other => return Err(wrong(name, other, "a whole number")),
        };
        text.parse().map(Some).map_err(|_| wrong(name, self.get(name), "a whole number"))
    }

    /// A truth value; `false` when not given.
    ///
    /// # Errors
    /// [`RpcError::InvalidParams`] when it is anything else.
    pub fn bool(&self, name: &str) -> Result<bool, RpcError> {
        match self.get(name) {
            Arg::Null => Ok(false),
            Arg::Bool(value) => Ok(*value),
            Arg::Uri(text) if text == "true" => Ok(true),
            Arg::Uri(text) if text == "false" => Ok(false),
            other => Err(wrong(name, other, "true or false")),
        }
    }

    /// A text; in a URI `"quoted"`, as hex `0x…`, or bare.
    ///
    /// # Errors
    /// [`RpcError::InvalidParams`] when it is anything else.
    pub fn text(&self, name: &str) -> Result<String, RpcError> {
        match self.get(name) {
            Arg::Null => Ok(String::new()),
            Arg::Text(text) => Ok(text.clone()),
            arg @ Arg::Uri(text) => {
                let bytes = match uri_bytes(text) {
                    UriBytes::Bytes(bytes) => String::from_utf8(bytes).ok(),
                    UriBytes::Bare => Some(text.clone()),
                    UriBytes::Broken => None,
                };
                bytes.ok_or_else(|| wrong(name, arg, "a text in quotes"))
            }
            other => Err(wrong(name, other, "a text")),
        }
    }

    /// Bytes that JSON carries as base64 (`tx`, `hash`); in a URI hex `0x…` or a `"quoted"` raw text.
    ///
    /// # Errors
    /// [`RpcError::InvalidParams`] when they are anything else.
    pub fn base64(&self, name: &str) -> Result<Vec<u8>, RpcError> {
        match self.get(name) {
            Arg::Null => Ok(Vec::new()),
            arg @ Arg::Text(text) => STANDARD.decode(text).map_err(|_| wrong(name, arg, "base64")),
            other => uri_only(name, other),
        }
    }

    /// Bytes that JSON carries as hex (`data`); in a URI hex `0x…` or a `"quoted"` raw text.
    ///
    /// # Errors
    /// [`RpcError::InvalidParams`] when they are anything else.
    pub fn hex(&self, name: &str) -> Result<Vec<u8>, RpcError> {
        match self.get(name) {
            Arg::Null => Ok(Vec::new()),
            arg @ Arg::Text(text) => {
                hex::decode(text.trim_start_matches("0x")).map_err(|_| wrong(name, arg, "hex digits"))
            }
            other => uri_only(name, other),
        }
    }

    /// A 32-byte hash: as [`Args::base64`], and wherever it comes also as 64 plain hex digits, which no
    /// base64 of 32 bytes can be mistaken for.
    ///
    /// # Errors
    /// [`RpcError::InvalidParams`] when it is anything else or has another length.
    pub fn hash(&self, name: &str) -> Result<[u8; 32], RpcError> {
        let plain = match self.get(name) {
            Arg::Text(text) | Arg::Uri(text) => {
                let digits = unquoted(text);
                hex::decode(digits.strip_prefix("0x").unwrap_or(digits))
                    .ok()
                    .filter(|bytes| bytes.len() == 32)
            }
            _ => None,
        };
        let bytes = plain.map_or_else(|| self.base64(name), Ok)?;
        <[u8; 32]>::try_from(bytes).map_err(|bytes| {
            RpcError::InvalidParams(format!("{name} has {} bytes; a hash has 32", bytes.len()))
        })
    }
}

fn uri_only(name: &str, arg: &Arg) -> Result<Vec<u8>, RpcError> {
    let expected = "hex digits after 0x, or a text in quotes";
    match arg {
        Arg::Uri(text) => match uri_bytes(text) {
            UriBytes::Bytes(bytes) => Ok(bytes),
            UriBytes::Bare | UriBytes::Broken => Err(wrong(name, arg, expected)),
        },
        other => Err(wrong(name, other, "bytes as text")),
    }
}

/// Bytes in a URI.
enum UriBytes {
    /// Neither `0x…` nor `"…"`.
    Bare,
    /// One of these, but not readable.
    Broken,
    Bytes(Vec<u8>),
}

fn uri_bytes(text: &str) -> UriBytes {
    let read = |bytes: Option<Vec<u8>>| bytes.map_or(UriBytes::Broken, UriBytes::Bytes);
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return read(hex::decode(digits).ok());
    }
    if text.len() >= 2 && text.starts_with('"') && text.ends_with('"') {
        return read(serde_json::from_str::<String>(text).ok().map(String::into_bytes));
    }
    UriBytes::Bare
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

fn wrong(name: &str, arg: &Arg, expected: &str) -> RpcError {
    /// A caller's own bytes are shown back only so far.
    const SHOWN_CHARS: usize = 40;
    let given = match arg {
        Arg::Null => "nothing".to_owned(),
        Arg::Bool(value) => value.to_string(),
        Arg::Int(number) => number.to_string(),
        Arg::Text(text) | Arg::Uri(text) => {
            let cut: String = text.chars().take(SHOWN_CHARS).collect();
            let dots = if cut.len() < text.len() { "..." } else { "" };
            format!("{cut:?}{dots}")
        }
        Arg::Other(what) => (*what).to_owned(),
    };
    RpcError::InvalidParams(format!(
        "error converting params to arguments: {name} must be {expected}, got {given}"
    ))
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
