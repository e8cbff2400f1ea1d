//! The numbers that a chain fixes in its genesis.

use serde::{Deserialize, Serialize};

use crate::calendar::DAY_MS;
use crate::tx::MAX_HEARTBEATS;

/// The numbers that a chain fixes in its genesis. What is not given takes the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Length of an epoch of uptime, milliseconds; divides a day. Default one hour.
    pub epoch_ms: u64,
    /// Time between two heartbeats, milliseconds; divides an epoch, at most 120 times. Default 30 s.
    pub heartbeat_ms: u64,
    /// Trust is computed every so many blocks, and at the first block of a day. Default 100.
    pub trust_epoch_blocks: u64,
    /// Ledger reputation of a new node, milli-points. Default 50,000 (50 points).
    pub initial_reputation: u32,
    /// How long after an epoch's end its attestation is due, milliseconds. Default one minute.
    pub attestation_grace_ms: u64,
    /// Voting power of a validator that joins after the genesis. Default 10.
    pub new_validator_power: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            epoch_ms: 3_600_000,
            heartbeat_ms: 30_000,
            trust_epoch_blocks: 100,
            initial_reputation: 50_000,
            attestation_grace_ms: 60_000,
            new_validator_power: 10,
        }
    }
}

impl Params {
    /// Heartbeats that a node sends in a whole epoch.
    pub fn heartbeats_per_epoch(&self) -> u8 {
        u8::try_from(self.epoch_ms / self.heartbeat_ms.max(1)).unwrap_or(u8::MAX)
    }

    /// Heartbeats that a node sends in 24 hours: missing so many costs a point.
    pub fn heartbeats_per_day(&self) -> u64 {
        DAY_MS / self.heartbeat_ms.max(1)
    }

    /// Epochs in a UTC day.
    pub fn epochs_per_day(&self) -> u64 {
        DAY_MS / self.epoch_ms.max(1)
    }

    /// The epoch of a time, Unix milliseconds.
    pub fn epoch_of(&self, time_ms: u64) -> u64 {
        time_ms / self.epoch_ms.max(1)
    }

    /// Checks the numbers; says which is wrong and what it may be.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if self.epoch_ms == 0 || !DAY_MS.is_multiple_of(self.epoch_ms) {
            return Some("epoch_ms must divide a day (86400000) without rest");
        }
        if self.heartbeat_ms == 0 || !self.epoch_ms.is_multiple_of(self.heartbeat_ms) {
            return Some("heartbeat_ms must divide epoch_ms without rest");
        }
        if self.epoch_ms / self.heartbeat_ms > u64::from(MAX_HEARTBEATS) {
            return Some("an epoch holds at most 120 heartbeats: raise heartbeat_ms or lower epoch_ms");
        }
        if self.attestation_grace_ms >= self.epoch_ms {
            return Some("attestation_grace_ms must be less than epoch_ms");
        }
        if self.trust_epoch_blocks == 0 {
            return Some("trust_epoch_blocks must be at least 1");
        }
        if !(10_000..=100_000).contains(&self.initial_reputation) {
            return Some("initial_reputation is in milli-points, from 10000 (a ban below) to 100000");
        }
        if self.new_validator_power == 0 {
            return Some("new_validator_power must be at least 1");
        }
        None
    }
}
