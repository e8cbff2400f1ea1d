//! What a Byzantine validator may do; any set of these at once.

/// One way to break the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behaviour {
    /// Votes for one thing to half of the peers and for another to the rest.
    TwoVotes,
    /// Proposes one block to half of the peers and another to the rest.
    TwoProposals,
    /// Runs two machines with its key, each connected to some of the peers (Twins).
    Twin,
    /// Says nothing in consensus.
    Silent,
    /// Talks consensus with half of the peers only.
    Selective,
    /// Votes for blocks of earlier rounds, whatever it is locked on.
    StaleVotes,
    /// Lets one peer alone see a polka, late, and proposes again without proof (the hidden lock).
    HiddenLock,
    /// Proposes blocks that break a rule.
    InvalidBlocks,
    /// Proposes many blocks in one round.
    ProposalFlood,
    /// Sends random and bent bytes.
    Garbage,
    /// Votes of rounds and heights far ahead.
    FarFuture,
    /// Its clock is wrong, and so are its blocks' times.
    FalseTime,
    /// Answers block requests with rubbish.
    LyingSync,
    /// Claims heights that nobody has reached, and votes that nobody cast.
    LyingStatus,
    /// Shows certificates that do not hold.
    FalseCertificates,
    /// Attests uptime that it did not see.
    FalseAttestation,
    /// Registers a swarm that rates one node down.
    Swarm,
    /// Sends transactions that nobody signed.
    ForgedTxs,
    /// Sends old messages again.
    Replay,
    /// Asks for what nobody has to answer, again and again.
    Pester,
}

impl Behaviour {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::TwoVotes,
        Self::TwoProposals,
        Self::Twin,
        Self::Silent,
        Self::Selective,
        Self::StaleVotes,
        Self::HiddenLock,
        Self::InvalidBlocks,
        Self::ProposalFlood,
        Self::Garbage,
        Self::FarFuture,
        Self::FalseTime,
        Self::LyingSync,
        Self::LyingStatus,
        Self::FalseCertificates,
        Self::FalseAttestation,
        Self::Swarm,
        Self::ForgedTxs,
        Self::Replay,
        Self::Pester,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::TwoVotes => "two-votes",
            Self::TwoProposals => "two-proposals",
            Self::Twin => "twin",
            Self::Silent => "silent",
            Self::Selective => "selective",
            Self::StaleVotes => "stale-votes",
            Self::HiddenLock => "hidden-lock",
            Self::InvalidBlocks => "invalid-blocks",
            Self::ProposalFlood => "proposal-flood",
            Self::Garbage => "garbage",
            Self::FarFuture => "far-future",
            Self::FalseTime => "false-time",
            Self::LyingSync => "lying-sync",
            Self::LyingStatus => "lying-status",
            Self::FalseCertificates => "false-certificates",
            Self::FalseAttestation => "false-attestation",
            Self::Swarm => "swarm",
            Self::ForgedTxs => "forged-txs",
            Self::Replay => "replay",
            Self::Pester => "pester",
        }
    }
}
