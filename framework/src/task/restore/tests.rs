//! What each finding decides.
#![allow(clippy::unnecessary_wraps, reason = "the helpers make values as the functions under test take them")]

use super::*;
use crate::record::Partition;
use crate::state::DELETE_RETENTION;
use crate::task::metadata::RESET;

const TASK: TaskId = TaskId { subtopology: 1, partition: Partition(0) };

fn tp(topic: &str) -> TopicPartition {
    TopicPartition::new(topic, Partition(0))
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

fn ours(next: i64, sequence: u64) -> Option<CommittedOffset> {
    let metadata = CommitMetadata { sequence, stream_time: Timestamp::NONE, log: None, topic: None }.encode();
    Some(CommittedOffset { next: Offset(next), metadata })
}

fn by_hand(next: i64) -> Option<CommittedOffset> {
    Some(CommittedOffset { next: Offset(next), metadata: String::new() })
}

fn by_reset(next: i64) -> Option<CommittedOffset> {
    Some(CommittedOffset { next: Offset(next), metadata: RESET.to_owned() })
}

fn group(offset: Option<CommittedOffset>) -> Committed {
    BTreeMap::from([(tp("in"), offset)])
}

fn stored(changelog: i64) -> Checkpoint {
    Checkpoint {
        changelog: BTreeMap::from([(tp("log"), Offset(changelog))]),
        partitions: 1,
        owned_until: now(),
        topic_ids: BTreeMap::from([("log".into(), TopicId([1; 16]))]),
        ..Checkpoint::default()
    }
}

fn decide(
    checkpoint: &Checkpoint,
    committed: &Committed,
    change: impl FnOnce(&mut Facts<'_>),
) -> Result<Plan, Refusal> {
    decide_with(checkpoint, committed, &BTreeMap::from([(TopicName::from("log"), TopicId([1; 16]))]), change)
}

fn decide_with(
    checkpoint: &Checkpoint,
    committed: &Committed,
    topic_ids: &BTreeMap<TopicName, TopicId>,
    change: impl FnOnce(&mut Facts<'_>),
) -> Result<Plan, Refusal> {
    decide_from(0, (checkpoint, committed), topic_ids, change)
}

/// With a changelog that begins at `start`.
fn decide_from(
    start: i64,
    (checkpoint, committed): (&Checkpoint, &Committed),
    topic_ids: &BTreeMap<TopicName, TopicId>,
    change: impl FnOnce(&mut Facts<'_>),
) -> Result<Plan, Refusal> {
    let ranges = BTreeMap::from([(tp("log"), LogRange { start: Offset(start), end: Offset(50) })]);
    let log = TopicName::from("log");
    let mut facts = Facts {
        checkpoint,
        committed,
        ranges: &ranges,
        topic_ids,
        log: &log,
        partitions: 1,
        topology_hash: 0,
        stateful: true,
        tombstones: DELETE_RETENTION,
        check_age: true,
        check_clock: true,
        now: now(),
    };
    change(&mut facts);
    plan(TASK, &facts)
}

fn replay_from(offset: i64) -> Result<Plan, Refusal> {
    Ok(Plan::Replay(BTreeMap::from([(tp("log"), Offset(offset))])))
}

#[test]
fn a_store_goes_on_from_its_own_offset_and_a_new_one_from_the_start() {
    assert_eq!(decide(&stored(30), &group(None), |_| {}), replay_from(30));
    assert_eq!(decide(&Checkpoint::default(), &group(None), |_| {}), replay_from(0));
}

/// It may be the one place that has what the log has lost.
#[test]
fn a_store_past_the_logs_end_is_set_aside() {
    for hours in [0, 13] {
        let later = |facts: &mut Facts<'_>| facts.now = now().plus(Duration::from_hours(hours));
        assert!(matches!(decide(&stored(51), &group(None), later), Ok(Plan::Quarantine(_))), "after {hours} hours");
    }
    assert_eq!(decide(&stored(50), &group(None), |_| {}), replay_from(50));
}

/// log: … commit(7) at 28 │ C │ what was written since. A log that was cut behind it need not have it any more.
#[test]
fn a_store_reads_its_last_commit_record_again_and_refuses_a_log_that_does_not_have_it() {
    let stored = Checkpoint { sequence: 7, record: Some(Offset(28)), ..stored(30) };
    assert_eq!(decide(&stored, &group(ours(9, 7)), |_| {}), replay_from(28));
    let ids = BTreeMap::from([(TopicName::from("log"), TopicId([1; 16]))]);
    assert_eq!(decide_from(29, (&stored, &group(ours(9, 7))), &ids, |_| {}), replay_from(30));
    let (committed, ends) = (group(ours(9, 7)), BTreeMap::new());
    let told = |tail: &LogTail, recorded| {
        let (topic_ids, checkpoint) =
            (&BTreeMap::new(), &Checkpoint { input: [(tp("in"), Offset(9))].into(), ..stored.clone() });
        let evidence =
            Evidence { checkpoint, committed: &committed, tail, stateful: true, ends: &ends, recorded, topic_ids };
        reconcile(TASK, evidence)
    };
    let of = |sequence| LogTail { begin: None, commit: commit(sequence, 9), values: None };
    let lost = || Err(Refusal::CommitRecordLost { task: TASK, sequence: 7 });
    assert_eq!(told(&LogTail::default(), Some(7)), lost());
    assert_eq!(told(&of(6), Some(7)), lost());
    assert!(told(&of(7), Some(7)).is_ok() && told(&of(8), Some(7)).is_ok());
    assert!(told(&LogTail::default(), None).is_ok(), "it was not read from there");
}

/// Compaction leaves the start of a log where it is: somebody has deleted records.
#[test]
fn a_changelog_that_was_cut_gives_no_state_that_the_disk_does_not_have() {
    let ids = BTreeMap::from([(TopicName::from("log"), TopicId([1; 16]))]);
    let decide = |checkpoint: &Checkpoint, group: &Committed| decide_from(10, (checkpoint, group), &ids, |_| {});
    let cut = Err(Refusal::ChangelogCut { task: TASK, partition: tp("log"), start: Offset(10) });
    let seventh = |changelog| Checkpoint { sequence: 7, ..stored(changelog) };
    for group in [group(None), group(ours(9, 7))] {
        assert_eq!(decide(&Checkpoint::default(), &group), cut, "an empty disk");
        assert_eq!(decide(&seventh(30), &group), replay_from(30), "what was cut is on disk");
        assert_eq!(decide(&seventh(51), &group), cut, "nothing is removed that cannot be restored");
    }
    assert_eq!(decide(&seventh(9), &group(ours(9, 8))), cut, "another commit lay there");
    assert_eq!(decide(&seventh(9), &group(None)), cut, "nobody knows what lay there");
    assert_eq!(decide(&seventh(9), &group(ours(9, 7))), replay_from(10), "markers alone lay there");
    let in_memory = Checkpoint { changelog: BTreeMap::new(), ..seventh(9) };
    assert_eq!(decide(&in_memory, &group(ours(9, 7))), cut, "the rows of a store in memory are nowhere else");
}

#[test]
fn a_store_that_was_away_for_half_the_tombstones_life_is_wiped() {
    let away =
        |hours: u64| decide(&stored(30), &group(None), |facts| facts.now = now().plus(Duration::from_hours(hours)));
    assert_eq!(away(12), replay_from(30));
    assert!(matches!(away(13), Ok(Plan::Wipe(_))));
    // The topic's own setting, where it is known.
    let kept_for_four_days = |hours: u64| {
        decide(&stored(30), &group(None), |facts| {
            facts.tombstones = Duration::from_hours(4 * 24);
            facts.now = now().plus(Duration::from_hours(hours));
        })
    };
    assert_eq!(kept_for_four_days(48), replay_from(30));
    assert!(matches!(kept_for_four_days(49), Ok(Plan::Wipe(_))));
}

#[test]
fn a_store_from_the_future_is_wiped_unless_this_process_has_owned_it_all_along() {
    let future = Checkpoint { owned_until: now().plus(Duration::from_hours(2)), ..stored(30) };
    assert!(matches!(decide(&future, &group(None), |_| {}), Ok(Plan::Wipe(_))));
    assert_eq!(decide(&future, &group(None), |facts| facts.check_age = false), replay_from(30));
}

#[test]
fn a_commit_record_of_a_recreated_changelog_is_refused() {
    let ids = |byte| BTreeMap::from([(TopicName::from("log"), TopicId([byte; 16]))]);
    let record = commit(4, 9).map(|record| CommitRecord { topic_ids: ids(1), ..record });
    let tail = LogTail { begin: None, commit: record, values: None };
    let told = |now: &_| judge(&Checkpoint::default(), &group(ours(9, 4)), &tail, true, now);
    assert!(told(&ids(1)).is_ok());
    assert_eq!(told(&ids(2)), Err(Refusal::ChangelogRecreated { task: TASK, topic: "log".into() }));
}

#[test]
fn a_store_that_was_never_owned_is_not_wiped_for_its_age() {
    let fresh = Checkpoint { owned_until: Timestamp::default(), ..stored(30) };
    assert_eq!(decide(&fresh, &group(None), |_| {}), replay_from(30));
}

#[test]
fn a_recreated_changelog_stops_when_input_is_committed_and_is_set_aside_otherwise() {
    let other = BTreeMap::from([(TopicName::from("log"), TopicId([2; 16]))]);
    let checkpoint = stored(30);
    let committed = group(ours(5, 1));
    let ranges = BTreeMap::from([(tp("log"), LogRange { start: Offset(0), end: Offset(50) })]);
    let log = TopicName::from("log");
    let facts = |committed| Facts {
        checkpoint: &checkpoint,
        committed,
        ranges: &ranges,
        topic_ids: &other,
        log: &log,
        partitions: 1,
        topology_hash: 0,
        stateful: true,
        tombstones: DELETE_RETENTION,
        check_age: true,
        check_clock: true,
        now: now(),
    };
    assert!(matches!(plan(TASK, &facts(&committed)), Err(Refusal::ChangelogRecreated { .. })));
    assert!(matches!(plan(TASK, &facts(&group(None))), Ok(Plan::Quarantine(_))));
}

/// What another machine has kept from before the reset must not be taken for state of the new beginning, whatever shape it has.
#[test]
fn after_a_reset_rows_of_a_deleted_changelog_are_set_aside() {
    let other = BTreeMap::from([(TopicName::from("log"), TopicId([2; 16]))]);
    let reset = Ok(Plan::Quarantine("the application was reset"));
    for (partitions, topology_hash) in [(1, 0), (2, 0), (1, 7)] {
        let plan = decide_with(&stored(30), &group(by_reset(5)), &other, |facts| {
            (facts.partitions, facts.topology_hash) = (partitions, topology_hash);
        });
        assert_eq!(plan, reset);
    }
    let ours = decide_with(&stored(30), &group(ours(5, 1)), &other, |_| {});
    assert!(matches!(ours, Err(Refusal::ChangelogRecreated { .. })), "{ours:?}");
    // Others have committed since, to the changelog that is there now: the group says so.
    let since = |topic| {
        let metadata = CommitMetadata { sequence: 1, stream_time: Timestamp::NONE, log: None, topic: Some(topic) };
        group(Some(CommittedOffset { next: Offset(5), metadata: metadata.encode() }))
    };
    assert_eq!(decide_with(&stored(30), &since(TopicId([2; 16])), &other, |_| {}), reset);
    let deleted_under_them = decide_with(&stored(30), &since(TopicId([1; 16])), &other, |_| {});
    assert!(matches!(deleted_under_them, Err(Refusal::ChangelogRecreated { .. })), "{deleted_under_them:?}");
    let same = BTreeMap::from([(TopicName::from("log"), TopicId([1; 16]))]);
    assert_eq!(decide_with(&stored(30), &since(TopicId([1; 16])), &same, |_| {}), replay_from(30));
    let not_deleted = verdict(by_reset(5), &LogTail { begin: None, commit: commit(3, 9), values: None }, true);
    assert!(matches!(not_deleted, Err(Refusal::OffsetsDiffer { moved_by_hand: true, .. })), "{not_deleted:?}");
}

#[test]
fn a_reset_application_begins_at_its_offsets_without_state() {
    for stateful in [true, false] {
        let Ok(Verdict::Resume(resume)) = verdict(by_reset(9), &LogTail::default(), stateful) else {
            panic!("refused: stateful={stateful}")
        };
        assert_eq!((resume.sequence, resume.input), (0, BTreeMap::from([(tp("in"), Some(Offset(9)))])));
    }
}

#[test]
fn other_partitions_and_other_stores_are_refused() {
    let partitions = decide(&stored(30), &group(None), |facts| facts.partitions = 2);
    assert_eq!(partitions, Err(Refusal::PartitionsChanged { task: TASK, before: 1, now: 2 }));
    let stores = decide(&stored(30), &group(None), |facts| facts.topology_hash = 7);
    assert_eq!(stores, Err(Refusal::TopologyChanged { task: TASK }));
}

#[test]
fn a_task_without_stores_reads_its_log_from_the_hint_alone() {
    let metadata =
        CommitMetadata { sequence: 3, stream_time: Timestamp::NONE, log: Some(Offset(40)), topic: None }.encode();
    let committed = group(Some(CommittedOffset { next: Offset(5), metadata }));
    assert_eq!(decide(&Checkpoint::default(), &committed, |facts| facts.stateful = false), replay_from(40));
    assert_eq!(decide(&Checkpoint::default(), &committed, |_| {}), replay_from(0), "stores need everything");
}

fn commit(sequence: u64, next: i64) -> Option<CommitRecord> {
    Some(CommitRecord { sequence, input: BTreeMap::from([(tp("in"), Offset(next))]), ..CommitRecord::default() })
}

fn judge(
    checkpoint: &Checkpoint,
    committed: &Committed,
    tail: &LogTail,
    stateful: bool,
    topic_ids: &BTreeMap<TopicName, TopicId>,
) -> Result<Verdict, Refusal> {
    let ends = BTreeMap::from([(tp("log"), Offset(50)), (tp("second"), Offset(80))]);
    reconcile(TASK, Evidence { checkpoint, committed, tail, stateful, ends: &ends, recorded: None, topic_ids })
}

fn verdict(offset: Option<CommittedOffset>, tail: &LogTail, stateful: bool) -> Result<Verdict, Refusal> {
    judge(&Checkpoint::default(), &group(offset), tail, stateful, &BTreeMap::new())
}

#[test]
fn a_commit_record_that_agrees_with_the_group_is_verified() {
    let tail = LogTail { begin: Some(BeginRecord { sequence: 4 }), commit: commit(4, 9), values: None };
    let Ok(Verdict::Resume(resume)) = verdict(ours(9, 4), &tail, true) else { panic!("refused") };
    assert!(resume.verified);
    assert_eq!((resume.sequence, resume.input), (4, BTreeMap::from([(tp("in"), Some(Offset(9)))])));
}

#[test]
fn a_commit_with_more_rows_than_its_changelog_has_is_refused() {
    let record = commit(4, 9).map(|record| CommitRecord { records: 9, values: Some(7), ..record });
    let found = |values| {
        let tail = LogTail { begin: Some(BeginRecord { sequence: 4 }), commit: record.clone(), values };
        verdict(ours(9, 4), &tail, true).map(drop)
    };
    let missing = Refusal::RowsMissing { task: TASK, sequence: 4, recorded: 7, found: 6 };
    assert_eq!(found(Some(6)), Err(missing));
    // A row that is there twice is no harm, and where the replay began behind the begin record nothing was counted.
    assert_eq!([found(Some(7)), found(Some(8)), found(None)], [Ok(()), Ok(()), Ok(())]);
}

#[test]
fn a_changelog_that_ends_before_the_last_commit_s_rows_is_refused() {
    let ended = |end| {
        let ends = BTreeMap::from([(tp("second"), Offset(end))]);
        let tail = LogTail { commit: commit(4, 9).map(|record| CommitRecord { ends, ..record }), ..LogTail::default() };
        verdict(ours(9, 4), &tail, true).map(drop)
    };
    assert_eq!(ended(80), Ok(()));
    let (partition, recorded, end) = (tp("second"), Offset(81), Offset(80));
    let shortened = Refusal::ChangelogShortened { task: TASK, partition, recorded, end };
    assert!(shortened.may_be_outdated(), "a successor may have committed between the two reads");
    assert_eq!(ended(81), Err(shortened));
}

#[test]
fn a_begin_record_without_its_commit_record_is_a_torn_transaction() {
    // log: begin(4) … commit(4) C | begin(5) output C(delayed)   and then the process died
    let tail = LogTail { begin: Some(BeginRecord { sequence: 5 }), commit: commit(4, 9), values: None };
    for stateful in [true, false] {
        let torn = Err(Refusal::TornTransaction { task: TASK, sequence: 5 });
        assert_eq!(verdict(ours(9, 4), &tail, stateful), torn);
    }
}

#[test]
fn a_torn_transaction_without_state_is_accepted_by_hand() {
    let tail = LogTail { begin: Some(BeginRecord { sequence: 5 }), commit: commit(4, 9), values: None };
    let Ok(Verdict::Resume(resume)) = verdict(by_hand(9), &tail, false) else { panic!("refused") };
    assert_eq!((resume.sequence, resume.input), (5, BTreeMap::from([(tp("in"), Some(Offset(9)))])));
    assert!(verdict(by_hand(9), &tail, true).is_err(), "its rows may be half written");
    let first = LogTail { begin: Some(BeginRecord { sequence: 1 }), commit: None, values: None };
    assert!(verdict(by_hand(0), &first, false).is_ok());
}

#[test]
fn an_input_that_was_made_again_is_refused_unless_a_person_says_where_to_go_on() {
    let ids = |byte| BTreeMap::from([(TopicName::from("in"), TopicId([byte; 16]))]);
    let tail =
        LogTail { begin: None, commit: commit(4, 9).map(|r| CommitRecord { topic_ids: ids(1), ..r }), values: None };
    let told = |offset, stateful, now| judge(&Checkpoint::default(), &group(offset), &tail, stateful, &ids(now));
    let refused = Err(Refusal::InputRecreated { task: TASK, topic: "in".into() });
    assert!(told(ours(9, 4), false, 1).is_ok());
    assert_eq!(told(ours(9, 4), false, 2), refused);
    assert_eq!(told(None, false, 2), refused, "Kafka deletes the offsets of a deleted topic");
    assert!(told(by_hand(0), false, 2).is_ok());
    let stored = Checkpoint { input: BTreeMap::from([(tp("in"), Offset(9))]), topic_ids: ids(1), ..stored(30) };
    let planned = |offset, now| decide_with(&stored, &group(offset), &ids(now), |_| {});
    assert!(planned(ours(9, 4), 1).is_ok());
    assert_eq!(planned(None, 2), Err(Refusal::InputRecreated { task: TASK, topic: "in".into() }));
    let all: BTreeMap<_, _> = ["in", "log"].map(|topic| (topic.into(), TopicId([1; 16]))).into();
    let reset = decide_with(&Checkpoint { topic_ids: all.clone(), ..stored.clone() }, &group(None), &all, |_| {});
    assert_eq!(reset, replay_from(30));
    let others: BTreeMap<_, _> = ["in", "log"].map(|topic| (topic.into(), TopicId([2; 16]))).into();
    let reset = decide_with(&Checkpoint { topic_ids: all, ..stored }, &group(None), &others, |_| {});
    assert!(matches!(reset, Ok(Plan::Quarantine(_))), "everything was made again: {reset:?}");
}

#[test]
fn offsets_moved_by_hand_stop_a_task_with_state_and_move_one_without() {
    let tail = LogTail { begin: None, commit: commit(4, 9), values: None };
    let refused = verdict(by_hand(2), &tail, true);
    assert!(matches!(refused, Err(Refusal::OffsetsDiffer { moved_by_hand: true, .. })));
    let Ok(Verdict::Resume(resume)) = verdict(by_hand(2), &tail, false) else { panic!("refused") };
    assert_eq!(resume.input, BTreeMap::from([(tp("in"), Some(Offset(2)))]));
    assert!(!resume.verified);
}

#[test]
fn offsets_of_ours_that_differ_always_stop() {
    let tail = LogTail { begin: None, commit: commit(4, 9), values: None };
    for stateful in [true, false] {
        let refused = verdict(ours(8, 3), &tail, stateful);
        assert!(matches!(refused, Err(Refusal::OffsetsDiffer { moved_by_hand: false, .. })));
    }
}

#[test]
fn missing_offsets_are_asked_for_again_and_then_taken_from_the_record() {
    let tail = LogTail { begin: None, commit: commit(4, 9), values: None };
    let Ok(Verdict::OffsetsMissing(resume)) = verdict(None, &tail, true) else { panic!("not missing") };
    assert_eq!(resume.input, BTreeMap::from([(tp("in"), Some(Offset(9)))]));
}

#[test]
fn a_first_start_has_nothing_and_a_lost_log_is_refused() {
    let Ok(Verdict::Resume(first)) = verdict(None, &LogTail::default(), true) else { panic!("refused") };
    assert_eq!((first.sequence, first.input), (0, BTreeMap::from([(tp("in"), None)])));
    let metadata =
        CommitMetadata { sequence: 4, stream_time: Timestamp::NONE, log: None, topic: Some(TopicId([1; 16])) };
    let with_stores = || Some(CommittedOffset { next: Offset(9), metadata: metadata.encode() });
    let missing = Err(Refusal::CommitRecordMissing { task: TASK });
    let changed = Err(Refusal::TopologyChanged { task: TASK });
    assert_eq!(verdict(with_stores(), &LogTail::default(), true), missing);
    assert_eq!(verdict(ours(9, 4), &LogTail::default(), false), missing);
    assert_eq!(verdict(with_stores(), &LogTail::default(), false), changed, "its last store is gone");
    assert_eq!(verdict(ours(9, 4), &LogTail::default(), true), changed, "it has its first store");
    assert_eq!(verdict(by_hand(9), &LogTail::default(), true), Err(Refusal::ForeignOffsets { task: TASK }));
    assert!(matches!(verdict(by_hand(9), &LogTail::default(), false), Ok(Verdict::Resume(_))));
}

#[test]
fn a_checkpoint_past_the_replayed_record_counts() {
    let checkpoint =
        Checkpoint { sequence: 7, input: BTreeMap::from([(tp("in"), Offset(20))]), ..Checkpoint::default() };
    let tail = LogTail { begin: None, commit: commit(6, 15), values: None };
    let verdict = judge(&checkpoint, &group(ours(20, 7)), &tail, true, &BTreeMap::new());
    assert!(matches!(verdict, Ok(Verdict::Resume(Resume { sequence: 7, verified: true, .. }))));
}
