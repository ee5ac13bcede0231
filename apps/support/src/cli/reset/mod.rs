//! `reset`: the application begins anew. Flags as those of `kafka-streams-application-reset`; the plan is always shown first,
//! and nothing happens without `--yes`.

mod act;
mod facts;
pub(super) mod places;
mod table;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args};
use millpond::broker::kafka::{KafkaBroker, KafkaConfig};
use millpond::record::{Offset, TopicPartition};
use millpond::runtime::config::StreamsConfig;
use millpond::runtime::reset::{ResetError, ResetFacts, ResetPlan, ResetStep, ResetTo, plan};
use millpond::time::Timestamp;
use serde_json::{Value, json};

use super::output::{Output, lines};
use super::{Context, Failure, time};
use facts::Found;

/// Where to begin, and what to reset.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of Kafka's own tool")]
#[allow(clippy::doc_markdown, reason = "shown to people by --help, where backticks would stand")]
#[command(group = ArgGroup::new("where").multiple(false))]
pub(crate) struct ResetArgs {
    /// The topics whose offsets are reset, separated by commas; all that the application reads unless said otherwise
    #[arg(long, value_name = "TOPICS", value_delimiter = ',')]
    input_topics: Vec<String>,
    /// The internal topics to delete, separated by commas; all of the application's unless said otherwise
    #[arg(long, value_name = "TOPICS", value_delimiter = ',')]
    internal_topics: Vec<String>,
    /// Begin at the first records that are still there; so it is when nothing is said
    #[arg(long, group = "where")]
    to_earliest: bool,
    /// Begin at the end
    #[arg(long, group = "where")]
    to_latest: bool,
    /// Begin at this offset of each partition, or as near as its log has it
    #[arg(long, group = "where", value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// Begin so many records further than committed, back when it is negative, or as near as the log has it
    #[arg(long, group = "where", value_name = "N", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// Begin at the first record of this time or later: YYYY-MM-DDTHH:mm:SS.sss, in UTC unless it ends with an offset
    #[arg(long, group = "where", value_name = "TIME")]
    to_datetime: Option<String>,
    /// Begin at the first record that is so old or younger: PnDTnHnMnS
    #[arg(long, group = "where", value_name = "DURATION")]
    by_duration: Option<String>,
    /// Begin where this file says: a line topic,partition,offset for each partition, as kafka-consumer-groups.sh writes it
    #[arg(long, group = "where", value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Do it; without this the plan is shown and nothing is changed
    #[arg(long)]
    yes: bool,
    /// Only show the plan, as it is without --yes
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Kafka's, refused by name
    #[arg(long, hide = true)]
    force: bool,
}

/// Where to begin, as far as it is known before the cluster is asked.
enum Aim {
    Place(ResetTo),
    Time(Timestamp),
}

impl Aim {
    fn at(self, broker: &KafkaBroker, inputs: &BTreeSet<TopicPartition>) -> Result<ResetTo, Failure> {
        Ok(match self {
            Self::Place(to) => to,
            Self::Time(time) => ResetTo::Found(broker.offsets_at(inputs, time)?),
        })
    }
}

pub(crate) fn run(args: &ResetArgs, context: Context<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    args.refuse_force()?;
    if let Some(keeper) = context.program.keeper() {
        return table::run(args, context, keeper, out);
    }
    let config = context.config()?;
    let aim = args.aim()?;
    let broker = KafkaBroker::connect(KafkaConfig::of(&config)?)?;
    let topology = context.described(&config)?.and_then(|described| described.topology);
    let source = facts::Source { broker: &broker, config: &config, topology: topology.as_ref() };
    // Whoever acts keeps everybody else from starting here, from the first look on.
    let locks = if args.yes { act::lock(&config)? } else { Vec::new() };
    let found = source.look(args)?;
    if topology.is_none() && found.facts.is_foreign() {
        let message = format!("the offsets of {} are not those of a topology of this library", config.application_id);
        let fix = "use the application's own binary: a sink, such as loader, keeps its offsets elsewhere, and resets them there";
        return Err(Failure::new("not-a-topology", message, fix));
    }
    let to = aim.at(&broker, &found.facts.inputs.keys().cloned().collect())?;
    let plan = plan(&found.facts, &to).map_err(|error| refused(&config, &error))?;
    let notes = notes(&found.facts, &found);
    if args.yes {
        if !out.json {
            out.write(&text(&config, &plan, &notes))?;
        }
        act::carry_out(&broker, &config.application_id, &plan)?;
        let left = until_done(&source, args, &plan)?;
        if !left.is_empty() {
            let left: Vec<String> = left.iter().map(ToString::to_string).collect();
            let fix = "run the same command again: it does what is left";
            return Err(Failure::new("reset-incomplete", format!("not done: {}", left.join("; ")), fix));
        }
    }
    drop(locks);
    let after = || if args.yes { "done, and checked\n".to_owned() } else { text(&config, &plan, &notes) + NOT_YET };
    out.answer(|| json_of(&config, &plan, &notes, args.yes), after)
}

