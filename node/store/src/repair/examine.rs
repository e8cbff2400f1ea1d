//! Looking at a damaged directory: what can be used, what cannot, and what to do about it. Changes nothing: it sees the
//! directory through an [`Overlay`], in which a page that the device cannot read is zero.

use std::sync::Arc;

use super::finding::Finding;
use super::look::{LogFile, SignerFile, damaged_blocks, look_at_log, look_at_state, opens_any};
use super::{Distrust, Progress};
use crate::disk::Dir;
use crate::error::{Hex32, Result, StoreError};
use crate::init::{INITIALISING, REPAIRING, holds_anything};
use crate::keyfile::{KEY_FILE, KeyFile};
use crate::log::{Placed, Pos};
use crate::meta::Meta;
use crate::open::judge;
use crate::options::Options;
use crate::overlay::Overlay;
use crate::segment::Segments;
use crate::signer::VOTE_LOCK;
use crate::state::STATE_FILE;
use crate::types::{LostReason, Signer};

/// Where the log has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// After the last good record.
    pub(super) end: Pos,
    /// Its height.
    pub(super) height: u64,
    /// Length of its segment in bytes.
    pub(super) bytes: u64,
    /// The segment is not there.
    pub(super) is_missing: bool,
}

/// What becomes of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It stays as it is.
    Keep,
    /// Its meta row is replaced.
    Amend(Meta),
    /// It is set aside; an empty one takes its place, and the next start fills it from the log, up to this height.
    Rebuild(Meta, u64),
    /// Everything is set aside.
    StartOver,
}

/// What an examination found, and what to do.
#[derive(Debug)]
pub(super) struct Diagnosis {
    pub(super) findings: Vec<Finding>,
    pub(super) treatment: Treatment,
    pub(super) cut: Option<Cut>,
    /// Pages of the log to fill with zeros: segment and offset.
    pub(super) heal: Vec<(u64, u64)>,
    /// The signer record becomes a lost one, with this seq.
    pub(super) lose_signer: Option<u64>,
}

impl Diagnosis {
    fn start_over(findings: Vec<Finding>) -> Self {
        Self { findings, treatment: Treatment::StartOver, cut: None, heal: Vec::new(), lose_signer: None }
    }
}

/// Examines a directory.
pub(super) fn examine<D: Dir>(
    over: &Arc<Overlay<D>>,
    opts: Options,
    chain: [u8; 32],
    distrust: &Distrust,
    progress: &mut Progress<'_>,
) -> Result<Diagnosis> {
    let mut findings = Vec::new();
    let looked = |e| StoreError::io("look into", over.describe(""), e);
    let interrupted = over.exists(REPAIRING).map_err(looked)?;
    let half_made = over.exists(INITIALISING).map_err(looked)?;
    if interrupted {
        findings.push(Finding::Interrupted);
    }
    if interrupted && (half_made || !holds_anything(over.as_ref())?) {
        return Ok(Diagnosis::start_over(findings));
    }
    if half_made {
        findings.push(Finding::HalfInitialised);
        return Ok(Diagnosis { treatment: Treatment::Keep, ..Diagnosis::start_over(findings) });
    }
    if !holds_anything(over.as_ref())? {
        return Err(StoreError::NotInitialised { path: over.describe("") });
    }
    let signer = SignerFile::look(over, chain)?;
    let key_file = KeyFile::read(over.as_ref());
    let state = look_at_state(over, opts)?;
    let named = [
        signer.chain(chain).map(|found| (VOTE_LOCK, found)),
        key_file.map(|(file, _)| (KEY_FILE, file.chain)),
        state.as_ref().ok().map(|(_, meta)| (STATE_FILE, meta.chain)),
    ];
    let named = named.into_iter().flatten().collect::<Vec<_>>();
    if let Some((name, found)) = named.first()
        && named.iter().all(|(_, found)| *found != chain)
    {
        return Err(StoreError::OtherChain { path: over.describe(name), found: *found, expected: chain });
    }
    let key_file = key_file.filter(|(file, _)| file.chain == chain);
    if key_file.is_none_or(|(_, whole)| !whole) {
        findings.push(Finding::KeyDamaged);
    }
    let file_key = key_file.map(|(file, _)| file.key);
    if let Distrust::Everything { why } = distrust {
        findings.push(Finding::Distrusted { why: why.clone() });
        return Ok(Diagnosis::start_over(findings));
    }

    let usable = match (state, distrust) {
        (Err(why), _) => Err((Finding::StateDamaged { why }, None)),
        (Ok((_, meta)), _) if meta.chain != chain => {
            let why = format!("it belongs to chain {}", Hex32(meta.chain));
            Err((Finding::StateDamaged { why }, None))
        }
        (Ok((_, meta)), Distrust::State { why }) => {
            Err((Finding::Distrusted { why: why.clone() }, Some(meta)))
        }
        (Ok((state, meta)), _) => {
            let log = look_at_log(over, opts, &meta, Some(&state), &signer)?;
            let other = file_key.filter(|key| *key != meta.key && log.damage.is_some());
            if other.map_or(Ok(false), |key| opens_any(over, opts, &key))? {
                let why = "it belongs to another node's data directory".to_owned();
                Err((Finding::StateDamaged { why }, None))
            } else {
                Ok((state, meta, log))
            }
        }
    };
    match usable {
        Ok((state, meta, log)) => {
            findings.extend(damaged_blocks(over, opts, &meta, &state, &log, progress)?);
            Ok(with_state(findings, &meta, &log, signer))
        }
        Err((finding, known)) => {
            findings.push(finding);
            let key = known.map(|meta| meta.key).or(file_key);
            let started = Meta {
                chain,
                key: key.unwrap_or_default(),
                height: 0,
                floor: Placed::default(),
                floor_bytes: 0,
                floor_height: 0,
                durable: known.map_or(0, |meta| meta.durable),
                signer: known.map_or(0, |meta| meta.signer),
                first_segment: 0,
            };
            let first = Segments::load(Arc::clone(over), opts.segment_bytes, 0)?.len(0);
            let Some(floor_bytes) = first.filter(|_| key.is_some()) else {
                findings.push(Finding::LogTooShort);
                return Ok(Diagnosis::start_over(findings));
            };
            let started = Meta { floor_bytes, ..started };
            let log = look_at_log(over, opts, &started, None, &signer)?;
            let voucher = if known.is_some() { Voucher::Known } else { Voucher::Gone };
            Ok(without_state(findings, started, voucher, &log, signer))
        }
    }
}

