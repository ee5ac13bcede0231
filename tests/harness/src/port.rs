use std::fs::{self, File, OpenOptions, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use crate::Error;

/// Below the range that the system hands out to outgoing connections: a port that a killed service left stays free
/// until the service is started again, and a client that retries cannot connect to itself.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port of 127.0.0.1 that no other harness uses while this value lives.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    _lock: File,
}

impl Port {
    /// The ports noted in `file`, or else free ones, which are then noted there: a service keeps its addresses.
    pub(crate) fn kept<const N: usize>(file: &Path) -> Result<[Self; N], Error> {
        let noted = fs::read_to_string(file).unwrap_or_default();
        let noted: Vec<u16> = noted.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        if let Ok(numbers) = <[u16; N]>::try_from(noted) {
            let reserved: Vec<_> = numbers.iter().filter_map(|number| Self::reserve(*number).ok().flatten()).collect();
            return reserved.try_into().map_err(|_| Error::PortTaken { numbers: numbers.to_vec() });
        }
        let free = (0..N).map(|_| Self::free()).collect::<Result<Vec<_>, _>>()?;
        let numbers: Vec<_> = free.iter().map(|port| port.number.to_string()).collect();
        fs::write(file, numbers.join(" ")).map_err(Error::io("note the ports", file))?;
        free.try_into().map_err(|_| Error::NoPort)
    }

    pub(crate) fn free() -> Result<Self, Error> {
        let count = u32::from(RANGE.end - RANGE.start);
        // Processes begin at different places, so that they seldom try the same ports.
        let first = std::process::id().wrapping_mul(97) % count;
        for step in 0..count {
            let offset = u16::try_from((first + step) % count).map_err(|_| Error::NoPort)?;
            if let Some(port) = Self::reserve(RANGE.start + offset)? {
                return Ok(port);
            }
        }
        Err(Error::NoPort)
    }

    /// This port, unless somebody listens on it or another harness has it.
    fn reserve(number: u16) -> Result<Option<Self>, Error> {
        let dir = std::env::temp_dir().join("millpond-ports");
        fs::create_dir_all(&dir).map_err(Error::io("make the directory of port locks", &dir))?;
        let path = dir.join(number.to_string());
        let Ok(lock) = OpenOptions::new().create(true).truncate(false).write(true).open(&path) else {
            return Ok(None); // another user's lock
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(Error::io("lock a port", path)(source)),
        }
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
        Ok(bound.then_some(Self { number, _lock: lock }))
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}
