//! What a client needs to trust the cluster's authority: which files, where, and what to run then.
//!
//! [`plan`] is pure and can be printed; [`Plan::install`] writes its files below a root folder, `/` in earnest.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::TlsError;
use super::files::{Access, write_file};
use super::names::is_host;

/// A program that pulls and pushes, or a whole system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// Docker's daemon.
    Docker,
    /// Podman, Buildah and Skopeo, for everyone on the machine.
    Podman,
    /// Podman, Buildah and Skopeo, for the user with this home folder.
    PodmanUser(PathBuf),
    /// containerd, and so Kubernetes, nerdctl and k3s.
    Containerd,
    /// Every program that asks the system which authorities to trust.
    System(System),
}

/// How a system keeps the authorities that it trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Debian, Ubuntu, Raspberry Pi OS.
    Debian,
    /// Alpine.
    Alpine,
    /// Fedora, RHEL and those made of them.
    Fedora,
    /// Arch.
    Arch,
    /// macOS.
    MacOs,
}

impl System {
    /// Which system `/etc/os-release` with this text stands for.
    pub fn from_os_release(text: &str) -> Option<Self> {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\'']).to_ascii_lowercase()
        };
        let words = value("ID") + " " + &value("ID_LIKE");
        words.split_whitespace().find_map(|word| match word {
            "debian" | "ubuntu" | "raspbian" => Some(Self::Debian),
            "alpine" => Some(Self::Alpine),
            "fedora" | "rhel" | "centos" => Some(Self::Fedora),
            "arch" => Some(Self::Arch),
            _ => None,
        })
    }
}

/// Where a registry is: a host name or address, and a port, as clients write them in names of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// `host:port`, an IPv6 address in brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not a place of a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not where a registry is; write it as in names of images: pi-1.local:8053, or [fd10:1234::2]:8053"
)]
pub struct NoPlace(String);

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let refused = || NoPlace(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        port.parse::<u16>()
            .ok()
            .filter(|number| *number > 0 && number.to_string() == port)
            .ok_or_else(refused)?;
        let host = host.to_ascii_lowercase();
        let is_address = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => host.parse::<std::net::Ipv4Addr>().is_ok(),
        };
        // It becomes the name of a folder, so nothing else may be in it.
        if is_address || is_host(&host) { Ok(Self(format!("{host}:{port}"))) } else { Err(refused()) }
    }
}

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its full path.
    pub path: PathBuf,
    /// Its whole content.
    pub content: String,
}

/// What has to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files to write.
    pub files: Vec<Planned>,
    /// A command to run then: the program and its arguments.
    pub after: Option<Vec<String>>,
    /// Whether the files are a user's own, so that nobody else is needed to write them.
    pub is_users_own: bool,
    /// What a person should know.
    pub notes: Vec<String>,
}

const SYSTEM_NOTE: &str = "every program on this machine now believes this authority about every name; whoever has the key of the cluster's authority can pose as any site to it. To trust one registry only, choose docker, podman or containerd instead.";

