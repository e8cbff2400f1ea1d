//! Who proposes when: a stateless weighted rotation (Webster / Sainte-Laguë order).
//!
//! Give every validator with power `p` the `p` positions `(k + 1/2) / p`, `k = 0 .. p - 1`, spread evenly over `[0, 1)`.
//! Sort all positions of all validators, ties by index: `total` slots. Height `h` and round `r` belong to the holder of
//! slot `(h + r) mod total`. So over `total` consecutive heights each validator proposes exactly `p` times, evenly
//! spread, and equal powers give plain round robin. No state is carried from height to height (pitfall 31), so a node
//! that joins late or restarts computes the same proposer at once.
//!
//! The slots are never materialised. Below `x = a / total`, a validator has `ceil(p * a / total - 1/2)` positions, so all
//! together have `a`, give or take `n / 2`. A binary search over those few `a` finds the stretch `[a, a + 1) / total` that
//! contains the slot; it is no wider than the gap between two positions of one validator, so each validator has at most
//! one position in it, and the one wanted is found by sorting at most `n` of them.

use crate::types::{Height, Index, MAX_VALIDATORS, Power, Round};

/// Number of positions of a validator with `power` that lie below `a / total`.
///
/// Counts the `k` with `(2k + 1) / (2 power) < a / total`, that is `(2k + 1) * total < 2 * a * power`. With everything at
/// most 2^61 the products stay below 2^124.
fn below(power: Power, total: Power, a: u64) -> u64 {
    let total = u128::from(total);
    let product = 2 * u128::from(a) * u128::from(power);
    if product <= total {
        return 0;
    }
    // 2k + 1 < product / total: the number of such k is ceil((product - total) / (2 total)).
    let (dividend, divisor) = (product - total, 2 * total);
    let count = match (u64::try_from(dividend), u64::try_from(divisor)) {
        // Small powers are common, and 64-bit division is far cheaper.
        (Ok(dividend), Ok(divisor)) => dividend.div_ceil(divisor),
        _ => u64::try_from(dividend.div_ceil(divisor)).unwrap_or(u64::MAX),
    };
    count.min(power)
}

/// Number of positions of all validators that lie below `a / total`.
fn all_below(powers: &[Power], total: Power, a: u64) -> u64 {
    powers.iter().map(|&power| below(power, total, a)).sum()
}

/// Holder of the slot of `height` and `round`. `powers` must be positive, not empty, at most [`MAX_VALIDATORS`], and
/// add up to `total`; [`ValidatorSet`](crate::ValidatorSet) sees to that.
pub(crate) fn proposer(powers: &[Power], total: Power, height: Height, round: Round) -> Index {
    let Some(slot) = (u128::from(height) + u128::from(round)).checked_rem(u128::from(total)) else {
        return 0;
    };
    let slot = slot as u64;

    // The largest `a` with no more than `slot` positions below `a / total`: `slot` give or take `n / 2`.
    let spread = powers.len() as u64;
    let mut low = slot.saturating_sub(spread);
    let mut high = slot.saturating_add(spread).min(total);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if all_below(powers, total, middle) <= slot { low = middle } else { high = middle }
    }

    // The positions in [low, low + 1) / total, at most one for each validator, as (numerator, power, index).
    let mut inside: heapless::Vec<(u128, u128, Index), MAX_VALIDATORS> = heapless::Vec::new();
    let mut before: u64 = 0;
    for (index, &power) in powers.iter().enumerate() {
        let count = below(power, total, low);
        before += count;
        if below(power, total, low + 1) > count {
            // Full only if there were more than MAX_VALIDATORS powers, which a set refuses.
            let _ = inside.push((2 * u128::from(count) + 1, u128::from(power), index as Index));
        }
    }
    inside.sort_unstable_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.2.cmp(&b.2)));
    inside.get((slot - before) as usize).map_or(0, |&(_, _, index)| index)
}
