//! The rules of a transaction's fields that need no state.

use crate::crypto::PublicKey;
use crate::node::NodeKind;
use crate::tx::{
    Action, KeyProof, KeyRole, MAX_HEARTBEATS, MAX_NAME_BYTES, MAX_OBSERVATIONS, MAX_OWNER_BYTES,
    MAX_REASON_BYTES, Observation, Transaction,
};
use crate::tx_error::TxError;

/// Checks the fields of a transaction against the rules that hold in every state.
///
/// # Errors
/// The first rule that is broken.
pub fn check(tx: &Transaction) -> Result<(), TxError> {
    if tx.nonce == 0 {
        return Err(TxError::NonceUsed { nonce: 0, next: 1 });
    }
    match &tx.action {
        Action::Register { name, owner, kind, node_key, validator_key } => {
            check_name(name)?;
            check_owner(owner)?;
            // Every other action is signed by a key that was registered, so this covers all.
            if !tx.signer.is_acceptable() {
                return Err(TxError::BadKey(tx.signer));
            }
            check_keys(*kind, node_key.as_ref(), validator_key.as_ref())
        }
        Action::Rate { from, to, stars, reason, .. } => {
            if !(1..=5).contains(stars) {
                return Err(TxError::BadStars(*stars));
            }
            if reason.len() > MAX_REASON_BYTES || reason.chars().any(char::is_control) {
                return Err(TxError::BadReason);
            }
            if from == to { Err(TxError::SelfRating(*from)) } else { Ok(()) }
        }
        Action::Admit { node, validator } => {
            if node == validator {
                return Err(TxError::NotValidator(*validator));
            }
            Ok(())
        }
        Action::Attest { observations, .. } => check_observations(observations),
        Action::Start { .. }
        | Action::Ready { .. }
        | Action::Pause { .. }
        | Action::Resume { .. }
        | Action::Destroy { .. } => Ok(()),
    }
}

/// Checks a node's name.
///
/// # Errors
/// [`TxError::BadName`].
pub fn check_name(name: &str) -> Result<(), TxError> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(good) {
        return Err(TxError::BadName);
    }
    Ok(())
}

/// Checks an owner text.
///
/// # Errors
/// [`TxError::BadOwner`].
pub fn check_owner(owner: &str) -> Result<(), TxError> {
    if owner.len() > MAX_OWNER_BYTES || !is_printable(owner) {
        return Err(TxError::BadOwner);
    }
    Ok(())
}

