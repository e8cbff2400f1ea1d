//! What goes over the wire: honest messages, bent ones, and requests for blocks.

use bytes::Bytes;
use trustnet_bft as bft;
use trustnet_engine::Input;
use trustnet_engine::block::{proposal_sign_bytes, vote_sign_bytes};
use trustnet_engine::message::{Message, SyncRequest, heartbeat_sign_bytes};
use trustnet_ledger::crypto::PublicKey;

use crate::mischief::{Deed, Victim};
use crate::puppet::View;
use crate::seats::CHAIN_ID;
use crate::tally::Group;
use crate::world::{Event, World};

/// A request for blocks that gets no answer is given up after this long, milliseconds.
const REQUEST_TIMEOUT_MS: u64 = 1_000;

impl World {
    /// The machine at the other end of `at`'s connection with a key.
    pub(crate) fn body_of(&self, at: usize, key: &PublicKey) -> Option<usize> {
        let seat = *self.by_key.get(&key.0)?;
        if self.machines.len() == self.seats.len() {
            let link = self.links.get(at, seat);
            return (link.up && !link.closing).then_some(seat);
        }
        self.links.peers(at).into_iter().find(|to| self.machines[*to].seat == seat)
    }

    /// Where a machine's replica stands.
    pub(crate) fn view(&self, at: usize) -> Option<View> {
        let engine = &self.machines[at].running.as_ref()?.engine;
        let state = engine.round_state();
        let own = self.seats[self.machines[at].seat].validator_key;
        let position = engine.deciders().iter().position(|(key, _)| *key == own);
        Some(View {
            height: state.height,
            round: state.round,
            position: position.and_then(|place| u16::try_from(place).ok()),
            validators: engine.deciders().len(),
        })
    }

    /// Checks what a machine is about to say in its own name. False: it broke a promise.
    pub(crate) fn note_sent(&mut self, at: usize, message: &Message) -> bool {
        if let Message::Heartbeat(beat) = message {
            let bytes = heartbeat_sign_bytes(CHAIN_ID, beat.slot, beat.height);
            let key = self.seats[self.machines[at].seat].node_key;
            self.verdicts.signed(&key, &bytes, &beat.signature);
        }
        if self.puppets.contains_key(&at) || !matches!(message, Message::Vote(_) | Message::Proposal(_)) {
            return true;
        }
        let Some(running) = &self.machines[at].running else { return true };
        let key = self.seats[self.machines[at].seat].validator_key;
        let own = running.engine.deciders().iter().position(|(other, _)| *other == key);
        let own = own.and_then(|place| u16::try_from(place).ok());
        match message {
            Message::Vote(wire) if own == Some(wire.validator) => {
                let kind = if wire.precommit { bft::VoteKind::Precommit } else { bft::VoteKind::Prevote };
                let value = wire.value.map(|value| bft::ValueId(value.0));
                let (height, round, validator) = (wire.height, wire.round, wire.validator);
                let vote = bft::Vote { kind, height, round, value, validator };
                self.verdicts.signed(&key, &vote_sign_bytes(CHAIN_ID, &vote), &wire.signature);
                self.timeline.say(self.now_ms, || {
                    let kind = if wire.precommit { "precommits" } else { "prevotes" };
                    let value =
                        wire.value.map_or("nil".to_owned(), |value| value.to_string()[..8].to_owned());
                    format!("{} {kind} {value} at {height}/{round}", self.name(at))
                });
            }
            Message::Proposal(wire) if own == Some(wire.proposer) => {
                let proposal = bft::Proposal {
                    height: wire.header.height,
                    round: wire.round,
                    value: bft::ValueId(wire.header.id().0),
                    pol_round: wire.pol_round,
                    proposer: wire.proposer,
                };
                self.verdicts.signed(&key, &proposal_sign_bytes(CHAIN_ID, &proposal), &wire.signature);
                if wire.pol_round.is_some() {
                    let how = if wire.polka.is_some() {
                        "5: proposed again with the polka"
                    } else {
                        "3: proposed again"
                    };
                    self.tally.note(Group::Defence, how);
                }
                self.timeline.say(self.now_ms, || {
                    let id = wire.header.id().to_string();
                    let (height, round, txs) = (wire.header.height, wire.round, wire.txs.len());
                    let again = wire.pol_round.map_or(String::new(), |pol| {
                        let proof = wire.polka.as_ref().map_or(0, |polka| polka.signatures.len());
                        format!(", again from round {pol} with {proof} prevotes")
                    });
                    let who = self.name(at);
                    format!("{who} proposes {} at {height}/{round} with {txs} transactions{again}", &id[..8])
                });
            }
            _ => {}
        }
        match self.checks.on_sent(key, own, message) {
            Ok(()) => true,
            Err(what) => {
                self.violate(format!("{what}, by {}", self.name(at)));
                false
            }
        }
    }

    /// Whether rounds are split so that `to` does not hear this.
    fn may_hear(&self, from: usize, to: usize, bytes: &[u8]) -> bool {
        let Some(splits) = &self.splits else { return true };
        let round = match Message::decode(bytes) {
            Ok(Message::Vote(vote)) => vote.round,
            Ok(Message::Proposal(proposal)) => proposal.round,
            Ok(Message::Certificate(certificate)) => certificate.round,
            Ok(Message::Holding(holding)) => holding.round,
            _ => self.view(from).map_or(0, |view| view.round),
        };
        splits.allow(self.now_ms, round, from, to)
    }

