//! Four machines of one network.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use trustnet_image::vm;
use trustnet_ledger::NodeId;

use super::{Context, seconds};
use crate::Failure;
use crate::board::Board;
use crate::image::Maker;
use crate::load::{self, Load};
use crate::shell::until;
use crate::target::Target;
use crate::vm::Vm;

/// Three of four decide.
const NODES: u8 = 4;
/// Transactions that must be acknowledged in each part.
const ENOUGH: usize = 5;
/// How long they may take while several machines share two processors.
const LIMIT: Duration = Duration::from_secs(240);

/// Four VMs agree, find each other by name, commit ratings, lose one, go on, and take it back.
///
/// # Errors
/// What did not hold.
pub fn survives_a_loss(maker: &Maker, dir: &Path, context: &Context) -> Result<String, Failure> {
    let mut boards = boards(maker, dir)?;
    for board in &mut boards {
        board.vm()?.power_on()?;
    }
    let result = check(&mut boards, context);
    result.map_err(|error| {
        let words: Vec<String> =
            boards.iter().filter_map(|board| board.vm.as_ref()).map(Vm::last_words).collect();
        format!("{error}\n{}", words.join("\n")).into()
    })
}

fn check(boards: &mut [Board], context: &Context) -> Result<String, Failure> {
    let since = std::time::Instant::now();
    for board in boards.iter() {
        until(context.boot_limit(), "every node answers", || board.height())?;
    }
    let booted = since.elapsed();
    find_each_other(boards)?;
    let urls: Result<Vec<String>, Failure> =
        boards.iter().map(|board| Ok(board.client()?.url().to_owned())).collect();
    let second: Value = boards[0].client()?.query("/node", &json!({ "node": "test-2" }))?;
    let dated_ms = unix_ms()?.saturating_sub(1_000);
    let load = Load::start(urls?, id_in(&second)?, dated_ms)?;
    more(&load, "with all")?;

    let last = boards.len() - 1;
    boards[last].vm()?.cut_power()?;
    more(&load, "without one")?;
    let without = boards[0].height()?;
    boards[last].vm()?.power_on()?;
    let (_, back) =
        until(context.boot_limit(), "the lost node catches up", || match boards[last].height()? {
            height if height >= without => Ok(height),
            height => Err(format!("it is at {height} of {without}").into()),
        })?;
    more(&load, "with all again")?;

    let acknowledged = load.finish();
    let height = boards[0].height()?;
    for board in boards.iter() {
        board.wait_for_height(height, LIMIT)?;
        load::all_there(&board.client()?, height, &acknowledged)?;
        if board.block(height)?["block_id"] != boards[0].block(height)?["block_id"] {
            return Err(format!("the nodes disagree at height {height}").into());
        }
    }
    Ok(format!(
        "{NODES} VMs in agreement {} after power; {} transactions acknowledged; the lost one was back after {}",
        seconds(booted),
        acknowledged.len(),
        seconds(back)
    ))
}

/// Each machine finds the next by its name: multicast DNS over the network that they share.
fn find_each_other(boards: &mut [Board]) -> Result<(), Failure> {
    for (number, board) in (1..=NODES).zip(boards) {
        let next = number % NODES + 1;
        let address = vm::address(next).to_string();
        let ask = format!("trustnet os mdns --resolve test-{next}.local");
        until(LIMIT, &format!("machine {number} finds test-{next}.local"), || match board.run(&ask)? {
            found if found.trim() == address => Ok(()),
            found => Err(format!("it was told {found}, and {address} is right").into()),
        })?;
    }
    Ok(())
}

/// Waits for some more acknowledged transactions.
fn more(load: &Load, what: &str) -> Result<(), Failure> {
    let before = load.acknowledged();
    until(LIMIT, &format!("{ENOUGH} transactions {what}"), || match load.acknowledged() - before {
        count if count >= ENOUGH => Ok(()),
        count => Err(format!("{count} came; {}", load.refusal()).into()),
    })?;
    Ok(())
}

fn boards(maker: &Maker, dir: &Path) -> Result<Vec<Board>, Failure> {
    let members: Vec<(String, u8)> = (1..=NODES).map(|number| (format!("test-{number}"), number)).collect();
    let files = vm::member_files(&members, unix_ms()?)?;
    let boards = members.iter().zip(files).map(|((name, number), files)| {
        let toml = format!(
            "[network]\nula = \"{}/64\"\n\n[node]\nname = \"{name}\"\nkeys = \"{}\"\n",
            vm::address(*number),
            vm::KEYS_FOLDER
        );
        let image = maker.make(name, &toml, files)?;
        let dir = dir.join(format!("vm-{name}"));
        let vm = Vm::new(&Target::Direct, &image, &dir, Some(*number))?;
        Ok(Board::of_vm(vm, maker.key(), &dir))
    });
    boards.collect()
}

fn unix_ms() -> Result<u64, Failure> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64)
}

/// The id in a node's record.
pub fn id_in(node: &Value) -> Result<NodeId, Failure> {
    let id = node["id"].as_str().ok_or_else(|| format!("no id of a node in {node}"))?;
    id.parse().map_err(|why| format!("{id} is no id of a node: {why}").into())
}
