//! Peer exchange: on request only, at most 16 signed records, of peers this node has itself been connected
//! to.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trustnet_ledger::codec::{self, CodecError};

use crate::record::{MAX_RECORD_BYTES, PeerRecord};

/// Most records in one answer.
pub(crate) const MAX_PEX_RECORDS: usize = 16;
/// Longest answer, in bytes: version, count, records.
pub(crate) const MAX_PEX_RESPONSE_BYTES: usize = 1 + 1 + MAX_PEX_RECORDS * MAX_RECORD_BYTES;
/// A peer is asked, and may ask, at most this often.
pub(crate) const PEX_INTERVAL: Duration = Duration::from_mins(1);
/// What a peer's clock and the network may shorten the interval by before it counts as too soon.
pub(crate) const PEX_SLACK: Duration = Duration::from_secs(5);
/// A new peer is first asked after this long.
pub(crate) const PEX_FIRST: Duration = Duration::from_secs(1);
/// Without news, the pause between two questions doubles up to this.
pub(crate) const PEX_MAX_INTERVAL: Duration = Duration::from_mins(32);

const PEX_VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Response {
    version: u8,
    records: Vec<PeerRecord>,
}

/// Encodes an answer; records beyond the sixteenth are left out.
pub(crate) fn encode(mut records: Vec<PeerRecord>) -> Vec<u8> {
    records.truncate(MAX_PEX_RECORDS);
    codec::encode(&Response { version: PEX_VERSION, records })
}

/// Reads an answer. The records' signatures are not checked.
///
/// # Errors
/// [`CodecError`] when it is not an answer of at most 16 records.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<PeerRecord>, CodecError> {
    match bytes.first() {
        Some(&PEX_VERSION) => {}
        Some(&version) => return Err(CodecError::Version(version)),
        None => return Err(CodecError::Malformed),
    }
    let response: Response = codec::decode(bytes, MAX_PEX_RESPONSE_BYTES)?;
    if response.records.len() > MAX_PEX_RECORDS {
        return Err(CodecError::TooLong { len: response.records.len(), max: MAX_PEX_RECORDS });
    }
    Ok(response.records)
}

#[cfg(test)]
mod tests {
    use trustnet_ledger::crypto::SecretKey;

    use super::*;

    fn record(seed: u8) -> PeerRecord {
        let addrs = vec!["[2001:db8:ffff:ffff::1]:65535".parse().unwrap(); 8];
        PeerRecord::sign(&SecretKey::from_seed(&[seed; 32]), "chain", addrs, u64::MAX)
    }

    #[test]
    fn the_longest_answer_fits_its_frame_and_reads_back() {
        let records: Vec<_> = (1..=20).map(record).collect();
        let bytes = encode(records.clone());
        assert_eq!(bytes.len(), MAX_PEX_RESPONSE_BYTES);
        assert_eq!(decode(&bytes).unwrap(), records[..16]);
    }

    #[test]
    fn answers_with_too_many_records_or_of_another_version_are_refused() {
        let small: Vec<_> = (1..=17)
            .map(|seed| PeerRecord::sign(&SecretKey::from_seed(&[seed; 32]), "chain", vec![], 1))
            .collect();
        let bytes = codec::encode(&Response { version: PEX_VERSION, records: small });
        assert_eq!(decode(&bytes), Err(CodecError::TooLong { len: 17, max: 16 }));
        assert_eq!(decode(&[2, 0]), Err(CodecError::Version(2)));
        assert_eq!(decode(&[]), Err(CodecError::Malformed));
        assert_eq!(decode(&[1, 0]), Ok(vec![]));
    }
}
