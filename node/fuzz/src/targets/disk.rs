//! A data directory on a medium whose power fails and whose bytes rot: what was acknowledged is found again, or the
//! store says that it is not; never anything else than what was handed in.

use trustnet_store::{Dir as _, MemDir, Options, Recovered, Signer, Store, StoreError, initialise};

use crate::script::Script;

const CHAIN: [u8; 32] = [0x11; 32];
/// The most steps of one run.
const MAX_STEPS: usize = 48;

fn options() -> Options {
    Options {
        segment_bytes: 8 * 4096,
        redb_cache_bytes: 64 * 1024,
        background_spare: false,
        log_key: Some([0x22; 32]),
        ..Options::default()
    }
}

thread_local! {
    static FRESH: MemDir = {
        let dir = MemDir::new();
        initialise(&dir, options(), CHAIN).expect("an empty directory takes a store");
        dir
    };
}

fn hash(height: u64, round: u8) -> [u8; 32] {
    let mut hash = [round; 32];
    hash[..8].copy_from_slice(&height.to_le_bytes());
    hash
}

/// Half a page to three pages.
fn block(height: u64, round: u8) -> Vec<u8> {
    let len = 2_000 + (height * 4_099 + u64::from(round) * 1_031) % 10_000;
    (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add(height as u8).wrapping_add(round)).collect()
}

fn certificate(height: u64) -> Vec<u8> {
    format!("certificate of {height}").into_bytes()
}

/// Between a few bytes and almost a slot.
fn sign(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + (number * 977 % 3_900) as usize, number as u8);
    bytes
}

fn number(sign: &[u8]) -> u64 {
    let number = sign.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    assert_eq!(sign, self::sign(number), "a signer record that was never handed in");
    number
}

/// What was tried, and what was acknowledged.
#[derive(Clone, Copy, Debug, Default)]
struct Model {
    signed: u64,
    signed_acked: u64,
    committed: u64,
    committed_acked: u64,
    /// Height handed to the last checkpoint, and to the last one that succeeded.
    state: u64,
    state_acked: u64,
    pruned: u64,
    /// Bytes were damaged: acknowledged records may be missing, but must be told to be.
    damaged: bool,
}

struct Machine {
    dir: MemDir,
    store: Option<Store<MemDir>>,
    model: Model,
    /// A flush is going to fail, or has failed.
    fault: bool,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut machine =
        Machine { dir: FRESH.with(MemDir::duplicate), store: None, model: Model::default(), fault: false };
    machine.open();
    for _ in 0..MAX_STEPS {
        if script.is_over() || machine.store.is_none() {
            break;
        }
        machine.step(&mut script);
    }
    machine.store = None;
    machine.open();
}

impl Machine {
    fn step(&mut self, script: &mut Script<'_>) {
        let Some(store) = &mut self.store else { return };
        let model = &mut self.model;
        let next = model.committed + 1;
        let op = script.byte();
        let result = match op % 13 {
            0 | 1 => {
                model.signed += 1;
                store.persist_signer(&sign(model.signed)).map(|()| model.acknowledge_signed())
            }
            2 | 3 => {
                model.signed += 1;
                let round = op & 1;
                let (sign, hash, block) = (sign(model.signed), hash(next, round), block(next, round));
                store
                    .persist_signer_with_block(next, &sign, hash, &block)
                    .map(|()| model.acknowledge_signed())
            }
            4 => store.append_block(next, hash(next, 0), &block(next, 0)),
            5 | 6 => match store.append_commit(next, hash(next, 0), &certificate(next)) {
                Err(StoreError::NoBlock { .. }) => Ok(()),
                done => {
                    model.committed = next;
                    done
                }
            },
            7 => store.sync().map(|()| model.acknowledge()),
            8 => {
                let height = model.committed.saturating_sub(u64::from(op >> 6));
                if height >= model.state_acked {
                    model.state = height;
                    let leaves = [(b"height".to_vec(), Some(height.to_le_bytes().to_vec()))];
                    store.checkpoint(height, leaves.into_iter(), &[]).map(|()| {
                        model.state_acked = height;
                        model.acknowledge();
                    })
                } else {
                    Ok(())
                }
            }
            9 => {
                model.pruned = model.pruned.max(model.committed.saturating_sub(3));
                store.prune(model.pruned).map(drop)
            }
            10 => return self.crash(u64::from(script.byte())),
            11 => {
                if op & 0x80 == 0 {
                    self.dir.fail_at_sync(1 + u64::from(script.byte() % 8));
                } else {
                    self.dir.error_at_sync(1 + u64::from(script.byte() % 8));
                }
                self.fault = true;
                return;
            }
            _ => return self.damage(script),
        };
        match result {
            Ok(()) => {}
            // The power is off, or the disk has failed: the process ends and starts again.
            Err(StoreError::Io { .. } | StoreError::Poisoned | StoreError::State { .. }) => {
                self.crash(u64::from(script.byte()));
            }
            Err(error) if self.model.damaged => assert!(!error.to_string().is_empty()),
            Err(error) => panic!("refused without a reason: {error}"),
        }
    }

