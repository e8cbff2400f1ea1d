//! Replays traces of a network of the model's validators: one of our cores for each honest one.
//!
//! Here the model's inputs are messages and timeouts, and our cores are fed the same. Then rounds, steps, locks, valid values
//! and decisions are compared, and every vote that the model casts with the one our core has cast in its place.
//!
//! [`compare`](crate::compare) says when they may differ.

use crate::common::{HEIGHT, N, certificate_at, equal, sign, sign_proposal};
use crate::compare::{Compared, Node};
use crate::model::{
    DriverInput, Network, NodeState, Proposal as ModelProposal, Vote as ModelVote, id, round,
};
use crate::trace::Replay;
use std::collections::{BTreeMap, BTreeSet};
use trustnet_bft::{
    Actions, Certificate, Core, Event, Height, Index, Proposal, Round, Timeout, ValueId, Vote,
};

/// The value that the model's validators reject.
const INVALID: &str = "invalid";

/// Replays a trace.
pub(crate) fn replay(states: &[Network]) -> Result<Replay, String> {
    let first = states.first().ok_or("the trace has no states")?;
    let mut network = Machine::new(first)?;
    let mut replay = Replay::of("network");
    for (index, pair) in states.windows(2).enumerate() {
        let [before, now] = pair else { continue };
        let fail = |error: String| {
            format!("state {}, {} on {:?}: {error}", index + 1, now.history.validator, now.history.input)
        };
        network.step(before, now, &mut replay).map_err(fail)?;
    }
    if network.bearable(first) {
        network.agreement()?;
    }
    Ok(replay)
}

struct Machine {
    /// All validators, in the order of the indices.
    names: Vec<String>,
    nodes: BTreeMap<String, Node>,
}

impl Machine {
    fn new(first: &Network) -> Result<Self, String> {
        let (_, any) = first.system.first_key_value().ok_or("a network of nobody")?;
        let powers = &any.es.bk.validator_set;
        if powers.len() > N || powers.values().any(|&power| power != 1) {
            return Err(format!("only up to {N} validators of equal weight can be replayed: {powers:?}"));
        }
        let names: Vec<String> = powers.keys().cloned().collect();
        let mut network = Self { names, nodes: BTreeMap::new() };
        for (name, state) in &first.system {
            let height = height(state.es.cs.height)?;
            let me = network.index(name)?;
            let core = Box::new(Core::new(height, equal(network.names.len()), Some(me)));
            let node = Node::new(core, network.bearable(first));
            network.nodes.insert(name.clone(), node);
        }
        Ok(network)
    }

    /// Is less than a third of the validators faulty, that is, not in the network?
    fn bearable(&self, any: &Network) -> bool {
        3 * (self.names.len() - any.system.len()) < self.names.len()
    }

    fn index(&self, name: &str) -> Result<Index, String> {
        let position = self.names.iter().position(|known| known == name);
        Ok(position.ok_or(format!("{name} is not in the validator set"))? as Index)
    }

    fn step(&mut self, before: &Network, now: &Network, replay: &mut Replay) -> Result<(), String> {
        for (name, state) in &now.system {
            let was = before.system.get(name).ok_or(format!("{name} joins"))?;
            if was.es.cs.height != state.es.cs.height {
                let height = height(state.es.cs.height)?;
                let (set, me) = (equal(self.names.len()), self.index(name)?);
                let node = self.nodes.get_mut(name).ok_or("a stranger")?;
                node.reset(height, set, me);
            }
        }
        let name = &now.history.validator;
        let (Some(was), Some(is)) = (before.system.get(name), now.system.get(name)) else {
            return Ok(());
        };
        // A delivery into a validator's buffers leaves the history as it is.
        let stepped = before.history != now.history
            || was.es.started != is.es.started
            || was.es.cs != is.es.cs
            || was.es.pending_inputs.len() != is.es.pending_inputs.len()
            || was.es.pending_step_change != is.es.pending_step_change;
        if !stepped || was.es.cs.height != is.es.cs.height {
            return Ok(());
        }
        for event in events(&now.history.input, was)? {
            self.feed(name, is.es.cs.height, &event)?;
            replay.fed += 1;
        }
        let node = self.nodes.get_mut(name).ok_or("a stranger")?;
        node.watch(&was.es, &is.es, &now.history.input);
        match node.compare(&was.es, &is.es, &now.history.output)? {
            Compared::Equal => replay.compared += 1,
            Compared::Not(reason) => replay.pass_over(reason),
        }
        Ok(())
    }
}

/// A height of ours in which the same validators propose as in the model: there, the second one in round 0 of any height.
fn height(height: i64) -> Result<Height, String> {
    let height = u64::try_from(height).map_err(|_| format!("no height: {height}"))?;
    Ok(HEIGHT + 1 + height * HEIGHT)
}