/// What `client` needs to trust the authority with the certificate `authority`, as PEM, for the registry at `place`.
pub fn plan(client: &Client, place: &Place, authority: &str) -> Plan {
    let file = |path: String| Planned { path: path.into(), content: authority.to_owned() };
    let words = |line: &str| Some(line.split(' ').map(str::to_owned).collect());
    match client {
        Client::Docker => Plan {
            files: vec![file(format!("/etc/docker/certs.d/{place}/ca.crt"))],
            after: None,
            is_users_own: false,
            notes: vec!["Docker reads the file at the next pull or push; no restart is needed.".to_owned()],
        },
        Client::Podman => Plan {
            files: vec![file(format!("/etc/containers/certs.d/{place}/ca.crt"))],
            after: None,
            is_users_own: false,
            notes: vec!["For Podman, Buildah and Skopeo alike, from the next pull or push on.".to_owned()],
        },
        Client::PodmanUser(home) => Plan {
            files: vec![Planned {
                path: home.join(format!(".config/containers/certs.d/{place}/ca.crt")),
                content: authority.to_owned(),
            }],
            after: None,
            is_users_own: true,
            notes: vec![
                "For Podman, Buildah and Skopeo of this user, from the next pull or push on.".to_owned(),
            ],
        },
        Client::Containerd => {
            let folder = format!("/etc/containerd/certs.d/{place}");
            let hosts = format!(
                "server = \"https://{place}\"\n\n[host.\"https://{place}\"]\n  capabilities = [\"pull\", \"resolve\", \"push\"]\n  ca = \"{folder}/ca.crt\"\n"
            );
            Plan {
                files: vec![
                    file(format!("{folder}/ca.crt")),
                    Planned { path: format!("{folder}/hosts.toml").into(), content: hosts },
                ],
                after: None,
                is_users_own: false,
                notes: vec![
                    "containerd reads these folders if its config.toml says config_path = \"/etc/containerd/certs.d\" for the registry (k3s: /var/lib/rancher/k3s/agent/etc/containerd/certs.d); then no restart is needed.".to_owned(),
                ],
            }
        }
        Client::System(system) => {
            let name = "trustnet-registry";
            let (path, after) = match system {
                System::Debian | System::Alpine => {
                    (format!("/usr/local/share/ca-certificates/{name}.crt"), words("update-ca-certificates"))
                }
                System::Fedora => {
                    (format!("/etc/pki/ca-trust/source/anchors/{name}.crt"), words("update-ca-trust extract"))
                }
                System::Arch => (
                    format!("/etc/ca-certificates/trust-source/anchors/{name}.crt"),
                    words("update-ca-trust extract"),
                ),
                System::MacOs => {
                    let path = format!("/usr/local/etc/trustnet/{name}.pem");
                    let line = format!(
                        "security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {path}"
                    );
                    (path, words(&line))
                }
            };
            Plan { files: vec![file(path)], after, is_users_own: false, notes: vec![SYSTEM_NOTE.to_owned()] }
        }
    }
}

impl Plan {
    /// Writes the files below `root`, each whole or not at all, and gives their paths. Does not run anything.
    ///
    /// # Errors
    /// Those of the operating system; files written before are left.
    pub fn install(&self, root: &Path) -> Result<Vec<PathBuf>, TlsError> {
        let mut written = Vec::new();
        for file in &self.files {
            let below = file.path.strip_prefix("/").unwrap_or(&file.path);
            let path = root.join(below);
            let failed = |error: io::Error| TlsError::io("write", path.display().to_string(), error);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(failed)?;
            }
            write_file(&path, file.content.as_bytes(), Access::Open).map_err(failed)?;
            written.push(path);
        }
        Ok(written)
    }
}

impl fmt::Display for Plan {
    /// As a person would do it in a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A folder that root makes in somebody's home is in its owner's way for ever.
        let sudo = if self.is_users_own { "" } else { "sudo " };
        for file in &self.files {
            let folder = file.path.parent().unwrap_or(Path::new("/")).display();
            writeln!(f, "{sudo}mkdir -p '{folder}'")?;
            writeln!(f, "{sudo}tee '{}' >/dev/null <<'END'", file.path.display())?;
            f.write_str(&file.content)?;
            writeln!(f, "END")?;
        }
        if let Some(after) = &self.after {
            writeln!(f, "{sudo}{}", after.join(" "))?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "# {note}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    fn place() -> Place {
        "Pi-1.local:8053".parse().unwrap()
    }

