//! A transaction that no coordinator knows, and so stays open for ever: what Kafka itself leaves behind now and then
//! (KAFKA-12671), made on purpose. Written byte by byte, because no client can be brought to do it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::Error;

const PRODUCE: i16 = 0;
/// The oldest that Kafka 4 takes. Its header and body are not "flexible", which is what makes this short.
const VERSION: i16 = 7;
const LIMIT: Duration = Duration::from_secs(10);

/// Writes a record of an unknown producer, as part of a transaction, into a partition of a broker with
/// `transaction.partition.verification.enable=false`: the only partition of a topic, or one that it leads.
///
/// # Errors
/// [`Error::Tool`] when the broker does not take it.
pub fn leave_transaction_open(broker: &str, topic: &str, partition: i32, producer_id: i64) -> Result<(), Error> {
    let failed = |output: String| Error::Tool { tool: "a transaction without a coordinator", output };
    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(broker)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(&frame(&request(topic, partition, &batch(producer_id))))?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap_or(0)];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| failed(error.to_string()))?;
    // Correlation id, one topic with its name, one partition with its number; then the error code.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    match answer.get(at..at + 2) {
        Some([0, 0]) => Ok(()),
        code => Err(failed(format!("the broker answered {code:?}"))),
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap_or(0).to_be_bytes(), body].concat()
}

fn string(text: &str) -> Vec<u8> {
    [&i16::try_from(text.len()).unwrap_or(0).to_be_bytes(), text.as_bytes()].concat()
}

fn request(topic: &str, partition: i32, batch: &[u8]) -> Vec<u8> {
    let (one, all, timeout_ms) = (1_i32.to_be_bytes(), (-1_i16).to_be_bytes(), 10_000_i32.to_be_bytes());
    let header = [&PRODUCE.to_be_bytes()[..], &VERSION.to_be_bytes(), &one, &string("ghost")].concat();
    let topics = [&one[..], &string(topic), &one, &partition.to_be_bytes(), &frame(batch)].concat();
    [&header[..], &string("ghost"), &all, &timeout_ms, &topics].concat()
}

/// A record batch of one record, transactional.
fn batch(producer_id: i64) -> Vec<u8> {
    const TRANSACTIONAL: i16 = 0x10;
    // Attributes, time and offset deltas, no key, the value "ghost", no headers; zigzag numbers, its length before it.
    let record = [&[0, 0, 0, 1, 10][..], b"ghost", &[0]].concat();
    let record = [&[u8::try_from(record.len() * 2).unwrap_or(0)], &record[..]].concat();
    let (epoch, first, one) = (0_i16.to_be_bytes(), 0_i32.to_be_bytes(), 1_i32.to_be_bytes());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(0).to_be_bytes();
    let checked = [
        &TRANSACTIONAL.to_be_bytes()[..],
        &first,
        &now,
        &now,
        &producer_id.to_be_bytes(),
        &epoch,
        &first,
        &one,
        &record,
    ]
    .concat();
    // Leader epoch, magic, check sum.
    let tail = [&(-1_i32).to_be_bytes()[..], &[2], &crc32c(&checked).to_be_bytes(), &checked].concat();
    [&0_i64.to_be_bytes()[..], &frame(&tail)].concat()
}

/// Castagnoli's, as record batches have it.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_sum_is_castagnoli_s() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
