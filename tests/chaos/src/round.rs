//! One round: topics, four applications, their tormentors, and the oracle.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use millpond_harness::{Client, Error, Scratch, try_wait_for};
use millpond_scene::{BINARIES, EVENTS_MAX, Load, Place, Scene};

use crate::fault::Fault;
use crate::nemesis;
use crate::servers::Servers;
use crate::tally::{Tally, eprint};
use crate::victim::{Injection, Victim};

/// How long everything may take to come through after the last fault.
const PATIENCE: Duration = Duration::from_mins(5);

/// How long a transaction may be open of whoever has ended: its time-out, and how seldom the coordinator looks.
const OPEN_MAX: Duration = Duration::from_secs(45);

/// How often a failpoint is tried that is not reached in time.
const TRIES_MAX: u32 = 3;

/// What a round does.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) rate: u64,
    /// Events that there must be in the end.
    pub(crate) events: u64,
    /// What each application suffers, in this order.
    pub(crate) injections: BTreeMap<&'static str, Vec<Injection>>,
    /// What strikes the servers, and how often at least.
    pub(crate) servers: Vec<(Fault, u64)>,
}

/// Plays a round.
pub(crate) fn play(servers: &Servers, tally: &Tally, plan: Plan) -> Result<(), Error> {
    let place = Place {
        bootstrap_servers: servers.brokers.clone(),
        replicas: servers.replicas,
        database: servers.database()?,
        dir: Scratch::new(&plan.name)?.path().to_owned(),
    };
    let dir = place.dir.clone();
    let scene = Scene::at(&plan.name, place)?.patience(PATIENCE);
    let began = Instant::now();
    let load = Load::start(scene.client(), &scene.topic("events"), plan.seed, plan.rate, EVENTS_MAX);
    let with_servers = !plan.servers.is_empty();
    let (tormented, struck) = std::thread::scope(|scope| {
        let nemesis = with_servers
            .then(|| scope.spawn(|| nemesis::strike(servers, tally, (&plan.name, plan.seed), &plan.servers)));
        let mut injections = plan.injections;
        let torments = BINARIES.map(|binary| {
            let mut victim = Victim::new(&scene, tally, binary, plan.seed ^ binary.len() as u64, with_servers);
            let queue = injections.remove(binary).unwrap_or_default();
            scope.spawn(move || match torment(&mut victim, queue) {
                Ok(()) => Ok(victim),
                Err(error) => {
                    // Told now: the others go on for a while.
                    eprint(&error.to_string());
                    Err(error)
                }
            })
        });
        let tormented = torments.map(|torment| torment.join().unwrap_or_else(|_| panicked("a tormentor")));
        let struck = nemesis.map(|nemesis| nemesis.join().unwrap_or_else(|_| panicked("the nemesis")));
        (tormented, struck)
    });
    struck.unwrap_or(Ok(()))?;
    let mut victims = match tormented.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(victims) => victims,
        Err(error) => return Err(with_blame(servers, tally, error)),
    };
    eprint(&format!("{}: injected in {:?}, draining", plan.name, began.elapsed()));
    let events = finish(&scene, &mut victims, load, plan.events)?;
    eprint(&format!("{}: {events} events drained after {:?}, comparing", plan.name, began.elapsed()));
    judge(&scene, tally, &mut victims, events).map_err(|error| with_blame(servers, tally, error))?;
    nothing_is_open(&plan.name, servers, tally);
    eprint(&format!("{}: over after {:?}", plan.name, began.elapsed()));
    clean_up(tally, &dir);
    Ok(())
}

/// A standstill behind a transaction that Kafka itself has left open is told as that.
fn with_blame(servers: &Servers, tally: &Tally, error: Error) -> Error {
    let left_open = servers.left_open();
    if left_open.is_empty() {
        return error;
    }
    tally.counts().left_open_by_kafka += left_open.len() as u64;
    let output = format!("its coordinator holds them for ended:\n{}\n{error}", left_open.join("\n"));
    Error::Tool { tool: "Kafka, which has left transactions open for ever,", output }
}

/// When all applications have ended, the last stable offset of every partition is its end: of changelogs, repartition topics
/// and Kafka's own topics, too. What a killed member has left open ends with its time-out.
pub(crate) fn nothing_is_open(what: &str, servers: &Servers, tally: &Tally) {
    nothing_is_open_after(OPEN_MAX, what, servers, tally);
}

fn nothing_is_open_after(limit: Duration, what: &str, servers: &Servers, tally: &Tally) {
    let client = Client::new(&servers.brokers);
    let mut open = Vec::new();
    let ended = try_wait_for(limit, "no transaction is open", || {
        // A broker that does not answer has not said that there is none.
        open = client.open_partitions().unwrap_or_else(|error| vec![error.to_string()]);
        Ok(open.is_empty().then_some(()))
    });
    if ended.is_err() {
        tally.counts().open_at_the_end += open.len() as u64;
        let output = format!("are open still although nobody runs:\n{}", open.join("\n"));
        let error = with_blame(servers, tally, Error::Tool { tool: "transactions", output });
        tally.complain(format!("{what}: {error}"));
    }
}

