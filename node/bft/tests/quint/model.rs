//! The words of the Quint model of Tendermint, as its ITF traces spell them.
//!
//! The model is that of Malachite's `specs/consensus/quint`. Three of its machines emit traces: one validator's state machine
//! ([`Consensus`]), its vote keeper ([`VoteKeeper`]), and a network of validators ([`Network`]).

#![expect(clippy::enum_variant_names, reason = "the names of the model")]

use crate::common::value;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, BTreeSet};
use trustnet_bft::{Round, Step, ValueId, VoteKind};

/// A round of the model; -1 is none.
pub(crate) type ModelRound = i64;

/// The round, unless it is none.
pub(crate) fn round(round: ModelRound) -> Option<Round> {
    Round::try_from(round).ok()
}

/// The id of a named value. Different names of up to 31 bytes give different ids.
pub(crate) fn id(name: &str) -> Result<ValueId, String> {
    let mut id = value(0);
    let Some(place) = id.0.get_mut(1..=name.len()).filter(|_| name.len() < 32) else {
        return Err(format!("the name of the value is too long: {name}"));
    };
    place.copy_from_slice(name.as_bytes());
    id.0[0] = name.len() as u8;
    Ok(id)
}

#[derive(Deserialize, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(tag = "tag", content = "value")]
pub(crate) enum Value {
    Nil,
    Val(String),
}

impl Value {
    pub(crate) fn id(&self) -> Result<Option<ValueId>, String> {
        match self {
            Self::Nil => Ok(None),
            Self::Val(name) => id(name).map(Some),
        }
    }
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(tag = "tag", content = "value")]
pub(crate) enum VoteType {
    Prevote,
    Precommit,
}

impl VoteType {
    pub(crate) fn kind(self) -> VoteKind {
        match self {
            Self::Prevote => VoteKind::Prevote,
            Self::Precommit => VoteKind::Precommit,
        }
    }
}

#[derive(Deserialize, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Vote {
    pub(crate) vote_type: VoteType,
    pub(crate) src_address: String,
    pub(crate) height: i64,
    pub(crate) round: ModelRound,
    pub(crate) value_id: Value,
}

#[derive(Deserialize, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proposal {
    pub(crate) src_address: String,
    pub(crate) height: i64,
    pub(crate) round: ModelRound,
    pub(crate) proposal: String,
    pub(crate) valid_round: ModelRound,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(tag = "tag", content = "value")]
pub(crate) enum ModelStep {
    NoStep,
    UnstartedStep,
    ProposeStep,
    PrevoteStep,
    PrecommitStep,
    CommitStep,
}

impl ModelStep {
    /// The step of the algorithm, if it is one.
    pub(crate) fn step(self) -> Option<Step> {
        match self {
            Self::ProposeStep => Some(Step::Propose),
            Self::PrevoteStep => Some(Step::Prevote),
            Self::PrecommitStep => Some(Step::Precommit),
            Self::NoStep | Self::UnstartedStep | Self::CommitStep => None,
        }
    }
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(tag = "tag", content = "value")]
pub(crate) enum Timeout {
    ProposeTimeout,
    PrevoteTimeout,
    PrecommitTimeout,
}

impl Timeout {
    pub(crate) fn step(self) -> Step {
        match self {
            Self::ProposeTimeout => Step::Propose,
            Self::PrevoteTimeout => Step::Prevote,
            Self::PrecommitTimeout => Step::Precommit,
        }
    }
}

/// What one validator remembers.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConsensusState {
    pub(crate) p: String,
    pub(crate) height: i64,
    pub(crate) round: ModelRound,
    pub(crate) step: ModelStep,
    pub(crate) locked_round: ModelRound,
    pub(crate) locked_value: Value,
    pub(crate) valid_round: ModelRound,
    pub(crate) valid_value: Value,
}

impl ConsensusState {
    pub(crate) fn locked(&self) -> Result<Option<(Round, ValueId)>, String> {
        Ok(round(self.locked_round).zip(self.locked_value.id()?))
    }

    pub(crate) fn valid(&self) -> Result<Option<(Round, ValueId)>, String> {
        Ok(round(self.valid_round).zip(self.valid_value.id()?))
    }
}

