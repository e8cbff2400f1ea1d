//! `trustnet os motd`: what a person sees after logging in, or on the console. It must be quick and must
//! never fail: every question that is not answered becomes a line.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::format::thousands;
use crate::cli::globals::Globals;
use crate::client::Client;
use crate::os::apply::{NODE_HOME, RUN};
use crate::os::mistakes::FILE;
use crate::output::{Paint, harmless};

/// How long the node may take to answer: a login should not wait.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Most mistakes that are shown; the rest is in the report.
const MOST_MISTAKES: usize = 5;

/// What is known about this machine and its node.
#[derive(Clone, Debug, Default)]
pub struct State {
    hostname: String,
    addresses: Vec<IpAddr>,
    /// What the node answered: its status and its summary.
    node: Option<(Value, Value)>,
    /// Why there is no data partition.
    no_data: Option<String>,
    /// Why the node's home is not finished.
    no_home: Option<String>,
    /// What the check of the file system had to say.
    repaired: Option<String>,
    /// Lines of the report that are mistakes.
    mistakes: Vec<String>,
}

impl State {
    /// Asks machine and node.
    pub fn collect(root: &Path, globals: &Globals) -> Self {
        let note = |name: &str| {
            let text = fs::read_to_string(root.join(RUN).join(name)).ok()?;
            let line = harmless(text.lines().next()?.trim());
            (!line.is_empty()).then_some(line)
        };
        let report = fs::read_to_string(root.join(RUN).join("report.txt")).unwrap_or_default();
        let hostname = fs::read_to_string(root.join("proc/sys/kernel/hostname"))
            .or_else(|_| fs::read_to_string(root.join("etc/hostname")))
            .unwrap_or_default();
        Self {
            hostname: harmless(hostname.trim()),
            addresses: addresses(root),
            node: ask(globals),
            no_data: note("data.txt"),
            no_home: note("node/home.txt"),
            repaired: note("fsck-note.txt"),
            mistakes: report.lines().filter(|line| line.starts_with(FILE)).map(harmless).collect(),
        }
    }

    /// After a login.
    pub fn render(&self, paint: Paint) -> String {
        let mut text = format!("\n{}, a TrustNet node\n", paint.bold(&self.hostname));
        self.lines(&mut text, paint);
        let _ = writeln!(
            text,
            "  volatile   / lives in memory. After a restart only /{NODE_HOME} and /var/lib/trustnet-registry\n\
             \x20            are as you left them; settings are in {FILE} on the boot partition."
        );
        text.push_str("  next: trustnet status, logread -f, doas rc-service trustnet-node restart\n\n");
        text
    }

    /// Above the console's login prompt. Backslashes mean something to getty.
    pub fn render_console(&self) -> String {
        let mut text = format!("\n{}, a TrustNet node\n", self.hostname);
        self.lines(&mut text, Paint::OFF);
        let _ = writeln!(text, "  log in     ssh warden@{} (nobody can log in here)\n", self.reachable());
        text.replace('\\', "/")
    }

    fn lines(&self, text: &mut String, paint: Paint) {
        let mut line = |label: &str, value: &str| {
            let _ = writeln!(text, "  {label:<10} {value}");
        };
        if self.addresses.is_empty() {
            line("addresses", &paint.yellow("none: is the cable plugged in, does DHCP answer?"));
        } else {
            let list: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
            line("addresses", &list.join(" "));
        }
        let node = self.node_line(paint);
        line("node", &node);
        if let Some(repaired) = &self.repaired {
            line("disk", &paint.yellow(repaired));
        }
        for mistake in self.mistakes.iter().take(MOST_MISTAKES) {
            line("mistake", &paint.yellow(mistake));
        }
        if let Some(more) = self.mistakes.len().checked_sub(MOST_MISTAKES).filter(|more| *more > 0) {
            line("", &format!("and {more} more in /{RUN}/report.txt"));
        }
    }

    fn node_line(&self, paint: Paint) -> String {
        if let Some(reason) = &self.no_data {
            return paint.red(&format!("does not run, because there is no data partition: {reason}"));
        }
        if let Some((status, summary)) = &self.node {
            let name = harmless(status["node_info"]["moniker"].as_str().unwrap_or("?"));
            let chain = harmless(summary["chain_id"].as_str().unwrap_or("?"));
            let height = thousands(summary["height"].as_u64().unwrap_or(0));
            let peers = match &summary["peers"] {
                Value::Array(list) => list.len() as u64,
                value => value.as_u64().unwrap_or(0),
            };
            let state = match (summary["silent_reason"].as_str(), summary["catching_up"].as_bool()) {
                (Some(reason), _) => paint.yellow(&format!("does not vote ({})", harmless(reason))),
                (None, Some(true)) => paint.yellow("catching up"),
                (None, _) => paint.green("up to date"),
            };
            let plural = if peers == 1 { "" } else { "s" };
            return format!("{name} on {chain}, height {height}, {peers} peer{plural}, {state}");
        }
        match &self.no_home {
            Some(reason) => paint.red(&format!("is not ready: {reason}")),
            None => paint.yellow("does not answer yet; see: logread | grep trustnet-node"),
        }
    }

