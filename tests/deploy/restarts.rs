//! The right to read a log back, taken away between two runs: a start that has to restore names it. On an empty disk that is
//! each; on the old one each that has been written to since its last restore, for the end of a transaction is still to be read.
//! Given back, the next start restores and goes on.
//!
//! Each application has run with all its rights before, so that every log of its own has something in it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use millpond::broker::kafka::{KafkaBroker, KafkaConfig, Right};
use millpond::record::TopicName;
use millpond_harness::{Kafka, Outgoing, Scratch, wait_for};

use super::authorization::{authorizing, events, make_rules, remove_rules, rules_of};
use super::missing::{Case, LIMIT, Outcome, Place, renamed};

/// Those that have state.
const APPLICATIONS: [&str; 2] = ["attribution", "fraud"];
/// So many events before each start: a burst.
const FED: i64 = 5;

/// An application over its runs.
struct Course<'a> {
    application: &'static str,
    /// Application id and principal.
    name: String,
    place: Place<'a>,
    /// How often it was fed.
    meals: Cell<i64>,
    /// Where its logs ended when it last began to work.
    restored: RefCell<BTreeMap<String, i64>>,
}

impl<'a> Course<'a> {
    fn new(application: &'static str, kafka: &'a Kafka) -> Self {
        let name = name(application);
        let state = Scratch::new(&name).unwrap();
        let place = Place { kafka, state, database: None };
        Self { application, name, place, meals: Cell::new(0), restored: RefCell::default() }
    }

    /// One for each log that it reads back.
    fn cases(&self) -> Vec<Case> {
        let case = |rule| Case { application: self.application, name: self.name.clone(), rule };
        let cases = rules(self.application).into_iter().map(case);
        cases.filter(|case| case.is_own_log() && case.words()[4] == "READ").collect()
    }

