//! QEMU's command line, as a script that works alone.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::VmError;

/// Ports of the host that lead to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Port of the host, on 127.0.0.1.
    pub host: u16,
    /// Port of the machine.
    pub guest: u16,
}

/// What the machine is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardware {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Processors.
    pub cpus: u32,
    /// Forwarded TCP ports.
    pub forwards: Vec<Forward>,
    /// The machine's number among those of this host, from 1: its hardware address on their network.
    pub number: u8,
    /// That network: a multicast group and port.
    pub lan: String,
}

/// QEMU on this machine.
#[derive(Debug, Clone)]
pub struct Qemu {
    firmware: PathBuf,
}

/// Where distributions put the UEFI firmware for aarch64.
const FIRMWARE: [&str; 5] = [
    "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
    "/usr/share/AAVMF/AAVMF_CODE.fd",
    "/usr/share/edk2/aarch64/QEMU_EFI.fd",
    "/usr/share/qemu/edk2-aarch64-code.fd",
    "/opt/homebrew/share/qemu/edk2-aarch64-code.fd",
];

/// Whether a program is on the `PATH`.
pub(super) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

impl Qemu {
    /// Finds QEMU and its firmware.
    ///
    /// # Errors
    /// [`VmError::Missing`] with the line that installs it.
    pub fn find() -> Result<Self, VmError> {
        if !is_installed("qemu-system-aarch64") {
            let install = "apt-get install qemu-system-arm (Fedora: dnf install qemu-system-aarch64; macOS: brew install qemu)";
            return Err(VmError::Missing { what: "qemu-system-aarch64", install });
        }
        if !is_installed("qemu-img") {
            let install =
                "apt-get install qemu-utils (Fedora: dnf install qemu-img; macOS: brew install qemu)";
            return Err(VmError::Missing { what: "qemu-img", install });
        }
        let firmware = FIRMWARE.iter().map(Path::new).find(|path| path.exists());
        let install = "apt-get install qemu-efi-aarch64 (Fedora: dnf install edk2-aarch64)";
        let firmware = firmware.ok_or(VmError::Missing { what: "the UEFI firmware for aarch64", install })?;
        Ok(Self { firmware: firmware.to_owned() })
    }

    /// The UEFI firmware for aarch64.
    #[must_use]
    pub fn firmware(&self) -> &Path {
        &self.firmware
    }

    /// The script that starts a machine in its own folder, in the background.
    #[must_use]
    pub fn script(&self, name: &str, hardware: &Hardware) -> String {
        let Hardware { memory_mib, cpus, forwards, number, lan } = hardware;
        let forwards: String = forwards
            .iter()
            .map(|Forward { host, guest }| format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}"))
            .collect();
        let firmware = self.firmware.display();
        format!(
            "#!/bin/sh\n\
             # Starts the VM {name}. Made by trustnet-image; works alone. With -f it stays in the foreground, on this terminal.\n\
             cd \"$(dirname \"$0\")\" || exit 1\n\
             accel=tcg,thread=multi cpu=cortex-a72\n\
             case $(uname -sm) in\n\
             \"Linux aarch64\") [ -w /dev/kvm ] && accel=kvm cpu=host ;;\n\
             \"Darwin arm64\") accel=hvf cpu=host ;;\n\
             esac\n\
             where=\"-daemonize -display none -serial file:console.log\"\n\
             [ \"$1\" = -f ] && where=-nographic\n\
             exec qemu-system-aarch64 -name {name} -machine virt -accel \"$accel\" -cpu \"$cpu\" -smp {cpus} -m {memory_mib} \\\n\
             \x20\x20-bios {firmware} -pidfile {name}.pid $where \\\n\
             \x20\x20-drive if=none,id=disk,format=qcow2,file=disk.qcow2,cache=writeback,discard=unmap \\\n\
             \x20\x20-device virtio-blk-pci,drive=disk,bootindex=0,romfile= \\\n\
             \x20\x20-netdev user,id=out{forwards} -device virtio-net-pci,netdev=out,romfile= \\\n\
             \x20\x20-netdev socket,id=lan,mcast={lan},localaddr=127.0.0.1 \\\n\
             \x20\x20-device virtio-net-pci,netdev=lan,mac=52:54:00:10:12:{number:02x},romfile= \\\n\
             \x20\x20-device virtio-rng-pci -device i6300esb -action watchdog=reset\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_starts_one_machine_and_forwards_only_on_loopback() {
        let qemu = Qemu { firmware: "/fw.fd".into() };
        let forwards = vec![Forward { host: 2222, guest: 22 }, Forward { host: 26657, guest: 26657 }];
        let hardware = Hardware { memory_mib: 512, cpus: 2, forwards, number: 3, lan: "239.1.2.3:4".into() };
        let script = qemu.script("kitchen", &hardware);
        assert!(script.starts_with("#!/bin/sh\n"));
        assert!(
            script.contains("user,id=out,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:26657-:26657 ")
        );
        assert!(script.contains("mcast=239.1.2.3:4,localaddr=127.0.0.1"));
        assert!(script.contains("mac=52:54:00:10:12:03"));
        assert!(script.contains("-m 512 ") && script.contains("-pidfile kitchen.pid"));
        assert!(!script.contains("0.0.0.0"));
    }
}
