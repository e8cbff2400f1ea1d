//! Processes and connections: how machines boot and die, what they are fed, and how their outputs are carried out.

use bytes::Bytes;
use trustnet_engine::io::{Final, Persist};
use trustnet_engine::message::Message;
use trustnet_engine::{Input, Output, TimerId};
use trustnet_ledger::crypto::PublicKey;
use trustnet_ledger::signed::SignedTransaction;

use crate::seats::CHAIN_ID;
use crate::tally::Group;
use crate::world::{Event, World};

/// A node whose disk failed is started again by its operator after this long, milliseconds.
const OPERATOR_MS: u64 = 1_500;
/// A banned peer may come back after this long, milliseconds.
const BAN_MS: u64 = 4_000;
/// Points at which a peer is banned (net/src/config.rs).
const BAN_SCORE: i32 = -100;

impl World {
    pub(crate) fn boot(&mut self, at: usize) {
        self.machines[at].booting = false;
        if self.machines[at].running.is_some() {
            return;
        }
        let seat = self.machines[at].seat;
        let booted = self.machines[at].boot(&self.settings, &self.seats[seat], self.now_ms);
        match booted {
            Ok((outputs, found)) => {
                self.checks.on_boot(at, found.height);
                self.timeline.say(self.now_ms, || format!("{} boots: {found:?}", self.name(at)));
                for (happened, what) in [
                    (found.lost, "24/26: booted without a signer record"),
                    (found.torn, "24: cut a torn tail"),
                    (found.replayed, "21: replayed the log"),
                    (found.candidate, "23: found the block it had voted for"),
                ] {
                    if happened {
                        self.tally.note(Group::Defence, what);
                    }
                }
                self.carry_out(at, outputs);
                for other in 0..self.machines.len() {
                    let after_ms = self.dice.links.between(1, 40);
                    self.schedule(after_ms, Event::Dial { a: at, b: other });
                }
            }
            Err(why) => self.refused(at, &why),
        }
    }

    /// The node refuses to start. On a damaged disk that is right; its operator moves the data away.
    fn refused(&mut self, at: usize, why: &str) {
        self.timeline.say(self.now_ms, || format!("{} refuses to start: {why}", self.name(at)));
        let machine = &mut self.machines[at];
        machine.running = None;
        if why.contains("disk is full") {
            return self.schedule_boot(at, OPERATOR_MS);
        }
        if why.contains("the power is off") || why.contains("Input/output error") {
            machine.dir.crash(self.dice.disks.any());
            return self.schedule_boot(at, OPERATOR_MS);
        }
        if machine.rotten || self.puppets.contains_key(&at) {
            machine.dir = trustnet_store::MemDir::new();
            machine.rotten = false;
            self.tally.note(Group::Defence, "24: refused a damaged disk");
            return self.schedule_boot(at, OPERATOR_MS);
        }
        self.violate(format!("recovery: {} cannot start from its own disk: {why}", self.name(at)));
    }

    pub(crate) fn name(&self, at: usize) -> String {
        let seat = self.machines[at].seat;
        let kind = if self.puppets.contains_key(&at) { "!" } else { "" };
        let body = if at == seat { "" } else { "'" };
        format!("node-{seat}{body}{kind}")
    }

    /// Power goes at one machine.
    pub(crate) fn crash(&mut self, at: usize, after_ms: u64) {
        if self.machines[at].running.is_none() {
            return;
        }
        self.timeline.say(self.now_ms, || format!("{} loses power for {after_ms} ms", self.name(at)));
        let seed = self.dice.disks.any();
        let seed = if self.plan.torn { seed } else { seed & !3 };
        self.leave_notes(at);
        self.machines[at].kill(seed);
        for other in 0..self.machines.len() {
            if self.links.get(at, other).up {
                self.links.close(at, other);
                let epoch = self.links.get(at, other).epoch;
                let after_ms = self.plan.weather.delay_max_ms + 1;
                self.schedule(after_ms, Event::HangUp { a: at, b: other, epoch });
            }
        }
        self.schedule_boot(at, after_ms.max(self.plan.weather.delay_max_ms + 2));
    }

