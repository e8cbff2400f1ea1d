//! Doing what a judged transaction does. Nothing here can fail.

use std::collections::btree_map::Entry;

use crate::event::LedgerEvent;
use crate::lifecycle::Step;
use crate::merkle;
use crate::node::StatusReason;
use crate::rating::{Rating, RatingKey};
use crate::rules::Effect;
use crate::signed::SignedTransaction;
use crate::tx::{Action, Transaction};
use crate::work::Work;

/// Runs a transaction that was judged against the same work. `index` is its place in the block.
pub(crate) fn perform(work: &mut Work<'_>, signed: &SignedTransaction, effect: Effect, index: u32) {
    let tx = &signed.tx;
    work.accounts.set(tx.signer, crate::account::Account { nonce: tx.nonce });
    work.log.push(merkle::leaf_hash(signed.bytes()));
    match effect {
        Effect::Register(node) => work.add_node(*node),
        Effect::Rate(key) => rate(work, tx, key, index),
        Effect::Step { node, step, reason } => work.step(node, step, reason),
        Effect::Admit { node, validator, complete } => {
            let mut consents = work.admissions.get(&node).cloned().unwrap_or_default();
            if let Err(at) = consents.binary_search(&validator) {
                consents.insert(at, validator);
            }
            work.admissions.set(node, consents);
            work.events.push(LedgerEvent::Admitted { node, validator });
            if complete {
                work.step(node, Step::Admit, StatusReason::Admitted);
            }
        }
        Effect::Attest { validator } => {
            if let Action::Attest { epoch, observations, .. } = &tx.action {
                work.attestations.set((*epoch, validator), observations.clone());
                work.events.push(LedgerEvent::Attested { validator, epoch: *epoch });
            }
        }
    }
}

fn rate(work: &mut Work<'_>, tx: &Transaction, key: RatingKey, index: u32) {
    let Action::Rate { stars, reason, .. } = &tx.action else { return };
    let old = work.current_rating(&key).map(|r| r.stars);
    let rating = Rating {
        stars: *stars,
        time_ms: tx.time_ms,
        height: work.meta.height,
        index,
        reason: reason.as_str().into(),
    };
    // A list of one takes no more room than it needs: most keys are rated once.
    match work.ratings.entry(key) {
        Entry::Vacant(first) => {
            first.insert(vec![rating]);
        }
        Entry::Occupied(list) => list.into_mut().push(rating),
    }
    let mut tally = work.tallies.get(&key.to).copied().unwrap_or_default();
    tally.receive(key.category, old, *stars);
    work.tallies.set(key.to, tally);
    work.events.push(LedgerEvent::Rated {
        from: key.from,
        to: key.to,
        category: key.category,
        stars: *stars,
        replaced: old.is_some(),
    });
}