    /// Puts bytes on the wire.
    pub(crate) fn transmit(&mut self, from: usize, to: usize, bytes: &Bytes) {
        self.traffic.messages += 1;
        self.traffic.bytes += bytes.len() as u64;
        let link = self.links.get(from, to);
        let (seat_from, seat_to) = (self.machines[from].seat, self.machines[to].seat);
        if self.links.is_cut(seat_from, seat_to) {
            return self.tally.note(Group::Fault, "message into a cut");
        }
        let healed = !self.storming && self.core.contains(&seat_from) && self.core.contains(&seat_to);
        let weather = if healed { crate::liveness::FAIR } else { self.plan.weather };
        if !self.may_hear(from, to, bytes) {
            return;
        }
        let journey = self.links.travel(from, to, self.now_ms, &weather, &mut self.dice.links);
        for (happened, what) in [
            (journey.dropped, "lost message"),
            (journey.reordered, "reordered message"),
            (journey.arrivals.len() > 1, "repeated message"),
        ] {
            if happened {
                self.tally.note(Group::Fault, what);
            }
        }
        let boot = self.machines[to].boots;
        for at_ms in journey.arrivals {
            let event = Event::Arrive { from, to, epoch: link.epoch, boot, bytes: bytes.clone() };
            self.schedule(at_ms - self.now_ms, event);
        }
    }

    /// Sends what a puppet makes of a message.
    pub(crate) fn twist(&mut self, at: usize, to: usize, message: &Message) {
        let Some(view) = self.view(at) else { return };
        let seat = self.machines[to].seat;
        let Some(puppet) = self.puppets.get_mut(&at) else { return };
        for (after_ms, message) in puppet.twist(seat, message, view, &mut self.tally) {
            let bytes = message.encode();
            if after_ms == 0 {
                self.transmit(at, to, &bytes);
            } else {
                let (epoch, boot) = (self.links.get(at, to).epoch, self.machines[to].boots);
                self.schedule(after_ms, Event::Arrive { from: at, to, epoch, boot, bytes });
            }
        }
    }

    /// A Byzantine machine acts unasked.
    pub(crate) fn mischief(&mut self, at: usize) {
        let next_ms = self.dice.deeds.between(150, 700);
        self.schedule(next_ms, Event::Mischief { at });
        let peers = self.links.peers(at);
        let (Some(view), Some(to)) = (self.view(at), self.dice.deeds.pick(&peers).copied()) else { return };
        let Some(victim) = self.victim() else { return };
        let mut forged = Vec::new();
        let Some(puppet) = self.puppets.get_mut(&at) else { return };
        let deeds = puppet.mischief(view, &victim, &mut forged, &mut self.tally);
        self.checks.forged.extend(forged);
        for deed in deeds {
            match deed {
                Deed::Bytes(bytes) => self.transmit(at, to, &bytes),
                Deed::Request(bytes) => {
                    let peer = self.seats[self.machines[to].seat].node_key;
                    self.request(at, &peer, bytes, u64::MAX);
                }
            }
        }
    }

    fn victim(&mut self) -> Option<Victim> {
        let validators = self.plan.powers.len();
        let seat = self.dice.deeds.below(validators);
        let genesis = &self.settings.genesis;
        let id = |seat: usize| genesis.validators.get(seat).map(|v| genesis.validator_id(v));
        let (operator, nonce) = self.clients.operator(seat);
        let time_ms = crate::seats::START_UNIX_MS + self.now_ms - 3_000;
        Some(Victim { operator, from: id(seat)?, to: id((seat + 1) % validators)?, nonce, time_ms })
    }

    /// Asks a peer for blocks.
    pub(crate) fn request(&mut self, at: usize, key: &PublicKey, bytes: Bytes, tag: u64) {
        let token = self.next_token;
        self.next_token += 1;
        let boot = self.machines[at].boots;
        self.requests.insert(token, (at, boot, tag));
        let give_up = Box::new(Input::SyncResponse { peer: *key, tag, bytes: None });
        self.schedule(REQUEST_TIMEOUT_MS, Event::Input { to: at, boot, input: give_up });
        let Some(to) = self.body_of(at, key) else { return };
        let (from_seat, to_seat) = (self.machines[at].seat, self.machines[to].seat);
        if self.links.is_cut(from_seat, to_seat) {
            return;
        }
        let peer = self.seats[from_seat].node_key;
        let boot = self.machines[to].boots;
        let input = Box::new(Input::SyncRequest { peer, bytes, token });
        self.schedule(self.plan.weather.delay_min_ms, Event::Input { to, boot, input });
    }

    /// Answers a peer that asked for blocks.
    pub(crate) fn serve(&mut self, at: usize, token: u64, request: SyncRequest) {
        let Some((asker, boot, tag)) = self.requests.remove(&token) else { return };
        let (from, to) = (self.machines[at].seat, self.machines[asker].seat);
        let Some(running) = &self.machines[at].running else { return };
        let honest = running.serve(request);
        let bytes = match self.puppets.get_mut(&at) {
            Some(puppet) => puppet.sync_answer(honest, &mut self.tally),
            None => Some(honest.encode()),
        };
        if tag == u64::MAX || self.links.is_cut(from, to) {
            return;
        }
        self.tally.note(Group::Work, "answers with blocks");
        let peer = self.seats[from].node_key;
        let input = Box::new(Input::SyncResponse { peer, tag, bytes });
        self.schedule(self.plan.weather.delay_min_ms, Event::Input { to: asker, boot, input });
    }
}