    /// What a process has run is counted before it is gone.
    pub(crate) fn leave_notes(&mut self, at: usize) {
        if let Some(running) = &self.machines[at].running
            && !self.puppets.contains_key(&at)
        {
            self.tally.note_rules(running.engine.rules());
        }
    }

    pub(crate) fn dial(&mut self, a: usize, b: usize) {
        let (one, two) = (&self.machines[a], &self.machines[b]);
        let (seat_a, seat_b) = (one.seat, two.seat);
        if seat_a == seat_b || one.running.is_none() || two.running.is_none() {
            return;
        }
        let link = self.links.get(a, b);
        let cut = self.links.is_cut(seat_a, seat_b) || self.links.is_cut(seat_b, seat_a);
        if link.up || link.closing || cut {
            if !link.up || link.closing {
                self.schedule(200, Event::Dial { a, b });
            }
            return;
        }
        // A peer has one connection with a key: the first stays, or the second takes its place.
        for (end, other_seat, other) in [(a, seat_b, b), (b, seat_a, a)] {
            let rivals: Vec<usize> = (0..self.machines.len())
                .filter(|rival| *rival != other && self.machines[*rival].seat == other_seat)
                .filter(|rival| self.links.get(end, *rival).up)
                .collect();
            for rival in rivals {
                if self.dice.links.chance(600) {
                    return self.schedule(700, Event::Dial { a, b });
                }
                let epoch = self.links.get(end, rival).epoch;
                self.hang_up(end, rival, epoch);
            }
        }
        self.links.connect(a, b);
        let (key_a, key_b) = (self.seats[seat_a].node_key, self.seats[seat_b].node_key);
        self.feed(a, Input::PeerUp(key_b));
        self.feed(b, Input::PeerUp(key_a));
    }

    pub(crate) fn hang_up(&mut self, a: usize, b: usize, epoch: u32) {
        let link = self.links.get(a, b);
        if link.epoch != epoch || !link.up {
            return;
        }
        self.links.gone(a, b);
        for (end, other) in [(a, b), (b, a)] {
            if self.machines[end].running.is_some() {
                let key = self.seats[self.machines[other].seat].node_key;
                self.feed(end, Input::PeerDown(key));
            }
        }
        // Both try again, as the dialler of the net does.
        self.schedule(300, Event::Dial { a, b });
    }

    /// Hands an input to a process, and what was gathered from it.
    pub(crate) fn feed(&mut self, at: usize, input: Input) {
        for input in [input, Input::Flush] {
            let machine = &mut self.machines[at];
            let now = machine.now(self.now_ms);
            let Some(running) = &mut machine.running else { return };
            let outputs = running.engine.step(now, input);
            if outputs.is_empty() {
                continue;
            }
            self.carry_out(at, outputs);
            if self.violation.is_some() {
                return;
            }
        }
        self.watch(at);
    }

    /// Looks at a replica after it was fed.
    fn watch(&mut self, at: usize) {
        if self.puppets.contains_key(&at) {
            return;
        }
        let Some(running) = &mut self.machines[at].running else { return };
        let silent = running.engine.silent_reason();
        let was = std::mem::replace(&mut running.silent, silent);
        if silent != was {
            let is = |reason: Option<&str>, what: &str| reason.is_some_and(|reason| reason.contains(what));
            for (happened, what) in [
                (is(was, "record was lost") && silent.is_none(), "26: voted again after the record was lost"),
                (is(silent, "another machine"), "26: a copy or a restored backup fell silent"),
                (is(was, "just started") && is(silent, "record was lost"), "26: noticed a restored backup"),
                (is(silent, "catching up"), "27: silent while left behind"),
            ] {
                if happened {
                    self.tally.note(Group::Defence, what);
                }
            }
            self.timeline.say(self.now_ms, || format!("{} silent: {silent:?}", self.name(at)));
        }
        let Some(running) = &self.machines[at].running else { return };
        let held = running.engine.held();
        let refused = running.engine.stats().refused_signatures;
        if let Err(what) = self.checks.on_held(&held, self.seats.len()) {
            self.violate(format!("{what} at {}", self.name(at)));
        } else if refused > 0 {
            self.violate(format!("signer: the core of {} wanted to sign a slot twice", self.name(at)));
        }
    }

