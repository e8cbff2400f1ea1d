//! The language of the tables, and the player that runs them.
//!
//! A table is a text: a header, then one row for each event, in four columns.
//!
//! ```text
//! powers 2 3 2, me 2, proposers 1 0
//! 10 21 | start             | round 0, timer 0 propose | 0 propose
//! 24    | proposal 0 A      | prevote 0 A              | 0 prevote
//!       | prevote 0 A by 0  |                          |
//! ```
//!
//! 1. The lines of Algorithm 1 (arXiv 1807.04938) that act. They are claims that the player checks: every action and every
//!    change of lock or valid value in the row must be what one of these lines does, and each of these lines must have done
//!    something. `!28` claims that the rule of line 28 has been tried and holds back: nothing may happen.
//! 2. The event, in the words of [`Player::event`]. Our own messages come back with `own`, when the table says so.
//! 3. What the core emits for it, all of it, in order.
//! 4. The state afterwards: round, step, lock, valid value, decision. Empty: as before.

use crate::common::{N, Precommit, Prevote, certificate_at, sign, sign_proposal, value, weighted};
use trustnet_bft::{
    Action, Actions, Core, Event, Height, Index, MAX_ROUND, Memory, Proposal, Round, Step, Timeout, ValueId,
    Vote, VoteKind,
};

/// Divisible by every sum of powers in the tables, so that the turns of the proposers start from the first slot.
const BASE: Height = 5040;

/// Declares tables as tests, and lists them for the tests about the tables.
macro_rules! tables {
    ($($name:ident = $table:literal;)*) => {
        $(#[test] fn $name() {
            crate::table::play(stringify!($name), $table);
        })*

        /// Every table of this file, by name.
        pub(crate) const TABLES: &[(&str, &str)] = &[$((stringify!($name), $table)),*];
    };
}
pub(crate) use tables;

/// Runs a table. Returns the lines that acted.
pub(crate) fn play(name: &str, table: &str) -> Vec<u8> {
    let mut rows = table.lines().map(str::trim).filter(|row| !row.is_empty());
    let header = rows.next().unwrap_or_default();
    let mut player = Player::new(header).unwrap_or_else(|error| panic!("{name}: {error}: {header}"));
    let mut lines = Vec::new();
    for row in rows {
        match player.row(row) {
            Ok(acted) => lines.extend(acted),
            Err(error) => panic!("{name}: {error}\n  in the row: {row}"),
        }
    }
    lines
}

/// The name after `from` in a header: the test elsewhere whose situation the table retells.
pub(crate) fn origin(table: &str) -> Option<&str> {
    let header = table.lines().map(str::trim).find(|row| !row.is_empty())?;
    header.split(',').find_map(|clause| clause.trim().strip_prefix("from "))
}

/// What a step did, as the tables see it.
struct Outcome {
    actions: Vec<Action>,
    before: Memory,
    after: Memory,
}

struct Player {
    core: Box<Core<N>>,
    height: Height,
    /// Our own messages that have not come back yet.
    outbox: Vec<Action>,
    state: String,
}

impl Player {
    /// Header: `powers P..., me I, proposers I..., from NAME`. The height is chosen so that these propose in the rounds from 0.
    fn new(header: &str) -> Result<Self, String> {
        let clause = |word: &str| {
            let found = header.split(',').find_map(|clause| clause.trim().strip_prefix(word));
            found.map(numbers).ok_or(format!("the header lacks `{word}`"))?
        };
        let powers: Vec<u64> = clause("powers ")?.into_iter().map(u64::from).collect();
        let me = clause("me ")?[0] as Index;
        let proposers = clause("proposers ")?;
        let set = weighted(&powers);
        let fits = |height: &Height| {
            let turns = proposers.iter().zip(0..);
            turns.clone().all(|(&proposer, round)| u32::from(set.proposer(*height, round)) == proposer)
        };
        let height = (BASE..BASE + set.total()).find(fits).ok_or("no height has these proposers")?;
        let core = Box::new(Core::new(height, set, Some(me)));
        Ok(Self { core, height, outbox: Vec::new(), state: String::new() })
    }

