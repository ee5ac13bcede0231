use std::collections::BTreeSet;
use std::time::Duration;

use millpond::broker::TopicId;
use millpond::broker::kafka::{Replicas, Resource, Right, Settings};
use millpond::record::{Partition, TaskId};
use millpond::runtime::config::StreamsConfig;
use millpond::state::rocksdb::{Options, RocksDirectory};
use millpond::state::{Checkpoint, CommitBatch, StateDirectory, StoreError, StoreKind, StoreSpec};
use millpond::time::Timestamp;
use millpond::topology::InternalTopicKind as Kind;

use super::age::{self, Kept};
use super::{machine, rights, settings};
use crate::cli::Failure;
use crate::finding::{Finding, Health};

fn settings_of(pairs: &[(&str, &str)]) -> Settings {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn codes(findings: &[Finding]) -> Vec<(&'static str, Health)> {
    let bad = findings.iter().filter(|finding| finding.health != Health::Fine);
    bad.inspect(|finding| assert!(finding.fix.len() > 10, "it says what to do: {finding:?}"))
        .map(|finding| (finding.code, finding.health))
        .collect()
}

#[test]
fn a_node_that_does_not_fit_the_configuration_is_named() {
    let config = StreamsConfig::new("shop", "b:1", "/s");
    let node = |pairs: &[(&str, &str)]| codes(&settings::node(1, &settings_of(pairs), &config));
    let good = [("transaction.max.timeout.ms", "900000"), ("group.min.session.timeout.ms", "6000")];
    assert_eq!(node(&good), []);
    assert_eq!(node(&[("transaction.max.timeout.ms", "9999")]), [("transaction-timeout", Health::Broken)]);
    assert_eq!(node(&[("group.min.session.timeout.ms", "10001")]), [("session-timeout", Health::Broken)]);
    assert_eq!(node(&[("group.max.session.timeout.ms", "9999")]), [("session-timeout", Health::Broken)]);
    assert_eq!(node(&[("unclean.leader.election.enable", "true")]), [("unclean-leader-election", Health::Broken)]);
}

#[test]
fn versions_are_read_from_settings() {
    for (said, health) in [("3.9-IV0", Health::Fine), ("3.1", Health::Fine), ("2.8-IV1", Health::Broken)] {
        let finding = settings::version(1, &settings_of(&[("inter.broker.protocol.version", said)]));
        assert_eq!(finding.health, health, "{finding:?}");
    }
    assert!(settings::version(1, &Settings::new()).what.contains("4.0 or later"));
}

#[test]
fn copies_that_do_not_keep_what_was_acknowledged_are_named() {
    let copies = |all, in_sync, least: &str, nodes| {
        let partitions = [Replicas { all, in_sync, led: in_sync > 0 }];
        codes(&settings::copies("t", &partitions, Some(&settings_of(&[("min.insync.replicas", least)])), nodes))
    };
    assert_eq!(copies(3, 3, "2", 3), []);
    assert_eq!(copies(1, 1, "1", 1), [], "there cannot be more on one node");
    assert_eq!(copies(1, 1, "1", 3), [("topic-one-copy", Health::Warning)]);
    assert_eq!(copies(3, 3, "1", 3), [("topic-min-insync", Health::Warning)]);
    assert_eq!(copies(3, 2, "2", 3), [("topic-behind", Health::Warning)]);
    assert_eq!(copies(1, 1, "2", 1), [("topic-min-insync", Health::Broken)]);
    assert!(copies(2, 0, "1", 2).contains(&("topic-no-leader", Health::Broken)));
}

#[test]
fn internal_topics_must_be_as_they_were_made() {
    let internal = |kind, pairs: &[(&str, &str)]| codes(&settings::internal("t", kind, &settings_of(pairs)));
    let kept = [("cleanup.policy", "compact"), ("delete.retention.ms", "86400000"), ("retention.ms", "604800000")];
    assert_eq!(internal(Kind::Changelog, &kept), []);
    assert_eq!(internal(Kind::Commits, &kept), []);
    assert_eq!(internal(Kind::Repartition, &kept).len(), 2, "its policy and its retention");
    for policy in ["delete", "compact,delete"] {
        assert_eq!(
            internal(Kind::Changelog, &[("cleanup.policy", policy)]),
            [("topic-cleanup-policy", Health::Broken)]
        );
    }
    let short = [("cleanup.policy", "compact"), ("delete.retention.ms", "60000")];
    assert_eq!(internal(Kind::Changelog, &short), [("topic-delete-retention", Health::Warning)]);
    let way = [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "1000000")];
    assert_eq!(internal(Kind::Repartition, &way), [("topic-retention", Health::Broken)]);
    let stamped = [("cleanup.policy", "compact"), ("message.timestamp.type", "LogAppendTime")];
    assert_eq!(internal(Kind::Commits, &stamped), [("topic-timestamp-type", Health::Broken)]);
}