    pub(crate) fn carry_out(&mut self, at: usize, outputs: Vec<Output>) {
        for output in outputs {
            if self.violation.is_some() || self.machines[at].running.is_none() {
                return;
            }
            if self.storming
                && !self.puppets.contains_key(&at)
                && self.dice.crashes.rarely(self.plan.crash_per_million)
            {
                self.tally.note(Group::Fault, "crash at an output");
                let after_ms = self.dice.crashes.between(10, 2_000);
                return self.crash(at, after_ms);
            }
            match output {
                Output::Persist(persist) => self.persist(at, persist),
                Output::Send(key, message) => self.send(at, &key, &message),
                Output::Broadcast(message, except) => self.broadcast(at, &message, except),
                Output::Request { peer, request, tag } => self.request(at, &peer, request.encode(), tag),
                Output::ServeBlocks { token, request } => self.serve(at, token, request),
                Output::SetTimer(id, at_mono_ms) => self.set_timer(at, id, at_mono_ms),
                Output::Verify { job, checks } => {
                    use trustnet_engine::verifier::Verifier as _;
                    let judged = checks.iter();
                    let results =
                        judged.map(|c| self.verdicts.verify(&c.key, &c.message, &c.signature)).collect();
                    let boot = self.machines[at].boots;
                    let input = Box::new(Input::Verified { job, results });
                    self.schedule(0, Event::Input { to: at, boot, input });
                }
                Output::Final(done) => self.finish(at, *done),
                Output::Submitted { token, result } => {
                    if let Some(client) = self.tokens.remove(&token) {
                        self.clients.on_answer(client, &result);
                    }
                }
                Output::Punish { peer, points, reason } => self.punish(at, &peer, points, reason),
                Output::Validators(_) => {}
                Output::Halt(why) => self.halted(at, &why),
            }
        }
    }

    fn halted(&mut self, at: usize, why: &str) {
        self.timeline.say(self.now_ms, || format!("{} halts: {why}", self.name(at)));
        if self.puppets.contains_key(&at) {
            return;
        }
        if self.machines[at].rotten {
            self.tally.note(Group::Defence, "damaged state: halted");
            self.crash(at, OPERATOR_MS);
            self.machines[at].dir = trustnet_store::MemDir::new();
            return;
        }
        self.violate(format!("halt: {} stops: {why}", self.name(at)));
    }

    fn disk_failed(&mut self, at: usize, why: &trustnet_store::StoreError) {
        self.timeline.say(self.now_ms, || format!("{} stops, its disk failed: {why}", self.name(at)));
        self.tally.note(Group::Defence, "stopped when the disk failed");
        self.crash(at, OPERATOR_MS);
    }

    fn persist(&mut self, at: usize, persist: Persist) {
        let Some(running) = &mut self.machines[at].running else { return };
        if let Err(why) = running.persist(persist) {
            self.disk_failed(at, &why);
        }
    }

