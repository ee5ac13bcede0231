//! The calls of a producer that wait for brokers, made on a thread of its own. The stream thread processes ahead meanwhile,
//! and is not held for ever by a call that pays no heed to its time-out (librdkafka#5456, #5511).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::ffi::{Failure, Topic};
use crate::broker::Membership;
use crate::record::ProducerRecord;

/// How much longer than its own time-out a call may take before it is given up: librdkafka answers with its time-out.
const GRACE: Duration = Duration::from_secs(2);

/// What is called: librdkafka, or a stand-in of a test.
pub(super) trait Waiting: Send + 'static {
    /// Waits until everything that was sent is in its log, and then sends these.
    fn deliver(&self, last: &[Last], timeout: Duration) -> Result<(), Failure>;

    /// Puts offsets into the transaction.
    fn send_offsets(&self, offsets: &Offsets) -> Result<(), Failure>;

    /// Ends the transaction.
    fn commit(&self, timeout: Duration) -> Result<(), (Step, Failure)>;
}

/// What goes into the transaction, and for whom.
pub(super) struct Offsets {
    pub(super) list: TopicPartitionList,
    pub(super) group_id: String,
    pub(super) instance_id: String,
    pub(super) membership: Membership,
    pub(super) timeout: Duration,
}

/// A record that says that others are there.
pub(super) struct Last {
    pub(super) topic: Arc<Topic>,
    /// Comes back with its delivery report.
    pub(super) tag: usize,
    pub(super) record: ProducerRecord,
}

/// One or more, in this order.
#[derive(Default)]
pub(super) struct Job {
    pub(super) last: Vec<Last>,
    pub(super) offsets: Option<Offsets>,
    /// The time-out of the commit; together with offsets that of both.
    pub(super) commit: Option<Duration>,
}

/// How far a job came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A record was not delivered: nothing is committed.
    Records,
    /// The offsets were refused or did not get through: nothing is committed.
    Offsets,
    /// The end of the transaction was refused: nothing is committed, unless the code says otherwise.
    Commit,
    /// The end of the transaction was asked for, and nobody has answered.
    Unanswered,
}

type Ended = Result<(), (Step, Failure)>;

/// The thread, and what is known of the job that it does.
pub(super) struct Calls {
    jobs: Option<Sender<Job>>,
    answers: Receiver<Ended>,
    shared: Arc<Shared>,
    /// When the job under way is given up.
    deadline: Option<Instant>,
}

struct Shared {
    progress: Mutex<Progress>,
    /// Nobody waits any more: no further step may be begun.
    given_up: AtomicBool,
}

/// How far the last job has come.
#[derive(Clone, Copy)]
struct Progress {
    step: Step,
    /// How long its offsets took, if it had some.
    offsets_took: Option<Duration>,
}

