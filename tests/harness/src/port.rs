use std::fs::{self, File, OpenOptions, TryLockError};
use std::net::{Ipv4Addr, TcpListener};

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
    /// Finds a port that nobody listens on.
    pub(crate) fn free() -> Result<Self, Error> {
        let dir = std::env::temp_dir().join("millpond-ports");
        fs::create_dir_all(&dir).map_err(Error::io("make the directory of port locks", &dir))?;
        let count = u32::from(RANGE.end - RANGE.start);
        // Processes begin at different places, so that they seldom try the same ports.
        let first = std::process::id().wrapping_mul(97) % count;
        for step in 0..count {
            let offset = u16::try_from((first + step) % count).map_err(|_| Error::NoPort)?;
            let number = RANGE.start + offset;
            let path = dir.join(number.to_string());
            let Ok(lock) = OpenOptions::new().create(true).truncate(false).write(true).open(&path) else {
                continue; // another user's lock
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(source)) => return Err(Error::io("lock a port", path)(source)),
            }
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        Err(Error::NoPort)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}
