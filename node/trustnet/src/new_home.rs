//! Making a home: keys, genesis, an empty store, settings.

use std::fs;

use trustnet_ledger::Genesis;
use trustnet_ledger::crypto::SecretKey;
use trustnet_store::{Options, OsDir, StoreError};

use crate::config::Config;
use crate::home::{Home, HomeError};
use crate::keys::{self, KeyError, Role, public_path};

/// The three keys of a node.
#[derive(Clone, Debug)]
pub struct NodeKeys {
    /// Network identity.
    pub node: SecretKey,
    /// Signs votes.
    pub validator: SecretKey,
    /// Signs transactions.
    pub operator: SecretKey,
}

impl NodeKeys {
    /// Fresh keys from the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self { node: keys::generate()?, validator: keys::generate()?, operator: keys::generate()? })
    }

    fn of(&self, role: Role) -> &SecretKey {
        match role {
            Role::Node => &self.node,
            Role::Validator => &self.validator,
            Role::Operator => &self.operator,
        }
    }
}

/// Why a home could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NewHomeError {
    /// The folder, a file or a key.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<KeyError> for NewHomeError {
    fn from(error: KeyError) -> Self {
        Self::Home(error.into())
    }
}

/// Makes a node's home. `keys` must be fresh: the store is made for a validator key that has never
/// signed anything. When it fails, the keys and the genesis that it wrote are removed again.
///
/// # Errors
/// [`HomeError::Exists`] or [`HomeError::Unfinished`] when something lies there already;
/// [`NewHomeError`] when something cannot be written.
pub fn create(home: &Home, config: &Config, keys: &NodeKeys, genesis: &Genesis) -> Result<(), NewHomeError> {
    home.check_vacant()?;
    let made = fill(home, config, keys, genesis);
    if made.is_err() {
        for path in Role::ALL.map(|role| home.key_file(role)) {
            // Nothing was signed with these keys; what cannot be removed is reported by the next attempt.
            let _ = fs::remove_file(public_path(&path));
            let _ = fs::remove_file(path);
        }
        let _ = fs::remove_file(home.genesis_file());
    }
    made
}

fn fill(home: &Home, config: &Config, keys: &NodeKeys, genesis: &Genesis) -> Result<(), NewHomeError> {
    home.create_dirs()?;
    for role in Role::ALL {
        keys::save(&home.key_file(role), role, keys.of(role))?;
    }
    Home::write_file(&home.genesis_file(), &genesis.to_json())?;
    trustnet_store::initialise(&OsDir::new(home.data_dir()), Options::default(), genesis.hash().0)?;
    // Last: a home with settings is a whole one.
    Home::write_file(&home.config_file(), &config.render())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use trustnet_ledger::{CategoryWeights, GenesisValidator, Params};

    use super::*;

    fn genesis(keys: &NodeKeys) -> Genesis {
        Genesis {
            version: 1,
            chain_id: "test-1".into(),
            time_ms: 5,
            validators: vec![GenesisValidator {
                name: "node-1".into(),
                owner: String::new(),
                operator: keys.operator.public(),
                node_key: keys.node.public(),
                validator_key: keys.validator.public(),
                power: 10,
            }],
            roots: Vec::new(),
            category_weights: CategoryWeights::default(),
            params: Params::default(),
        }
    }

    #[test]
    fn a_new_home_holds_everything_and_is_never_made_twice() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("node"));
        let keys = NodeKeys::generate().unwrap();
        let config = Config { name: "node-1".into(), ..Config::default() };
        create(&home, &config, &keys, &genesis(&keys)).unwrap();
        assert_eq!(home.config().unwrap(), config);
        for role in Role::ALL {
            assert_eq!(home.key(role).unwrap().public(), keys.of(role).public());
        }
        let text = fs::read_to_string(home.genesis_file()).unwrap();
        assert_eq!(Genesis::from_json(&text).unwrap(), genesis(&keys));
        let again = create(&home, &config, &NodeKeys::generate().unwrap(), &genesis(&keys)).unwrap_err();
        assert!(matches!(again, NewHomeError::Home(HomeError::Exists { .. })), "{again}");
        assert_eq!(home.key(Role::Node).unwrap().public(), keys.node.public());
    }

    #[test]
    fn a_failed_attempt_leaves_no_keys_behind() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("node"));
        let keys = NodeKeys::generate().unwrap();
        // A folder where the settings should go makes the last step fail.
        fs::create_dir_all(home.config_dir().join("config.toml.partial")).unwrap();
        create(&home, &Config::default(), &keys, &genesis(&keys)).unwrap_err();
        assert!(Role::ALL.iter().all(|role| !home.key_file(*role).exists()));
        assert!(!home.genesis_file().exists());
    }
}