    fn finish(&mut self, at: usize, done: Final) {
        let committed = std::sync::Arc::clone(&done.committed);
        let (height, txs) = (committed.block.header.height, committed.block.txs.len());
        let round = committed.commit.round;
        self.timeline.say(self.now_ms, || {
            let id = committed.id.to_string();
            format!("{} final {height} round {round}: {} with {txs} transactions", self.name(at), &id[..8])
        });
        let Some(running) = &mut self.machines[at].running else { return };
        if let Err(why) = running.finish(done, self.settings.checkpoint_blocks) {
            return self.disk_failed(at, &why);
        }
        if self.puppets.contains_key(&at) {
            return;
        }
        match self.checks.on_final(at, &committed) {
            Ok(true) => {
                self.tally.note(Group::Work, "blocks");
                self.tally.add(Group::Work, "transactions committed", txs as u64);
                if !committed.block.evidence.is_empty() {
                    self.tally.note(Group::Defence, "35: convicted a double signer");
                }
                if committed.block.header.validators != committed.block.header.next_validators {
                    self.tally.note(Group::Defence, "32: the validator set changed");
                }
                if round > 0 {
                    self.tally.note(Group::Work, "blocks decided after round 0");
                }
            }
            Ok(false) => {}
            Err(what) => self.violate(what),
        }
    }

    fn punish(&mut self, at: usize, peer: &PublicKey, points: i32, reason: &'static str) {
        let Some(seat) = self.by_key.get(&peer.0).copied() else { return };
        self.timeline
            .say(self.now_ms, || format!("{} takes {points} off node-{seat}: {reason}", self.name(at)));
        if self.puppets.contains_key(&at) {
            return;
        }
        self.tally.note(Group::Defence, &format!("refused: {reason}"));
        let orderly = self.plan.weather.duplicate == 0 && self.plan.weather.reorder == 0;
        let honest = !self.plan.byzantine.contains_key(&seat);
        if honest && orderly && !self.plan.forgetful.contains(&seat) {
            return self
                .violate(format!("false accusation: {} says that node-{seat} {reason}", self.name(at)));
        }
        let score = self.scores.entry((at, seat)).or_default();
        *score -= points;
        if *score <= BAN_SCORE {
            *score = 0;
            let bodies: Vec<usize> =
                (0..self.machines.len()).filter(|body| self.machines[*body].seat == seat).collect();
            for body in bodies {
                let link = self.links.get(at, body);
                if link.up && !link.closing {
                    self.tally.note(Group::Defence, "banned a peer");
                    let epoch = link.epoch;
                    self.links.close(at, body);
                    self.schedule(1, Event::HangUp { a: at, b: body, epoch });
                    self.schedule(BAN_MS, Event::Dial { a: at, b: body });
                }
            }
        }
    }

    fn set_timer(&mut self, at: usize, id: TimerId, due_ms: u64) {
        let machine = &mut self.machines[at];
        let boot = machine.boots;
        let Some(running) = &mut machine.running else { return };
        running.timers.insert(id, due_ms);
        let world_ms = running.booted_ms + due_ms;
        let after_ms = world_ms.saturating_sub(self.now_ms);
        self.schedule(after_ms, Event::Timer { at, boot, id, due_ms });
    }

    /// Notes that a client's transaction is signed as it should be.
    pub(crate) fn note_signature(&self, bytes: &Bytes) {
        if let Ok(tx) = SignedTransaction::decode(bytes) {
            let check = tx.signature_check(CHAIN_ID);
            self.verdicts.signed(&check.key, &check.message, &check.signature);
        }
    }

    fn broadcast(&mut self, at: usize, message: &Message, except: Option<PublicKey>) {
        if !self.note_sent(at, message) {
            return;
        }
        let bytes = if self.puppets.contains_key(&at) { None } else { Some(message.encode()) };
        for to in self.links.peers(at) {
            if Some(self.seats[self.machines[to].seat].node_key) != except {
                match &bytes {
                    Some(bytes) => self.transmit(at, to, bytes),
                    None => self.twist(at, to, message),
                }
            }
        }
    }

    fn send(&mut self, at: usize, key: &PublicKey, message: &Message) {
        if !self.note_sent(at, message) {
            return;
        }
        let Some(to) = self.body_of(at, key) else { return };
        if self.puppets.contains_key(&at) {
            self.twist(at, to, message);
        } else {
            self.transmit(at, to, &message.encode());
        }
    }
}
