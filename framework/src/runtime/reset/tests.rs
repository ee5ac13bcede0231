use super::*;
use crate::record::Partition;

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, Partition(partition))
}

fn committed(next: i64, metadata: &str) -> CommittedOffset {
    CommittedOffset { next: Offset(next), metadata: metadata.to_owned() }
}

fn facts() -> ResetFacts {
    let range = |start, end| LogRange { start: Offset(start), end: Offset(end) };
    ResetFacts {
        inputs: [(at("events", 0), range(5, 50)), (at("events", 1), range(0, 9))].into(),
        committed: [
            (at("events", 0), committed(20, "millpond/1 seq=3 time=1")),
            (at("shop-by-user-repartition", 1), committed(7, "millpond/1 seq=2 time=1")),
        ]
        .into(),
        internal: ["shop-by-user-repartition".into(), "shop-carts-changelog".into()].into(),
        members: 0,
        state: [(PathBuf::from("/s/shop/0"), PathBuf::from("/s/shop/0.reset-1"))].into(),
    }
}

fn targets(to: &ResetTo) -> Result<Vec<i64>, ResetError> {
    let plan = plan(&facts(), to)?;
    Ok(plan.offsets().values().map(|offset| offset.next.0).collect())
}

#[test]
fn state_goes_first_and_offsets_come_last() {
    let steps: Vec<String> =
        plan(&facts(), &ResetTo::Earliest).unwrap().steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        steps,
        [
            "move /s/shop/0 to /s/shop/0.reset-1",
            "forget the offset of shop-by-user-repartition-1",
            "delete topic shop-by-user-repartition",
            "delete topic shop-carts-changelog",
            "begin events-0 at 5 instead of 20",
            "begin events-1 at 0",
        ]
    );
}

#[test]
fn each_way_to_say_where_to_begin_gives_its_offsets() {
    assert_eq!(targets(&ResetTo::Earliest), Ok(vec![5, 0]));
    assert_eq!(targets(&ResetTo::Latest), Ok(vec![50, 9]));
    assert_eq!(targets(&ResetTo::Offset(Offset(6))), Ok(vec![6, 6]));
    let found = [(at("events", 0), Some(Offset(30))), (at("events", 1), None)].into();
    assert_eq!(targets(&ResetTo::Found(found)), Ok(vec![30, 9]), "the end where nothing is as young");
}

#[test]
fn a_place_for_each_partition_must_be_of_all_inputs_and_of_no_other() {
    let each = |places: &[(&str, i32, i64)]| {
        ResetTo::Each(places.iter().map(|&(topic, partition, to)| (at(topic, partition), Offset(to))).collect())
    };
    assert_eq!(targets(&each(&[("events", 0, 30), ("events", 1, 4)])), Ok(vec![30, 4]));
    assert_eq!(targets(&each(&[("events", 0, 3), ("events", 1, 99)])), Ok(vec![5, 9]), "the nearest that the log has");
    let left_out = Err(ResetError::LeftOut { partition: at("events", 1) });
    assert_eq!(targets(&each(&[("events", 0, 30)])), left_out);
    let other = Err(ResetError::NotAnInput { partition: at("events", 2) });
    assert_eq!(targets(&each(&[("events", 0, 30), ("events", 1, 4), ("events", 2, 0)])), other);
}

#[test]
fn an_offset_outside_a_log_becomes_the_nearest_in_it_and_the_plan_says_so() {
    assert_eq!(targets(&ResetTo::Offset(Offset(10))), Ok(vec![10, 9]));
    assert_eq!(targets(&ResetTo::Offset(Offset(4))), Ok(vec![5, 4]));
    let steps = plan(&facts(), &ResetTo::Offset(Offset(10))).unwrap().steps;
    let told: Vec<String> = steps.iter().rev().take(2).map(ToString::to_string).collect();
    assert_eq!(told, ["begin events-1 at 9 (its log does not have 10)", "begin events-0 at 10 instead of 20"]);
}

#[test]
fn a_shift_needs_something_to_shift() {
    assert_eq!(targets(&ResetTo::ShiftBy(-1)), Err(ResetError::NothingToShift { partition: at("events", 1) }));
    let mut facts = facts();
    facts.committed.insert(at("events", 1), committed(9, ""));
    let shifted = plan(&facts, &ResetTo::ShiftBy(-5)).unwrap().offsets();
    assert_eq!(shifted.values().map(|offset| offset.next.0).collect::<Vec<_>>(), [15, 4]);
    let far =
        |by| plan(&facts, &ResetTo::ShiftBy(by)).unwrap().offsets().into_values().map(|offset| offset.next.0).collect();
    let ends: [Vec<i64>; 2] = [far(i64::MIN), far(i64::MAX)];
    assert_eq!(ends, [vec![5, 0], vec![50, 9]]);
}

#[test]
fn a_live_group_and_an_application_without_input_are_refused() {
    let live = ResetFacts { members: 2, ..facts() };
    assert_eq!(plan(&live, &ResetTo::Earliest), Err(ResetError::Live { members: 2 }));
    let none = ResetFacts { inputs: BTreeMap::new(), ..facts() };
    assert_eq!(plan(&none, &ResetTo::Earliest), Err(ResetError::NoInput));
}

#[test]
fn what_is_not_done_is_told() {
    let plan = plan(&facts(), &ResetTo::Earliest).unwrap();
    assert_eq!(plan.missing(&facts()), plan.steps, "nothing is done yet");
    let mut done = ResetFacts { inputs: facts().inputs, committed: plan.offsets(), ..ResetFacts::default() };
    assert_eq!(plan.missing(&done), []);
    done.committed.insert(at("events", 1), committed(0, ""));
    assert_eq!(plan.missing(&done).len(), 1, "the text counts: without it the application would not begin anew");
    done.internal.insert("shop-carts-changelog".into());
    assert_eq!(plan.missing(&done).len(), 2);
}

#[test]
fn topics_of_another_application_with_a_longer_name_are_left_alone() {
    let topics = ["shop-a-changelog", "shop-b-repartition", "shop-commits", "shop-eu-a-changelog", "shop-eu-commits"];
    let topics: BTreeSet<TopicName> =
        topics.into_iter().chain(["shop-orders", "shopper-a-changelog"]).map(Into::into).collect();
    let found = |groups: &[&str]| -> Vec<String> {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        internal_topics_by_name("shop", &topics, &groups).iter().map(ToString::to_string).collect()
    };
    assert_eq!(found(&["shop", "shop-eu"]), ["shop-a-changelog", "shop-b-repartition", "shop-commits"]);
    assert!(found(&["shop"]).contains(&"shop-eu-a-changelog".to_owned()), "nobody says that shop-eu is another");
}

#[test]
fn a_group_of_another_program_is_told_from_one_of_a_topology() {
    let mut facts = facts();
    assert!(!facts.is_foreign());
    facts.committed = [(at("events", 0), committed(20, "")), (at("events", 1), committed(3, "dead-letters=7"))].into();
    assert!(facts.is_foreign());
    facts.committed.insert(at("events", 1), committed(3, RESET));
    assert!(!facts.is_foreign(), "a reset that is done");
    assert!(!ResetFacts::default().is_foreign(), "nothing is committed");
}
