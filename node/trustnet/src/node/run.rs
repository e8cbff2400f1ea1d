//! `trustnet run`: starts everything, waits for a reason to stop, stops everything.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc, watch};
use trustnet_net::{Network, PeerId};

use super::RunError;
use super::crypto_pool::CryptoPool;
use super::engine_thread::{Clock, Ended, EngineThread};
use super::handle::{MAX_BLOCKS_BEHIND, MAX_WAITING_COMMANDS, NodeHandle, NodeInfo};
use super::open::{Opened, open};
use super::timers::Timers;
use crate::config::Config;
use crate::home::Home;
use crate::rpc::{self, RpcLimits};

/// Stack of the engine's thread, in bytes: the consensus core is a few hundred kilobytes large.
const ENGINE_STACK_BYTES: usize = 8 * 1024 * 1024;
/// Dead peers are noticed within about twice this time.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Stop when standard input ends: whoever started this process is gone.
    pub lifeline: bool,
}

/// Runs the node of a home until it is told to stop.
///
/// # Errors
/// [`RunError`] says what could not be started, or why the node had to stop.
pub async fn run(home: Home, config: Config, options: RunOptions) -> Result<(), RunError> {
    let started = Instant::now();
    let opened = open(&home, &config)?;
    let listener = TcpListener::bind(config.rpc.listen)
        .await
        .map_err(|error| RunError::RpcListen { addr: config.rpc.listen, error })?;
    run_opened(&home, &config, opened, listener, started, options).await
}

/// Like [`run`], with a listener that the caller holds already: nobody else can take its port on the way.
///
/// # Errors
/// As [`run`].
#[cfg(test)]
pub async fn run_on(home: Home, config: Config, listener: TcpListener) -> Result<(), RunError> {
    let started = Instant::now();
    let opened = open(&home, &config)?;
    run_opened(&home, &config, opened, listener, started, RunOptions::default()).await
}

async fn run_opened(
    home: &Home,
    config: &Config,
    opened: Opened,
    listener: TcpListener,
    started: Instant,
    options: RunOptions,
) -> Result<(), RunError> {
    let rpc_listen = listener.local_addr().unwrap_or(config.rpc.listen);
    let (net, events) = start_network(home, config, &opened).await?;
    let info = NodeInfo {
        name: config.name.clone(),
        node_key: opened.node_key.public(),
        validator_key: opened.validator_key.as_ref().map(trustnet_ledger::crypto::SecretKey::public),
        p2p_listen: net.local_addr(),
        rpc_listen,
        started,
        genesis: Arc::clone(&opened.genesis),
        version: env!("CARGO_PKG_VERSION"),
    };
    tracing::info!(
        name = info.name,
        chain = opened.genesis.chain_id,
        height = opened.engine.tip().height(),
        p2p = %info.p2p_listen,
        rpc = %info.rpc_listen,
        id = %PeerId(info.node_key),
        "node started"
    );
    let (commands, inbox) = mpsc::channel(MAX_WAITING_COMMANDS);
    let (committed, _) = broadcast::channel(MAX_BLOCKS_BEHIND);
    let handle = NodeHandle::new(commands, committed.clone());
    let (stop, stopped) = watch::channel(false);
    let engine = start_engine(opened, net.clone(), info, events, inbox, committed, stopped)?;
    let rpc = tokio::spawn(rpc::serve(listener, handle, RpcLimits::default()));
    let ended = wait(engine, &stop, options).await;
    rpc.abort();
    net.shutdown().await;
    match ended {
        Ended::Stopped => {
            tracing::info!("node stopped");
            Ok(())
        }
        Ended::Halted(why) => Err(RunError::Halted(why)),
        Ended::Disk(error) => Err(error.into()),
    }
}

async fn start_network(
    home: &Home,
    config: &Config,
    opened: &Opened,
) -> Result<(Network, mpsc::Receiver<trustnet_net::Event>), RunError> {
    let genesis = &opened.genesis;
    let mut net = trustnet_net::Config::new(
        opened.node_key.clone(),
        config.p2p.listen,
        genesis.hash(),
        genesis.chain_id.clone(),
    );
    net.static_peers = config.p2p.peers.iter().map(|peer| peer.as_str().to_owned()).collect();
    net.advertise.clone_from(&config.p2p.advertise);
    net.address_book = Some(home.peers_file());
    net.reserved = opened.engine.ledger().validators().iter().map(|v| PeerId(v.node_key)).collect();
    net.keep_alive = Some(KEEP_ALIVE);
    Ok(Network::start(net).await?)
}

type EngineEnd = tokio::sync::oneshot::Receiver<Ended>;

fn start_engine(
    opened: Opened,
    net: Network,
    info: NodeInfo,
    events: mpsc::Receiver<trustnet_net::Event>,
    commands: mpsc::Receiver<super::handle::Command>,
    committed: broadcast::Sender<Arc<trustnet_engine::block::CommittedBlock>>,
    stop: watch::Receiver<bool>,
) -> Result<EngineEnd, RunError> {
    let system = |what| move |error: std::io::Error| RunError::System { what, error: error.to_string() };
    let (verdict_sender, verdicts) = mpsc::unbounded_channel();
    let crypto = CryptoPool::start(opened.seed, &verdict_sender).map_err(system("a thread"))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(system("a timer"))?;
    let Opened { mut engine, store, pending, candidates, .. } = opened;
    let (end, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("trustnet-engine".into())
        .stack_size(ENGINE_STACK_BYTES)
        .spawn(move || {
            let clock = Clock::new();
            let first = engine.start(clock.now(), candidates);
            let thread = EngineThread {
                engine,
                store,
                pending,
                net,
                info,
                crypto,
                verdicts,
                events,
                commands,
                committed,
                stop,
                clock,
                timers: Timers::default(),
                replies: HashMap::new(),
                next_token: 0,
                tokens: HashMap::new(),
            };
            // The receiver is gone only when the process is ending anyway.
            let _ = end.send(runtime.block_on(thread.run(first)));
        })
        .map_err(system("a thread"))?;
    Ok(ended)
}

/// Waits until the engine ends, or a signal or the lifeline tells to stop it.
async fn wait(mut engine: EngineEnd, stop: &watch::Sender<bool>, options: RunOptions) -> Ended {
    let died =
        || Ended::Halted("the engine's thread died; see the log above, then start the node again".into());
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return Ended::Halted("the operating system refused to tell of signals".into());
    };
    let mut lifeline = lifeline(options.lifeline);
    tokio::select! {
        ended = &mut engine => return ended.unwrap_or_else(|_| died()),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = lifeline.recv() => {}
    }
    // The engine has its own copy of the receiver; if it is gone, it has ended.
    let _ = stop.send(true);
    engine.await.unwrap_or_else(|_| died())
}

/// Tells when standard input ends. The sender is kept open for ever when it does not matter.
fn lifeline(wanted: bool) -> mpsc::Receiver<()> {
    let (ended, told) = mpsc::channel(1);
    if wanted {
        std::thread::spawn(move || {
            let mut sink = [0; 64];
            while matches!(std::io::stdin().read(&mut sink), Ok(read) if read > 0) {}
            let _ = ended.blocking_send(());
        });
    } else {
        std::mem::forget(ended);
    }
    told
}
