//! `trustnet-fuzz`: lists targets, writes first inputs, replays kept ones. An ordinary program: the fuzzers themselves
//! are built by `.ci/fuzz`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use trustnet_fuzz::{Target, find, targets};

const USAGE: &str = "\
usage: trustnet-fuzz list                    names and longest inputs of all targets
       trustnet-fuzz seeds TARGET DIR        writes the target's first inputs into DIR
       trustnet-fuzz replay TARGET FILE...   runs kept inputs; ends with the panic of one that fails";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["list"] => {
            for target in targets::ALL {
                println!("{} {} {}", target.name, target.max_bytes, target.about);
            }
            Ok(())
        }
        ["seeds", name, dir] => named(name).and_then(|target| {
            target.write_seeds(Path::new(dir)).map_err(|error| format!("cannot write {dir}: {error}"))
        }),
        ["replay", name, _, ..] => named(name).and_then(|target| replay(target, &args[2..])),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn named(name: &str) -> Result<&'static Target, String> {
    let names = || targets::ALL.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    find(name).ok_or_else(|| format!("there is no target {name}; there are: {}", names()))
}

fn replay(target: &Target, files: &[&str]) -> Result<(), String> {
    for file in files.iter().map(PathBuf::from) {
        let bytes = fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        println!("{} {} ({} bytes)", target.name, file.display(), bytes.len());
        (target.run)(&bytes);
    }
    Ok(())
}
