//! A virtual machine that can be switched on and whose plug can be pulled.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use trustnet_image::vm::{self, Qemu};

use crate::Failure;
use crate::image::Image;
use crate::monitor;
use crate::shell;
use crate::target::Target;

/// Memory of a machine, in MiB: the least that the image must do with. The emulated Raspberry Pi has its own.
const MEMORY_MIB: u64 = 256;
/// The same of a machine with UEFI, whose firmware wants some.
const MEMORY_WITH_UEFI_MIB: u64 = 512;
/// Memory of each machine of a network, in MiB.
const MEMORY_IN_CLUSTER_MIB: u64 = 320;
/// Size of the disk: an emulated SD card must have a power of two.
const DISK: &str = "2G";
/// How often a free port is asked for until it is a new one.
const PORT_TRIES: u32 = 1_000;
/// Ports that the firewall must not open, and that lead to it from outside all the same: what people run (FTP, telnet, web,
/// NFS, databases), the registry's, which is off, and the neighbours of the node's.
pub const CLOSED_PORTS: [u16; 14] =
    [21, 23, 80, 111, 443, 2049, 2222, 5432, 8000, 8053, 8443, 9999, 26656, 26658];

/// Ports of this host that lead to the machine.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// To SSH.
    pub ssh: u16,
    /// To the RPC.
    pub rpc: u16,
    /// To [`CLOSED_PORTS`]; 0 where none leads.
    pub closed: [u16; CLOSED_PORTS.len()],
}

/// A machine. It is switched off when this is dropped.
#[derive(Debug)]
pub struct Vm {
    dir: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
    /// Its ports on this host.
    pub ports: Ports,
}

impl Vm {
    /// Makes the disk of a machine of kind `target` in `dir`; it is off. With `lan`, its number on the network of machines.
    ///
    /// # Errors
    /// QEMU is missing, or the disk cannot be made.
    pub fn new(target: &Target, image: &Image, dir: &Path, lan: Option<u8>) -> Result<Self, Failure> {
        let qemu = Qemu::find()?;
        fs::create_dir_all(dir)?;
        make_disk(target, image, dir)?;
        let mut ports = Ports { ssh: free_port()?, rpc: free_port()?, closed: [0; CLOSED_PORTS.len()] };
        // Machines of a network are not scanned.
        for port in ports.closed.iter_mut().filter(|_| lan.is_none()) {
            *port = free_port()?;
        }
        let arguments = arguments(target, image, dir, ports, lan, &qemu);
        Ok(Self { dir: dir.to_owned(), arguments, child: None, ports })
    }

    /// Switches it on.
    ///
    /// # Errors
    /// QEMU does not start.
    pub fn power_on(&mut self) -> Result<(), Failure> {
        let log = File::options().create(true).append(true).open(self.dir.join("qemu.log"))?;
        // It dies with this program, whatever ends it.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "qemu-system-aarch64"])
            .args(&self.arguments)
            .current_dir(&self.dir);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().map_err(|why| format!("cannot run setpriv (util-linux): {why}"))?);
        Ok(())
    }

    /// Pulls the plug: QEMU is killed, whatever the machine does.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn cut_power(&mut self) -> Result<(), Failure> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// The end of what it said on its console, and what QEMU says about it.
    pub fn last_words(&self) -> String {
        let tail = |file: &str| {
            let text = fs::read(self.dir.join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(25)..].join("\n")
        };
        format!(
            "--- console of {}\n{}\n--- qemu\n{}\n{}",
            self.dir.display(),
            tail("console.log"),
            tail("qemu.log"),
            monitor::state(&self.dir)
        )
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The disk's format. QEMU keeps tables of qcow2 in its own memory until the machine flushes its disk, which a machine never
/// does to an SD card: on one, they would die with QEMU, as no real card's do.
fn disk_format(target: &Target) -> &'static str {
    if *target == Target::Raspi3b { "raw" } else { "qcow2" }
}

fn disk_path(target: &Target, dir: &Path) -> PathBuf {
    dir.join(format!("disk.{}", disk_format(target)))
}

