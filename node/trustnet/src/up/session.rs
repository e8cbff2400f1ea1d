//! A local network while it runs: starting, watching, importing, stopping.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use trustnet_ledger::Genesis;

use super::face::Face;
use super::facts::Trust;
use super::network::{Network, NetworkDir};
use super::process::{Launch, Process};
use super::refresh::{self, Running, Seconds};
use super::report::Report;
use super::restart::Decision;
use super::setup::network_error;
use super::stop::Stop;
use super::task::{ImportTask, Job};
use super::watch::Watch;
use crate::cli::CliError;
use crate::client::Client;
use crate::import::plan::Plan;
use crate::output::Output;
use crate::screen::Model;
use crate::screen::model::Activity;
use crate::screen::terminal::Key;

/// How long nodes may take to start before it is called a problem.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// How long nodes may take to stop before they are killed.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at nodes that are stopping.
const STOP_STEP: Duration = Duration::from_millis(20);

/// What to do beside running the nodes.
#[derive(Debug)]
pub struct Plans {
    /// What to import, and the day of its last rating.
    pub import: Option<(Plan, u32)>,
    /// End when the import is reported.
    pub exit_after_import: bool,
    /// What was noticed before the start.
    pub notes: Vec<String>,
    /// Whether commands find this network without `--rpc`.
    pub is_default_dir: bool,
}

struct Session<'a> {
    dir: &'a NetworkDir,
    network: Network,
    clients: Vec<Client>,
    processes: Vec<Process>,
    /// Nodes that died too often or for good.
    given_up: Vec<bool>,
    /// Why each node last said that it does not vote.
    silent: Vec<Option<String>>,
    /// Problems that were noticed and not shown yet.
    news: Vec<String>,
    watch: Watch,
    model: Model,
    face: Face,
    started: Instant,
    seconds: Seconds,
    plans: Plans,
    task: Option<ImportTask>,
    /// The day whose trust is shown; `None`: the chain's own.
    day: Option<u32>,
    late: bool,
    failure: Option<CliError>,
    finished: bool,
}

/// Runs the network until somebody stops it or the work is done.
///
/// # Errors
/// When nodes cannot be started, or the import fails. All nodes are stopped in any case.
pub fn run(
    dir: &NetworkDir,
    network: Network,
    plans: Plans,
    output: Output,
    stop: &Stop,
) -> Result<(), CliError> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("cannot find this program itself: {error}")))?;
    let clients: Vec<Client> =
        network.nodes.iter().map(|member| Client::new(&member.url())).collect::<Result<_, _>>()?;
    let day = plans.import.as_ref().map(|(_, day)| *day).max(network.ratings_day);
    // Before the screen: what goes wrong here is an ordinary error on an ordinary terminal.
    let processes = start(dir, &network, &program)?;
    let face = Face::choose(output)?;
    let mut session = Session {
        dir,
        given_up: vec![false; processes.len()],
        silent: vec![None; processes.len()],
        news: Vec::new(),
        watch: Watch::start(clients.clone(), day),
        model: Model::new(&network.chain_id),
        network,
        clients,
        processes,
        face,
        started: Instant::now(),
        seconds: Seconds::new(Instant::now()),
        plans,
        task: None,
        day,
        late: false,
        failure: None,
        finished: false,
    };
    let ended = session.serve(stop);
    let stopped = session.stop_nodes(stop);
    let report = std::mem::take(&mut session.model.report);
    let (failure, was_screen) = (session.failure.take(), session.face.is_screen());
    // Gives the terminal back before anything is printed on it.
    drop(session);
    if was_screen && !report.is_empty() {
        output.text(&report.join("\n"))?;
    }
    ended.and(stopped)?;
    failure.map_or(Ok(()), Err)
}

fn start(dir: &NetworkDir, network: &Network, program: &std::path::Path) -> Result<Vec<Process>, CliError> {
    let launch = |member| {
        let home = dir.home(member);
        let logs = home.logs_dir();
        let log: PathBuf = logs.join("node.log");
        std::fs::create_dir_all(&logs)
            .and_then(|()| Process::start(Launch::node(program, home.root(), log), 0))
            .map_err(|error| {
                CliError::failed(format!("cannot start {}: {error}", member.name))
                    .next("check the folder's free space and permissions, and repeat the command")
            })
    };
    network.nodes.iter().map(launch).collect()
}