impl Calls {
    /// `after` is run on the thread when its last call has returned.
    pub(super) fn start<W: Waiting>(
        name: &str,
        waiting: W,
        after: impl FnOnce() + Send + 'static,
    ) -> Result<Self, std::io::Error> {
        let (jobs, todo) = channel::<Job>();
        let (done, answers) = channel();
        let progress = Mutex::new(Progress { step: Step::Records, offsets_took: None });
        let shared = Arc::new(Shared { progress, given_up: AtomicBool::new(false) });
        let of_thread = Arc::clone(&shared);
        let work = move || {
            for job in todo {
                if done.send(of_thread.run(&waiting, job)).is_err() {
                    break;
                }
            }
            drop(waiting);
            after();
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), answers, shared, deadline: None })
    }

    /// Hands a job over. The one before must have ended.
    pub(super) fn begin(&mut self, job: Job) -> Result<(), Failure> {
        let of_offsets = job.offsets.as_ref().map(|offsets| offsets.timeout);
        let limit = job.commit.or(of_offsets).unwrap_or_default() + GRACE;
        let busy = self.deadline.is_some() || self.shared.given_up.load(Ordering::Acquire);
        let sent = self.jobs.as_ref().filter(|_| !busy).is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            return Err(Failure::of(Code::State));
        }
        self.deadline = Some(Instant::now() + limit);
        Ok(())
    }

    /// How the job has ended; `None` when it has not, after waiting for at most `wait`.
    pub(super) fn end(&mut self, wait: Duration) -> Option<Ended> {
        let Some(deadline) = self.deadline else { return Some(Err((Step::Offsets, Failure::of(Code::State)))) };
        let left = deadline.saturating_duration_since(Instant::now());
        let ended = match self.answers.recv_timeout(wait.min(left)) {
            Ok(ended) => ended,
            Err(RecvTimeoutError::Timeout) if wait < left => return None,
            Err(_) => Err((self.give_up(), abandoned())),
        };
        self.deadline = None;
        Some(ended)
    }

    /// How long the offsets of the last job took, if it had some.
    pub(super) fn offsets_took(&self) -> Option<Duration> {
        self.shared.progress().offsets_took
    }

    /// How the job has ended, however long it takes.
    pub(super) fn wait(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.end(Duration::MAX) {
                return ended;
            }
        }
    }

    /// The thread and its client are left to themselves: whatever they still send is fenced by the next producer.
    fn give_up(&self) -> Step {
        self.shared.given_up.store(true, Ordering::Release);
        match self.shared.progress().step {
            step @ (Step::Records | Step::Offsets) => step,
            Step::Commit | Step::Unanswered => Step::Unanswered,
        }
    }
}

impl Drop for Calls {
    /// Does not wait: the thread ends when its call returns.
    fn drop(&mut self) {
        self.shared.given_up.store(true, Ordering::Release);
        self.jobs = None;
    }
}

impl Shared {
    fn run(&self, waiting: &impl Waiting, job: Job) -> Ended {
        let (begun, mut took) = (Instant::now(), None);
        self.reach(Step::Records, None);
        // Offsets, too, say that everything before them is there.
        if let (Some(_), Some(limit)) = (&job.offsets, job.commit) {
            waiting.deliver(&job.last, limit).map_err(|failure| (Step::Records, failure))?;
        }
        self.reach(Step::Offsets, None);
        let offsets_begun = Instant::now();
        if let Some(offsets) = job.offsets {
            // Handed over before its producer was dropped.
            if self.given_up.load(Ordering::Acquire) {
                return Err((Step::Offsets, abandoned()));
            }
            waiting.send_offsets(&offsets).map_err(|failure| (Step::Offsets, failure))?;
            took = Some(offsets_begun.elapsed());
            self.reach(Step::Offsets, took);
            crate::failpoint!("commit.inside_end_txn", if job.commit.is_some());
        }
        let Some(timeout) = job.commit else { return Ok(()) };
        self.reach(Step::Commit, took);
        // After the step is told: who gives up in between takes it for begun, and asks the broker what became of it.
        if self.given_up.load(Ordering::Acquire) {
            return Err((Step::Offsets, abandoned()));
        }
        waiting.commit(timeout.saturating_sub(begun.elapsed()))
    }

