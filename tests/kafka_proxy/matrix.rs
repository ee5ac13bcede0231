//! Every request of a transaction under every fault. An application with a state and an output works through a known input
//! while one of its requests is struck; it mends that itself, or is started again as its supervisor would. In the end output,
//! changelog and offsets are what a naive function makes of the input, or the application has stopped and says what is torn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use millpond::runtime::Refusal;
use millpond::runtime::config::StreamsConfig;
use millpond_harness::{Kafka, Proxy, Scratch, Writer, wait_for};

use super::application::{Application, Properties, Tail};
use super::cases::{self, Case, Ends, Moment};
use super::known::{self, PARTITIONS, RECORDS};

/// Cases at once: they wait most of their time.
const THREADS: usize = 10;
const LIMIT: Duration = Duration::from_mins(1);
/// Steps of the input before the last start, at least; one more comes after it.
const STEPS: usize = 6;
const INTERVAL: Duration = Duration::from_millis(100);
/// What is late must meet a transaction that is still open.
const LONG_INTERVAL: Duration = Duration::from_secs(1);
/// So soon a dropped request is missed: the shortest that librdkafka's consumers do not warn of, and a little more.
const IMPATIENT: Properties = &[("socket.timeout.ms", "1500")];
/// Commit records leave before the offsets, which they share a connection with.
const PROMPT: Properties = &[("linger.ms", "0")];
const TRANSACTION: Duration = Duration::from_secs(5);

/// Where a case runs.
struct Place<'a> {
    kafka: &'a Kafka,
    proxy: &'a Proxy,
    scratch: &'a Scratch,
    writer: Writer,
}

/// A case on its way.
struct Run<'a> {
    case: &'a Case,
    place: &'a Place<'a>,
    /// Of this case, among all.
    rule: usize,
    application: Application,
    committed: Tail,
    uncommitted: Tail,
    /// The broker's answers to what was late.
    answers: Option<Vec<i16>>,
}

impl<'a> Run<'a> {
    fn new(case: &'a Case, rule: usize, place: &'a Place<'a>) -> Self {
        let (id, output) = (case.id.as_str(), format!("{}-out", case.id));
        let client = place.kafka.client();
        client.create_topics(&[&format!("{id}-in"), &output], PARTITIONS, &[]).unwrap();
        let (interval, properties, transaction) = match case.late {
            None => (INTERVAL, IMPATIENT, TRANSACTION),
            Some(Moment::AfterNextForLong) => (LONG_INTERVAL, PROMPT, TRANSACTION),
            // What is held must not be missed.
            Some(_) => (LONG_INTERVAL, PROMPT, 2 * TRANSACTION),
        };
        let tail = |isolation| Tail::of(place.kafka.bootstrap_servers(), &output, isolation);
        let mut config = StreamsConfig::new(id, place.proxy.address(), place.scratch.path().join(id));
        (config.commit_interval, config.transaction_timeout) = (interval, transaction);
        let application = Application::new(config, properties);
        let (committed, uncommitted) = (tail("read_committed"), tail("read_uncommitted"));
        Self { case, place, rule, application, committed, uncommitted, answers: None }
    }

    fn feed(&self, step: usize) {
        self.place.writer.write(&format!("{}-in", self.case.id), known::records(step)).unwrap();
    }

    /// Waits until the fact holds, while the application is tended.
    fn wait(&mut self, what: &str, mut fact: impl FnMut(&mut Self) -> bool) -> Result<(), Refusal> {
        let mut refused = None;
        wait_for(LIMIT, format!("{}: {what}", self.case.id), || {
            refused = self.application.tend().err();
            refused.is_some() || fact(self)
        })
        .unwrap();
        refused.map_or(Ok(()), Err)
    }

    fn until_committed(&mut self, steps: usize) -> Result<(), Refusal> {
        self.wait("steps are committed", |run| run.committed.count() >= steps * RECORDS)
    }

    fn hits(&self, nth: usize) -> u64 {
        self.place.proxy.hits().get(self.rule + nth).copied().unwrap()
    }

    /// Delivers what was kept at its moment; the transaction that it is of is over.
    fn deliver_late(&mut self, moment: Moment, step: usize) -> Result<(), Refusal> {
        let (proxy, id) = (self.place.proxy, self.case.id.as_str());
        match moment {
            Moment::InNext => {
                self.wait("the next transaction", |run| run.uncommitted.count() > step * RECORDS)?;
            }
            Moment::BeforeOffsetsOfNext => {
                self.wait("the offsets of the next transaction", |run| run.hits(1) == 1)?;
                // They do not wait for the commit records, which are on their way as well.
                self.wait("its commit records", |run| known::all_have_ended(&run.place.kafka.client(), id))?;
            }
            Moment::AtEndOfNext => self.wait("the end of the next transaction", |run| run.hits(1) == 1)?,
            Moment::AfterNext => self.until_committed(step + 1)?,
            Moment::AfterNextForLong => {
                self.until_committed(step + 1)?;
                // The markers of one transaction come one after the other.
                self.wait("its markers", |run| known::nothing_is_open(&run.place.kafka.client(), id))?;
            }
        }
        let before = (moment == Moment::AfterNextForLong).then(|| self.log_ends());
        self.answers = Some(proxy.release_of(id).unwrap());
        if moment == Moment::InNext && self.case.ends == Ends::Exact {
            assert_eq!(self.committed.count(), step * RECORDS, "{id}: the next transaction was over");
        }
        proxy.let_go(id);
        self.until_committed(step + 1)?;
        if let Some(before) = before {
            self.wait("the broker ends what was begun", |run| run.log_ends() > before)?;
        }
        Ok(())
    }

