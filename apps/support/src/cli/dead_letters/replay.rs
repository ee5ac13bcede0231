//! `dead-letters replay`: records go again to where they were read, each in one transaction with the mark that says so.

use std::collections::BTreeMap;
use std::time::Duration;

use millpond::broker::{Broker, Producer};
use millpond::record::{Partition, TopicName, TopicPartition};
use millpond::runtime::letters::{DeadLetter, Payload};
use serde_json::json;

use super::read::{Letters, one};
use super::show::{place, source};
use super::{Cluster, ReplayArgs};
use crate::cli::Failure;
use crate::cli::output::{Output, lines, table};
use crate::cli::progress::Progress;
use crate::cli::time;

/// So many records go in one transaction: all of them, or none.
const BATCH: usize = 500;

/// How long a commit may take.
const COMMIT: Duration = Duration::from_secs(30);

/// What will be sent, and what cannot be.
struct Plan<'a> {
    send: Vec<(&'a DeadLetter, Payload, TopicPartition)>,
    /// Letters whose records are not to be had any more.
    gone: Vec<&'a DeadLetter>,
    /// Letters that were sent before.
    before: usize,
}

pub(super) fn run(
    args: &ReplayArgs,
    cluster: &Cluster<'_>,
    letters: &Letters,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let chosen = chosen(args, letters)?;
    let before = chosen.iter().filter(|letter| !args.again && letters.is_replayed(letter)).count();
    let fresh = chosen.into_iter().filter(|letter| args.again || !letters.is_replayed(letter)).collect();
    let plan = plan(args, cluster, fresh, before)?;
    let sent = if args.yes { send(cluster, &plan)? } else { 0 };
    out.answer(
        || {
            let places = |letters: &mut dyn Iterator<Item = &DeadLetter>| letters.map(place).collect::<Vec<_>>();
            json!({
                "done": args.yes, "sent": sent, "letters": places(&mut plan.send.iter().map(|(letter, ..)| *letter)),
                "gone": places(&mut plan.gone.iter().copied()), "replayed_before": plan.before,
            })
        },
        || text(&plan, args.yes),
    )
}

fn chosen<'a>(args: &ReplayArgs, letters: &'a Letters) -> Result<Vec<&'a DeadLetter>, Failure> {
    if args.at.is_empty() && args.reason.is_none() && !args.all {
        let fix = "name letters as 0@17, a reason with --reason, or say --all";
        return Err(Failure::usage("nothing is said about which letters", fix));
    }
    let named = args.at.iter().map(|at| letters.find(at)).collect::<Result<Vec<_>, _>>()?;
    let is_named = |letter: &DeadLetter| named.iter().any(|named| std::ptr::eq(*named, letter));
    let is_wanted = |letter: &&DeadLetter| {
        let of_reason = args.reason.as_ref().is_some_and(|reason| *reason == letter.reason);
        args.all || of_reason || is_named(letter)
    };
    Ok(letters.all.iter().filter(is_wanted).collect())
}

fn plan<'a>(
    args: &ReplayArgs,
    cluster: &Cluster<'_>,
    letters: Vec<&'a DeadLetter>,
    before: usize,
) -> Result<Plan<'a>, Failure> {
    let wanted =
        letters.iter().map(|letter| letter.source.topic.clone()).chain(args.to.as_deref().map(TopicName::from));
    let topics: Vec<TopicName> = wanted.collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    let described = cluster.broker.describe_topics(&topics)?;
    let partitions: BTreeMap<&TopicName, i32> =
        described.iter().map(|(name, found)| (name, found.partitions)).collect();
    let progress = Progress::waiting("looking for the records");
    let mut plan = Plan { send: Vec::new(), gone: Vec::new(), before };
    for letter in letters {
        let topic = args.to.as_deref().map_or_else(|| letter.source.topic.clone(), TopicName::from);
        let Some(&count) = partitions.get(&topic) else {
            let fix = "create the topic, or name another with --to";
            return Err(Failure::new("unknown-topic", format!("there is no topic {topic} to send to"), fix));
        };
        // In its own topic a record stays in its partition, with the other records of its key.
        let partition = Partition(letter.source.partition.0.rem_euclid(count.max(1)));
        progress.now(source(letter));
        let payload = match &letter.payload {
            Some(payload) => Some(payload.clone()),
            None => one(cluster.broker, &letter.source, letter.source_offset)?.map(Payload::of),
        };
        match payload {
            Some(payload) => plan.send.push((letter, payload, TopicPartition::new(topic, partition))),
            None => plan.gone.push(letter),
        }
    }
    Ok(plan)
}

fn send(cluster: &Cluster<'_>, plan: &Plan<'_>) -> Result<usize, Failure> {
    let progress = Progress::over("sending", u64::try_from(plan.send.len()).unwrap_or(u64::MAX));
    let transactional_id = format!("{}-dead-letters-replay", cluster.config.application_id);
    let mut sent = 0;
    for batch in plan.send.chunks(BATCH) {
        // A new producer for each: what the one before has left on its way is fenced and cannot end this transaction early.
        let mut producer = cluster.broker.producer(&transactional_id)?;
        producer.begin()?;
        for (letter, payload, target) in batch {
            let now = time::now();
            producer.send(letter.replay(payload.clone(), target.clone(), now))?;
            producer.send(letter.mark(now))?;
            progress.step();
        }
        producer.commit(COMMIT)?;
        sent += batch.len();
    }
    Ok(sent)
}

fn text(plan: &Plan<'_>, done: bool) -> String {
    let rows = plan
        .send
        .iter()
        .map(|(letter, _, target)| vec![place(letter), letter.reason.clone(), source(letter), target.to_string()]);
    let mut said = Vec::new();
    for letter in &plan.gone {
        said.push(format!("{}: its record is gone from {}", place(letter), source(letter)));
    }
    if plan.before > 0 {
        said.push(format!("{} were sent before and stay; --again sends them too", plan.before));
    }
    said.push(match (plan.send.is_empty(), done) {
        (true, _) => "there is nothing to send".to_owned(),
        (false, true) => format!("{} were sent", plan.send.len()),
        (false, false) => {
            "nothing was sent; say --yes to do this. Everybody who reads these topics sees the records once more"
                .to_owned()
        }
    });
    table(&["letter", "reason", "read at", "goes to"], rows) + &lines(said)
}
