//! A transaction of which only a part was committed.

use millpond::record::{Partition, TaskId};
use millpond::state::changelog::{BeginRecord, ChangelogKey, CommitRecord, begin_key, classify};
use millpond_harness::Outgoing;

use millpond_scene::{Scene, Shop};

#[test]
fn a_torn_transaction_stops_a_task_without_stores_by_name() {
    let scene = Scene::new("torn").unwrap();
    let mut redaction = scene.application("redaction", "redaction").started().unwrap();
    scene.feed(Shop::new(6).take(2_000)).unwrap();
    scene.drain("redaction").unwrap();
    redaction.stop().unwrap();

    let task = TaskId { subtopology: 0, partition: Partition(0) };
    let log = format!("{}-commits", scene.topic("redaction"));
    let records = scene.client().read_committed(&log).unwrap();
    let mut commits = records.iter().filter(|record| {
        record.key.as_deref().map(classify) == Some(ChangelogKey::Commit(task)) && record.partition == 0
    });
    let last = commits.next_back().and_then(|record| CommitRecord::decode(record.value.as_deref()?).ok()).unwrap();
    // A begin record without its commit record: just what a transaction leaves that was ended too early.
    let begin = BeginRecord { sequence: last.sequence + 1 }.encode().unwrap();
    let begin = Outgoing::value(begin).key(begin_key(task)).partition(0);
    scene.client().transact("forger", &log, [begin], true).unwrap();

    redaction.start().unwrap();
    assert_eq!(redaction.wait().unwrap().code(), Some(1));
    let expected = format!("task 0_0: transaction {} was committed only in part", last.sequence + 1);
    assert!(redaction.log().contains(&expected), "{}", redaction.log());
}
