//! What a run exercised: how often each fault, each Byzantine behaviour, each rule and each pitfall's branch.

use std::collections::BTreeMap;

use trustnet_bft::{Rule, Rules};

/// Counts by group and name.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<(Group, String), u64>,
}

/// What a count is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// A fault of network, machine, disk or clock.
    Fault,
    /// Something that a Byzantine validator did.
    Byzantine,
    /// A rule of Algorithm 1; counted once a run and replica.
    Rule,
    /// A branch that answers a pitfall of consensus.md, or a defence of the engine.
    Defence,
    /// What the network did.
    Work,
}

impl Group {
    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Fault => "faults",
            Self::Byzantine => "Byzantine behaviours",
            Self::Rule => "rules of Algorithm 1 (replicas that ran them)",
            Self::Defence => "defences and pitfalls",
            Self::Work => "work",
        }
    }
}

impl Tally {
    /// Counts one.
    pub fn note(&mut self, group: Group, name: &str) {
        self.add(group, name, 1);
    }

    /// Counts `count`.
    pub fn add(&mut self, group: Group, name: &str, count: u64) {
        *self.counts.entry((group, name.to_owned())).or_default() += count;
    }

    /// Counts the rules that a replica has run.
    pub fn note_rules(&mut self, rules: Rules) {
        for rule in Rule::ALL {
            if rules.contains(rule) {
                self.note(Group::Rule, &format!("{rule:?}"));
            }
        }
    }

    /// Adds all of another run.
    pub fn merge(&mut self, other: &Self) {
        for ((group, name), count) in &other.counts {
            *self.counts.entry((*group, name.clone())).or_default() += count;
        }
    }

    /// A count.
    pub fn get(&self, group: Group, name: &str) -> u64 {
        self.counts.get(&(group, name.to_owned())).copied().unwrap_or(0)
    }

    /// Makes sure that a name is listed, with 0 if it never ran.
    pub fn expect(&mut self, group: Group, name: &str) {
        self.add(group, name, 0);
    }

    /// All counts of a group, in the order of their names.
    pub fn of(&self, group: Group) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().filter(move |((of, _), _)| *of == group).map(|((_, name), n)| (name.as_str(), *n))
    }

    /// What is expected and never ran.
    pub fn never_ran(&self) -> Vec<String> {
        let never = self.counts.iter().filter(|(_, count)| **count == 0);
        never.map(|((group, name), _)| format!("{}: {name}", group.title())).collect()
    }
}