fn panicked<T>(tool: &'static str) -> Result<T, Error> {
    Err(Error::Tool { tool, output: "it panicked, see above".into() })
}

fn torment(victim: &mut Victim<'_>, queue: Vec<Injection>) -> Result<(), Error> {
    let mut queue: VecDeque<(Injection, u32)> = queue.into_iter().map(|injection| (injection, 1)).collect();
    while let Some((injection, tries)) = queue.pop_front() {
        if !victim.suffer(injection)? && tries < TRIES_MAX {
            queue.push_back((injection, tries + 1));
        }
    }
    victim.recover()
}

/// Brings everything through.
fn finish(scene: &Scene, victims: &mut [Victim<'_>], load: Load, events: u64) -> Result<u64, Error> {
    // Without faults now: what is missing comes as fast as it can.
    let events = load.end(events)?;
    for victim in victims {
        victim.recover()?;
    }
    scene.close_bursts()?;
    Ok(events)
}

/// Compares everything, and stops the applications.
fn judge(scene: &Scene, tally: &Tally, victims: &mut [Victim<'_>], events: u64) -> Result<(), Error> {
    let oracle = scene.oracle();
    for victim in victims.iter_mut() {
        let (binary, began) = (victim.a.binary(), Instant::now());
        scene.drain(binary).map_err(|error| victim.stuck(&error.to_string()))?;
        let sound = victim.a.assert_sound();
        victim.stop()?;
        let drained = began.elapsed();
        let mut findings = oracle.verify(binary)?;
        findings.absorb(oracle.verify_stores(binary, victim.a.state_dir(), "a")?);
        eprint(&format!("{}: drained after {drained:?}, compared after {:?}", scene.topic(binary), began.elapsed()));
        if !findings.is_clean() {
            tally.complain(format!("{}: {:#?}", scene.topic(binary), findings.first));
        }
        let wipes = victim.wipes();
        let logs = victim.logs();
        let torn =
            logs.matches("was committed only in part").count() + logs.matches("the last commit recorded").count();
        if let Err(error) = sound {
            tally.complain(error.to_string());
        }
        let mut counts = tally.counts();
        counts.findings.absorb(findings);
        counts.wiped += wipes.len() as u64;
        counts.torn += torn as u64;
    }
    // Three applications read the events; the loader reads what two of them wrote. Repartition topics not counted.
    let ends = scene.ends(&["processed", "attributions"])?;
    let mut counts = tally.counts();
    counts.events += events;
    counts.records_in += 3 * events + ends;
    counts.rounds += 1;
    Ok(())
}

/// Logs and states of a clean round go away.
fn clean_up(tally: &Tally, dir: &Path) {
    if tally.counts().complaints.is_empty() && std::env::var_os("MILLPOND_KEEP").is_none() {
        let _ = std::fs::remove_dir_all(dir);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use millpond_harness::leave_transaction_open;

    use super::*;

    /// A transaction that no coordinator knows stays open for ever, and whoever reads what is committed behind it stands still
    /// for ever. That is Kafka's doing, and counted as such; any other standstill is ours.
    #[test]
    fn a_standstill_behind_a_transaction_that_kafka_has_left_open_is_told_apart() {
        let scratch = Scratch::new("left-open").unwrap();
        let unverified = [("transaction.partition.verification.enable", "false")];
        let servers = Servers::start_with(scratch.path(), 1, &unverified).unwrap();
        Client::new(&servers.brokers).create_topics(&["orders"], 1, &[]).unwrap();
        let tally = Tally::default();
        let blamed = || {
            let stuck = Error::Ended { name: "fraud".into(), log: "it stands still".into() };
            let error = with_blame(&servers, &tally, stuck).to_string();
            (error.contains("orders"), error.contains("it stands still"), tally.counts().left_open_by_kafka)
        };
        assert_eq!(blamed(), (false, true, 0), "nothing is open");
        leave_transaction_open(&servers.brokers, "orders", 0, 4_711).unwrap();
        assert_eq!(blamed(), (true, true, 1));

        // It is found at the end of a run as well, where nobody stands still.
        nothing_is_open_after(Duration::from_secs(1), "a test", &servers, &tally);
        let counts = tally.counts();
        assert_eq!((counts.open_at_the_end, counts.complaints.len()), (1, 1));
        let complaint = counts.complaints.concat();
        assert!(complaint.contains("orders-0: committed up to 0 of 1"), "{complaint}");
    }
}
