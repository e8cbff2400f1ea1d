//! Virtual machines that boot the image: `~/vms/NAME/` with a disk, a script that starts it alone, a pid file, the console's
//! log. Without root: ports of this machine are forwarded, and the machines of one folder see each other on a network of
//! their own.

mod agreement;
mod cluster;
mod create;
mod first_tx;
mod key;
mod lan;
mod machine;
mod place;
mod ports;
mod process;
mod qemu;
mod wait;

pub use agreement::Agreement;
pub use cluster::{ClusterError, KEYS_FOLDER, address, member_files};
pub use create::{Plan, check, check_disk, create};
pub use key::make_key;
pub use lan::lan;
pub use machine::Machine;
pub use place::{Place, delete};
pub use ports::{Chosen, Holder, Ports, Wanted, bind, choose};
pub use process::State;
pub use qemu::{Forward, Hardware, Qemu};
pub use wait::wait_for_agreement;

use std::io;
use std::path::PathBuf;

/// The registry's number among the machines of a host. Nodes have 1 and those after this.
pub const REGISTRY_NUMBER: u8 = 2;
/// Ports of the registry, HTTP and HTTPS: the same on the machine and on this host.
pub const REGISTRY_PORTS: [u16; 2] = [8000, 8053];

/// Numbers for new nodes, the smallest first.
pub fn node_numbers(used: &[u8]) -> impl Iterator<Item = u8> {
    (1..=250).filter(move |number| *number != REGISTRY_NUMBER && !used.contains(number))
}

/// What stands in a VM's way.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// A name that cannot be a folder and a host.
    #[error("{0:?} is no name for a VM: use 1 to 32 of a-z 0-9 -, a letter first")]
    Name(String),
    /// There is one already.
    #[error("there is a VM {0} already; choose another name, or run: trustnet-image vm delete {0}")]
    Taken(String),
    /// One host has one registry.
    #[error("{0} is this machine's registry already; use it, or run: trustnet-image vm delete {0}")]
    Registry(String),
    /// A folder of machines is full.
    #[error("{} has {used} VMs already, and {wanted} more are too many; use another --folder", .folder.display())]
    Full {
        /// Where they are kept.
        folder: PathBuf,
        /// How many there are.
        used: usize,
        /// How many are wanted.
        wanted: u8,
    },
    /// A folder whose machine has another name.
    #[error(
        "{0} is a copy of the VM {original}, which has one disk, one name and its ports; to use the copy in its place: \
         trustnet-image vm delete {original}, then: mv {0} {1}; to remove the copy: rm -r {0}",
        .dir.display(),
        .dir.with_file_name(original).display()
    )]
    Copy {
        /// The copy.
        dir: PathBuf,
        /// The machine.
        original: String,
    },
    /// A folder that is no machine's.
    #[error(
        "{} is no VM: trustnet-image did not make {}; look at it, and if it is of no use: rm -r {0}",
        .path.display(),
        .file.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What no machine's folder has.
        file: PathBuf,
    },
    /// There is none.
    #[error("there is no VM {name} in {}; make it with: trustnet-image vm create {name}", .folder.display())]
    Unknown {
        /// Its name.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A program or file of QEMU's.
    #[error("{what} is missing; install it: {install}")]
    Missing {
        /// Which.
        what: &'static str,
        /// The line that installs it.
        install: &'static str,
    },
    /// A port of this machine.
    #[error("port {port} of this machine {holder}; give another one with {option}")]
    Port {
        /// Which.
        port: u16,
        /// What changes it.
        option: &'static str,
        /// Who has it.
        holder: Holder,
    },
    /// A port for two purposes.
    #[error(
        "port {port} of this machine is wanted twice, with {first} and {second}; give another one with either"
    )]
    PortTwice {
        /// Which.
        port: u16,
        /// What changes one.
        first: &'static str,
        /// What changes the other.
        second: &'static str,
    },
    /// Ports end at 65535.
    #[error("there are not {count} free ports from {first} on; give a lower one with {option}")]
    NoPort {
        /// How many are wanted.
        count: usize,
        /// From where on.
        first: u16,
        /// What changes it.
        option: &'static str,
    },
    /// Memory of this machine.
    #[error(
        "{}, and this machine has {free} MiB free; give it less with --memory, which is for each VM, or stop other VMs",
        wanted_memory(*.count, *.each)
    )]
    Memory {
        /// How many VMs.
        count: u64,
        /// MiB that each wants.
        each: u64,
        /// MiB that are free.
        free: u64,
    },
    /// A disk that the image does not fit on.
    #[error(
        "a disk of {disk} MiB is too small for the image and a node's data; give --disk {least}M or more"
    )]
    Small {
        /// MiB that were asked for.
        disk: u64,
        /// MiB that will do.
        least: u64,
    },
    /// Something on this machine's disk.
    #[error("cannot {what} {}: {why}", .path.display())]
    Disk {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        why: io::Error,
    },
    /// QEMU said no.
    #[error("{program} failed: {why}")]
    Failed {
        /// Which program.
        program: &'static str,
        /// What it said.
        why: String,
    },
    /// It runs, and must not.
    #[error("the VM {0} runs; stop it first: trustnet-image vm stop {0}")]
    Runs(String),
    /// It does not answer in time.
    #[error("the VM {name} did not answer on port {port} within {seconds} s; see {}", .log.display())]
    Silent {
        /// Its name.
        name: String,
        /// Where it should.
        port: u16,
        /// How long was waited.
        seconds: u64,
        /// What its console said.
        log: PathBuf,
    },
    /// It is off, while its answer is waited for.
    #[error("the VM {name} has ended: it switched itself off, or QEMU was killed; its console, {}, ends with\n{last}", .log.display())]
    Ended {
        /// Its name.
        name: String,
        /// The end of the log.
        last: String,
        /// What its console said.
        log: PathBuf,
    },
    /// Its node does not answer in time.
    #[error(
        "the VM {name} runs, but its node does not answer after {seconds} s: {why}; look at it with: trustnet-image vm ssh \
         {name} trustnet status"
    )]
    NoNode {
        /// Its name.
        name: String,
        /// How long was waited.
        seconds: u64,
        /// The last answer.
        why: String,
    },
    /// A new network does not agree in time.
    #[error(
        "the VMs run, but their nodes are not in agreement after {seconds} s: {why}; they go on trying: look with \
         trustnet-image vm ssh {first} trustnet status"
    )]
    Apart {
        /// How long was waited.
        seconds: u64,
        /// What is missing.
        why: String,
        /// One of them.
        first: String,
    },
    /// See [`ClusterError`].
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

fn wanted_memory(count: u64, each: u64) -> String {
    match count {
        1 => format!("the VM wants {each} MiB of memory"),
        _ => format!(
            "each of the {count} VMs wants {each} MiB of memory, {} MiB together",
            count.saturating_mul(each)
        ),
    }
}

/// Whether a name is good for a folder and a host.
///
/// # Errors
/// [`VmError::Name`].
pub fn check_name(name: &str) -> Result<(), VmError> {
    let good = name.len() <= 32
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if good { Ok(()) } else { Err(VmError::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_keeps_its_number_whatever_nodes_there_are() {
        assert_eq!(node_numbers(&[]).take(3).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(node_numbers(&[1, 4]).take(2).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(address(REGISTRY_NUMBER).to_string(), "fd10:1234::2");
    }
}
