//! Heartbeats between peers, and the attestation that an epoch of them becomes.

use trustnet_ledger::crypto::PublicKey;
use trustnet_ledger::ids::NodeIndex;
use trustnet_ledger::signed::{SignedTransaction, tx_sign_bytes};
use trustnet_ledger::tx::{Action, MAX_OBSERVATIONS, Transaction};

use crate::engine::Engine;
use crate::io::TimerId;
use crate::message::{Heartbeat, Message, heartbeat_sign_bytes};
use crate::uptime::Misbehaviour;

impl Engine {
    fn heartbeat(&self) -> Heartbeat {
        let (slot, height) = (self.uptime.slot(self.now.unix_ms), self.chain.tip().height());
        let message = heartbeat_sign_bytes(self.chain.chain_id(), slot, height);
        Heartbeat { slot, height, signature: self.config.node_key.sign(&message) }
    }

    pub(crate) fn on_heartbeat_timer(&mut self) {
        let heartbeat = self.heartbeat();
        self.uptime.heard(self.config.node_key.public(), heartbeat.slot, self.now.unix_ms);
        self.broadcast(Message::Heartbeat(heartbeat));
        // A second into the interval, so that clocks a little apart agree on which one it is.
        let after_ms = self.uptime.until_next_slot_ms(self.now.unix_ms);
        self.set_timer(TimerId::Heartbeat, after_ms.saturating_add(1_000));
    }

    /// A peer that has just connected hears of us at once.
    pub(crate) fn send_heartbeat_to(&mut self, peer: PublicKey) {
        let heartbeat = self.heartbeat();
        self.send(peer, Message::Heartbeat(heartbeat));
    }

    pub(crate) fn on_heartbeat(&mut self, peer: PublicKey, heartbeat: &Heartbeat) {
        let expected = self.chain.ledger().expected_heartbeaters().iter().any(|(_, key)| *key == peer);
        if expected {
            let message = heartbeat_sign_bytes(self.chain.chain_id(), heartbeat.slot, heartbeat.height);
            if !self.config.verifier.verify(&peer, &message, &heartbeat.signature) {
                return self.punish(
                    peer,
                    Misbehaviour::NetworkAbuse,
                    "sent a heartbeat with a wrong signature",
                );
            }
            self.uptime.heard(peer, heartbeat.slot, self.now.unix_ms);
        }
        self.note_height(peer, heartbeat.height);
    }

    /// Whether attestations should go into a block: all validators' are there, or the wait is over. They
    /// are made one grace into an epoch, and waited for until the second, so that one block holds all.
    pub(crate) fn attestations_are_due(&self) -> bool {
        let ready = self.pool.ready_attesters();
        if ready == 0 {
            return false;
        }
        let params = &self.config.genesis.params;
        let into_epoch_ms = self.now.unix_ms % params.epoch_ms.max(1);
        ready >= self.chain.deciders().len() || into_epoch_ms >= 2 * params.attestation_grace_ms
    }

    pub(crate) fn on_attest_timer(&mut self) {
        self.attest_if_due();
        let params = &self.config.genesis.params;
        let epoch_ms = params.epoch_ms.max(1);
        let into_epoch_ms = self.now.unix_ms % epoch_ms;
        let grace_ms = params.attestation_grace_ms;
        let next_ms = [grace_ms, 2 * grace_ms].into_iter().find(|at| *at > into_epoch_ms);
        self.set_timer(TimerId::Attest, next_ms.unwrap_or(epoch_ms + grace_ms) - into_epoch_ms);
    }

    fn attest_if_due(&mut self) {
        if self.silence.is_silent() {
            return;
        }
        let Some(signer) = &self.signer else { return };
        let key = signer.public();
        let ledger = self.chain.ledger();
        let Some(epoch) = ledger.attestation_due(&key, self.now.unix_ms) else { return };
        let Some(validator) = ledger.node_id_by_validator_key(&key) else { return };
        if self.pool.has_attestation_of(&key) {
            return;
        }
        // The first in order of registration, when there are more than an attestation holds.
        let mut expected: Vec<(NodeIndex, PublicKey)> = ledger.expected_heartbeaters();
        expected.truncate(MAX_OBSERVATIONS);
        let observations = self.uptime.observations(epoch, &expected);
        let tx = Transaction {
            signer: key,
            nonce: self.pool.next_nonce(&key, ledger.nonce_of(&key)),
            time_ms: self.now.unix_ms,
            action: Action::Attest { validator, epoch, observations },
        };
        let body = trustnet_ledger::codec::encode(&tx);
        let signature = signer.sign_transaction(&tx_sign_bytes(self.chain.chain_id(), &body));
        self.submit_own(SignedTransaction::from_parts(tx, signature));
        self.flush_gathered();
    }
}
