//! Making machines: checks first, so that nothing half-made is left behind.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::VmError;
use super::machine::Machine;
use super::place::{Place, disk};
use super::qemu::{Forward, Hardware, Qemu, is_installed};

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Names and the machines' numbers on their network.
    pub members: Vec<(String, u8)>,
    /// Size of each disk, as qemu-img takes it: `50G`.
    pub disk: String,
    /// Memory of each in MiB.
    pub memory_mib: u64,
    /// Processors of each.
    pub cpus: u32,
    /// First port for SSH; one more for each machine.
    pub ssh_port: u16,
    /// First port for the RPC; one more for each machine.
    pub rpc_port: u16,
    /// More forwarded ports, of a single machine.
    pub forwards: Vec<Forward>,
}

/// Whatever stood in the way.
type Failure = Box<dyn std::error::Error>;
/// Gives the image of a member and the private key that logs in, if one was made.
type MakeImage<'a> = dyn FnMut(usize) -> Result<(Vec<u8>, Option<PathBuf>), Failure> + 'a;

/// Makes machines; they are off. `image` gives the disk's content of each, by its place in the plan, and the path of the
/// private key that logs in, if one was made.
///
/// # Errors
/// [`VmError`]; then no folder is left.
pub fn create(place: &Place, plan: &Plan, image: &mut MakeImage<'_>) -> Result<Vec<Machine>, Failure> {
    let qemu = Qemu::find()?;
    check(place, plan)?;
    let names: Vec<String> = plan.members.iter().map(|(name, _)| name.clone()).collect();
    let made =
        (0..names.len()).map(|index| one(place, plan, index, &qemu, image)).collect::<Result<Vec<_>, _>>();
    if made.is_err() {
        place.discard(&names);
    }
    let made = made?;
    place.publish(&names)?;
    Ok(made)
}

fn check(place: &Place, plan: &Plan) -> Result<(), VmError> {
    for (name, _) in &plan.members {
        place.check_free(name)?;
    }
    for (index, _) in (0u16..).zip(&plan.members) {
        free_port(plan.ssh_port + index, "--ssh-port")?;
        free_port(plan.rpc_port + index, "--rpc-port")?;
    }
    for forward in &plan.forwards {
        free_port(forward.host, "--forward")?;
    }
    let wanted = plan.memory_mib * plan.members.len() as u64;
    match free_memory_mib() {
        Some(free) if free < wanted => Err(VmError::Memory { wanted, free }),
        _ => Ok(()),
    }
}

fn free_port(port: u16, option: &'static str) -> Result<(), VmError> {
    TcpListener::bind(("127.0.0.1", port)).map(drop).map_err(|_| VmError::Port { port, option })
}

/// Memory of this machine that programs can have; `None` where that cannot be told.
fn free_memory_mib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? / 1024)
}

fn one(
    place: &Place,
    plan: &Plan,
    index: usize,
    qemu: &Qemu,
    image: &mut MakeImage<'_>,
) -> Result<Machine, Failure> {
    let (name, number) = plan.members[index].clone();
    let dir = place.begin(&name)?;
    let (bytes, key) = image(index)?;
    let raw = dir.join("disk.raw");
    fs::write(&raw, &bytes).map_err(disk("write", &raw))?;
    qemu_img(&["convert", "-f", "raw", "-O", "qcow2"], &[&raw, &dir.join("disk.qcow2")], &[])?;
    fs::remove_file(&raw).map_err(disk("remove", &raw))?;
    qemu_img(&["resize", "-q"], &[&dir.join("disk.qcow2")], &[&plan.disk])?;
    let place = index as u16;
    let machine = Machine {
        name: name.clone(),
        ssh_port: plan.ssh_port + place,
        rpc_port: plan.rpc_port + place,
        number,
        key,
    };
    let mut forwards = vec![
        Forward { host: machine.ssh_port, guest: 22 },
        Forward { host: machine.rpc_port, guest: 26_657 },
    ];
    if plan.members.len() == 1 {
        forwards.extend(&plan.forwards);
    }
    let hardware = Hardware { memory_mib: plan.memory_mib, cpus: plan.cpus, forwards, number };
    let script = dir.join(format!("start-{name}.sh"));
    let mut file = fs::File::create(&script).map_err(disk("write", &script))?;
    file.write_all(qemu.script(&name, &hardware).as_bytes()).map_err(disk("write", &script))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).map_err(disk("protect", &script))?;
    machine.save(&dir)?;
    Ok(machine)
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

/// Makes an SSH key for a machine, where the user has none.
///
/// # Errors
/// [`VmError`].
pub fn make_key(path: &Path) -> Result<String, VmError> {
    if !is_installed("ssh-keygen") {
        return Err(VmError::Missing { what: "ssh-keygen", install: "apt-get install openssh-client" });
    }
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "trustnet-vm", "-f"])
        .arg(path)
        .output();
    let output = output.map_err(|why| VmError::Disk { what: "make", path: path.to_owned(), why })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(VmError::Failed { program: "ssh-keygen", why });
    }
    let public = PathBuf::from(format!("{}.pub", path.display()));
    fs::read_to_string(&public).map_err(|why| VmError::Disk { what: "read", path: public, why })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn plan(ssh_port: u16, memory_mib: u64) -> Plan {
        Plan {
            members: vec![("kitchen".into(), 1)],
            disk: "1G".into(),
            memory_mib,
            cpus: 1,
            ssh_port,
            rpc_port: 0,
            forwards: Vec::new(),
        }
    }

    #[test]
    fn what_cannot_be_is_said_before_anything_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::take(folder.path(), &|| {}).unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = check(&place, &plan(port, 1)).unwrap_err();
        assert!(
            error.to_string().contains(&format!("port {port}")) && error.to_string().contains("--ssh-port")
        );
        let error = check(&place, &plan(0, 1 << 40)).unwrap_err();
        assert!(error.to_string().contains("--memory"), "{error}");
        fs::create_dir(folder.path().join("kitchen")).unwrap();
        assert!(matches!(check(&place, &plan(0, 1)), Err(VmError::Taken(_))));
    }
}
