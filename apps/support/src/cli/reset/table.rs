//! `reset` of an application that keeps its offsets itself: they move there, in one step, and the group's follow. Each of its
//! topics stands for itself, so that some may be reset and others not. There are no internal topics and no state.

use std::collections::{BTreeMap, BTreeSet};

use millpond::broker::kafka::{KafkaBroker, KafkaConfig};
use millpond::broker::{Broker, BrokerError, CommittedOffset, TopicId};
use millpond::record::{Offset, Partition, TopicName, TopicPartition};
use millpond::runtime::config::StreamsConfig;
use millpond::runtime::reset::{ResetFacts, ResetPlan, plan};

use super::{NOT_YET, ResetArgs, json_of, refused, text};
use crate::cli::output::Output;
use crate::cli::progress::Progress;
use crate::cli::{Context, Failure};
use crate::offsets::OffsetTable;
use crate::program::OffsetKeeper;

pub(super) fn run(
    args: &ResetArgs,
    context: Context<'_>,
    keeper: &OffsetKeeper<'_>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let config = context.config()?;
    if let Some(topic) = args.internal_topics.first() {
        let fix = "leave out --internal-topics: this application has none";
        return Err(Failure::new("not-internal", format!("{topic} is no internal topic of it"), fix));
    }
    let aim = args.aim()?;
    let known = context.described(&config)?.map(|described| described.inputs).unwrap_or_default();
    let mut table = (keeper.open)(&config).map_err(|error| Failure::configuration(&*error))?;
    let broker = KafkaBroker::connect(KafkaConfig::of(&config)?)?;
    let progress = Progress::waiting("asking the cluster");
    let members = broker.describe_group(&config.application_id)?.members.len();
    let (inputs, ids) = partitions(&broker, &wanted(args, known)?)?;
    let mut committed = read(table.as_mut(), keeper)?;
    committed.retain(|at, _| inputs.contains(at));
    let to = aim.at(&broker, &inputs)?;
    let next = |next| CommittedOffset { next, metadata: String::new() };
    let facts = ResetFacts {
        inputs: broker.log_ranges(&inputs)?,
        committed: committed.into_iter().map(|(at, offset)| (at, next(offset))).collect(),
        members,
        ..ResetFacts::default()
    };
    let plan = plan(&facts, &to).map_err(|error| refused(&config, &error))?;
    drop(progress);
    let mut notes = vec![format!("the offsets of {} move, and the group's after them", keeper.place)];
    notes.extend(keeper.notes.iter().map(|&note| note.to_owned()));
    if args.yes {
        if !out.json {
            out.write(&text(&config, &plan, &notes))?;
        }
        carry_out(&broker, &config, (table.as_mut(), keeper), &plan, &ids)?;
    }
    let after = || if args.yes { "done, and checked\n".to_owned() } else { text(&config, &plan, &notes) + NOT_YET };
    out.answer(|| json_of(&config, &plan, &notes, args.yes), after)
}

/// The topics that are reset.
fn wanted(args: &ResetArgs, known: Vec<String>) -> Result<BTreeSet<TopicName>, Failure> {
    let named: BTreeSet<&str> = args.input_topics.iter().map(|topic| topic.trim()).collect();
    if let Some(other) = named.iter().find(|topic| !known.iter().any(|known| known == *topic)) {
        let fix = format!("name some of these, or nothing for all: {}", known.join(","));
        return Err(Failure::new("not-an-input", format!("the application does not read {other}"), fix));
    }
    let topics = known.into_iter().filter(|topic| named.is_empty() || named.contains(topic.as_str()));
    Ok(topics.map(TopicName::from).collect())
}

type Partitions = (BTreeSet<TopicPartition>, BTreeMap<TopicName, TopicId>);

fn partitions(broker: &KafkaBroker, topics: &BTreeSet<TopicName>) -> Result<Partitions, Failure> {
    let described = broker.describe_topics(&topics.iter().cloned().collect::<Vec<_>>())?;
    if let Some(missing) = topics.iter().find(|topic| !described.contains_key(*topic)) {
        let fix = "create it, or name the topics with --input-topics";
        return Err(Failure::new("unknown-topic", format!("there is no topic {missing}"), fix));
    }
    let all = described.iter().flat_map(|(topic, described)| {
        (0..described.partitions).map(|number| TopicPartition::new(topic.clone(), Partition(number)))
    });
    Ok((all.collect(), described.iter().map(|(topic, described)| (topic.clone(), described.id)).collect()))
}

fn read(table: &mut dyn OffsetTable, keeper: &OffsetKeeper<'_>) -> Result<BTreeMap<TopicPartition, Offset>, Failure> {
    table.offsets().map_err(|error| {
        let fix = "see that it is there and reachable; where the application has never run there is nothing to reset";
        Failure::new("offsets-unreadable", format!("{} cannot be read", keeper.place), fix).because(&*error)
    })
}

/// The table first: what it says is what is read next. A reset that is cut short between the two is done all the same, and
/// running it again brings the group up.
fn carry_out(
    broker: &KafkaBroker,
    config: &StreamsConfig,
    (table, keeper): (&mut dyn OffsetTable, &OffsetKeeper<'_>),
    plan: &ResetPlan,
    ids: &BTreeMap<TopicName, TopicId>,
) -> Result<(), Failure> {
    let again = "run the same command again";
    let progress = Progress::waiting("moving offsets");
    let mut offsets = plan.offsets();
    let steps = offsets.iter().map(|(at, to)| (at.clone(), (to.next, ids.get(&at.topic).copied().unwrap_or_default())));
    let steps: BTreeMap<_, _> = steps.collect();
    table.move_to(&steps).map_err(|error| {
        let message = format!("{} may not be changed", keeper.place);
        Failure::new("reset-interrupted", message, again).because(&*error)
    })?;
    progress.now("setting the group's offsets");
    // Without the text of another reset: a mark of dead letters that were sent before must not stay either.
    for offset in offsets.values_mut() {
        offset.metadata.clear();
    }
    let half_done = |error: BrokerError| {
        let message = "the offsets are moved, and those that the group shows are not";
        Failure::new("reset-interrupted", message, format!("{}; then {again}", error.advice)).because(&error)
    };
    broker.set_group_offsets(&config.application_id, &offsets).map_err(half_done)?;
    progress.now("checking");
    let now = read(table, keeper)?;
    let group = broker.group_offsets(&config.application_id).map_err(half_done)?;
    let is_so =
        |(at, to): (&TopicPartition, &CommittedOffset)| now.get(at) == Some(&to.next) && group.get(at) == Some(to);
    match offsets.iter().find(|step| !is_so(*step)) {
        None => Ok(()),
        Some((at, to)) => {
            let message = format!("not done: begin {at} at {}", to.next);
            Err(Failure::new("reset-incomplete", message, again))
        }
    }
}
