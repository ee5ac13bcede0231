//! How a stream thread ends a transaction: it asks what is delivered, starts the commit, and goes on meanwhile.

use crate::broker::{Broker, BrokerError, CommitReceipt, Consumer, Membership, Producer, TransactionEnd};
use crate::error::Recovery;
use crate::record::Offset;

use super::member::Member;
use super::{
    CALL, Fixture, POLL, application, next, open_transaction, partition, producer, record, retry, topic, values,
    wait_until,
};

/// Deliveries are told by their number in the open transaction; what is told is in the log.
pub fn deliveries_are_told_by_their_number<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let name = topic(fixture, 2);
    let (at, other) = (partition(&name, 0), partition(&name, 1));
    let mut producer = open_transaction(fixture, &broker, &id, &["a", "b"].map(|value| record(&at, value)));
    wait_until(fixture, "two are delivered", |_| producer.poll_delivered(&at, 2, POLL).unwrap());
    let mut reader = retry(fixture, "a reader is made", || broker.reader());
    assert_eq!(super::log_range(fixture, &mut reader, &at).end, Offset(2));
    assert!(!producer.poll_delivered(&at, 3, POLL).unwrap(), "there is no third");
    assert!(!producer.poll_delivered(&other, 1, POLL).unwrap(), "nor one of another partition");
    producer.commit(CALL).unwrap();
    producer.begin().unwrap();
    retry(fixture, "the record is queued", || producer.send(record(&at, "c")));
    assert!(!producer.poll_delivered(&at, 2, POLL).unwrap(), "each transaction begins to count");
    producer.commit(CALL).unwrap();
}

/// A commit that was started has the last records and the offsets when it is told, and the producer goes on.
pub fn a_commit_that_was_started_has_everything_when_it_is_told<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let (input, output) = (topic(fixture, 1), topic(fixture, 1));
    let (from, to) = (partition(&input, 0), partition(&output, 0));
    let mut member = Member::alone(fixture, &broker, &id, &input);
    let mut idle = None;
    for (number, value) in (5..).zip(["last", "last of the next"]) {
        let mut tries = 0;
        let receipt = loop {
            let mut open = idle.take().unwrap_or_else(|| producer(fixture, &broker, &id));
            open.begin().unwrap();
            retry(fixture, "the record is queued", || open.send(record(&to, "first")));
            let end =
                TransactionEnd { records: vec![record(&to, value)], offsets: [(from.clone(), next(number))].into() };
            match ended::<F>(fixture, &mut open, end, &member.consumer.membership()) {
                Ok(receipt) => {
                    idle = Some(open);
                    break receipt;
                }
                // There may be no room for the last records; then all of it is dropped.
                Err(error) => assert_eq!(error.recovery(), Recovery::AbortTransaction, "{error}"),
            }
            tries += 1;
            assert!(tries < 10, "no commit ends well");
        };
        let one = std::slice::from_ref(&from);
        let found = retry(fixture, "offsets are fetched", || member.consumer.committed(one, CALL));
        assert_eq!(found, [(from.clone(), Some(next(number)))].into());
        wait_until(fixture, "the last record is visible where the receipt says", |fixture| {
            let last = fixture.read_committed(&output).pop();
            last.is_some_and(|last| {
                receipt.last_offsets == [(to.clone(), last.offset)].into() && values(&[last]) == [value]
            })
        });
    }
    assert_eq!(values(&fixture.read_committed(&output)), ["first", "last", "first", "last of the next"]);
}

/// A commit that was started for offsets of a former generation ends with an error, and nothing of it is committed.
pub fn a_commit_that_was_started_by_a_stranger_commits_nothing<F: Fixture>(fixture: &mut F) {
    let (broker, id) = application(fixture);
    let (input, output) = (topic(fixture, 1), topic(fixture, 1));
    let (from, to) = (partition(&input, 0), partition(&output, 0));
    let mut member = Member::alone(fixture, &broker, &id, &input);
    let own = member.consumer.membership();
    let stranger = Membership { generation: own.generation + 1, ..own };
    let mut refused = open_transaction(fixture, &broker, &id, &[record(&to, "a")]);
    let end = TransactionEnd { records: vec![record(&to, "last")], offsets: [(from.clone(), next(5))].into() };
    let error = ended::<F>(fixture, &mut refused, end, &stranger).unwrap_err();
    assert_eq!(error.recovery(), Recovery::AbortTransaction, "{error}");
    drop(refused);
    drop(producer(fixture, &broker, &id));
    let one = std::slice::from_ref(&from);
    let found = retry(fixture, "offsets are fetched", || member.consumer.committed(one, CALL));
    assert_eq!((found, fixture.read_committed(&output)), ([(from, None)].into(), Vec::new()));
}

/// How a commit ends that is started now.
fn ended<F: Fixture>(
    fixture: &mut F,
    producer: &mut <F::Broker as Broker>::Producer,
    end: TransactionEnd,
    membership: &Membership,
) -> Result<CommitReceipt, BrokerError> {
    producer.start_commit(end, membership, CALL)?;
    let mut result = None;
    wait_until(fixture, "the commit is told", |_| {
        result = producer.poll_commit(POLL).transpose();
        result.is_some()
    });
    result.unwrap()
}