#[test]
fn missing_rights_are_named_with_what_they_are_on() {
    let has = BTreeSet::from([Right::Describe, Right::Read]);
    let missing = |has: &BTreeSet<Right>, needs: &[Right]| {
        rights::missing(&Resource::Topic("t".into()), has, needs, &|rights, on| format!("grant {rights:?} on {on}"))
    };
    assert_eq!(missing(&has, &[Right::Read, Right::Describe]), None);
    let finding = missing(&has, &[Right::Read, Right::Write]).unwrap();
    assert_eq!((finding.health, finding.what.as_str()), (Health::Broken, "this principal lacks Write on topic t"));
    assert_eq!(finding.fix, "grant [Write] on topic t");
    assert_eq!(missing(&BTreeSet::new(), &[Right::Write]), None, "the brokers do not tell");
}

#[test]
fn a_disk_without_room_is_named() {
    assert_eq!(
        [0, 100 << 20, 2 << 30].map(|bytes| machine::judge_room("/s", bytes).health),
        [Health::Broken, Health::Warning, Health::Fine]
    );
}

const OWNED_UNTIL: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Owned until [`OWNED_UNTIL`], as a task of `shop` leaves it that has a store and its changelog.
fn left_behind() -> Checkpoint {
    let topic_ids = [("events".into(), TopicId([1; 16])), ("shop-counts-changelog".into(), TopicId([2; 16]))].into();
    Checkpoint { owned_until: OWNED_UNTIL, topic_ids, ..Checkpoint::default() }
}

fn judged(kept: Kept, now: Timestamp) -> Finding {
    let found = age::judge("state", &left_behind(), kept, now);
    assert_eq!((found.code, found.fix.is_empty()), ("state-age", found.health == Health::Fine), "{found:?}");
    found
}

fn after(kept: Kept, away: Duration) -> Finding {
    judged(kept, OWNED_UNTIL.plus(away))
}

#[test]
fn state_is_too_old_when_it_was_away_for_half_of_what_its_changelogs_keep() {
    let fine = after(Kept::Told(4 * HOUR), 2 * HOUR);
    assert_eq!(
        (fine.health, fine.what.as_str()),
        (
            Health::Fine,
            "state was last owned at 2023-11-14T22:13:20Z, 2h ago: a start within 2h of that, half of \
             delete.retention.ms=14400000 (of its changelogs), goes on from it"
        )
    );
    let told = after(Kept::Told(4 * HOUR), 2 * HOUR + MINUTE);
    assert_eq!(
        (told.health, told.what.as_str()),
        (
            Health::Warning,
            "state was last owned at 2023-11-14T22:13:20Z, 2h 1m ago, longer than half of \
             delete.retention.ms=14400000 (of its changelogs): it is too old to be used, and the next start restores it \
             in full"
        )
    );
    let ten_days = after(Kept::Told(240 * HOUR), 48 * HOUR);
    assert_eq!(ten_days.health, Health::Fine, "a changelog that keeps them for ten days: {ten_days:?}");
    let ever = after(Kept::Told(Duration::from_millis(i64::MAX.unsigned_abs())), 48 * HOUR);
    assert_eq!(ever.health, Health::Fine, "a changelog that keeps them for ever: {ever:?}");
}

#[test]
fn kafkas_default_counts_where_the_setting_is_not_known_and_the_doctor_says_so() {
    for kept in [Kept::NotTold, Kept::NotAsked] {
        let fine = after(kept, 12 * HOUR);
        assert_eq!(fine.health, Health::Fine, "{fine:?}");
        assert!(
            fine.what.contains("within 12h of that, half of delete.retention.ms=86400000 (Kafka's default"),
            "{fine:?}"
        );
        let old = after(kept, 12 * HOUR + MINUTE);
        assert_eq!(old.health, Health::Warning, "{old:?}");
        assert!(old.what.contains("12h 1m ago") && old.what.contains("86400000 (Kafka's default"), "{old:?}");
    }
    // A start asks brokers that were not reached, and is not told either by those that do not tell.
    assert!(after(Kept::NotAsked, 13 * HOUR).fix.contains("ask again when the brokers answer"));
    assert!(!after(Kept::NotTold, 13 * HOUR).fix.contains("ask again"));
}

