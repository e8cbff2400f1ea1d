//! What goes into a step of the core, and what comes out.

use crate::certificate::Certificate;
use crate::types::{
    Height, MAX_VALIDATORS, Proposal, Round, SignedProposal, SignedVote, Timeout, ValueId, Vote,
};

/// Something that happened. Every signature in it has been verified by the caller.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a, const N: usize> {
    /// Begin round 0, or the round of the restored [`Memory`](crate::Memory). Messages that come earlier are kept
    /// and looked at here.
    Start,
    /// A proposal arrived, and the caller holds its value and has judged it. Our own proposals come in here too,
    /// once they are signed.
    Proposal {
        /// The proposal, signature verified.
        proposal: SignedProposal,
        /// The caller's verdict on the value (the paper's `valid(v)`). The first verdict on a proposal stands.
        valid: bool,
    },
    /// A vote arrived. Our own votes come in here too, once they are signed: only then do they count.
    Vote(SignedVote),
    /// More than 2/3 of the power voted alike: a polka or a commit. It is applied as a whole, so that a validator who
    /// showed us another vote cannot hide it. All signatures must be verified; one bad one spoils the whole.
    Certificate(&'a Certificate<N>),
    /// The answer to [`Action::GetValue`].
    Value {
        /// The round it was asked for.
        round: Round,
        /// The value built.
        value: ValueId,
    },
    /// A timer set by [`Action::Schedule`] fired.
    Timeout(Timeout),
    /// For much longer than a round takes, nothing has moved in this round: see [`Rule::L55Alone`](crate::Rule::L55Alone).
    Standstill {
        /// The round that stands still; another one than ours is ignored.
        round: Round,
    },
}

/// Something that the caller must do, in the order given.
///
/// All [`Action::Propose`] and [`Action::Vote`] of one step belong to the round of [`Core::memory`](crate::Core::memory)
/// after that step: persist it once, then sign them all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// We propose, and know of no valid value: build one and answer with [`Event::Value`]. An answer that comes too
    /// late is ignored.
    GetValue {
        /// Height to build for.
        height: Height,
        /// Round to name in the answer.
        round: Round,
    },
    /// Persist [`Core::memory`](crate::Core::memory), then sign, broadcast, and feed back as [`Event::Proposal`]. A
    /// proposal with a `pol_round` travels with [`Core::polka_certificate`](crate::Core::polka_certificate) of that
    /// round.
    Propose(Proposal),
    /// Persist [`Core::memory`](crate::Core::memory), then sign, broadcast, and feed back as [`Event::Vote`].
    Vote(Vote),
    /// Set a timer; the duration is the caller's, and grows with the round. Emitted once per round and step.
    Schedule(Timeout),
    /// We entered this round. Timers of earlier rounds may be cancelled; if they fire they are ignored.
    NewRound {
        /// The round.
        round: Round,
    },
    /// The height is decided. [`Core::commit_certificate`](crate::Core::commit_certificate) proves it. The value may be
    /// one whose proposal never reached us: then the caller must fetch it.
    Decide {
        /// Round of the precommits.
        round: Round,
        /// The value.
        value: ValueId,
    },
    /// A validator signed two different votes for one round and kind. Emitted once for each, as long as the round is kept.
    /// If it names us, there is a copy of us: [`Core::silence`](crate::Core::silence).
    Equivocation {
        /// The vote we knew.
        first: SignedVote,
        /// The vote that contradicts it.
        second: SignedVote,
    },
    /// A proposer signed two different proposals for one round. Emitted once for each, as long as the round is kept.
    ProposalEquivocation {
        /// The proposal we knew.
        first: SignedProposal,
        /// The proposal that contradicts it.
        second: SignedProposal,
    },
}

/// Most actions that one step can emit. It is enough:
///
/// - evidence: at most one for each validator, when a certificate contradicts what every one of them had sent before; a
///   single vote or proposal gives at most one. That is `MAX_VALIDATORS`.
/// - A step acts in one round only: in the one it found, unless it enters another before it has done anything (a fired
///   timer, L65, or a standstill) or instead (L55), and it enters at most one (see `Core::evaluate` in the source). There it emits at most
///   one `NewRound`, one of `Propose` and `GetValue`, two `Vote` (one of each kind), and three `Schedule` (one of each
///   step), because each is guarded by a flag or by the step, which only goes forward. That is 7.
/// - A step that emits `Decide` emits nothing else but evidence.
pub const MAX_ACTIONS: usize = MAX_VALIDATORS + 8;

/// The actions of one step, in order. About 32 KB: keep one and use it again. [`Core::step`](crate::Core::step) empties
/// it first.
pub type Actions = heapless::Vec<Action, MAX_ACTIONS>;
