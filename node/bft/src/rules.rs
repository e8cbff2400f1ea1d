//! Which rules have fired: for simulators and monitors that must show that a run exercised them.

/// A rule of Algorithm 1 (arXiv 1807.04938), by its line, and the way it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Rule {
    /// Proposed the valid value again.
    L16Reproposed,
    /// Asked for a new value.
    L18Asked,
    /// Proposed a new value.
    L19Proposed,
    /// Set the propose timer.
    L21Timer,
    /// Prevoted a fresh proposal.
    L23Value,
    /// Prevoted nil against a fresh proposal: locked on another value.
    L26Locked,
    /// Prevoted nil against an invalid fresh proposal.
    L26Invalid,
    /// Prevoted a value proposed again with its polka.
    L30Value,
    /// Prevoted nil against it: locked later on another value.
    L32Locked,
    /// Prevoted nil against an invalid value proposed again.
    L32Invalid,
    /// Waited for the polka of a value proposed again.
    L28Waited,
    /// Set the prevote timer.
    L35Timer,
    /// Locked a value and precommitted it.
    L38Locked,
    /// A polka after the precommit became the valid value.
    L42Valid,
    /// A polka of a round that was over became the valid value.
    L42Late,
    /// Precommitted nil on a polka for nil.
    L45Nil,
    /// Set the precommit timer.
    L48Timer,
    /// Decided in the current round.
    L49Decided,
    /// Decided by the precommits of another round.
    L49OtherRound,
    /// Followed a third of the power into a later round.
    L55Skipped,
    /// The propose timer fired in time to matter.
    L57Expired,
    /// The prevote timer did.
    L61Expired,
    /// The precommit timer did.
    L65Expired,
}

impl Rule {
    /// All rules, in the order of their lines.
    pub const ALL: [Self; 23] = [
        Self::L16Reproposed,
        Self::L18Asked,
        Self::L19Proposed,
        Self::L21Timer,
        Self::L23Value,
        Self::L26Locked,
        Self::L26Invalid,
        Self::L30Value,
        Self::L32Locked,
        Self::L32Invalid,
        Self::L28Waited,
        Self::L35Timer,
        Self::L38Locked,
        Self::L42Valid,
        Self::L42Late,
        Self::L45Nil,
        Self::L48Timer,
        Self::L49Decided,
        Self::L49OtherRound,
        Self::L55Skipped,
        Self::L57Expired,
        Self::L61Expired,
        Self::L65Expired,
    ];
}

/// A set of rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules(u32);

impl Rules {
    /// None.
    pub const EMPTY: Self = Self(0);

    pub(crate) fn note(&mut self, rule: Rule) {
        self.0 |= 1 << rule as u8;
    }

    /// Whether `rule` is among them.
    #[must_use]
    pub fn contains(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u8) != 0
    }
}
