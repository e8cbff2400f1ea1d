//! What the core costs with 128 validators: `cargo run --release -p trustnet-bft --example cost`.

use std::hint::black_box;
use std::time::Instant;
use trustnet_bft::{
    Actions, Core, Event, Proposal, Signature, SignedProposal, SignedVote, ValidatorSet, ValueId, Vote,
    VoteKind,
};

const N: usize = 128;
const HEIGHTS: u64 = 500;

fn main() {
    let Ok(set) = ValidatorSet::<N>::new(&[1000; N]) else { return };
    let mut core = Box::new(Core::<N>::new(0, set.clone(), Some(0)));
    let mut actions = Box::new(Actions::new());
    let signature = Signature([0; 64]);
    let value = ValueId([1; 32]);

    let begin = Instant::now();
    let mut votes = 0_u32;
    for height in 0..HEIGHTS {
        core.step(Event::Start, &mut actions);
        let proposal = Proposal { height, round: 0, value, pol_round: None, proposer: core.proposer(0) };
        let proposal = SignedProposal { proposal, signature };
        core.step(Event::Proposal { proposal, valid: true }, &mut actions);
        for kind in [VoteKind::Prevote, VoteKind::Precommit] {
            for validator in 0..N as u16 {
                let vote = Vote { kind, height, round: 0, value: Some(value), validator };
                if black_box(core.is_new(&vote)) {
                    core.step(Event::Vote(SignedVote { vote, signature }), &mut actions);
                    votes += 1;
                }
            }
        }
        assert!(core.decided().is_some(), "all voted for the value");
        core.next_height(set.clone(), Some(0));
    }
    let whole = begin.elapsed();

    let begin = Instant::now();
    for height in 0..10_000 {
        black_box(set.proposer(black_box(height * 7919), 3));
    }
    let proposer = begin.elapsed() / 10_000;

    println!("Core<128>         {:>8} bytes", size_of::<Core<N>>());
    println!("Actions           {:>8} bytes", size_of::<Actions>());
    println!("one height        {:>8} ns (256 votes, decided)", whole.as_nanos() / u128::from(HEIGHTS));
    println!("one vote          {:>8} ns (is_new and step)", (whole / votes).as_nanos());
    println!("proposer(h, r)    {:>8} ns", proposer.as_nanos());
}