/// Something to feed, owned.
enum Message {
    Start,
    Proposal(ModelProposal),
    Vote(ModelVote),
    Certificate(BTreeSet<ModelVote>),
    Timeout(Timeout),
    Value(Round, ValueId),
}

/// What an input of the model is to us.
fn events(input: &DriverInput, was: &NodeState) -> Result<Vec<Message>, String> {
    let model = &was.es.cs;
    let start = || {
        let votes = was.incoming_votes.iter().filter(|vote| vote.height == model.height);
        let ours =
            |certificate: &&BTreeSet<ModelVote>| certificate.iter().all(|vote| vote.height == model.height);
        let certificates = was.incoming_certificates.iter().filter(ours);
        let mut messages: Vec<Message> = votes.cloned().map(Message::Vote).collect();
        messages.extend(certificates.cloned().map(Message::Certificate));
        messages.push(Message::Start);
        messages
    };
    Ok(match input {
        DriverInput::StartDInput => start(),
        // A validator that starts behind the others begins with something put off.
        DriverInput::PendingDInput(_) if !was.es.started => start(),
        DriverInput::NoDInput | DriverInput::PendingDInput(_) | DriverInput::StepChangeDInput => Vec::new(),
        DriverInput::ProposalDInput(proposal) => vec![Message::Proposal(proposal.clone())],
        DriverInput::VoteDInput(vote) => vec![Message::Vote(vote.clone())],
        DriverInput::CertificateDInput(votes) => vec![Message::Certificate(votes.clone())],
        DriverInput::TimeoutDInput(timeout) => vec![Message::Timeout(Timeout {
            height: height(model.height)?,
            round: round(model.round).ok_or("a timeout in no round")?,
            step: timeout.step(),
        })],
        DriverInput::ProposeValueDInput(name) => {
            vec![Message::Value(round(model.round).ok_or("a value in no round")?, id(name)?)]
        }
    })
}

impl Machine {
    fn vote(&self, vote: &ModelVote) -> Result<Vote, String> {
        Ok(Vote {
            kind: vote.vote_type.kind(),
            height: height(vote.height)?,
            round: round(vote.round).ok_or("a vote of no round")?,
            value: vote.value_id.id()?,
            validator: self.index(&vote.src_address)?,
        })
    }

    fn feed(&mut self, name: &str, model_height: i64, message: &Message) -> Result<(), String> {
        let mut actions = Actions::new();
        let certificate = match message {
            Message::Certificate(votes) => Some(self.certificate(votes)?),
            _ => None,
        };
        let event = match message {
            Message::Start => Event::Start,
            Message::Vote(vote) => Event::Vote(sign(self.vote(vote)?)),
            Message::Proposal(proposal) => Event::Proposal {
                proposal: sign_proposal(Proposal {
                    height: height(proposal.height)?,
                    round: round(proposal.round).ok_or("a proposal of no round")?,
                    value: id(&proposal.proposal)?,
                    pol_round: round(proposal.valid_round),
                    proposer: self.index(&proposal.src_address)?,
                }),
                valid: proposal.proposal != INVALID,
            },
            Message::Certificate(_) => Event::Certificate(certificate.as_ref().ok_or("no certificate")?),
            Message::Timeout(timeout) => Event::Timeout(*timeout),
            Message::Value(round, value) => Event::Value { round: *round, value: *value },
        };
        let node = self.nodes.get_mut(name).ok_or("a stranger")?;
        node.core.step(event, &mut actions);
        node.note(model_height, &actions)
    }

    fn certificate(&self, votes: &BTreeSet<ModelVote>) -> Result<Certificate<N>, String> {
        let first = self.vote(votes.first().ok_or("a certificate of nobody")?)?;
        for vote in votes {
            if (Vote { validator: first.validator, ..self.vote(vote)? }) != first {
                return Err(format!("a certificate of different votes: {votes:?}"));
            }
        }
        let signers =
            votes.iter().map(|vote| self.index(&vote.src_address)).collect::<Result<BTreeSet<_>, _>>()?;
        Ok(certificate_at(first.height, first.kind, first.round, first.value, signers))
    }

    /// All cores that have decided a height have decided the same.
    fn agreement(&self) -> Result<(), String> {
        let mut decisions: BTreeMap<i64, ValueId> = BTreeMap::new();
        for (&height, &value) in self.nodes.values().flat_map(Node::decisions) {
            if *decisions.entry(height).or_insert(value) != value {
                return Err(format!("our cores disagree at height {height}"));
            }
        }
        Ok(())
    }
}
