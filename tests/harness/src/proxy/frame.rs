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
        let (Some(api_key), Some(correlation)) = (number(&bytes, 4), number(&bytes, 8)) else { return Err(short()) };
        Ok(Some(Self { bytes, api_key: i16::from_be_bytes(api_key), correlation: i32::from_be_bytes(correlation) }))
    }

    /// Whether the text stands in the first part of the request, where names and ids are.
    pub(super) fn names(&self, text: &str) -> bool {
        let head = self.bytes.get(..self.bytes.len().min(400)).unwrap_or_default();
        head.windows(text.len().max(1)).any(|window| window == text.as_bytes())
    }
}

impl Response {
    /// The next one; none when the peer has closed.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let Some(bytes) = read_frame(from)? else { return Ok(None) };
        let Some(correlation) = number(&bytes, 4) else { return Err(short()) };
        Ok(Some(Self { bytes, correlation: i32::from_be_bytes(correlation) }))
    }

    /// The error of a response to `EndTxn` up to version 2: it stands behind the throttle time.
    pub(super) fn end_txn_error(&self) -> Option<i16> {
        number(&self.bytes, 12).map(i16::from_be_bytes)
    }
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
            assert!(request.names("t-1") && !request.names("t-2"));
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

    #[test]
    fn the_error_of_an_end_of_transaction_is_read() {
        let mut wire: &[u8] = b"\0\0\0\x0a\0\0\0\x07\0\0\0\0\0\x2f";
        let response = Response::read(&mut wire).unwrap().unwrap();
        assert_eq!((response.correlation, response.end_txn_error()), (7, Some(47)));
    }
}