impl Session<'_> {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn serve(&mut self, stop: &Stop) -> Result<(), CliError> {
        for note in std::mem::take(&mut self.plans.notes) {
            self.face.event(&mut self.model, "note", &note)?;
        }
        self.introduce()?;
        while !stop.is_asked() {
            self.tend()?;
            self.refresh();
            for text in std::mem::take(&mut self.news) {
                self.face.event(&mut self.model, "problem", &text)?;
            }
            self.advance()?;
            if self.finished {
                break;
            }
            match self.face.tick(&self.model)? {
                None => {}
                Some(Key::Quit) => stop.ask(),
                Some(key) => self.press(key),
            }
        }
        Ok(())
    }

    /// Says where everything is, where lines are the output.
    fn introduce(&mut self) -> Result<(), CliError> {
        if self.face.is_screen() {
            return Ok(());
        }
        let dir = self.dir.path().display();
        let mut text = format!("chain {} in {dir}", self.network.chain_id);
        for member in &self.network.nodes {
            let _ = write!(text, "\n{} {} (UDP {})", member.name, member.url(), member.ports.p2p);
        }
        self.face.event(&mut self.model, "up", &text)
    }

    /// Looks after the processes.
    fn tend(&mut self) -> Result<(), CliError> {
        let now_ms = self.now_ms();
        for node in 0..self.processes.len() {
            let Some(death) = self.processes[node].tend(now_ms) else { continue };
            self.watch.forget(node);
            let name = &self.network.nodes[node].name;
            let what = match death.decision {
                Decision::StartAt(at) => {
                    format!("it is started again in {} s", at.saturating_sub(now_ms).div_ceil(1_000))
                }
                Decision::GiveUp => {
                    self.given_up[node] = true;
                    "it is not started again".to_owned()
                }
            };
            let mut text = format!("{name} died ({}); {what}", death.how);
            for line in &death.tail {
                text.push_str("\n  ");
                text.push_str(line);
            }
            self.face.event(&mut self.model, "problem", &text)?;
            if self.given_up.iter().all(|given_up| *given_up) {
                return Err(CliError::failed(format!("no node runs any more\n{text}"))
                    .next(format!("read the logs in {}/node-*/logs", self.dir.path().display())));
            }
        }
        Ok(())
    }

    fn refresh(&mut self) {
        let now_ms = self.now_ms();
        let seen = self.watch.nodes();
        let running: Vec<Running> = self
            .processes
            .iter()
            .zip(&self.given_up)
            .map(|(process, given_up)| match process.due_ms() {
                _ if process.runs() => Running::Yes,
                Some(due) => Running::Again(due.saturating_sub(now_ms)),
                None if *given_up => Running::GivenUp,
                None => Running::Stopped,
            })
            .collect();
        refresh::nodes(&mut self.model, &self.network.nodes, &running, &seen, super::command::now_ms());
        for (node, seen) in seen.iter().enumerate() {
            let reason = &seen.facts.silent_reason;
            if *reason != self.silent[node] {
                if let Some(reason) = reason {
                    self.news.push(format!("{} does not vote: {reason}", self.network.nodes[node].name));
                }
                self.silent[node].clone_from(reason);
            }
        }
        if let Some(rate) = self.seconds.tick(Instant::now(), self.watch.transactions()) {
            self.model.second(rate);
        }
        let trust: Option<Trust> = self.watch.trust();
        let best =
            trust.as_ref().and_then(|trust| trust.people.first()).map(|scored| scored.row.name.clone());
        self.model.trust = trust.filter(|trust| !trust.people.is_empty()).map(|trust| trust.panel());
        let process = self.processes.last().and_then(Process::id);
        self.model.hints = refresh::hints(
            &self.network.nodes,
            best.as_deref(),
            process,
            self.day,
            self.plans.is_default_dir,
        );
    }

    /// Moves on from starting to running, importing and the end.
    fn advance(&mut self) -> Result<(), CliError> {
        if self.model.activity == Activity::Starting {
            let seen = self.watch.nodes();
            if seen.iter().all(|node| node.at.is_some()) {
                self.model.activity = Activity::Running;
                let took = self.started.elapsed();
                let text =
                    format!("all nodes answer after {}.{} s", took.as_secs(), took.subsec_millis() / 100);
                if !self.face.is_screen() {
                    self.face.event(&mut self.model, "up", &text)?;
                }
                self.begin_import()?;
            } else if self.started.elapsed() >= START_PATIENCE && !self.late {
                self.late = true;
                self.start_is_late()?;
            }
        }
        let Some(task) = &self.task else { return Ok(()) };
        for note in task.notes() {
            self.face.event(&mut self.model, "import", &note)?;
        }
        self.model.activity = refresh::activity(task.snapshot());
        if let Some(result) = task.result() {
            self.task = None;
            self.model.activity = Activity::Running;
            match result {
                Ok(report) => self.import_done(&report)?,
                Err(error) => self.import_failed(error)?,
            }
        }
        Ok(())
    }

    fn start_is_late(&mut self) -> Result<(), CliError> {
        let seen = self.watch.nodes();
        let silent = self.network.nodes.iter().zip(&seen).filter(|(_, seen)| seen.at.is_none());
        let names: Vec<&str> = silent.map(|(member, _)| member.name.as_str()).collect();
        let text = format!("{} not answered for {} s", names.join(", ") + " has", START_PATIENCE.as_secs());
        if self.plans.exit_after_import {
            return Err(CliError::unreachable(text)
                .next(format!("read the logs in {}/node-*/logs", self.dir.path().display())));
        }
        self.face.event(&mut self.model, "problem", &text)
    }

    fn begin_import(&mut self) -> Result<(), CliError> {
        let Some((plan, day)) = self.plans.import.take() else { return Ok(()) };
        let home = self.dir.home(&self.network.nodes[0]);
        let path = home.genesis_file();
        let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
        let genesis = read.and_then(|text| Genesis::from_json(&text).map_err(|error| error.to_string()));
        let genesis =
            genesis.map_err(|error| CliError::damaged(format!("cannot use {}: {error}", path.display())))?;
        self.task = Some(ImportTask::start(Job {
            plan,
            day: self.network.ratings_day.map_or(day, |known| known.max(day)),
            clients: self.clients.clone(),
            category_weights: genesis.category_weights.by_category(),
            nodes: self.watch.reader(),
        }));
        Ok(())
    }

    fn import_done(&mut self, report: &Report) -> Result<(), CliError> {
        if self.network.ratings_day != Some(report.day) {
            self.network.ratings_day = Some(report.day);
            self.dir.save(&self.network).map_err(network_error)?;
        }
        self.face.document(&mut self.model, "report", &report.lines(), &report.to_json())?;
        if report.disagrees() {
            self.failure = Some(
                CliError::failed("the nodes have different states at the same height")
                    .next("keep the folder as it is and report this: it must never happen"),
            );
        }
        self.finished = self.plans.exit_after_import;
        Ok(())
    }

    fn import_failed(&mut self, error: CliError) -> Result<(), CliError> {
        if self.plans.exit_after_import {
            return Err(error);
        }
        self.face.event(&mut self.model, "problem", &format!("the import failed: {}", error.message))?;
        self.failure = Some(error);
        Ok(())
    }

    fn press(&mut self, key: Key) {
        match key {
            Key::Quit => {}
            Key::Report => {
                self.model.show_report = !self.model.show_report && !self.model.report.is_empty();
            }
            Key::Day => {
                self.day = if self.day.is_some() { None } else { self.network.ratings_day };
                self.watch.want_day(self.day);
            }
            Key::Scroll(lines) => {
                let last = u16::try_from(self.model.report.len()).unwrap_or(u16::MAX);
                self.model.scroll = self.model.scroll.saturating_add_signed(lines).min(last);
            }
        }
    }

    /// Asks all nodes to stop, waits, and kills those that do not, or all at a second request.
    fn stop_nodes(&mut self, stop: &Stop) -> Result<(), CliError> {
        self.task = None;
        self.model.activity = Activity::Stopping;
        for process in &mut self.processes {
            process.ask_to_stop();
        }
        let asked = Instant::now();
        let mut shown = Ok(());
        loop {
            let left = self
                .processes
                .iter_mut()
                .filter_map(|process| (!process.has_stopped()).then_some(()))
                .count();
            if left == 0 {
                return shown;
            }
            if asked.elapsed() >= STOP_PATIENCE || stop.is_urgent() {
                self.processes.iter_mut().for_each(Process::kill);
                return shown;
            }
            if shown.is_ok() && self.face.is_screen() {
                self.refresh();
                shown = self.face.tick(&self.model).map(|key| {
                    if key == Some(Key::Quit) {
                        stop.ask();
                    }
                });
            } else {
                thread::sleep(STOP_STEP);
            }
        }
    }
}