    /// Markers count.
    fn log_ends(&self) -> i64 {
        let id = &self.case.id;
        let group = self.place.kafka.client().group(id).unwrap();
        let topics = [format!("{id}-out"), format!("{id}-folds-changelog")];
        group.lag(&topics.each_ref().map(String::as_str)).unwrap().iter().map(|partition| partition.end).sum()
    }

    fn work(&mut self) -> Result<usize, Refusal> {
        let mut steps = 0;
        self.application.tend()?;
        // What is delayed is to find the application at work.
        while steps < STEPS || self.place.proxy.is_delaying(&self.case.id) {
            // Before more is fed: it is of a transaction that is over.
            let kept = self.answers.is_none() && self.place.proxy.held_of(&self.case.id) > 0;
            self.feed(steps);
            steps += 1;
            let Some(moment) = self.case.late else {
                // One behind, so that there is something to process while a commit is in flight.
                self.until_committed(steps - 1)?;
                continue;
            };
            if kept {
                self.deliver_late(moment, steps - 1)?;
            }
            if kept && moment == Moment::AtEndOfNext {
                // The next commit would make good what has become of the offsets.
                break;
            }
            self.until_committed(steps)?;
        }
        self.until_committed(steps)?;
        self.application.stop()?;
        // A start compares what the last commit has recorded.
        self.feed(steps);
        self.until_committed(steps + 1)?;
        self.application.stop()?;
        Ok(steps + 1)
    }

    /// What became of it, for the table.
    fn end(mut self) -> String {
        let (worked, id) = (self.work(), &self.case.id);
        assert_eq!(self.hits(0), 1, "{id} was not struck");
        assert_eq!(self.answers.is_some(), self.case.late.is_some(), "{id}: nothing was late");
        let ended = match worked {
            Ok(steps) => {
                known::compare(&self.place.kafka.client(), id, steps);
                Ends::Exact
            }
            Err(refusal) => {
                // It does not go on by being started again.
                let again = self.wait("it stops again", |_| false).unwrap_err();
                assert_eq!(again, refusal, "{id}");
                match refusal {
                    Refusal::TornTransaction { .. } => Ends::TornTransaction,
                    Refusal::OffsetsDiffer { moved_by_hand: false, .. } => Ends::OffsetsDiffer,
                    _ => panic!("{id}: {refusal}"),
                }
            }
        };
        assert_eq!(ended, self.case.ends, "{id}");
        let Application { restarts, replaced, .. } = &self.application;
        let answers = self.answers.unwrap_or_default();
        if self.case.late == Some(Moment::AfterNextForLong) {
            assert!(replaced.contains(&"fenced"), "{id}: {replaced:?}");
        }
        if self.case.is_fenced {
            assert!(answers.iter().all(|answer| super::FENCED.contains(answer)), "{id}: {answers:?}");
        }
        format!("{ended:?}, replaced {replaced:?}, started again {restarts:?}, late {answers:?}")
    }
}

#[test]
fn whatever_becomes_of_a_request_the_result_is_exact_or_the_tear_is_named() {
    let (kafka, proxy, _turn) = super::kafka();
    let scratch = Scratch::new("matrix").unwrap();
    let cases = cases::all();
    proxy.set_rules(cases.iter().flat_map(|case| case.rules.clone()));
    let firsts = cases.iter().scan(0, |next, case| Some(std::mem::replace(next, *next + case.rules.len())));
    // The long ones come first.
    let waiting: Vec<_> = cases.iter().zip(firsts).collect();
    let waiting = Mutex::new(waiting.into_iter().rev());
    let ended = Mutex::new(Vec::new());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let place = Place { kafka, proxy, scratch: &scratch, writer: kafka.client().writer().unwrap() };
                loop {
                    let next = waiting.lock().unwrap().next();
                    let Some((case, rule)) = next else { return };
                    let begun = Instant::now();
                    let end = catch_unwind(AssertUnwindSafe(|| Run::new(case, rule, &place).end()));
                    ended.lock().unwrap().push((rule, case, end.ok(), begun.elapsed()));
                }
            });
        }
    });
    proxy.set_rules([]);
    let mut ended = ended.into_inner().unwrap();
    ended.sort_by_key(|(rule, ..)| *rule);
    println!(
        "{} cases in {:.1} s; late: the broker's answers to what was late",
        ended.len(),
        begun.elapsed().as_secs_f64()
    );
    for (_, case, end, took) in &ended {
        let end = end.as_deref().unwrap_or("WRONG");
        println!("{:<20} {:<36} {:>4.1} s  {end}", case.request, case.fault, took.as_secs_f64());
    }
    let wrong: Vec<_> = ended.iter().filter(|(.., end, _)| end.is_none()).map(|(_, case, ..)| &case.id).collect();
    assert!(wrong.is_empty() && ended.len() == cases.len(), "{} of {}: {wrong:?}", wrong.len(), cases.len());
}