/// What is not done yet. Offsets of topics that a reset before this one has deleted go a moment later than the topics.
fn until_done(source: &facts::Source<'_>, args: &ResetArgs, plan: &ResetPlan) -> Result<Vec<ResetStep>, Failure> {
    let began = Instant::now();
    loop {
        let left = plan.missing(&source.look(args)?.facts);
        if left.is_empty() || began.elapsed() > SETTLED {
            return Ok(left);
        }
        std::thread::park_timeout(PAUSE);
    }
}

/// How long brokers may take until what was done shows.
const SETTLED: Duration = Duration::from_secs(30);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

const NOT_YET: &str = "nothing was changed; say --yes to do this\n";

impl ResetArgs {
    /// Kafka's tool throws living members out of the group with it.
    fn refuse_force(&self) -> Result<(), Failure> {
        if !self.force {
            return Ok(());
        }
        let message = "--force is not taken: it would throw members out of the group that may be at work, and what they commit \
                       afterwards would not fit the reset";
        let fix = "stop every process of the application, and wait until session.timeout.ms has passed (10 s unless configured)";
        Err(Failure::usage(message, fix))
    }

    fn aim(&self) -> Result<Aim, Failure> {
        if let Some(path) = &self.from_file {
            return Ok(Aim::Place(ResetTo::Each(places::read(path)?)));
        }
        Ok(self.time()?.map_or_else(|| Aim::Place(self.place()), Aim::Time))
    }

    /// The time to begin at, if it is one.
    fn time(&self) -> Result<Option<Timestamp>, Failure> {
        if let Some(text) = &self.to_datetime {
            let time = time::parse_datetime(text);
            let fix = "say it as 2026-11-23T06:00:00.000, in UTC, or with an offset as in +02:00";
            return time.map(Some).map_err(|reason| Failure::usage(format!("--to-datetime={text}: {reason}"), fix));
        }
        let Some(text) = &self.by_duration else { return Ok(None) };
        let fix = "say it as P1DT2H3M4S: days, hours, minutes, seconds";
        let duration = time::parse_duration(text);
        let duration = duration.map_err(|reason| Failure::usage(format!("--by-duration={text}: {reason}"), fix))?;
        Ok(Some(time::now().minus(duration)))
    }

    /// Where to begin when it is no time.
    fn place(&self) -> ResetTo {
        match (self.to_offset, self.shift_by) {
            (Some(offset), _) => ResetTo::Offset(Offset(offset)),
            (None, Some(by)) => ResetTo::ShiftBy(by),
            (None, None) if self.to_latest => ResetTo::Latest,
            (None, None) => ResetTo::Earliest,
        }
    }
}

fn refused(config: &StreamsConfig, error: &ResetError) -> Failure {
    let code = match error {
        ResetError::Live { .. } => "group-is-live",
        ResetError::LeftOut { .. } | ResetError::NotAnInput { .. } => "not-all-inputs",
        _ => "nothing-to-reset",
    };
    Failure::new(code, format!("{}: {error}", config.application_id), error.advice())
}

/// What a person should know beside the steps.
fn notes(facts: &ResetFacts, found: &Found) -> Vec<String> {
    let mut notes = vec![
        "output topics and dead letters stay as they are: what is processed again is written again".to_owned(),
        "state of this application on other machines is set aside when a task starts there first; else remove it by hand"
            .to_owned(),
    ];
    if facts.state.is_empty() {
        notes.push("there is no state of it in state.dir on this machine".to_owned());
    }
    if !found.left_alone.is_empty() {
        let topics: Vec<&str> = found.left_alone.iter().map(|topic| &**topic).collect();
        let topics = topics.join(",");
        notes.push(format!(
            "these look like its internal topics and are left alone; --internal-topics names them: {topics}"
        ));
    }
    notes
}

fn text(config: &StreamsConfig, plan: &ResetPlan, notes: &[String]) -> String {
    let head = format!("to reset {} on {}:", config.application_id, config.bootstrap_servers);
    let steps = plan.steps.iter().zip(1..).map(|(step, number)| format!("{number:4}. {step}"));
    let notes = notes.iter().map(|note| format!("note: {note}"));
    lines([head].into_iter().chain(steps).chain(notes))
}

fn json_of(config: &StreamsConfig, plan: &ResetPlan, notes: &[String], done: bool) -> Value {
    let steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    let offsets = plan.offsets();
    let offsets = offsets
        .iter()
        .map(|(at, committed)| json!({ "topic": &*at.topic, "partition": at.partition.0, "offset": committed.next.0 }));
    let topics: Vec<String> = plan.topics().iter().map(ToString::to_string).collect();
    json!({
        "application_id": config.application_id, "done": done, "steps": steps, "offsets": offsets.collect::<Vec<_>>(),
        "deleted_topics": topics, "notes": notes,
    })
}
