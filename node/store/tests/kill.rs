//! A process that is killed with SIGKILL while it writes to a real directory: the next one finds everything that the
//! dead one had reported.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use common::{CHAIN, Model, check_content, number, options, run};
use trustnet_store::{OsDir, Signer, Store, initialise};

const DIR_VARIABLE: &str = "TRUSTNET_STORE_KILL_TEST_DIR";
const KILLS: usize = 4;

/// Runs in the child process only: commits and reports each height, until it is killed.
#[test]
fn the_child_of_the_kill_test() {
    let Ok(path) = std::env::var(DIR_VARIABLE) else { return };
    let (mut store, recovered) = Store::open(OsDir::new(path), options(), CHAIN).unwrap();
    let mut model = Model::default();
    model.resume(&mut store, &recovered);
    let mut out = std::io::stderr().lock();
    for _ in 0..5000 {
        let next = model.committed + 1;
        run(&mut store, &mut model, next).unwrap();
        // One write, so that a kill cannot leave half a line.
        let line = format!("acked {} {} {}\n", model.signed_acked, model.committed_acked, model.pruned);
        out.write_all(line.as_bytes()).unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_reported() {
    let root = tempfile::tempdir().unwrap();
    let dir = OsDir::new(root.path());
    initialise(&dir, options(), CHAIN).unwrap();
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_child_of_the_kill_test", "--nocapture", "--test-threads=1"])
            .env(DIR_VARIABLE, root.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut acked = Vec::new();
        let mut read = |line: String| {
            if let Some(numbers) = line.strip_prefix("acked ") {
                acked.push(numbers.split(' ').map(|n| n.parse::<u64>().unwrap()).collect::<Vec<_>>());
            }
            acked.len()
        };
        let wanted = 7 + 11 * kill;
        while lines.next().is_some_and(|line| read(line) < wanted) {}
        child.kill().unwrap();
        child.wait().unwrap();
        lines.for_each(|line| {
            read(line);
        });
        let [signed, committed, pruned] = acked.last().unwrap()[..] else { panic!("{acked:?}") };

        let (store, recovered) = Store::open(dir.clone(), options(), CHAIN).unwrap();
        let Signer::Known(sign) = &recovered.signer else { panic!("{recovered:?}") };
        assert!(number(sign) >= signed, "{} < {signed}", number(sign));
        assert!(recovered.last_commit_height >= committed, "{recovered:?}");
        // The dead process may have pruned once more than it reported.
        let model = Model { pruned: pruned + 5, ..Model::default() };
        check_content(&store, &model, "after a kill");
    }
}
