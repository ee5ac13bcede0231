//! What a proxy does to the requests of applications.

use std::time::Duration;

use millpond_harness::proxy::{Action, Api, Rule};

/// Ten kinds of fault. Each strikes transactions of all applications whose topics begin with `scene`; the load's own producer
/// has none.
pub fn wire_faults(scene: &str) -> [Rule; 10] {
    let moment = Duration::from_millis(200);
    let topics = format!("{scene}-");
    [
        Rule::every(7, Api::EndTxn, Action::HoldAndCut),
        Rule::every(5, Api::EndTxn, Action::CutResponse),
        Rule::every(6, Api::EndTxn, Action::Duplicate),
        Rule::every(11, Api::EndTxn, Action::DelayResponse(moment)),
        Rule::every(8, Api::TxnOffsetCommit, Action::CutResponse),
        Rule::every(9, Api::TxnOffsetCommit, Action::Duplicate),
        Rule::every(13, Api::AddPartitionsToTxn, Action::CutRequest),
        Rule::every(7, Api::AddOffsetsToTxn, Action::CutResponse),
        Rule::every(20, Api::Produce, Action::CutResponse).of(topics.clone()),
        Rule::every(33, Api::Produce, Action::Duplicate).of(topics),
    ]
}