#[test]
fn state_that_was_never_owned_has_no_age() {
    let found = age::judge("state", &Checkpoint::default(), Kept::NotAsked, OWNED_UNTIL);
    assert_eq!((found.code, found.health), ("state-age", Health::Fine), "{found:?}");
    assert!(found.what.contains("does not say when it was last owned"), "{found:?}");
}

#[test]
fn state_of_a_time_that_has_not_come_yet_is_told() {
    for kept in [Kept::Told(24 * HOUR), Kept::NotAsked] {
        let differs = judged(kept, OWNED_UNTIL.minus(HOUR));
        assert_eq!(differs.health, Health::Fine, "clocks differ: {differs:?}");
        let told = judged(kept, OWNED_UNTIL.minus(HOUR + Duration::from_millis(1)));
        assert_eq!(told.health, Health::Warning, "{told:?}");
        assert!(told.what.contains("has not come yet") && told.fix.contains("clock"), "{told:?}");
    }
}

/// Without a broker, for each task: one with a changelog that is still good, one that is too old, and one without a changelog.
#[test]
fn the_disk_alone_tells_the_age_of_each_tasks_state() {
    let dir = tempfile::tempdir().unwrap();
    let state = RocksDirectory::new(dir.path(), "shop", "pod-0", Options::default());
    let old = Checkpoint { owned_until: OWNED_UNTIL.minus(13 * HOUR), ..left_behind() };
    let without_changelog = Checkpoint { topic_ids: [("events".into(), TopicId([1; 16]))].into(), ..old.clone() };
    for (partition, checkpoint) in (0..).zip([left_behind(), old, without_changelog]) {
        let task = TaskId { subtopology: 1, partition: Partition(partition) };
        let spec = StoreSpec { name: "counts".to_owned(), kind: StoreKind::Persistent, changelog: None };
        let mut backend = state.open(task, &[spec]).unwrap();
        backend.apply(&CommitBatch { checkpoint, ..CommitBatch::default() }).unwrap();
        backend.close().unwrap();
    }
    let found = machine::ages(&StreamsConfig::new("shop", "b:1", dir.path()), OWNED_UNTIL.plus(MINUTE));
    let [good, old] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((good.code, good.health), ("state-age", Health::Fine), "{good:?}");
    assert!(
        good.what.starts_with("state of task 1_0 of instance pod-0 was last owned at 2023-11-14T22:13:20Z, 1m ago")
    );
    assert_eq!((old.code, old.health), ("state-age", Health::Warning), "{old:?}");
    assert!(
        old.what.starts_with("state of task 1_1 of instance pod-0 was last owned at 2023-11-14T09:13:20Z, 13h 1m ago")
    );
}

/// What is to be done about a state is the same wherever it is met.
#[test]
fn state_of_another_format_is_named_with_the_fix_that_commands_tell() {
    let dir = tempfile::tempdir().unwrap();
    let task = TaskId { subtopology: 1, partition: Partition(0) };
    let spec = StoreSpec { name: "counts".to_owned(), kind: StoreKind::Persistent, changelog: None };
    let state = RocksDirectory::new(dir.path(), "shop", "pod-0", Options::default());
    state.open(task, &[spec]).unwrap().close().unwrap();
    let config = StreamsConfig::new("shop", "b:1", dir.path());
    let found = || {
        let mut found = machine::examine(&config).into_iter().filter(|finding| finding.code == "state");
        (found.next().unwrap(), found.count())
    };
    let (sound, others) = found();
    assert_eq!((sound.health, others), (Health::Fine, 0), "{sound:?}");
    std::fs::write(state.root().join(task.to_string()).join("format"), "2\n").unwrap();
    let (other, others) = found();
    assert_eq!((other.health, others), (Health::Broken, 0), "{other:?}");
    assert!(other.what.contains("pod-0") && other.what.contains("format=2"), "{other:?}");
    assert_eq!(other.fix, Failure::from(StoreError::Format { task, expected: 1, actual: 2 }).fix());
    assert!(other.fix.starts_with("use the version that wrote it"), "{other:?}");
}
