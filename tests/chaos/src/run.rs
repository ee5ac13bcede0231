//! A run: what is to be injected, dealt out to rounds.

use std::collections::BTreeMap;
use std::time::Instant;

use millpond_harness::{Error, Scratch};
use millpond_scene::{BINARIES, EVENTS_MAX};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fault::Fault;
use crate::options::Options;
use crate::points::{Point, STREAMS, per_point};
use crate::report::{End, Report};
use crate::round::{self, Plan};
use crate::scenario;
use crate::servers::Servers;
use crate::tally::{Tally, eprint};
use crate::victim::Injection;

/// A round has at most about so many kills: its events must last for them.
const KILLS_PER_ROUND: u64 = 100;
/// How often a failpoint that was missed is tried again, in rounds.
const MORE_ROUNDS_MAX: u64 = 4;

/// So many times a broker of three is killed.
const NODE_KILLS: u64 = 9;
/// So many kills of applications are asked for, for each of a node beyond those.
const KILLS_PER_NODE_KILL: u64 = 4;

/// So many times the wire is bad for a while.
const BAD_WIRES: u64 = 6;

type Queues = BTreeMap<&'static str, Vec<Injection>>;

/// Runs it all. What cannot be judged is an error; what is judged bad is in the report.
///
/// # Errors
/// [`Error`] when services cannot be had.
#[allow(clippy::disallowed_methods, reason = "a run has a length")]
pub fn run(options: &Options) -> Result<Report, Error> {
    let began = Instant::now();
    let tally = Tally::default();
    let scratch = Scratch::new("chaos")?;
    let servers = Servers::start(scratch.path(), 1)?;
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    // A round takes so many events at most.
    let rounds = options.kills.div_ceil(KILLS_PER_ROUND).max(options.events.div_ceil(EVENTS_MAX)).max(1);
    let (mut number, mut by_time) = (0, false);
    while number < rounds + MORE_ROUNDS_MAX {
        let last = number + 1 >= rounds;
        let mut queues = if number < rounds { deal(options, rounds, number, &mut rng) } else { Queues::new() };
        if last {
            top_up(options, &tally, &mut queues, rounds);
        }
        if queues.values().all(Vec::is_empty) {
            break;
        }
        by_time = began.elapsed().as_secs() >= options.seconds;
        if by_time {
            break;
        }
        let plan = Plan {
            name: format!("chaos-{number}"),
            seed: rng.random(),
            rate: options.rate,
            events: options.events.div_ceil(rounds),
            servers: server_faults(options, rounds, number),
            injections: queues,
        };
        if let Err(error) = round::play(&servers, &tally, plan) {
            tally.complain(format!("round {number} could not be finished: {error}"));
            break;
        }
        number += 1;
    }
    special(options, &servers, &tally, &mut rng);
    drop(servers);
    if !tally.counts().complaints.is_empty() {
        eprint(&kept(&scratch));
    }
    if options.has(Fault::ThreeNodes)
        && let Err(error) = three_nodes(options, &tally, &mut rng)
    {
        tally.complain(format!("the round on three nodes could not be finished: {error}"));
    }
    if options.has(Fault::Wire)
        && let Err(error) = bad_wire(options, &tally, &mut rng)
    {
        tally.complain(format!("the round on a bad wire could not be finished: {error}"));
    }
    let report = Report::new(options, &tally.counts(), End { seconds: began.elapsed().as_secs(), by_time });
    eprint(if report.is_good() { "good" } else { "NOT good" });
    Ok(report)
}

/// Faults that need a round of their own, and those that have a script.
fn special(options: &Options, servers: &Servers, tally: &Tally, rng: &mut ChaCha8Rng) {
    for fault in scenario::SCRIPTED.into_iter().filter(|fault| options.has(*fault)) {
        if let Err(error) = scenario::play(servers, tally, fault, rng.random()) {
            tally.complain(format!("the script of {fault} could not be finished: {error}"));
        }
    }
    if options.has(Fault::BrokerDown) {
        let plan = with_servers("chaos-down", options, (Fault::BrokerDown, 1), 1, rng);
        if let Err(error) = round::play(servers, tally, plan) {
            tally.complain(format!("the round with a broker away could not be finished: {error}"));
        }
    }
}

fn three_nodes(options: &Options, tally: &Tally, rng: &mut ChaCha8Rng) -> Result<(), Error> {
    let scratch = Scratch::new("chaos-three")?;
    let servers = Servers::start(scratch.path(), 3)?;
    // In a long run as many as that takes.
    let kills = NODE_KILLS.max(options.kills / KILLS_PER_NODE_KILL);
    let played = round::play(&servers, tally, with_servers("chaos-three", options, (Fault::ThreeNodes, kills), 4, rng));
    played.inspect_err(|_| eprint(&kept(&scratch)))
}

