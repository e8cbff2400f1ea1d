//! What the harness refuses, before it makes a machine.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trustnet-hardware-tests")).args(arguments).output().unwrap()
}

/// What it says when it refuses; it must.
fn refusal(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(!output.status.success(), "{arguments:?} was taken");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_check_that_does_not_exist_is_named_before_anything_runs() {
    let said = refusal(&["--target", "direct", "--only", "boot,lunch"]);
    assert!(said.contains("\"lunch\"") && said.contains("--list"), "{said}");
}

#[test]
fn a_target_that_does_not_exist_is_refused() {
    let said = refusal(&["--target", "toaster"]);
    assert!(said.contains("toaster") && said.contains("raspi3b"), "{said}");
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine"), "mine").unwrap();
    let said = refusal(&["--target", "direct", "--keep", dir.path().to_str().unwrap()]);
    assert!(said.contains("not empty"), "{said}");
    assert_eq!(fs::read(dir.path().join("mine")).unwrap(), b"mine");
}

#[test]
fn the_list_names_every_check_with_its_promise() {
    let output = run(&["--list"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for name in ["boot", "power", "watchdog", "firewall", "same", "cluster"] {
        assert!(
            text.lines().any(|line| line.starts_with(name) && line.len() > name.len() + 10),
            "{name}: {text}"
        );
    }
}
