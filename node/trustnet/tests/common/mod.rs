//! A network of real `trustnet run` processes on loopback, each of which can be killed and started.
#![allow(dead_code, clippy::unwrap_used)]

use std::ffi::OsString;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use trustnet::client::{Broadcast, Client, ClientError};
use trustnet::config::{Config, Level};
use trustnet::keys::Role;
use trustnet::up::network::{Network, NetworkDir};
use trustnet::up::{ports, setup};
use trustnet_ledger::crypto::SecretKey;
use trustnet_ledger::{Action, Category, Genesis, NodeId, SignedTransaction, Transaction};

pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// When this is set, the homes and logs of a test that fails are kept.
const KEEP: &str = "TRUSTNET_TEST_KEEP";
/// Bytes of a node's log that a failure shows.
const SHOWN_LOG_BYTES: usize = 8 * 1024;

/// Waits until `done`, at most `limit`.
pub fn wait_for(limit: Duration, what: &str, done: impl FnMut() -> bool) {
    wait_or(limit, done, || what.to_owned());
}

/// The same; what is lacking is found out only when the time is up.
pub fn wait_or(limit: Duration, mut done: impl FnMut() -> bool, what: impl FnOnce() -> String) {
    let end = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < end, "not within {limit:?}: {}", what());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Where a node runs.
#[derive(Clone)]
pub struct Place {
    /// Its address for peers and clients.
    pub address: IpAddr,
    /// What stands before the program on its command line (`ip netns exec NAME`).
    pub through: Vec<OsString>,
}

impl Place {
    pub fn loopback() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), through: Vec::new() }
    }
}

pub struct TestNet {
    program: PathBuf,
    dir: NetworkDir,
    places: Vec<Place>,
    pub network: Network,
    children: Vec<Option<Child>>,
    pub operators: Vec<SecretKey>,
    nonces: Vec<u64>,
    root: tempfile::TempDir,
}

impl TestNet {
    /// Makes and starts `count` nodes. Ports are searched for from `base` on.
    pub fn start(program: &str, count: usize, base: u16) -> Self {
        let mut net = Self::create(program, count, base);
        net.boot_all();
        net
    }