    /// Plays one row and checks all of it.
    fn row(&mut self, row: &str) -> Result<Vec<u8>, String> {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let [lines, event, actions, state] = columns[..] else {
            return Err("a row has four columns: lines | event | actions | state".into());
        };
        let before = self.core.memory();
        let emitted = self.event(event)?;
        let outcome = Outcome { actions: emitted, before, after: self.core.memory() };
        let said = outcome.actions.iter().map(action_text).collect::<Vec<_>>().join(", ");
        if said != actions {
            return Err(format!("expected `{actions}`, but the core emits `{said}`"));
        }
        if !state.is_empty() {
            self.state = state.into();
        }
        let now = state_text(&self.core);
        if now != self.state {
            return Err(format!("expected the state `{}`, but it is `{now}`", self.state));
        }
        self.outbox.extend(
            outcome.actions.iter().filter(|action| matches!(action, Action::Vote(_) | Action::Propose(_))),
        );
        // What is said again after a crash was explained when it was said first.
        if event == "restart" { Ok(Vec::new()) } else { check_lines(lines, &outcome) }
    }

    /// Events: `start`, `restart`, `value R V`, `timeout R STEP`, `own proposal|prevote|precommit`, `next P...`,
    /// `proposal R V [pol R] [bad] [by I] [above]`, `prevote R V by I...`, `precommit R V by I...` (each by several, one
    /// after the other), `polka R V by I...`, `commit R V by I...` (certificates).
    /// And two that look instead: `shows polka|commit R V by I...`, `heard prevote|precommit R by I...`.
    fn event(&mut self, text: &str) -> Result<Vec<Action>, String> {
        let (text, by) = match text.split_once(" by ") {
            Some((text, by)) => (text, numbers(by)?.into_iter().map(|index| index as Index).collect()),
            None => (text, Vec::new()),
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let height = self.height;
        match words[..] {
            ["start"] => Ok(self.feed(Event::Start)),
            ["restart"] => {
                let (set, me, memory) = (self.core.set().clone(), self.core.me(), self.core.memory());
                *self.core = Core::restore(set, me, memory);
                Ok(self.feed(Event::Start))
            }
            ["next", ref powers @ ..] => {
                let powers: Vec<u64> = numbers(&powers.join(" "))?.into_iter().map(u64::from).collect();
                let me = self.core.me();
                self.core.next_height(weighted(&powers), me);
                self.height += 1;
                Ok(Vec::new())
            }
            ["value", round, id] => {
                Ok(self.feed(Event::Value { round: number(round)?, value: parse_value(id)?.ok_or("nil")? }))
            }
            ["timeout", round, step] => {
                let timeout = Timeout { height, round: number(round)?, step: parse_step(step)? };
                Ok(self.feed(Event::Timeout(timeout)))
            }
            ["own", kind] => self.own(kind),
            ["proposal", round, id, ref rest @ ..] => self.proposal(number(round)?, id, rest, &by),
            ["polka" | "commit", round, id] => {
                let kind = if words[0] == "polka" { Prevote } else { Precommit };
                let certificate = certificate_at(height, kind, number(round)?, parse_value(id)?, by);
                Ok(self.feed(Event::Certificate(&certificate)))
            }
            ["shows", what @ ("polka" | "commit"), round, id] => {
                let kind = if what == "polka" { Prevote } else { Precommit };
                let wanted = certificate_at(height, kind, number(round)?, parse_value(id)?, by);
                let shown = self.core.certificate(kind, number(round)?);
                if shown.as_ref() == Some(&wanted) {
                    Ok(Vec::new())
                } else {
                    Err(format!("it shows {shown:?}"))
                }
            }
            ["heard", kind, round] => {
                let voters: Vec<Index> =
                    self.core.vote_bitmap(parse_kind(kind)?, number(round)?).iter().collect();
                if voters == by { Ok(Vec::new()) } else { Err(format!("it has heard {voters:?}")) }
            }
            [kind, round, id] => {
                let (kind, round, value) = (parse_kind(kind)?, number(round)?, parse_value(id)?);
                let votes = by.into_iter().map(|validator| Vote { kind, height, round, value, validator });
                Ok(votes.flat_map(|vote| self.feed(Event::Vote(sign(vote)))).collect())
            }
            _ => Err(format!("no such event: {text}")),
        }
    }

    fn proposal(
        &mut self,
        round: Round,
        id: &str,
        rest: &[&str],
        by: &[Index],
    ) -> Result<Vec<Action>, String> {
        let mut proposal = Proposal {
            height: self.height,
            round,
            value: parse_value(id)?.ok_or("nil is never proposed")?,
            pol_round: None,
            proposer: by.first().copied().unwrap_or(self.core.proposer(round)),
        };
        let mut valid = true;
        let mut words = rest.iter();
        while let Some(&word) = words.next() {
            match word {
                "bad" => valid = false,
                "above" => proposal.height += 1,
                "pol" => proposal.pol_round = Some(number(words.next().ok_or("pol of which round?")?)?),
                _ => return Err(format!("no such word: {word}")),
            }
        }
        Ok(self.feed(Event::Proposal { proposal: sign_proposal(proposal), valid }))
    }

    /// The oldest of our own messages of a kind comes back.
    fn own(&mut self, kind: &str) -> Result<Vec<Action>, String> {
        let is_it = |action: &Action| match action {
            Action::Propose(_) => kind == "proposal",
            Action::Vote(vote) => parse_kind(kind) == Ok(vote.kind),
            _ => false,
        };
        let position = self.outbox.iter().position(is_it).ok_or(format!("we have sent no {kind}"))?;
        Ok(match self.outbox.remove(position) {
            Action::Propose(proposal) => {
                self.feed(Event::Proposal { proposal: sign_proposal(proposal), valid: true })
            }
            Action::Vote(vote) => self.feed(Event::Vote(sign(vote))),
            _ => unreachable!("the outbox holds messages"),
        })
    }

    fn feed(&mut self, event: Event<'_, N>) -> Vec<Action> {
        let mut actions = Actions::new();
        self.core.step(event, &mut actions);
        actions.to_vec()
    }
}

/// Checks the first column.
fn check_lines(column: &str, outcome: &Outcome) -> Result<Vec<u8>, String> {
    let mut acted = Vec::new();
    for word in column.split_whitespace() {
        if let Some(held_back) = word.strip_prefix('!') {
            number(held_back)?;
            if !outcome.actions.is_empty() {
                return Err(format!("line {held_back} was to hold back"));
            }
        } else {
            acted.push(number(word)? as u8);
        }
    }
    for action in &outcome.actions {
        if !acted.iter().any(|&line| explains(line, action)) && !is_evidence(action) {
            return Err(format!("none of the lines {acted:?} does `{}`", action_text(action)));
        }
    }
    let locks = outcome.before.locked != outcome.after.locked;
    let notes = outcome.before.valid != outcome.after.valid;
    if locks && !acted.contains(&40) || notes && !acted.contains(&40) && !acted.contains(&43) {
        return Err(format!("none of the lines {acted:?} changes the lock or the valid value"));
    }
    for &line in &acted {
        let did = outcome.actions.iter().any(|action| explains(line, action)) || line == 43 && notes;
        if !did {
            return Err(format!("line {line} did nothing"));
        }
    }
    Ok(acted)
}

/// Evidence is beyond the paper.
fn is_evidence(action: &Action) -> bool {
    matches!(action, Action::Equivocation { .. } | Action::ProposalEquivocation { .. })
}

/// Is this what the line does?
fn explains(line: u8, action: &Action) -> bool {
    match *action {
        Action::NewRound { .. } => matches!(line, 10 | 56 | 67),
        Action::Propose(Proposal { pol_round: Some(_), .. }) => line == 16,
        Action::GetValue { .. } => line == 18,
        Action::Propose(_) => line == 19,
        Action::Schedule(Timeout { step: Step::Propose, .. }) => line == 21,
        Action::Vote(Vote { kind: Prevote, value: Some(_), .. }) => matches!(line, 24 | 30),
        Action::Vote(Vote { kind: Prevote, value: None, .. }) => matches!(line, 26 | 32 | 59),
        Action::Schedule(Timeout { step: Step::Prevote, .. }) => line == 35,
        Action::Vote(Vote { kind: Precommit, value: Some(_), .. }) => line == 40,
        Action::Vote(Vote { kind: Precommit, value: None, .. }) => matches!(line, 45 | 63),
        Action::Schedule(Timeout { step: Step::Precommit, .. }) => line == 48,
        Action::Decide { .. } => line == 51,
        Action::Equivocation { .. } | Action::ProposalEquivocation { .. } => false,
    }
}

fn action_text(action: &Action) -> String {
    match *action {
        Action::NewRound { round } => format!("round {round}"),
        Action::Schedule(Timeout { round, step, .. }) => format!("timer {round} {}", step_text(step)),
        Action::GetValue { round, .. } => format!("build {round}"),
        Action::Propose(Proposal { round, value, pol_round, .. }) => {
            let pol = pol_round.map(|pol_round| format!(" pol {pol_round}")).unwrap_or_default();
            format!("propose {round} {}{pol}", value_text(Some(value)))
        }
        Action::Vote(Vote { kind, round, value, .. }) => {
            format!("{} {round} {}", kind_text(kind), value_text(value))
        }
        Action::Decide { round, value } => format!("decide {round} {}", value_text(Some(value))),
        Action::Equivocation { first, .. } => {
            format!("two {}s of {}", kind_text(first.vote.kind), first.vote.validator)
        }
        Action::ProposalEquivocation { first, .. } => format!("two proposals of {}", first.proposal.proposer),
    }
}

fn state_text(core: &Core<N>) -> String {
    let mut words = vec![format!("{} {}", core.round(), step_text(core.current_step()))];
    for (word, at) in [("lock", core.locked()), ("valid", core.valid()), ("decided", core.decided())] {
        words.extend(at.map(|(round, value)| format!("{word} {round} {}", value_text(Some(value)))));
    }
    words.join(" ")
}

fn step_text(step: Step) -> &'static str {
    match step {
        Step::Propose => "propose",
        Step::Prevote => "prevote",
        Step::Precommit => "precommit",
    }
}

