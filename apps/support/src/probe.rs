//! What belongs to the process and not to a thread, from the edges that this process has.

use std::path::{Path, PathBuf};

use millpond::broker::kafka::KafkaBroker;
use millpond::runtime::process::{Budget, DiskSpace, Probe, ProcessSnapshot};
use millpond::state::rocksdb::RocksDirectory;

/// A process with stores.
pub(crate) fn of_process(broker: &KafkaBroker, directory: &RocksDirectory, state_dir: &Path) -> Probe {
    let (broker, directory, state_dir) = (broker.clone(), directory.clone(), PathBuf::from(state_dir));
    Probe::new(move || {
        let memory = directory.memory();
        ProcessSnapshot {
            clients: broker.clients(),
            block_cache: Some(budget(memory.block_cache_bytes, memory.block_cache_bytes_max)),
            write_buffers: Some(budget(memory.write_buffer_bytes, memory.write_buffer_bytes_max)),
            engine_reads: Some(directory.reads()),
            state_disk: disk(&state_dir),
            refused: Vec::new(),
        }
    })
}

/// A process without.
pub(crate) fn of_broker(broker: &KafkaBroker) -> Probe {
    let broker = broker.clone();
    Probe::new(move || ProcessSnapshot { clients: broker.clients(), ..ProcessSnapshot::default() })
}

fn budget(bytes: usize, bytes_max: usize) -> Budget {
    let number = |value| u64::try_from(value).unwrap_or(u64::MAX);
    Budget { bytes: number(bytes), bytes_max: number(bytes_max) }
}

/// The file system in which the directory is; none while there is no directory.
fn disk(directory: &Path) -> Option<DiskSpace> {
    let found = rustix::fs::statvfs(directory).ok()?;
    Some(DiskSpace {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        size_bytes: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_a_size_and_what_is_not_there_has_none() {
        let here = disk(Path::new("/")).unwrap();
        assert!(here.size_bytes > 0 && here.free_bytes <= here.size_bytes, "{here:?}");
        assert_eq!(disk(Path::new("/no/such/directory")), None);
    }
}