    fn crash(&mut self, seed: u64) {
        self.store = None;
        self.dir.crash(seed);
        self.fault = false;
        self.open();
    }

    /// Changes one byte of one file, then starts again.
    fn damage(&mut self, script: &mut Script<'_>) {
        self.store = None;
        if self.fault {
            self.crash(1);
            self.store = None;
        }
        let mut files: Vec<String> = vec!["vote.lock".into(), "state.redb".into()];
        let log = self.dir.list("log").unwrap_or_default();
        files.extend(log.into_iter().map(|file| format!("log/{file}")));
        let name = script.pick(&files);
        let (page, at, mask) = (script.below(64), script.number(), script.byte());
        let Some(mut bytes) = self.dir.bytes(&name) else { return self.open() };
        let at = page * 4096 + usize::try_from(at).unwrap_or(0) % 4096;
        if let Some(byte) = bytes.get_mut(at)
            && mask != 0
        {
            *byte ^= mask;
            self.dir.set_bytes(&name, bytes);
            self.model.damaged = true;
        }
        self.open();
    }

    /// Opens the store and compares it with what was handed in.
    fn open(&mut self) {
        match Store::open(self.dir.clone(), options(), CHAIN) {
            Ok((store, recovered)) => {
                self.model.check(&store, &recovered);
                self.model.go_on(&recovered);
                self.store = Some(store);
            }
            // Starting meets the flush that fails: it is started once more.
            Err(StoreError::Io { .. }) if self.fault => self.crash(1),
            Err(error) => {
                assert!(self.model.damaged, "what no damage explains: {error}");
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

impl Model {
    /// A durable step covered everything that was handed in.
    fn acknowledge(&mut self) {
        self.committed_acked = self.committed;
    }

    fn acknowledge_signed(&mut self) {
        self.signed_acked = self.signed;
        self.acknowledge();
    }

    fn check(&self, store: &Store<MemDir>, recovered: &Recovered) {
        match &recovered.signer {
            Signer::Known(bytes) => {
                let number = number(bytes);
                assert!(number <= self.signed);
                assert!(self.damaged || number >= self.signed_acked, "an older signer record: {self:?}");
            }
            Signer::Fresh => assert!(self.damaged || self.signed_acked == 0, "fresh: {self:?}"),
            Signer::Lost(reason) => assert!(self.damaged, "lost without damage: {reason}, {self:?}"),
        }
        let committed = recovered.last_commit_height;
        assert!(committed <= self.committed, "{committed} of {self:?}");
        assert!(self.damaged || committed >= self.committed_acked, "{committed} of {self:?}");
        assert!(recovered.state_height <= self.state.max(self.state_acked));
        assert!(self.damaged || recovered.state_height >= self.state_acked);
        for height in 1..=committed {
            match store.block(height) {
                Ok(Some(stored)) => {
                    assert_eq!(stored.hash, hash(height, 0));
                    assert_eq!(stored.block, block(height, 0), "block {height} is not what was stored");
                    assert_eq!(stored.certificate, certificate(height));
                }
                Ok(None) => assert!(height < self.pruned || self.damaged, "block {height} is gone: {self:?}"),
                Err(error) => assert!(self.damaged, "block {height}: {error}"),
            }
        }
        let leaves = store.load_leaves(|key, value| {
            assert_eq!((key, value), (&b"height"[..], &recovered.state_height.to_le_bytes()[..]));
        });
        assert!(leaves.is_ok() || self.damaged);
    }

    /// Goes on from what was found.
    fn go_on(&mut self, recovered: &Recovered) {
        if let Signer::Known(bytes) = &recovered.signer {
            self.signed_acked = number(bytes);
        }
        self.committed = recovered.last_commit_height;
        self.committed_acked = self.committed;
        self.state_acked = recovered.state_height;
        self.state = recovered.state_height;
    }
}

/// First inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    let life = [2, 0, 5, 2, 1, 5, 7, 4, 5, 2, 0, 5];
    let with = |more: &[u8]| [&life[..], more].concat();
    vec![
        life.to_vec(),
        with(&[8, 2, 0, 5, 9, 10, 3]),
        with(&[10, 7, 2, 5, 10, 0]),
        with(&[11, 1, 0, 0, 5, 2, 5]),
        with(&[8, 12, 0, 0, 5, 1, 0]),
        with(&[12, 2, 1, 70, 4, 0, 5]),
        with(&[8, 12, 1, 3, 40, 255, 0, 2, 5]),
        [life, life, life, life].concat(),
    ]
}