/// What the servers have written is kept when something was wrong: it may be theirs to explain.
fn kept(scratch: &Scratch) -> String {
    match scratch.keep() {
        Ok(path) => format!("the servers' logs and data are in {}", path.display()),
        Err(error) => format!("the servers' logs and data are not kept: {error}"),
    }
}

fn bad_wire(options: &Options, tally: &Tally, rng: &mut ChaCha8Rng) -> Result<(), Error> {
    let scratch = Scratch::new("chaos-wire")?;
    let servers = Servers::behind_proxy(scratch.path())?;
    round::play(&servers, tally, with_servers("chaos-wire", options, (Fault::Wire, BAD_WIRES), 4, rng))
}

/// A round in which a server fails, and applications are killed a few times.
fn with_servers(name: &str, options: &Options, fault: (Fault, u64), kills: usize, rng: &mut ChaCha8Rng) -> Plan {
    let queue = vec![Injection::Other(Fault::Kill); kills];
    Plan {
        name: name.to_owned(),
        seed: rng.random(),
        rate: options.rate / 2,
        events: 0,
        injections: BINARIES.map(|binary| (binary, queue.clone())).into(),
        servers: vec![fault],
    }
}

/// What the applications suffer in a round, in random order.
fn deal(options: &Options, rounds: u64, number: u64, rng: &mut ChaCha8Rng) -> Queues {
    let mut queues = Queues::new();
    // In turn, so that each failpoint comes to each application that passes it.
    for turn in (0..per_point(options)).filter(|turn| turn % rounds == number) {
        for (index, point) in Point::all().into_iter().enumerate() {
            let choice = (usize::try_from(turn).unwrap_or(0) + index) % point.binaries.len().max(1);
            let Some(binary) = point.binaries.get(choice) else { continue };
            queues.entry(binary).or_default().push(Injection::Failpoint(point.name));
        }
    }
    if options.has(Fault::Kill) {
        let points = per_point(options) * Point::all().len() as u64;
        let kills = options.kills.saturating_sub(points).div_ceil(rounds);
        for turn in 0..kills {
            if let Some(binary) = BINARIES.get(usize::try_from(turn).unwrap_or(0) % BINARIES.len()) {
                queues.entry(binary).or_default().push(Injection::Other(Fault::Kill));
            }
        }
    }
    let others = [Fault::Zombie, Fault::Twice, Fault::Fence, Fault::Timeout, Fault::Storm];
    for (index, fault) in others.into_iter().enumerate().filter(|(_, fault)| options.has(*fault)) {
        // The loader has no transaction open for longer than a moment: none would be ended for its age.
        let binaries = if fault == Fault::Timeout { STREAMS } else { &BINARIES[..] };
        if let Some(binary) = binaries.get((usize::try_from(number).unwrap_or(0) + index) % binaries.len().max(1)) {
            queues.entry(binary).or_default().push(Injection::Other(fault));
        }
    }
    for queue in queues.values_mut() {
        queue.shuffle(rng);
    }
    queues
}

/// What was missed is tried again.
fn top_up(options: &Options, tally: &Tally, queues: &mut Queues, rounds: u64) {
    let counts = tally.counts();
    let wanted = per_point(options);
    for (index, point) in Point::all().into_iter().enumerate() {
        let planned = queues.values().flatten();
        let planned = planned.filter(|i| matches!(i, Injection::Failpoint(name) if *name == point.name)).count();
        let have = counts.failpoints.get(point.name).copied().unwrap_or(0) + planned as u64;
        for turn in have..wanted {
            let choice = usize::try_from(turn + rounds).unwrap_or(0) + index;
            if let Some(binary) = point.binaries.get(choice % point.binaries.len().max(1)) {
                queues.entry(binary).or_default().push(Injection::Failpoint(point.name));
            }
        }
    }
}

/// Servers fail in every second round, so that the other rounds show how the applications alone recover.
fn server_faults(options: &Options, rounds: u64, number: u64) -> Vec<(Fault, u64)> {
    if rounds > 1 && number.is_multiple_of(2) {
        return Vec::new();
    }
    let wanted = [Fault::Broker, Fault::Postgres, Fault::Backends];
    let each = options.kills.div_ceil(rounds).div_ceil(4).max(1);
    wanted.into_iter().filter(|fault| options.has(*fault)).map(|fault| (fault, each)).collect()
}