/// What to do about the signer record and the end of the log.
struct Ending {
    cut: Option<Cut>,
    heal: Vec<(u64, u64)>,
    lose_signer: Option<u64>,
    /// Seq of the newest signer record, if it is or becomes a lost one.
    lost_at: Option<u64>,
}

/// What is to be made of the state's word about the signer record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Voucher {
    /// The state stays, and with it what it vouches for.
    Kept,
    /// It is made again: what it says counts now or never.
    Known,
    /// It cannot be read.
    Gone,
}

fn ending(
    findings: &mut Vec<Finding>,
    meta: &Meta,
    voucher: Voucher,
    log: &LogFile,
    signer: SignerFile,
) -> Ending {
    let highest = log.scanned.seq.max(meta.durable).max(meta.signer).max(signer.seq());
    let (is_lost, seq) = (signer.is_lost(), signer.seq());
    let lost = match judge(meta, &log.scanned, signer.found).signer {
        Signer::Lost(reason) if reason != LostReason::NewDirectory => Some(reason),
        Signer::Lost(_) | Signer::Fresh | Signer::Known(_) => None,
    };
    // A newer record may have been in the bad part, and nobody is left who knows of it.
    let is_doubtful = voucher == Voucher::Gone && signer.is_partly_bad;
    let is_outdated = voucher != Voucher::Kept && lost == Some(LostReason::Outdated);
    let is_bad = signer.bad.is_some() || log.damage.is_some() || is_doubtful || is_outdated;
    findings.extend([&log.damage, &signer.bad].into_iter().flatten().cloned());
    if is_doubtful && signer.bad.is_none() {
        findings.push(Finding::SignerDoubtful);
    }
    let heal = if log.damage.is_none() { log.unreadable.clone() } else { Vec::new() };
    if let Some((segment, offset)) = heal.first().copied() {
        findings.push(Finding::SectorsUnreadable { segment, offset });
    }
    let torn = log.scanned.torn.iter().map(|(_, bytes)| bytes).sum();
    if !is_bad && torn > 0 {
        findings.push(Finding::TornTail { bytes: torn });
    }
    if let Some(reason) = lost.filter(|_| !is_bad || is_outdated) {
        findings.push(Finding::SignerLost { reason });
    }
    let cut = log.damage.is_some().then_some(Cut {
        end: log.scanned.end.pos,
        height: log.scanned.height,
        bytes: log.scanned.end_bytes,
        is_missing: log.is_missing,
    });
    let lose_signer = (is_bad && !is_lost).then_some(highest + 1);
    Ending { cut, heal, lose_signer, lost_at: is_bad.then(|| lose_signer.unwrap_or(seq)) }
}

fn with_state(mut findings: Vec<Finding>, meta: &Meta, log: &LogFile, signer: SignerFile) -> Diagnosis {
    let Ending { cut, heal, lose_signer, lost_at } = ending(&mut findings, meta, Voucher::Kept, log, signer);
    let treatment = match &log.damage {
        Some(_) => Treatment::Amend(Meta {
            durable: log.scanned.end.before.seq,
            signer: lost_at.unwrap_or(meta.signer),
            ..*meta
        }),
        None => Treatment::Keep,
    };
    Diagnosis { findings, treatment, cut, heal, lose_signer }
}

fn without_state(
    mut findings: Vec<Finding>,
    started: Meta,
    voucher: Voucher,
    log: &LogFile,
    signer: SignerFile,
) -> Diagnosis {
    let height = log.index.last_commit();
    // The first certificate is not of block 1, or nothing can be read.
    if height == 0 && log.damage.is_some() {
        findings.push(Finding::LogTooShort);
        return Diagnosis::start_over(findings);
    }
    let Ending { cut, heal, lose_signer, lost_at } = ending(&mut findings, &started, voucher, log, signer);
    let end = log.scanned.end.before.seq;
    let flushed = log.scanned.signer.max(started.signer);
    let meta = Meta { durable: end, signer: lost_at.unwrap_or(flushed), ..started };
    Diagnosis { findings, treatment: Treatment::Rebuild(meta, height), cut, heal, lose_signer }
}
