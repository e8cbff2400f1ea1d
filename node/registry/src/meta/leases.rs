//! Leases: content that a client was just told of must not be collected before the client could use it.
//!
//! Times are registry time: milliseconds that the registry has been running, over all its starts. A clock that jumps
//! cannot end a lease early; neither can a night without power.

use redb::WriteTransaction;

use super::tables::{LEASES, STATE, View, number, put};
use crate::digest::Digest;
use crate::error::Result;

const TIME: &[u8] = b"time";

/// Until when `digest` is leased.
pub(crate) fn until_ms(view: &impl View, digest: &Digest) -> Result<u64> {
    view.get(LEASES, &digest.key())?.map_or(Ok(0), |value| number(&value))
}

/// Leases `digest`; never shortens a lease.
pub(crate) fn renew(txn: &WriteTransaction, digest: &Digest, until: u64) -> Result<()> {
    if until_ms(txn, digest)? >= until {
        return Ok(());
    }
    put(txn, LEASES, &digest.key(), &until.to_le_bytes())
}

/// Removes the leases that ended before `now_ms`.
pub(crate) fn remove_ended(txn: &WriteTransaction, now_ms: u64) -> Result<()> {
    let mut leases = txn.open_table(LEASES)?;
    leases.retain(|_, value| number(value).is_ok_and(|until| until >= now_ms))?;
    Ok(())
}

/// Registry time when it was last noted, in milliseconds.
pub(crate) fn noted_time_ms(view: &impl View) -> Result<u64> {
    view.get(STATE, TIME)?.map_or(Ok(0), |value| number(&value))
}

/// Notes registry time.
pub(crate) fn note_time(txn: &WriteTransaction, now_ms: u64) -> Result<()> {
    put(txn, STATE, TIME, &now_ms.to_le_bytes())
}
