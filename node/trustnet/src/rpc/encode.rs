//! How `CometBFT` writes values in JSON: hex in capitals, base64, 64-bit numbers as text, times.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use trustnet_ledger::crypto::PublicKey;

/// The time that Go shows for "never"; `CometBFT` gives it to absent signatures.
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// Bytes as hex in capitals: hashes and addresses.
pub fn hex_upper(bytes: impl AsRef<[u8]>) -> String {
    hex::encode_upper(bytes)
}

/// Bytes as base64: keys, signatures, transactions, ABCI data.
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// ABCI bytes: base64, or null when there are none.
pub fn abci_bytes(bytes: &[u8]) -> Value {
    if bytes.is_empty() { Value::Null } else { base64(bytes).into() }
}

/// A 64-bit number as text.
pub fn int(number: impl Display) -> Value {
    number.to_string().into()
}

/// A validator key.
pub fn public_key(key: &PublicKey) -> Value {
    json!({ "type": "tendermint/PubKeyEd25519", "value": base64(key.0) })
}

/// The 20-byte address of a validator key.
pub fn address(key: &PublicKey) -> String {
    hex_upper(key.address())
}

/// Unix milliseconds as RFC 3339 in UTC, without trailing zeros, as Go's `RFC3339Nano`.
pub fn time(unix_ms: u64) -> String {
    let (days, in_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (seconds, millis) = (in_day / 1_000, in_day % 1_000);
    let mut text = format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    );
    if millis > 0 {
        text.push_str(format!(".{millis:03}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// The date of a day counted from 1 January 1970: walks through the 400-year cycle that begins on a 1 March.
fn civil(days: u64) -> (u64, u64, u64) {
    let from_march_0000 = days + 719_468;
    let (cycle, day) = (from_march_0000 / 146_097, from_march_0000 % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (cycle * 400 + year + u64::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_without_trailing_zeros() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_684_332_888_530), "2023-05-17T14:14:48.53Z");
        assert_eq!(time(1_684_332_888_001), "2023-05-17T14:14:48.001Z");
        assert_eq!(time(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(time(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
        assert_eq!(time(4_107_542_400_000), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn any_time_is_written_without_panicking() {
        assert!(time(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn empty_abci_bytes_are_null() {
        assert_eq!(abci_bytes(b""), Value::Null);
        assert_eq!(abci_bytes(b"tx0"), "dHgw");
    }
}