/// What the state machine is told: not messages, but what follows from them.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(tag = "tag", content = "value")]
pub(crate) enum ConsensusInput {
    NoConsensusInput,
    NewRoundCInput(ModelRound),
    NewRoundProposerCInput(ModelRound),
    ProposeValueCInput(String),
    ProposalCInput(ModelRound, Value),
    ProposalAndPolkaPreviousAndValidCInput(Value, ModelRound),
    ProposalInvalidCInput,
    PolkaNilCInput,
    PolkaAnyCInput,
    ProposalAndPolkaAndValidCInput(Value),
    ProposalAndPolkaAndInvalidCInput(Value),
    PrecommitAnyCInput,
    ProposalAndCommitAndValidCInput(ModelRound, String),
    RoundSkipCInput(ModelRound),
    TimeoutProposeCInput(i64, ModelRound),
    TimeoutPrevoteCInput(i64, ModelRound),
    TimeoutPrecommitCInput(i64, ModelRound),
}

#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(tag = "tag", content = "value")]
pub(crate) enum ConsensusOutput {
    NoConsensusOutput,
    ProposalOutput(Proposal),
    GetValueAndScheduleTimeoutOutput(i64, ModelRound, Timeout),
    VoteOutput(Vote),
    TimeoutOutput(ModelRound, Timeout),
    DecidedOutput(ModelRound, String),
    SkipRoundOutput(ModelRound),
    ErrorOutput(String),
}

/// One step of the state machine.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Consensus {
    pub(crate) state: ConsensusState,
    pub(crate) input: ConsensusInput,
    pub(crate) output: ConsensusOutput,
}

#[derive(Deserialize, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(tag = "tag", content = "value")]
pub(crate) enum KeeperOutput {
    NoVKOutput,
    PolkaAnyVKOutput(ModelRound),
    PolkaNilVKOutput(ModelRound),
    PolkaValueVKOutput(ModelRound, String),
    PrecommitAnyVKOutput(ModelRound),
    PrecommitValueVKOutput(ModelRound, String),
    SkipVKOutput(ModelRound),
}

#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VoteCount {
    pub(crate) values_weights: BTreeMap<Value, u64>,
    pub(crate) votes_addresses: BTreeSet<String>,
}

#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoundVotes {
    pub(crate) prevotes: VoteCount,
    pub(crate) precommits: VoteCount,
    pub(crate) emitted_outputs: BTreeSet<KeeperOutput>,
}

#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bookkeeper {
    pub(crate) validator_set: BTreeMap<String, u64>,
    pub(crate) rounds: BTreeMap<ModelRound, RoundVotes>,
    pub(crate) evidence: BTreeSet<BTreeSet<Vote>>,
}

#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(tag = "tag", content = "value")]
pub(crate) enum WeightedVote {
    NoWeightedVote,
    /// The vote, its weight, and the round that the validator is in.
    WV(Vote, u64, ModelRound),
}

/// One step of the vote keeper.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VoteKeeper {
    pub(crate) bookkeeper: Bookkeeper,
    pub(crate) last_emitted: KeeperOutput,
    pub(crate) weighted_vote: WeightedVote,
}

/// What a validator of a network is told: messages and timeouts, and what it has put off.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(tag = "tag", content = "value")]
pub(crate) enum DriverInput {
    NoDInput,
    ProposalDInput(Proposal),
    VoteDInput(Vote),
    CertificateDInput(BTreeSet<Vote>),
    TimeoutDInput(Timeout),
    StartDInput,
    PendingDInput(ConsensusInput),
    StepChangeDInput,
    ProposeValueDInput(String),
}

/// A block of the chain.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) decision: Proposal,
}

#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DriverState {
    pub(crate) bk: Bookkeeper,
    pub(crate) cs: ConsensusState,
    pub(crate) proposals: BTreeSet<Proposal>,
    pub(crate) pending_inputs: Vec<IgnoredAny>,
    pub(crate) pending_step_change: ModelStep,
    pub(crate) started: bool,
    pub(crate) chain: Vec<Entry>,
}

#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeState {
    pub(crate) es: DriverState,
    pub(crate) incoming_votes: BTreeSet<Vote>,
    pub(crate) incoming_certificates: BTreeSet<BTreeSet<Vote>>,
}

/// Who did the last step, on what, with what outcome.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct History {
    pub(crate) validator: String,
    pub(crate) input: DriverInput,
    pub(crate) output: ConsensusOutput,
}

/// One step of a network of honest validators; whoever is in their sets but not here is faulty.
#[derive(Deserialize, Clone, Debug)]
pub(crate) struct Network {
    pub(crate) system: BTreeMap<String, NodeState>,
    #[serde(rename = "_hist")]
    pub(crate) history: History,
}