    #[test]
    fn each_client_has_its_own_place() {
        let cases = [
            (Client::Docker, "/etc/docker/certs.d/pi-1.local:8053/ca.crt", None),
            (Client::Podman, "/etc/containers/certs.d/pi-1.local:8053/ca.crt", None),
            (
                Client::PodmanUser("/home/a".into()),
                "/home/a/.config/containers/certs.d/pi-1.local:8053/ca.crt",
                None,
            ),
            (Client::Containerd, "/etc/containerd/certs.d/pi-1.local:8053/ca.crt", None),
            (
                Client::System(System::Debian),
                "/usr/local/share/ca-certificates/trustnet-registry.crt",
                Some("update-ca-certificates"),
            ),
            (
                Client::System(System::Alpine),
                "/usr/local/share/ca-certificates/trustnet-registry.crt",
                Some("update-ca-certificates"),
            ),
            (
                Client::System(System::Fedora),
                "/etc/pki/ca-trust/source/anchors/trustnet-registry.crt",
                Some("update-ca-trust"),
            ),
            (
                Client::System(System::Arch),
                "/etc/ca-certificates/trust-source/anchors/trustnet-registry.crt",
                Some("update-ca-trust"),
            ),
            (
                Client::System(System::MacOs),
                "/usr/local/etc/trustnet/trustnet-registry.pem",
                Some("security"),
            ),
        ];
        for (client, path, program) in cases {
            let plan = plan(&client, &place(), PEM);
            assert_eq!(plan.files[0], Planned { path: path.into(), content: PEM.to_owned() }, "{client:?}");
            assert_eq!(plan.after.map(|after| after[0].clone()).as_deref(), program, "{client:?}");
            assert!(!plan.notes.is_empty());
        }
    }

    #[test]
    fn containerd_is_told_of_the_certificate() {
        let plan = plan(&Client::Containerd, &place(), PEM);
        let expected = "server = \"https://pi-1.local:8053\"\n\n[host.\"https://pi-1.local:8053\"]\n  capabilities = [\"pull\", \"resolve\", \"push\"]\n  ca = \"/etc/containerd/certs.d/pi-1.local:8053/ca.crt\"\n";
        assert_eq!(plan.files[1].content, expected);
        assert!(toml::from_str::<toml::Table>(&plan.files[1].content).is_ok());
    }

    #[test]
    fn nothing_is_installed_outside_the_root() {
        let root = tempfile::tempdir().unwrap();
        let plan = plan(&Client::Containerd, &"[FD10:1234::2]:8053".parse().unwrap(), PEM);
        let written = plan.install(root.path()).unwrap();
        assert_eq!(written.len(), 2);
        // Twice is as once.
        assert_eq!(plan.install(root.path()).unwrap(), written);
        let path = root.path().join("etc/containerd/certs.d/[fd10:1234::2]:8053/ca.crt");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), PEM);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 2);
        let file = root.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert!(matches!(plan.install(&file), Err(TlsError::Io { .. })));
    }

    #[test]
    fn places_that_would_lead_elsewhere_are_refused() {
        for bad in [
            "",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:08",
            "../x:1",
            "a/b:1",
            "..:1",
            "a b:1",
            ":1",
            "[x]:1",
            "fd10::2:1",
            "a'b:1",
            "a\n:1",
        ] {
            assert!(bad.parse::<Place>().is_err(), "{bad:?}");
        }
        for good in ["localhost:8053", "192.0.2.7:8053", "[::1]:8053", "pi:1"] {
            assert_eq!(good.parse::<Place>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn systems_are_told_apart() {
        let cases = [
            ("ID=raspbian\nID_LIKE=debian\n", Some(System::Debian)),
            ("NAME=x\nID=linuxmint\nID_LIKE=\"ubuntu debian\"", Some(System::Debian)),
            ("ID=alpine", Some(System::Alpine)),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"", Some(System::Fedora)),
            ("ID=arch", Some(System::Arch)),
            ("ID=nixos", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(System::from_os_release(text), expected, "{text}");
        }
    }

    #[test]
    fn a_plan_reads_as_a_shell_script() {
        let text = plan(&Client::System(System::Debian), &place(), PEM).to_string();
        assert!(text.contains(
            "sudo tee '/usr/local/share/ca-certificates/trustnet-registry.crt' >/dev/null <<'END'"
        ));
        assert!(text.contains(PEM) && text.contains("\nsudo update-ca-certificates\n# "));
        let own = plan(&Client::PodmanUser("/home/a".into()), &place(), PEM).to_string();
        assert!(own.starts_with("mkdir -p '/home/a/.config/") && !own.contains("sudo"), "{own}");
    }
}