    /// Makes `count` nodes on loopback and starts none.
    pub fn create(program: &str, count: usize, base: u16) -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = NetworkDir::open(&root.path().join("net")).unwrap();
        let ports = ports::choose(&ports::standard(base, count), ports::is_free).unwrap();
        let network = setup::create(&dir, &ports, unix_ms(), &[]).unwrap();
        let operators =
            network.nodes.iter().map(|member| dir.home(member).key(Role::Operator).unwrap()).collect();
        Self {
            program: program.into(),
            dir,
            places: vec![Place::loopback(); count],
            children: (0..count).map(|_| None).collect(),
            operators,
            nonces: vec![0; count],
            network,
            root,
        }
    }

    /// Moves the nodes to other places, gives each of them `more_peers` and a level of its log.
    pub fn settle(&mut self, places: Vec<Place>, more_peers: &[String], level: Level) {
        self.places = places;
        for (i, member) in self.network.nodes.iter().enumerate() {
            let home = self.dir.home(member);
            let mut config: Config = home.config().unwrap();
            config.p2p.listen = SocketAddr::new(self.places[i].address, member.ports.p2p);
            config.rpc.listen = SocketAddr::new(self.places[i].address, member.ports.rpc);
            let others =
                self.network.nodes.iter().zip(&self.places).filter(|(other, _)| other.id != member.id);
            let peers = others
                .map(|(other, place)| format!("{}@{}:{}", other.id, place.address, other.ports.p2p))
                .chain(more_peers.iter().cloned());
            config.p2p.peers = peers.map(|peer| peer.parse().unwrap()).collect();
            config.log.level = level;
            std::fs::write(home.config_file(), config.render()).unwrap();
        }
    }

    /// Starts all nodes and waits until they answer.
    pub fn boot_all(&mut self) {
        for i in 0..self.len() {
            self.boot(i);
        }
        for i in 0..self.len() {
            self.wait_ready(i);
        }
    }

    pub fn genesis(&self) -> Genesis {
        let path = self.dir.home(&self.network.nodes[0]).genesis_file();
        Genesis::from_json(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    pub fn len(&self) -> usize {
        self.children.len()
    }

    pub fn home(&self, i: usize) -> PathBuf {
        self.dir.home(&self.network.nodes[i]).root().to_owned()
    }

    pub fn log_file(&self, i: usize) -> PathBuf {
        self.root.path().join(format!("node-{i}.log"))
    }

    /// The end of a node's log.
    pub fn log(&self, i: usize) -> String {
        let log = std::fs::read(self.log_file(i)).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(SHOWN_LOG_BYTES)..]).into_owned()
    }

    pub fn boot(&mut self, i: usize) {
        let log = File::options().create(true).append(true).open(self.log_file(i)).unwrap();
        let mut words = self.places[i].through.clone();
        words.extend([self.program.clone().into(), "run".into(), "--stdin-lifeline".into(), "--home".into()]);
        let child = Command::new(&words[0])
            .args(&words[1..])
            .arg(self.home(i))
            // A group of its own: when this test dies, the system wakes and ends a stopped node.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.children[i] = Some(child);
    }

    pub fn wait_ready(&self, i: usize) {
        let client = self.client(i);
        let answers = || client.call("health", &json!({})).is_ok();
        wait_or(Duration::from_secs(30), answers, || format!("node {i} answers; its log: {}", self.log(i)));
    }

    /// SIGKILL: nothing is flushed, nobody is told.
    pub fn kill(&mut self, i: usize) {
        self.kill_together(&[i]);
    }

    /// SIGKILL for all of them before any has been waited for.
    pub fn kill_together(&mut self, victims: &[usize]) {
        for &i in victims {
            if let Some(child) = &mut self.children[i] {
                child.kill().unwrap();
            }
        }
        for &i in victims {
            if let Some(mut child) = self.children[i].take() {
                let status = child.wait().unwrap();
                assert_eq!(
                    status.signal(),
                    Some(9),
                    "node {i} ended by itself: {status}; log: {}",
                    self.log(i)
                );
            }
        }
    }

    /// Whether a node that was started has ended by itself.
    pub fn has_ended(&mut self, i: usize) -> bool {
        self.children[i].as_mut().is_some_and(|child| child.try_wait().unwrap().is_some())
    }

    /// Ends standard input, as `trustnet up` does: a clean stop.
    pub fn stop(&mut self, i: usize) {
        if let Some(mut child) = self.children[i].take() {
            drop(child.stdin.take());
            let end = Instant::now() + Duration::from_secs(20);
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    assert!(status.success(), "node {i}: {status}; log: {}", self.log(i));
                    return;
                }
                assert!(Instant::now() < end, "node {i} does not stop");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    pub fn pid(&self, i: usize) -> u32 {
        self.children[i].as_ref().unwrap().id()
    }

    pub fn url(&self, i: usize) -> String {
        format!("http://{}", SocketAddr::new(self.places[i].address, self.network.nodes[i].ports.rpc))
    }

    pub fn client(&self, i: usize) -> Client {
        Client::new(&self.url(i)).unwrap()
    }

    pub fn status(&self, i: usize) -> Option<Value> {
        self.client(i).call("status", &json!({})).ok()
    }

    pub fn height(&self, i: usize) -> u64 {
        self.status(i)
            .and_then(|status| status["sync_info"]["latest_block_height"].as_str()?.parse().ok())
            .unwrap_or(0)
    }

    /// State root after a height, as the header says.
    pub fn state_root(&self, i: usize, height: u64) -> String {
        let block = self.client(i).call("block", &json!({ "height": height.to_string() })).unwrap();
        block["block"]["header"]["app_hash"].as_str().unwrap().to_owned()
    }

    pub fn node_id(&self, i: usize) -> NodeId {
        let name = &self.network.nodes[i].name;
        let node: Value = self.client(i).query("/node", &json!({ "node": name })).unwrap();
        node["id"].as_str().unwrap().parse().unwrap()
    }

    /// Node ids of all validators; the same on every node, so one is asked.
    pub fn ids(&self) -> Vec<NodeId> {
        (0..self.len())
            .map(|i| {
                let name = &self.network.nodes[i].name;
                let node: Value = self.client(0).query("/node", &json!({ "node": name })).unwrap();
                node["id"].as_str().unwrap().parse().unwrap()
            })
            .collect()
    }

    /// A rating by the operator of `from`, with the nonce after the last one made here.
    pub fn rating(&mut self, ids: &[NodeId], from: usize, to: usize, stars: u8) -> SignedTransaction {
        self.nonces[from] += 1;
        rating(&self.network.chain_id, &self.operators[from], self.nonces[from], ids[from], ids[to], stars)
    }

    /// Hands a rating in until the network has it: a node that was killed meanwhile is asked again.
    pub fn commit(&self, tx: &SignedTransaction, at: usize) -> Result<Broadcast, ClientError> {
        self.client(at).broadcast_commit(tx.bytes())
    }

    pub fn has_tx(&self, i: usize, tx: &SignedTransaction) -> bool {
        let hash = tx.id().to_string();
        let result = self.client(i).call("tx", &json!({ "hash": hash, "prove": false }));
        result.is_ok_and(|found| found["hash"].as_str().is_some_and(|h| h.eq_ignore_ascii_case(&hash)))
    }

    pub fn all_at_same_height(&self) -> Option<u64> {
        let heights: Vec<u64> = (0..self.len()).map(|i| self.height(i)).collect();
        (heights[0] > 0 && heights.iter().all(|h| *h == heights[0])).then(|| heights[0])
    }

    /// All nodes come to one height and say the same of it.
    pub fn check_agreement(&self) {
        wait_for(Duration::from_secs(60), "all nodes at one height", || self.all_at_same_height().is_some());
        let height = self.all_at_same_height().unwrap();
        let roots: Vec<String> = (0..self.len()).map(|i| self.state_root(i, height)).collect();
        assert!(roots.iter().all(|root| *root == roots[0]), "{roots:?} at height {height}");
        // Nobody was caught signing twice.
        let nodes: Value = self.client(0).query("/nodes", &json!({ "after": null, "limit": 100 })).unwrap();
        for node in nodes.as_array().unwrap() {
            assert_ne!(node["status"], "banned", "{node}");
        }
    }

    pub fn data_dir(&self, i: usize) -> PathBuf {
        self.home(i).join("data")
    }
}

impl Drop for TestNet {
    fn drop(&mut self) {
        for i in 0..self.children.len() {
            if let Some(mut child) = self.children[i].take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if std::thread::panicking() && std::env::var_os(KEEP).is_some() {
            self.root.disable_cleanup(true);
            eprintln!("homes and logs are kept in {}", self.root.path().display());
        }
    }
}

pub fn rating(
    chain_id: &str,
    key: &SecretKey,
    nonce: u64,
    from: NodeId,
    to: NodeId,
    stars: u8,
) -> SignedTransaction {
    let tx = Transaction {
        signer: key.public(),
        nonce,
        time_ms: unix_ms(),
        action: Action::Rate { from, to, stars, category: Category::Performance, reason: String::new() },
    };
    SignedTransaction::sign(tx, key, chain_id)
}

/// Bytes that a process caused to be written to disk.
pub fn written_bytes(pid: u32) -> u64 {
    let io = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("io")).unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.trim().parse().ok()).unwrap_or(0)
}