    fn reachable(&self) -> String {
        self.addresses.first().map_or_else(|| self.hostname.clone(), ToString::to_string)
    }
}

fn ask(globals: &Globals) -> Option<(Value, Value)> {
    let url = globals.rpc_url().ok()?;
    let client = Client::with_timeouts(&url, PATIENCE, PATIENCE).ok()?;
    let status = client.call("status", &json!({})).ok()?;
    let summary = client.query("/summary", &json!({})).ok()?;
    Some((status, summary))
}

/// Addresses by which this machine is reached: the one towards the world, and those of IPv6 that are
/// not of one link only.
fn addresses(root: &Path) -> Vec<IpAddr> {
    // Connecting a UDP socket sends nothing; it only asks the routing table.
    let towards = |local: &str, remote: &str| {
        let socket = UdpSocket::bind(local).ok()?;
        socket.connect(remote).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
    };
    let mut found: Vec<IpAddr> = towards("0.0.0.0:0", "192.0.2.1:9").into_iter().collect();
    let table = fs::read_to_string(root.join("proc/net/if_inet6")).unwrap_or_default();
    found.extend(table.lines().filter_map(global_v6).map(IpAddr::from));
    found
}

/// The address of a line of `/proc/net/if_inet6`, if it has global scope.
fn global_v6(line: &str) -> Option<Ipv6Addr> {
    let mut words = line.split_whitespace();
    let addr = u128::from_str_radix(words.next()?, 16).ok()?;
    (words.nth(2)? == "00").then(|| Ipv6Addr::from_bits(addr))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn state() -> State {
        let status = json!({ "node_info": { "moniker": "kitchen" } });
        let summary = json!({ "chain_id": "home-1", "height": 1234, "peers": [1], "catching_up": false });
        State {
            hostname: "trustnet-ab12".into(),
            addresses: vec!["192.168.1.20".parse().unwrap(), "fd10:1234::1".parse().unwrap()],
            node: Some((status, summary)),
            ..State::default()
        }
    }

    #[test]
    fn a_running_node_is_one_line_and_the_volatile_root_is_named() {
        let text = state().render(Paint::OFF);
        assert!(text.contains("node       kitchen on home-1, height 1,234, 1 peer, up to date\n"), "{text}");
        assert!(text.contains("addresses  192.168.1.20 fd10:1234::1\n"), "{text}");
        assert!(text.contains("/ lives in memory"), "{text}");
    }

    #[test]
    fn troubles_are_said_with_their_reasons() {
        let mut state = state();
        state.node = None;
        assert!(state.render(Paint::OFF).contains("does not answer yet"));
        state.no_home = Some("no node answers at http://x".into());
        assert!(state.render(Paint::OFF).contains("is not ready: no node answers"));
        state.no_data = Some("fewer than 64 MiB are free".into());
        assert!(state.render(Paint::OFF).contains("there is no data partition: fewer than 64 MiB"));
        state.mistakes = (0..7).map(|n| format!("trustnet.toml:{n}:1: x")).collect();
        let text = state.render(Paint::OFF);
        assert!(text.contains("mistake    trustnet.toml:4:1: x\n"), "{text}");
        assert!(!text.contains("trustnet.toml:5:1") && text.contains("and 2 more"), "{text}");
    }

    #[test]
    fn the_console_says_how_to_log_in_and_holds_no_escapes_of_getty() {
        let mut state = state();
        state.mistakes = vec!["trustnet.toml:1:1: \\n".into()];
        let text = state.render_console();
        assert!(text.contains("ssh warden@192.168.1.20"), "{text}");
        assert!(!text.contains('\\'));
    }

    #[test]
    fn the_state_is_collected_from_an_empty_machine_without_failing() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join(RUN);
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("data.txt"), "no\u{1b}[31mroom\n").unwrap();
        fs::write(run.join("report.txt"), "No mistake\ntrustnet.toml:1:2: bad\n").unwrap();
        let globals = Globals { rpc: Some("http://127.0.0.1:9".into()), ..Globals::default() };
        let state = State::collect(dir.path(), &globals);
        assert_eq!(state.mistakes, ["trustnet.toml:1:2: bad"]);
        assert!(!state.no_data.clone().unwrap().contains('\u{1b}'));
        assert!(state.node.is_none());
    }

    #[test]
    fn only_global_addresses_of_ipv6_are_shown() {
        let line = "fd101234000000000000000000000001 02 40 00 80     eth0";
        assert_eq!(global_v6(line).unwrap().to_string(), "fd10:1234::1");
        assert!(global_v6("fe800000000000000000000000000001 02 40 20 80 eth0").is_none());
        assert!(global_v6("").is_none());
    }
}