fn kind_text(kind: VoteKind) -> &'static str {
    if kind == Prevote { "prevote" } else { "precommit" }
}

fn value_text(id: Option<ValueId>) -> String {
    id.map_or("nil".into(), |id| char::from(id.0[0]).to_string())
}

fn parse_step(word: &str) -> Result<Step, String> {
    let steps = [Step::Propose, Step::Prevote, Step::Precommit];
    steps.into_iter().find(|&step| step_text(step) == word).ok_or(format!("no such step: {word}"))
}

fn parse_kind(word: &str) -> Result<VoteKind, String> {
    [Prevote, Precommit]
        .into_iter()
        .find(|&kind| kind_text(kind) == word)
        .ok_or(format!("no such vote: {word}"))
}

/// `nil`, or a capital letter.
fn parse_value(word: &str) -> Result<Option<ValueId>, String> {
    match word.as_bytes() {
        b"nil" => Ok(None),
        &[letter @ b'A'..=b'Z'] => Ok(Some(value(letter))),
        _ => Err(format!("no such value: {word}")),
    }
}

/// A round or an index; `last` is the last round.
fn number(word: &str) -> Result<u32, String> {
    if word == "last" { Ok(MAX_ROUND) } else { word.parse().map_err(|_| format!("no such number: {word}")) }
}

fn numbers(words: &str) -> Result<Vec<u32>, String> {
    words.split_whitespace().map(number).collect()
}