fn make_disk(target: &Target, image: &Image, dir: &Path) -> Result<(), Failure> {
    let disk = disk_path(target, dir);
    let mut make = Command::new("qemu-img");
    let backing = fs::canonicalize(&image.disk)?;
    if *target == Target::Raspi3b {
        make.args(["convert", "-O", "raw"]).arg(backing).arg(&disk);
        shell::run(&mut make, Duration::from_secs(60))?.ok("qemu-img convert")?;
        make = Command::new("qemu-img");
        make.args(["resize", "-q", "-f", "raw"]).arg(disk).arg(DISK);
        shell::run(&mut make, Duration::from_secs(60))?.ok("qemu-img resize")?;
    } else {
        make.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(backing).arg(disk).arg(DISK);
        shell::run(&mut make, Duration::from_secs(60))?.ok("qemu-img create")?;
    }
    Ok(())
}

/// A port that is free, and that this program has not had before: QEMU takes it a while later, and the system may well give
/// the same one out twice until then.
fn free_port() -> Result<u16, Failure> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..PORT_TRIES {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        if given.insert(port) {
            return Ok(port);
        }
    }
    Err("this host has no free ports left".into())
}

/// QEMU's command line (recipes: docs/ARCHITECTURE.md, "The image").
fn arguments(
    target: &Target,
    image: &Image,
    dir: &Path,
    ports: Ports,
    lan: Option<u8>,
    qemu: &Qemu,
) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let disk =
        format!("format={},file={},cache=writeback", disk_format(target), path(&disk_path(target, dir)));
    let forward = |host: u16, guest: u16| format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}");
    let closed = ports.closed.iter().zip(CLOSED_PORTS).filter(|(host, _)| **host != 0);
    let closed: String = closed.map(|(host, guest)| forward(*host, guest)).collect();
    let out = format!("user,id=out{}{}{closed}", forward(ports.ssh, 22), forward(ports.rpc, 26657));
    let console = format!("file,id=console,append=on,path={}", path(&dir.join("console.log")));
    let mut words: Vec<String> = Vec::new();
    let mut add = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
    let qmp = format!("unix:{},server=on,wait=off", monitor::SOCKET);
    add(&[
        "-display",
        "none",
        "-monitor",
        "none",
        "-qmp",
        &qmp,
        "-chardev",
        &console,
        "-serial",
        "chardev:console",
    ]);
    let accelerator = if cfg!(target_arch = "aarch64") && Path::new("/dev/kvm").exists() {
        "kvm"
    } else {
        "tcg,thread=multi"
    };
    if *target == Target::Raspi3b {
        // QEMU runs none of the firmware, so it is given what the firmware would load.
        // Nor does it count the Pi's watchdog down: switching it on resets the machine at once.
        let line = image.command_line.replace("console=tty0 ", "") + " trustnet.watchdog=off";
        add(&["-machine", "raspi3b", "-accel", "tcg,thread=multi"]);
        add(&["-kernel", &path(&image.kernel), "-initrd", &path(&image.initramfs)]);
        add(&["-dtb", &path(&image.device_tree), "-append", &line]);
        add(&["-drive", &format!("if=sd,{disk}"), "-netdev", &out, "-device", "usb-net,netdev=out"]);
        return words;
    }
    let cpu = if accelerator == "kvm" { "host" } else { "cortex-a72" };
    let memory = match target {
        Target::Uefi => MEMORY_WITH_UEFI_MIB,
        _ if lan.is_some() => MEMORY_IN_CLUSTER_MIB,
        _ => MEMORY_MIB,
    };
    add(&["-machine", "virt", "-accel", accelerator, "-cpu", cpu, "-smp", "2", "-m", &memory.to_string()]);
    if *target == Target::Uefi {
        add(&["-bios", &path(qemu.firmware())]);
    } else {
        add(&["-kernel", &path(&image.kernel), "-initrd", &path(&image.initramfs)]);
        // The kernel's own complaints, which a console that people see is spared.
        add(&["-append", &image.command_line.replace("loglevel=3", "loglevel=5")]);
    }
    add(&["-drive", &format!("if=none,id=disk,{disk}")]);
    add(&["-device", "virtio-blk-pci,drive=disk,bootindex=0,romfile="]);
    add(&["-netdev", &out, "-device", "virtio-net-pci,netdev=out,romfile="]);
    if let Some(number) = lan {
        // Machines of one folder share it, and no others on this host.
        let lan = vm::lan(dir.parent().unwrap_or(dir), &[]);
        add(&["-netdev", &format!("socket,id=lan,mcast={lan},localaddr=127.0.0.1")]);
        add(&["-device", &format!("virtio-net-pci,netdev=lan,mac=52:54:00:10:12:{number:02x},romfile=")]);
    }
    add(&["-device", "virtio-rng-pci", "-device", "i6300esb", "-action", "watchdog=reset"]);
    words
}