    fn reach(&self, step: Step, offsets_took: Option<Duration>) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = Progress { step, offsets_took };
    }

    fn progress(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn abandoned() -> Failure {
    Failure {
        reason: "the client did not come back long after its time-out (librdkafka#5456, #5511); it is left behind"
            .into(),
        ..Failure::of(Code::OperationTimedOut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls that return when the test says so.
    struct Held {
        offsets: Receiver<()>,
        commit: Receiver<()>,
        committed: Sender<()>,
    }

    impl Waiting for Held {
        fn deliver(&self, _: &[Last], _: Duration) -> Result<(), Failure> {
            Ok(())
        }

        fn send_offsets(&self, _: &Offsets) -> Result<(), Failure> {
            self.offsets.recv().map_err(|_| Failure::of(Code::Fail))
        }

        fn commit(&self, _: Duration) -> Result<(), (Step, Failure)> {
            self.committed.send(()).map_err(|_| (Step::Commit, Failure::of(Code::Fail)))?;
            self.commit.recv().map_err(|_| (Step::Commit, Failure::of(Code::Fail)))
        }
    }

    struct Fixture {
        calls: Calls,
        offsets: Sender<()>,
        commit: Sender<()>,
        committed: Receiver<()>,
        gone: Receiver<()>,
    }

    fn fixture() -> Fixture {
        let (offsets, held_offsets) = channel();
        let (commit, held_commit) = channel();
        let (tell, committed) = channel();
        let (left, gone) = channel();
        let held = Held { offsets: held_offsets, commit: held_commit, committed: tell };
        let calls = Calls::start("calls", held, move || left.send(()).unwrap()).unwrap();
        Fixture { calls, offsets, commit, committed, gone }
    }

    fn offsets() -> Offsets {
        Offsets {
            list: TopicPartitionList::new(),
            group_id: "g".into(),
            instance_id: "i".into(),
            membership: Membership { generation: 1, member_id: "m".into() },
            timeout: LONG,
        }
    }

    const LONG: Duration = Duration::from_mins(1);

    /// As if its time had passed.
    fn expire(calls: &mut Calls) {
        calls.deadline = Some(Instant::now());
    }

    #[test]
    fn a_job_ends_when_both_of_its_steps_have() {
        let mut it = fixture();
        it.calls.begin(Job { offsets: Some(offsets()), commit: Some(LONG), ..Job::default() }).unwrap();
        assert!(it.calls.end(Duration::ZERO).is_none());
        assert!(it.calls.begin(Job::default()).is_err(), "one at a time");
        it.offsets.send(()).unwrap();
        it.committed.recv().unwrap();
        assert!(it.calls.end(Duration::ZERO).is_none());
        it.commit.send(()).unwrap();
        assert!(it.calls.wait().is_ok());
        it.calls.begin(Job { offsets: Some(offsets()), ..Job::default() }).unwrap();
        it.offsets.send(()).unwrap();
        assert!(it.calls.wait().is_ok());
    }

    #[test]
    fn a_call_that_never_comes_back_is_given_up_and_nothing_follows_it() {
        let mut it = fixture();
        it.calls.begin(Job { offsets: Some(offsets()), commit: Some(LONG), ..Job::default() }).unwrap();
        expire(&mut it.calls);
        let (step, failure) = it.calls.end(Duration::ZERO).unwrap().unwrap_err();
        // The thread may not have come to it yet.
        assert!(matches!(step, Step::Records | Step::Offsets), "{step:?}");
        assert_eq!(failure.code, Code::OperationTimedOut);
        assert!(it.calls.begin(Job::default()).is_err(), "its client is not used again");
        // It comes back after all, much later.
        it.offsets.send(()).unwrap();
        drop(it.calls);
        it.gone.recv().unwrap();
        assert!(it.committed.try_recv().is_err(), "nothing was committed behind the back of whoever gave up");
    }

    #[test]
    fn a_commit_that_never_comes_back_may_have_happened() {
        let mut it = fixture();
        it.calls.begin(Job { commit: Some(LONG), ..Job::default() }).unwrap();
        it.committed.recv().unwrap();
        expire(&mut it.calls);
        assert_eq!(it.calls.end(LONG).unwrap().unwrap_err().0, Step::Unanswered);
    }

    #[test]
    fn whoever_goes_does_not_wait_for_a_call() {
        let mut it = fixture();
        it.calls.begin(Job { offsets: Some(offsets()), ..Job::default() }).unwrap();
        drop(it.calls);
        assert!(it.gone.try_recv().is_err(), "the client is kept as long as somebody is in it");
        it.offsets.send(()).unwrap();
        it.gone.recv().unwrap();
    }
}
