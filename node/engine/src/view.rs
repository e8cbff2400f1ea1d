//! The state of consensus, for people and for the RPC.

use trustnet_bft as bft;
use trustnet_ledger::crypto::Hash32;

use crate::engine::Engine;

/// How many of the latest rounds are shown.
const MAX_ROUNDS_SHOWN: u32 = 4;

/// Votes of one round; outer `None` is no vote, inner `None` is nil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundVotes {
    /// The round.
    pub round: u32,
    /// Prevotes by position.
    pub prevotes: Vec<Option<Option<Hash32>>>,
    /// Precommits by position.
    pub precommits: Vec<Option<Option<Hash32>>>,
}

/// Where consensus on the next height stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundState {
    /// Height being decided.
    pub height: u64,
    /// Current round.
    pub round: u32,
    /// Step in `CometBFT`'s numbers: 1 idle, 3 propose, 4 prevote, 6 precommit.
    pub step: u8,
    /// Block proposed in this round.
    pub proposal: Option<Hash32>,
    /// Block locked on.
    pub locked: Option<Hash32>,
    /// Block known to be valid by two thirds.
    pub valid: Option<Hash32>,
    /// Position of this round's proposer.
    pub proposer: u16,
    /// When the height began, Unix milliseconds.
    pub started_unix_ms: u64,
    /// The latest rounds' votes.
    pub votes: Vec<RoundVotes>,
}

/// How much an engine holds of what others sent: what must stay bounded whatever they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Blocks proposed for the current height.
    pub candidates: usize,
    /// Messages of the coming height, of the peer that has most.
    pub early_messages: usize,
    /// Their bytes.
    pub early_bytes: usize,
    /// Transactions in the pool.
    pub pool_txs: usize,
    /// Their bytes.
    pub pool_bytes: usize,
    /// Signature jobs under way.
    pub jobs: usize,
    /// Validators of which a vote, a report or a proof of double-signing is remembered, the most of these.
    pub validators: usize,
}

impl Engine {
    /// How much this engine holds of what others sent.
    pub fn held(&self) -> Held {
        let early = self.peers.values().map(crate::peers::Peer::early);
        let (early_messages, early_bytes) =
            early.fold((0, 0), |most, one| (most.0.max(one.0), most.1.max(one.1)));
        Held {
            candidates: self.candidates.len(),
            early_messages,
            early_bytes,
            pool_txs: self.pool.len(),
            pool_bytes: self.pool.bytes(),
            jobs: self.jobs.len(),
            validators: self.seen_votes.len().max(self.evidence.len()).max(self.silence.reports()),
        }
    }

    /// The rules of Algorithm 1 that have fired in this process.
    pub fn rules(&self) -> bft::Rules {
        self.core.rules()
    }

    /// Where consensus on the next height stands.
    pub fn round_state(&self) -> RoundState {
        let round = self.core.round();
        let hash = |value: bft::ValueId| Hash32(value.0);
        let votes = |kind, round| {
            let mut shown = vec![None; self.chain.deciders().len()];
            for signed in self.core.votes(kind, round) {
                if let Some(place) = shown.get_mut(usize::from(signed.vote.validator)) {
                    *place = Some(signed.vote.value.map(hash));
                }
            }
            shown
        };
        let step = match (self.started, self.core.current_step()) {
            (false, _) => 1,
            (true, bft::Step::Propose) => 3,
            (true, bft::Step::Prevote) => 4,
            (true, bft::Step::Precommit) => 6,
        };
        RoundState {
            height: self.core.height(),
            round,
            step,
            proposal: self.core.proposal(round).map(|signed| hash(signed.proposal.value)),
            locked: self.core.locked().map(|(_, value)| hash(value)),
            valid: self.core.valid().map(|(_, value)| hash(value)),
            proposer: self.core.proposer(round),
            started_unix_ms: self.height_since_unix_ms,
            votes: (round.saturating_sub(MAX_ROUNDS_SHOWN - 1)..=round)
                .map(|round| RoundVotes {
                    round,
                    prevotes: votes(bft::VoteKind::Prevote, round),
                    precommits: votes(bft::VoteKind::Precommit, round),
                })
                .collect(),
        }
    }
}
