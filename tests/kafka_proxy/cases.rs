//! Which requests are struck, how, and what becomes of it.

use std::time::Duration;

use millpond_harness::proxy::{Action, Api, Rule};

/// Longer than clients wait for an answer, and the second in which librdkafka looks for what has not come.
const LATE: Duration = Duration::from_secs(3);

/// A request and what happens to it.
pub(crate) struct Case {
    /// `application.id`, and the first part of its topics' names: no other's id begins so.
    pub(crate) id: String,
    /// Of a transaction.
    pub(crate) request: &'static str,
    pub(crate) fault: &'static str,
    /// The first strikes, and the others see to the moment.
    pub(crate) rules: Vec<Rule>,
    /// When what was kept is delivered.
    pub(crate) late: Option<Moment>,
    /// The client has noticed, and its successor's epoch keeps out what is late.
    pub(crate) is_fenced: bool,
    /// How it must end.
    pub(crate) ends: Ends,
}

/// When a request arrives that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The next transaction has outputs in their log, and has not begun to commit.
    InNext,
    /// All records of the next transaction are there, and nothing is said of its offsets.
    BeforeOffsetsOfNext,
    /// The offsets as well; its end is on its way.
    AtEndOfNext,
    /// The next transaction is committed, and there is none.
    AfterNext,
    /// The same, and nothing follows until the broker has ended what the request has begun.
    AfterNextForLong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Everything committed is what the reference says.
    Exact,
    /// Half of a transaction is committed: the application stops by that name, and does so again.
    TornTransaction,
    /// The group's offsets are not those of the last commit: the same.
    OffsetsDiffer,
}

/// A kind of request: its name, what it must contain behind the application's id, and how many pass first.
struct Kind {
    name: &'static str,
    short: &'static str,
    api: Api,
    of: &'static str,
    passing: u64,
}

const KINDS: [Kind; 6] = [
    Kind { name: "AddPartitionsToTxn", short: "partitions", api: Api::AddPartitionsToTxn, of: "", passing: 6 },
    Kind { name: "AddOffsetsToTxn", short: "add", api: Api::AddOffsetsToTxn, of: "", passing: 3 },
    Kind { name: "TxnOffsetCommit", short: "offsets", api: Api::TxnOffsetCommit, of: "", passing: 3 },
    Kind { name: "Produce, outputs", short: "outputs", api: Api::Produce, of: "-out", passing: 5 },
    Kind { name: "Produce, changelog", short: "changelog", api: Api::Produce, of: "-folds-changelog", passing: 8 },
    Kind { name: "EndTxn", short: "end", api: Api::EndTxn, of: "", passing: 3 },
];

const FAULTS: [(&str, &str, Action); 7] = [
    ("request delayed", "slow", Action::DelayRequest(LATE)),
    ("request dropped", "dropped", Action::DropRequest),
    ("request twice", "twice", Action::Duplicate),
    ("response delayed", "slow-answer", Action::DelayResponse(LATE)),
    ("response dropped", "no-answer", Action::DropResponse),
    ("cut before it arrives", "cut", Action::CutRequest),
    ("cut after the answer", "cut-answer", Action::CutResponse),
];

impl Kind {
    fn case(&self, (fault, short, action): (&'static str, &str, Action), late: Option<Moment>, ends: Ends) -> Case {
        let id = format!("wire-{short}-of-{}", self.short);
        let strike = Rule::once(self.api, action).of(format!("{id}{}", self.of)).after(self.passing);
        let is_fenced = matches!(action, Action::HoldAndCut);
        Case { request: self.name, fault, rules: vec![strike], late, is_fenced, ends, id }
    }

    /// The same, where a request of the transaction after the one that is struck is held: each has one of these.
    fn holding(&self, mut case: Case, api: Api) -> Case {
        // A rule does not see what the one before it has struck.
        let passing = if api == self.api { self.passing } else { self.passing + 1 };
        case.rules.push(Rule::once(api, Action::Hold).of(case.id.as_str()).after(passing));
        case
    }
}

/// Every fault of every request, and requests that arrive in another transaction.
pub(crate) fn all() -> Vec<Case> {
    let matrix = KINDS.iter().flat_map(|kind| FAULTS.map(|fault| kind.case(fault, None, Ends::Exact)));
    let late = KINDS.iter().flat_map(late);
    let cases: Vec<Case> = matrix.chain(late).collect();
    for (index, case) in cases.iter().enumerate() {
        let others = cases.iter().enumerate().filter(|(other, _)| *other != index);
        assert!(others.into_iter().all(|(_, other)| !other.id.contains(&case.id)), "{} is no name of its own", case.id);
    }
    cases
}

/// A request whose connection has broken, and copies of requests that no client could notice.
fn late(kind: &Kind) -> Vec<Case> {
    let noticed = |fault, short, moment| kind.case((fault, short, Action::HoldAndCut), Some(moment), Ends::Exact);
    let copy = |fault, short, moment, ends| kind.case((fault, short, Action::Copy), Some(moment), ends);
    let (is_end, is_offsets) = (matches!(kind.api, Api::EndTxn), matches!(kind.api, Api::TxnOffsetCommit));
    let torn = if is_end { Ends::TornTransaction } else { Ends::Exact };
    let mut cases = vec![
        noticed("cut, and late in the next", "late-in", Moment::InNext),
        noticed("cut, and late after the next", "late-after", Moment::AfterNext),
        copy("a copy, late in the next", "copy-in", Moment::InNext, torn),
        copy("a copy, late after the next", "copy-after", Moment::AfterNext, Ends::Exact),
    ];
    if is_end {
        let before = Moment::BeforeOffsetsOfNext;
        let case = copy("a copy, before the next offsets", "copy-before", before, Ends::OffsetsDiffer);
        cases.push(kind.holding(case, Api::TxnOffsetCommit));
        // The offsets begin a transaction of their own, and nothing is missing.
        let case = copy("a copy, before the group is added", "copy-apart", before, Ends::Exact);
        cases.push(kind.holding(case, Api::AddOffsetsToTxn));
    }
    if is_end || is_offsets {
        let ends = if is_offsets { Ends::OffsetsDiffer } else { Ends::Exact };
        let case = copy("a copy, behind the next offsets", "copy-behind", Moment::AtEndOfNext, ends);
        cases.push(kind.holding(case, Api::EndTxn));
    }
    if matches!(kind.api, Api::AddPartitionsToTxn) {
        let fault = "a copy, after the next, and idle";
        cases.push(copy(fault, "copy-idle", Moment::AfterNextForLong, Ends::Exact));
    }
    cases
}
