use std::io::{self, Read};

/// Larger than anything a broker takes; a larger length means that the bytes are no frames.
const BYTES_MAX: usize = 200 * 1024 * 1024;

/// Kafka's requests that a rule can name, with their keys in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
#[non_exhaustive]
pub enum Api {
    /// Records to a partition.
    Produce = 0,
    /// The members of a group meet.
    JoinGroup = 11,
    /// A member shows that it lives.
    Heartbeat = 12,
    /// A producer asks for its id and epoch, and fences its predecessor.
    InitProducerId = 22,
    /// A transaction names a partition before its first record there.
    AddPartitionsToTxn = 24,
    /// A transaction names a group.
    AddOffsetsToTxn = 25,
    /// A transaction ends.
    EndTxn = 26,
    /// Offsets go into a transaction.
    TxnOffsetCommit = 28,
}

impl Api {
    pub(super) const fn key(self) -> i16 {
        self as i16
    }
}

/// A request as it goes over the wire, its length in front.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    pub(super) api_key: i16,
    pub(super) api_version: i16,
    pub(super) correlation: i32,
}

/// A response as it goes over the wire, its length in front.
#[derive(Debug, Clone)]
pub(super) struct Response {
    pub(super) bytes: Vec<u8>,
    pub(super) correlation: i32,
}

impl Request {
    /// The next one; none when the peer has closed.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let Some(bytes) = read_frame(from)? else { return Ok(None) };
        let (Some(key), Some(version), Some(correlation)) = (number(&bytes, 4), number(&bytes, 6), number(&bytes, 8))
        else {
            return Err(short());
        };
        let (api_key, api_version) = (i16::from_be_bytes(key), i16::from_be_bytes(version));
        Ok(Some(Self { bytes, api_key, api_version, correlation: i32::from_be_bytes(correlation) }))
    }

    /// Whether the text stands in the first part of the request, where names and ids are; no text stands everywhere.
    pub(super) fn names(&self, text: &str) -> bool {
        let head = self.bytes.get(..self.bytes.len().min(400)).unwrap_or_default();
        text.is_empty() || head.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Response {
    /// The next one; none when the peer has closed.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let Some(bytes) = read_frame(from)? else { return Ok(None) };
        let Some(correlation) = number(&bytes, 4) else { return Err(short()) };
        Ok(Some(Self { bytes, correlation: i32::from_be_bytes(correlation) }))
    }

    /// The error of the answer to a request of a transaction, 0 for none; where every partition has its own, the first one's.
    pub(super) fn error(&self, request: &Request) -> Option<i16> {
        let is = |apis: &[Api]| apis.iter().any(|api| api.key() == request.api_key);
        let of_partitions = is(&[Api::Produce, Api::AddPartitionsToTxn, Api::TxnOffsetCommit]);
        if !of_partitions && !is(&[Api::AddOffsetsToTxn, Api::EndTxn]) {
            return None;
        }
        let flexible = request.api_version >= if is(&[Api::Produce]) { 9 } else { 3 };
        // The length of the frame and the correlation; tags; the throttle time, which Produce has at its end.
        let header = 8 + usize::from(flexible) + if is(&[Api::Produce]) { 0 } else { 4 };
        let mut rest = self.bytes.get(header..)?;
        if of_partitions {
            length(&mut rest, flexible, 4).filter(|topics| *topics > 0)?;
            let name = length(&mut rest, flexible, 2)?;
            rest = rest.get(name..)?;
            length(&mut rest, flexible, 4).filter(|partitions| *partitions > 0)?;
            rest = rest.get(4..)?;
        }
        number(rest, 0).map(i16::from_be_bytes)
    }
}

/// Takes a length from the front: a number of that many bytes, or a short one of one byte that counts from one.
fn length(bytes: &mut &[u8], flexible: bool, width: usize) -> Option<usize> {
    let (length, rest) = bytes.split_at_checked(if flexible { 1 } else { width })?;
    *bytes = rest;
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    if flexible { length.checked_sub(1).filter(|length| *length < 127) } else { Some(length) }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a frame without a header")
}

fn read_frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let count = usize::try_from(i32::from_be_bytes(length)).ok().filter(|count| *count <= BYTES_MAX);
    let count = count.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no Kafka frame"))?;
    let mut bytes = length.to_vec();
    bytes.resize(4 + count, 0);
    from.read_exact(bytes.get_mut(4..).unwrap_or_default())?;
    Ok(Some(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics where it fails")]
mod tests {
    use super::*;

    /// `EndTxn` version 1 of the transactional id `t-1`.
    const END_TXN: &[u8] = b"\0\0\0\x1c\0\x1a\0\x01\0\0\0\x07\0\x03cli\0\x03t-1\0\0\0\0\0\0\0\x09\0\x02";

    #[test]
    fn frames_come_one_by_one_and_the_end_is_no_error() {
        let mut wire: &[u8] = &[END_TXN, END_TXN].concat();
        for _ in 0..2 {
            let request = Request::read(&mut wire).unwrap().unwrap();
            assert_eq!((request.api_key, request.correlation), (Api::EndTxn.key(), 7));
            assert_eq!(request.bytes, END_TXN);
            assert!(request.names("t-1") && !request.names("t-2") && request.names(""));
        }
        assert!(Request::read(&mut wire).unwrap().is_none());
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert!(Request::read(&mut &b"GET / HTTP/1.1\r\n"[..]).is_err());
        assert!(Request::read(&mut &b"\0\0\0\x02\0\x1a"[..]).is_err());
        assert!(Request::read(&mut &b"\0\0\0\x1c\0\x1a"[..]).is_err(), "cut off in the middle");
        assert!(Response::read(&mut &b"\xff\xff\xff\xff"[..]).is_err());
    }

    /// The error in an answer to a request of that kind and version.
    fn error(api: Api, version: i16, answer: &[u8]) -> Option<i16> {
        let request = Request { bytes: Vec::new(), api_key: api.key(), api_version: version, correlation: 7 };
        let length = u32::try_from(answer.len() + 4).unwrap().to_be_bytes();
        let wire = [length.as_slice(), b"\0\0\0\x07", answer].concat();
        let response = Response::read(&mut wire.as_slice()).unwrap().unwrap();
        assert_eq!(response.correlation, 7);
        response.error(&request)
    }

    #[test]
    fn the_error_of_an_answer_is_read() {
        assert_eq!(error(Api::EndTxn, 1, b"\0\0\0\0\0\x2f"), Some(47));
        let old = b"\0\0\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x03\0\x30";
        assert_eq!(error(Api::AddPartitionsToTxn, 0, old), Some(48));
        let offsets = b"\0\0\0\0\0\x02\x02t\x02\0\0\0\x03\0\x5a\0\0\0";
        assert_eq!(error(Api::TxnOffsetCommit, 3, offsets), Some(90));
        let produced = b"\0\x02\x02t\x02\0\0\0\x03\0\0\0\0\0\0\0\0\0\x09";
        assert_eq!(error(Api::Produce, 10, produced), Some(0));
        assert_eq!(error(Api::Heartbeat, 3, b"\0\0\0\0\0\0"), None);
        assert_eq!(error(Api::Produce, 10, b"\0"), None, "cut off in the middle");
    }
}