/// Neither control characters nor the marks that reorder or hide text on a screen: separators of lines
/// and paragraphs, bidirectional controls, invisible operators. (The joiners of emoji and of some
/// scripts are fine.) The list is fixed here, so that it cannot change with a Unicode version.
fn is_printable(text: &str) -> bool {
    !text.chars().any(|c| {
        c.is_control()
            || matches!(c, '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    })
}

fn check_keys(
    kind: NodeKind,
    node_key: Option<&KeyProof>,
    validator_key: Option<&KeyProof>,
) -> Result<(), TxError> {
    if node_key.is_none() && kind != NodeKind::User {
        return Err(TxError::KeyMissing { kind, role: KeyRole::Node });
    }
    match (kind, validator_key) {
        (NodeKind::Validator, None) => {
            return Err(TxError::KeyMissing { kind, role: KeyRole::Validator });
        }
        (NodeKind::Validator, Some(_)) | (_, None) => {}
        (_, Some(_)) => return Err(TxError::KeyNotAllowed { kind, role: KeyRole::Validator }),
    }
    let keys: Vec<PublicKey> = node_key.iter().chain(validator_key.iter()).map(|k| k.key).collect();
    if let Some(bad) = keys.iter().find(|key| !key.is_acceptable()) {
        return Err(TxError::BadKey(*bad));
    }
    match keys[..] {
        [a, b] if a == b => Err(TxError::KeyTaken(a)),
        _ => Ok(()),
    }
}

fn check_observations(observations: &[Observation]) -> Result<(), TxError> {
    if observations.len() > MAX_OBSERVATIONS {
        return Err(TxError::BadObservations("at most 1,024 nodes in one attestation"));
    }
    if !observations.is_sorted_by(|a, b| a.node < b.node) {
        return Err(TxError::BadObservations("each node once, ascending by number"));
    }
    if observations.iter().any(|o| o.heartbeats > MAX_HEARTBEATS) {
        return Err(TxError::BadObservations("at most 120 heartbeats in an epoch"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Hash32, SecretKey};
    use crate::ids::NodeId;
    use crate::rating::Category;

    fn tx(action: Action) -> Transaction {
        Transaction { signer: SecretKey::from_seed(&[1; 32]).public(), nonce: 1, time_ms: 5, action }
    }

    fn rate(stars: u8, reason: &str) -> Transaction {
        tx(Action::Rate {
            from: NodeId(Hash32([1; 32])),
            to: NodeId(Hash32([2; 32])),
            stars,
            category: Category::Honesty,
            reason: reason.into(),
        })
    }

    fn register(name: &str, owner: &str, kind: NodeKind, keys: [Option<u8>; 2]) -> Transaction {
        let signer = SecretKey::from_seed(&[1; 32]).public();
        let proof =
            |seed: u8, role| KeyProof::sign(&SecretKey::from_seed(&[seed; 32]), role, "c", &signer, 1, 5);
        tx(Action::Register {
            name: name.into(),
            owner: owner.into(),
            kind,
            node_key: keys[0].map(|seed| proof(seed, KeyRole::Node)),
            validator_key: keys[1].map(|seed| proof(seed, KeyRole::Validator)),
        })
    }

    #[test]
    fn names_and_owners_keep_to_their_alphabets() {
        let user = |name: &str, owner: &str| check(&register(name, owner, NodeKind::User, [None, None]));
        assert_eq!(user("a", ""), Ok(()));
        assert_eq!(user(&"z9._-".repeat(6), &"\u{fc}".repeat(32)), Ok(()));
        for name in ["", "A", "a b", "\u{e4}", &"a".repeat(33)] {
            assert_eq!(user(name, ""), Err(TxError::BadName), "{name}");
        }
        for owner in ["\n", "a\u{202e}b", "\u{200b}", &"a".repeat(65), &"\u{fc}".repeat(33)] {
            assert_eq!(user("a", owner), Err(TxError::BadOwner), "{owner:?}");
        }
    }

    #[test]
    fn each_kind_brings_exactly_its_keys() {
        use NodeKind::{Archive, Rpc, Service, User, Validator};
        for kind in [Archive, Rpc, Service] {
            assert_eq!(check(&register("a", "", kind, [Some(2), None])), Ok(()));
            let missing = TxError::KeyMissing { kind, role: KeyRole::Node };
            assert_eq!(check(&register("a", "", kind, [None, None])), Err(missing));
            let extra = TxError::KeyNotAllowed { kind, role: KeyRole::Validator };
            assert_eq!(check(&register("a", "", kind, [Some(2), Some(3)])), Err(extra));
        }
        assert_eq!(check(&register("a", "", User, [Some(2), None])), Ok(()));
        assert_eq!(check(&register("a", "", Validator, [Some(2), Some(3)])), Ok(()));
        let missing = TxError::KeyMissing { kind: Validator, role: KeyRole::Validator };
        assert_eq!(check(&register("a", "", Validator, [Some(2), None])), Err(missing));
        let twice = SecretKey::from_seed(&[2; 32]).public();
        assert_eq!(check(&register("a", "", Validator, [Some(2), Some(2)])), Err(TxError::KeyTaken(twice)));
    }

    #[test]
    fn small_order_keys_are_refused_wherever_they_stand() {
        let bad = PublicKey([0; 32]);
        let mut by_bad_signer = register("a", "", NodeKind::User, [None, None]);
        by_bad_signer.signer = bad;
        assert_eq!(check(&by_bad_signer), Err(TxError::BadKey(bad)));
        let mut node = register("a", "", NodeKind::Rpc, [Some(2), None]);
        if let Action::Register { node_key: Some(key), .. } = &mut node.action {
            key.key = bad;
        }
        assert_eq!(check(&node), Err(TxError::BadKey(bad)));
    }

    #[test]
    fn ratings_have_one_to_five_stars_and_a_short_printable_reason() {
        for stars in 0..=6 {
            let expected = if (1..=5).contains(&stars) { Ok(()) } else { Err(TxError::BadStars(stars)) };
            assert_eq!(check(&rate(stars, "fine")), expected);
        }
        assert_eq!(check(&rate(5, &"a".repeat(200))), Ok(()));
        assert_eq!(check(&rate(5, &"a".repeat(201))), Err(TxError::BadReason));
        assert_eq!(check(&rate(5, "a\tb")), Err(TxError::BadReason));
    }

    #[test]
    fn observations_are_few_ascending_and_within_an_epoch() {
        let attest = |observations| {
            check(&tx(Action::Attest { validator: NodeId::default(), epoch: 1, observations }))
        };
        let seen = |node, heartbeats| Observation { node, heartbeats, invalid: 0, abuse: 0 };
        assert_eq!(attest((0..1_024).map(|i| seen(i, 120)).collect()), Ok(()));
        for bad in [
            (0..1_025).map(|i| seen(i, 1)).collect(),
            vec![seen(2, 1), seen(2, 1)],
            vec![seen(2, 1), seen(1, 1)],
            vec![seen(1, 121)],
        ] {
            assert!(matches!(attest(bad), Err(TxError::BadObservations(_))));
        }
    }

    #[test]
    fn nonce_zero_belongs_to_the_genesis() {
        let mut zero = rate(1, "");
        zero.nonce = 0;
        assert_eq!(check(&zero), Err(TxError::NonceUsed { nonce: 0, next: 1 }));
    }
}