    /// Orders, or items for carts, each later than all before: what this application has to look at, and the other has not.
    fn feed(&self) {
        let meal = self.meals.get();
        self.meals.set(meal + 1);
        let event = |number: i64| {
            let number = meal * FED + number;
            let what = match self.application {
                "attribution" => format!(r#""order_confirmed","order_id":"{}-{number}""#, self.name),
                _ => r#""add_to_cart","item_url":"/a""#.to_owned(),
            };
            let event = format!(r#"{{"user_id":"u","event_name":{what}}}"#);
            // The second burst holds back its alert: the first was so recently that late events may still join them.
            Outgoing::value(event).partition(0).at(1_700_000_008_000 + number * 100)
        };
        self.place.kafka.client().produce("events", (0..FED).map(event)).unwrap();
    }

    /// All is read that it has to look at, on both sides of its repartition topic. A marker may be left there: behind each
    /// commit is one.
    fn has_read_all(&self) -> bool {
        let repartition = format!("{}-by-user-repartition", self.name);
        let lag = self.place.kafka.client().group(&self.name).and_then(|group| group.lag(&["events", &repartition]));
        let Ok(lag) = lag else { return false };
        let [events, steps] = lag.as_slice() else { return false };
        events.lag() == 0 && steps.lag() <= 1
    }

    /// A run with new events to read. The error with which it ends; none when it has read all.
    fn run(&self, case: &Case) -> Option<String> {
        self.feed();
        case.stream(&self.broker(case), &case.config(&self.place), || self.has_read_all())
    }

    /// A run that nothing is to stand in the way of.
    fn work(&self, case: &Case) {
        let end = |log: &Case| (log.words()[2].to_owned(), self.end(log));
        self.restored.replace(self.cases().iter().map(end).collect());
        assert_eq!(self.run(case), None, "{case:?}: with all rights");
    }

    fn end(&self, log: &Case) -> i64 {
        let lag = self.place.kafka.client().group(&self.name).and_then(|group| group.lag(&[log.words()[2]]));
        lag.unwrap().first().map_or(0, |partition| partition.end)
    }

    fn broker(&self, case: &Case) -> KafkaBroker {
        KafkaBroker::connect(KafkaConfig::of(&case.config(&self.place)).unwrap()).unwrap()
    }

    fn lose_the_disk(&self) {
        let path = self.place.state.path();
        assert!(path.read_dir().unwrap().next().is_some(), "{}: there was something on the disk", self.name);
        std::fs::remove_dir_all(path).unwrap();
        std::fs::create_dir(path).unwrap();
    }

    /// Returns when the broker goes by the rules as they are now.
    fn wait_for_right(&self, case: &Case, held: bool) {
        let broker = self.broker(case);
        let topic = TopicName::from(case.words()[2]);
        let is_so = || {
            let details = broker.inspect_topics(std::slice::from_ref(&topic));
            details.is_ok_and(|details| details[&topic].rights.contains(&Right::Read) == held)
        };
        wait_for(LIMIT, format!("{} may read {topic}: {held}", self.name), is_so).unwrap();
    }

    /// What is wrong with two starts without the right, before one that has it again.
    fn without(&self, case: &Case) -> Vec<String> {
        let servers = self.place.kafka.bootstrap_servers();
        let written = self.end(case) > self.restored.borrow()[case.words()[2]];
        remove_rules(servers, &case.rule);
        self.wait_for_right(case, false);
        let judged = |disk: &str, outcome| {
            let error = self.run(case);
            let judged = case.judge(outcome, error.as_ref(), &case.doctor(&self.place));
            judged.err().map(|wrong| format!("on {disk} disk: {wrong}"))
        };
        let on_its_own = judged("its own", if written { Outcome::Named } else { Outcome::Noticed });
        self.lose_the_disk();
        let on_an_empty_one = judged("an empty", Outcome::Named);
        make_rules(servers, &case.rule);
        self.wait_for_right(case, true);
        // What the start without the right has left there is not to help.
        self.lose_the_disk();
        self.work(case);
        on_its_own.into_iter().chain(on_an_empty_one).collect()
    }

    fn go(&self) -> Vec<String> {
        let cases = self.cases();
        assert_eq!(cases.len(), 3, "two changelogs and the commits: {cases:?}");
        self.work(&cases[0]);
        let client = self.place.kafka.client();
        for case in &cases {
            let rows = client.read_committed(case.words()[2]).unwrap();
            assert!(!rows.is_empty(), "{case:?}: there is something to restore");
        }
        cases.iter().flat_map(|case| self.without(case)).collect()
    }
}

/// Application id and principal.
fn name(application: &str) -> String {
    format!("{application}-again")
}

fn rules(application: &str) -> Vec<String> {
    rules_of(application).iter().map(|rule| renamed(rule, application, &name(application))).collect()
}

#[test]
fn a_restore_that_may_not_read_its_log_names_the_right_and_works_when_it_is_given_back() {
    let scratch = Scratch::new("restarts").unwrap();
    let names = APPLICATIONS.map(name);
    let kafka = authorizing(&scratch, names.iter().map(String::as_str));
    kafka.client().create_topics(&["events", "fraud-detection", "attributions"], 1, &[]).unwrap();
    kafka.client().produce("events", events()).unwrap();
    let all: Vec<String> = APPLICATIONS.into_iter().flat_map(rules).map(|rule| rule + "\n").collect();
    make_rules(kafka.bootstrap_servers(), &all.concat());

    let wrong = std::thread::scope(|scope| {
        let kafka = &kafka;
        let running = APPLICATIONS.map(|application| scope.spawn(move || Course::new(application, kafka).go()));
        running.into_iter().flat_map(|course| course.join().unwrap()).collect::<Vec<String>>()
    });
    assert!(wrong.is_empty(), "{} are not as they should be:\n{}", wrong.len(), wrong.concat());
    // Restored is the visit of before, too: no order is organic.
    let orders = kafka.client().read_committed("attributions").unwrap();
    let by_mail = |order: &&millpond_harness::Received| order.text().contains(r#""marketing_channel":"mail""#);
    assert_eq!(orders.iter().filter(by_mail).count(), orders.len(), "{orders:?}");
}
