//! Making machines: checks first, so that nothing half-made is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::VmError;
use super::key::{check_keygen, make_key};
use super::machine::Machine;
use super::place::{Place, disk};
use super::qemu::{Forward, Hardware, Qemu};

/// The private key of a machine, in its folder.
const KEY: &str = "key";
/// The least room for a node's data behind the image, in MiB: a partition of 64, and up to 4 to where one may begin.
const DATA_MIB: u64 = 68;
/// Bytes of a MiB.
const MIB: u64 = 1024 * 1024;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The machines: names, numbers, ports, network. They get their keys when they are made.
    pub members: Vec<Machine>,
    /// Size of each disk in MiB.
    pub disk_mib: u64,
    /// Memory of each in MiB.
    pub memory_mib: u64,
    /// Processors of each.
    pub cpus: u32,
    /// The public SSH key that logs in; without it each machine gets a pair of its own.
    pub public_key: Option<String>,
}

/// Whatever stood in the way.
type Failure = Box<dyn std::error::Error>;
/// Gives the image of a member, by its place in the plan, into which the public key logs in.
type MakeImage<'a> = dyn FnMut(usize, &str) -> Result<Vec<u8>, Failure> + 'a;

/// Whether a plan can be carried out, as far as that can be said before there is an image. Names and ports were
/// checked when they were chosen.
///
/// # Errors
/// [`VmError`].
pub fn check(plan: &Plan) -> Result<(), VmError> {
    if plan.public_key.is_none() {
        check_keygen()?;
    }
    let (count, each) = (plan.members.len() as u64, plan.memory_mib);
    match free_memory_mib() {
        Some(free) if free < count.saturating_mul(each) => Err(VmError::Memory { count, each, free }),
        _ => Ok(()),
    }
}

/// Whether a disk has room for an image and a node's data.
///
/// # Errors
/// [`VmError::Small`].
pub fn check_disk(disk_mib: u64, image_bytes: u64) -> Result<(), VmError> {
    let least = image_bytes.div_ceil(MIB) + DATA_MIB;
    if disk_mib < least { Err(VmError::Small { disk: disk_mib, least }) } else { Ok(()) }
}

/// Makes the machines of a plan that was checked; they are off.
///
/// # Errors
/// [`VmError`], and those of `image`; then no machine is left.
pub fn create(place: &Place, plan: &Plan, image: &mut MakeImage<'_>) -> Result<Vec<Machine>, Failure> {
    let qemu = Qemu::find()?;
    let names: Vec<String> = plan.members.iter().map(|machine| machine.name.clone()).collect();
    let made =
        (0..names.len()).map(|index| one(place, plan, index, &qemu, image)).collect::<Result<Vec<_>, _>>();
    if made.is_err() {
        place.discard(&names);
    }
    let made = made?;
    place.publish(&names)?;
    Ok(made)
}

fn one(
    place: &Place,
    plan: &Plan,
    index: usize,
    qemu: &Qemu,
    image: &mut MakeImage<'_>,
) -> Result<Machine, Failure> {
    let mut machine = plan.members[index].clone();
    let name = &machine.name;
    let dir = place.begin(name)?;
    let public = match &plan.public_key {
        Some(public) => public.clone(),
        None => make_key(&dir.join(KEY))?.trim().to_owned(),
    };
    let bytes = image(index, &public)?;
    check_disk(plan.disk_mib, bytes.len() as u64)?;
    let raw = dir.join("disk.raw");
    fs::write(&raw, &bytes).map_err(disk("write", &raw))?;
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2"], &[&raw, &dir.join("disk.qcow2")], &[])?;
    fs::remove_file(&raw).map_err(disk("remove", &raw))?;
    qemu_img(&["resize", "-q"], &[&dir.join("disk.qcow2")], &[&format!("{}M", plan.disk_mib)])?;
    let hardware = Hardware {
        memory_mib: plan.memory_mib,
        cpus: plan.cpus,
        forwards: forwards(&machine),
        number: machine.number,
        lan: machine.lan.clone(),
    };
    let script = dir.join(format!("start-{name}.sh"));
    fs::write(&script, qemu.script(name, &hardware)).map_err(disk("write", &script))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).map_err(disk("protect", &script))?;
    machine.key = plan.public_key.is_none().then(|| KEY.into());
    machine.save(&dir)?;
    Ok(machine)
}

/// All ports that lead to a machine.
fn forwards(machine: &Machine) -> Vec<Forward> {
    let own =
        [Forward { host: machine.ssh_port, guest: 22 }, Forward { host: machine.rpc_port, guest: 26_657 }];
    own.into_iter().chain(machine.forwards.iter().copied()).collect()
}

/// Memory of this machine that programs can have; `None` where that cannot be told.
fn free_memory_mib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? / 1024)
}

fn qemu_img(command: &[&str], files: &[&Path], rest: &[&str]) -> Result<(), VmError> {
    let output = Command::new("qemu-img").args(command).args(files).args(rest).output();
    let why = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(VmError::Failed { program: "qemu-img", why })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vm::machine::tests::machine;

    fn plan(memory_mib: u64) -> Plan {
        let second = Machine { name: "cellar".into(), ..machine() };
        let members = vec![machine(), second];
        Plan { members, disk_mib: 1024, memory_mib, cpus: 1, public_key: Some("ssh-ed25519 x".into()) }
    }

    #[test]
    fn memory_that_is_not_there_is_said_for_each_and_for_all() {
        check(&plan(1)).unwrap();
        if free_memory_mib().is_some() {
            let why = check(&plan(1 << 40)).unwrap_err().to_string();
            let (each, all) = ((1_u64 << 40).to_string(), (2_u64 << 40).to_string());
            assert!(why.contains(&each) && why.contains(&all) && why.contains("--memory"), "{why}");
        }
    }

    #[test]
    fn a_disk_holds_the_image_and_a_nodes_data() {
        check_disk(256 + DATA_MIB, 256 * MIB).unwrap();
        let why = check_disk(100, 256 * MIB).unwrap_err().to_string();
        assert!(why.contains("100 MiB") && why.contains("--disk 324M"), "{why}");
        assert!(check_disk(256 + DATA_MIB, 256 * MIB + 1).is_err());
    }

    #[test]
    fn a_machine_that_fails_leaves_neither_itself_nor_keys_nor_those_before_it() {
        if Qemu::find().is_err() || check_keygen().is_err() {
            eprintln!("SKIPPED: QEMU or ssh-keygen is missing");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let place = Place::take(folder.path(), &|| {}).unwrap();
        let plan = Plan { public_key: None, ..plan(1) };
        let mut keys = Vec::new();
        let made = create(&place, &plan, &mut |index, public| {
            keys.push(public.to_owned());
            if index == 0 { Ok(vec![0; MIB as usize]) } else { Err("no second image".into()) }
        });
        assert_eq!(made.unwrap_err().to_string(), "no second image");
        assert!(keys[0].starts_with("ssh-ed25519 ") && keys[0] != keys[1]);
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".lock"]);

        let made = create(&place, &plan, &mut |_, _| Ok(vec![0; MIB as usize])).unwrap();
        assert_eq!(made[0].key_path(folder.path()).unwrap(), folder.path().join("kitchen/key"));
        assert!(folder.path().join("kitchen/key").exists());
        assert_eq!(Machine::all(folder.path()), [made[1].clone(), made[0].clone()]);
    }
}
