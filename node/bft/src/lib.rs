//! Tendermint consensus as a pure step function: events in, actions out.
//!
//! This is Algorithm 1 of "The latest gossip on BFT consensus" (arXiv 1807.04938), weighted, for up to
//! [`MAX_VALIDATORS`] validators, in bounded memory. It is `no_std`, uses no heap, and has no clock, no I/O, no
//! randomness and no cryptography: signatures are bytes that the caller has verified. The same events give the same
//! actions, so a run can be replayed from a log.
//!
//! A [`Core`] decides one height. [`Core::step`] takes an [`Event`] and fills [`Actions`]; the caller carries these out,
//! in order, and feeds what comes of it back. A network of one, in full:
//!
//! ```
//! use trustnet_bft::*;
//!
//! let set = ValidatorSet::<4>::new(&[1])?;
//! let mut core = Core::new(1, set, Some(0));
//! let mut actions = Actions::new();
//! let mut todo = vec![];
//! let signature = Signature([0; 64]); // A real caller signs.
//!
//! core.step(Event::Start, &mut actions);
//! todo.extend(actions.iter().copied());
//! while !todo.is_empty() {
//!     let event = match todo.remove(0) {
//!         Action::GetValue { round, .. } => Event::Value { round, value: ValueId([42; 32]) },
//!         // Before either of these is signed, `core.memory()` is made durable.
//!         Action::Propose(proposal) => {
//!             Event::Proposal { proposal: SignedProposal { proposal, signature }, valid: true }
//!         }
//!         Action::Vote(vote) => Event::Vote(SignedVote { vote, signature }),
//!         _ => continue,
//!     };
//!     core.step(event, &mut actions);
//!     todo.extend(actions.iter().copied());
//! }
//! assert_eq!(core.decided(), Some((0, ValueId([42; 32]))));
//! assert_eq!(core.commit_certificate().unwrap().signatures.len(), 1);
//! # Ok::<(), SetError>(())
//! ```
//!
//! # Which rule applies when
//!
//! "Quorum" is more than 2/3 of the power, "third" more than 1/3. `c` is the current round, `v` the value proposed in it.
//! After every event all rules are tried from top to bottom, against everything stored.
//!
//! | step | heard | proposal of `c` | rule | what happens |
//! |---|---|---|---|---|
//! | any | quorum of precommits for a value, any round | any, or none | L49 | `Decide`, and nothing else from then on |
//! | any | third, each sender in a round above `c` | | L55 | enter the highest round that such a third has reached |
//! | any | quorum of prevotes for a value, round before `c` | valid, in any kept round | L42 | it becomes the valid value |
//! | Propose | | we are the proposer | L14 | propose the valid value, else `GetValue` (L18) |
//! | Propose | | valid, no `pol_round`, not locked or locked on `v` | L22 | prevote `v` |
//! | Propose | | no `pol_round`, locked on another value | L22 | prevote nil |
//! | Propose | | not valid | L22, L28 | prevote nil |
//! | Propose | quorum of prevotes for `v` in `pol_round` | valid, locked no later than `pol_round` or on `v` | L28 | prevote `v` |
//! | Propose | quorum of prevotes for `v` in `pol_round` | locked later than `pol_round`, on another value | L28 | prevote nil |
//! | Propose | no such quorum, or for another value | valid, with `pol_round` | | wait |
//! | Prevote | quorum of prevotes for `v` | valid | L36 | lock `v`, precommit `v`; `v` becomes the valid value |
//! | Precommit | quorum of prevotes for `v` | valid | L36 | `v` becomes the valid value |
//! | Prevote, Precommit | quorum of prevotes for a value | not valid, of another value, or none | | no lock, no vote |
//! | Prevote | quorum of prevotes for nil | any | L44 | precommit nil |
//! | Prevote | quorum of prevotes, for whatever | any | L34 | set the prevote timer |
//! | any | quorum of precommits, for whatever | any | L47 | set the precommit timer |
//! | any | round entered | | L11, L20 | set the propose timer |
//! | Propose | propose timer fired | any | L57 | prevote nil |
//! | Prevote | prevote timer fired | any | L61 | precommit nil |
//! | any | precommit timer fired | any | L65 | enter round `c + 1` |
//!
//! Where this goes beyond the paper, safety is untouched: no value gets a vote that it would not get there.
//!
//! - L42 also for a round that is over, so that a value on which somebody may be locked is proposed again sooner;
//! - L55 for senders in different rounds, so that one place for each validator is enough to catch up from anywhere;
//! - an invalid value proposed again gets its nil at once, without waiting for its polka.
//!
//! # What the caller owes
//!
//! Safety:
//!
//! - verify every signature before an event is fed, and all of a certificate's ([`Core::is_new`], [`Core::is_new_proposal`]
//!   and [`Certificate::check_shape`] come before that, and are cheap);
//! - make [`Core::memory`] durable after a step that emits `Propose` or `Vote`, before signing; sign nothing else;
//! - after a crash, go on from that [`Memory`]. If it is lost, [`Core::silence`] until others have told where we were.
//!
//! Progress:
//!
//! - feed our own proposals and votes back: they count only then;
//! - let timers grow with the round;
//! - repeat on a timer what we know of the current round and the precommits of the one before, and answer those who are
//!   behind with [`Core::certificate`] or [`Core::commit_certificate`]: the algorithm assumes that what one honest validator
//!   has heard, all hear in the end;
//! - send a polka along with the proposal that needs it, and feed the two together, in either order;
//! - log what is fed before it has effects, and replay it before [`Event::Start`] after a crash. With the memory alone a
//!   validator stays safe. But it forgets the votes which brought it to its round and the polka of its lock, and if it was
//!   the only one who could have told, the others wait for a quorum that nobody has any more.
//!
//! # Memory
//!
//! Everything is inline: `Core<128>` takes about 300 KB, [`Actions`] about 32 KB, and nothing that peers send changes
//! that. Rounds near the current one, and the few that its rules look at, are kept in full; from rounds far ahead one place
//! for each validator is kept; other rounds are forgotten. The reasons why this is enough are in the sources, `votes.rs`
//! and `future.rs`.

#![no_std]

mod bits;
mod certificate;
mod core;
mod events;
mod future;
mod rotation;
mod round;
mod rules;
mod tally;
mod types;
mod validators;
mod votes;

pub use crate::core::Core;
pub use bits::Bits;
pub use certificate::{Certificate, CertificateError};
pub use events::{Action, Actions, Event, MAX_ACTIONS};
pub use rules::{Rule, Rules};
pub use types::{
    Height, Index, MAX_ROUND, MAX_VALIDATORS, Memory, Power, Proposal, Round, Signature, SignedProposal,
    SignedVote, Step, Timeout, ValueId, Vote, VoteKind,
};
pub use validators::{MAX_TOTAL_POWER, SetError, ValidatorSet};
