//! How the image boots: the kernel's command line, the Raspberry Pi's config.txt, the entry of the UEFI boot loader.

use crate::base::Start;

/// The kernel's command line.
#[must_use]
pub fn command_line(start: &Start, consoles: &[&str]) -> String {
    let consoles: String = consoles.iter().map(|console| format!(" console={console}")).collect();
    format!("{} quiet loglevel=3 panic=10{consoles}", start.options)
}

/// `cmdline.txt` of the Raspberry Pi: the last console is the one that the boot talks to.
#[must_use]
pub fn pi_command_line(start: &Start) -> String {
    format!("{}\n", command_line(start, &["ttyAMA0,115200", "tty1"]))
}

/// `config.txt` of the Raspberry Pi 3, 4, 5 and Zero 2.
#[must_use]
pub fn pi_config(start: &Start) -> String {
    let Start { kernel, initramfs, .. } = start;
    format!(
        "# Read by the Raspberry Pi's firmware. Settings of the node are in trustnet.toml.\n\
         arm_64bit=1\n\
         kernel={kernel}\n\
         initramfs {initramfs} followkernel\n\
         # No screen is needed: the least memory for the graphics unit.\n\
         gpu_mem=16\n\
         disable_splash=1\n\
         enable_uart=1\n\
         # The mini UART of boards with Bluetooth would change its speed with the clock; the node needs no Bluetooth.\n\
         dtoverlay=disable-bt\n\
         dtparam=watchdog=on\n\
         # Your own settings, never overwritten by an update.\n\
         include usercfg.txt\n"
    )
}

/// `loader/loader.conf` of systemd-boot.
#[must_use]
pub fn uefi_loader() -> &'static str {
    "timeout 0\ndefault trustnet*\nconsole-mode keep\neditor no\n"
}

/// `loader/entries/trustnet-1.conf`.
#[must_use]
pub fn uefi_entry(start: &Start, version: &str) -> String {
    let options = command_line(start, &["tty0", "ttyAMA0"]);
    let Start { kernel, initramfs, .. } = start;
    format!("title TrustNet {version}\nlinux /{kernel}\ninitrd /{initramfs}\noptions {options}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start {
        let [kernel, initramfs] = ["boot/vmlinuz-rpi", "boot/initramfs-rpi"].map(str::to_owned);
        Start { kernel, initramfs, options: "modules=loop,squashfs".into() }
    }

    #[test]
    fn the_pi_reads_lines_that_it_knows() {
        for line in pi_config(&start()).lines().filter(|line| !line.starts_with('#')) {
            let known = [
                "arm_64bit=",
                "kernel=",
                "initramfs ",
                "gpu_mem=",
                "disable_splash=",
                "enable_uart=",
                "dtoverlay=",
                "dtparam=",
                "include ",
            ];
            assert!(known.iter().any(|key| line.starts_with(key)), "{line}");
            // Longer lines are cut without a word (config.txt's documentation).
            assert!(line.len() <= 98, "{line}");
        }
        assert_eq!(pi_command_line(&start()).lines().count(), 1, "cmdline.txt has one line");
    }

    #[test]
    fn consoles_come_in_their_order() {
        assert!(command_line(&start(), &["tty0", "ttyAMA0"]).ends_with(" console=tty0 console=ttyAMA0"));
        let entry = uefi_entry(&start(), "0.1.0");
        assert!(
            entry.contains("\nlinux /boot/vmlinuz-rpi\n") && entry.contains("\noptions modules=loop,"),
            "{entry}"
        );
    }
}
