//! Copies of short byte strings, many to an allocation.

use bytes::{Bytes, BytesMut};

/// How much is allocated at a time. A copy keeps the whole chunk alive, so this is for what is dropped soon and together:
/// records on their way, writes until their commit.
const CHUNK: usize = 64 * 1024;

/// Where copies go one after the other. A copy costs a count instead of an allocation.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    chunk: BytesMut,
}

impl Arena {
    /// A copy.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        self.reserve(bytes.len());
        self.chunk.extend_from_slice(bytes);
        self.chunk.split().freeze()
    }

    /// Copies of both, side by side.
    #[cfg(any(test, feature = "kafka"))]
    pub(crate) fn pair(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> (Option<Bytes>, Option<Bytes>) {
        match (key, value) {
            (Some(key), Some(value)) => {
                self.reserve(key.len() + value.len());
                self.chunk.extend_from_slice(key);
                self.chunk.extend_from_slice(value);
                let mut both = self.chunk.split().freeze();
                let key = both.split_to(key.len());
                (Some(key), Some(both))
            }
            (key, value) => (key.map(|key| self.copy(key)), value.map(|value| self.copy(value))),
        }
    }

    /// A new chunk when the present one has no room: never the growing of one that copies still point into.
    fn reserve(&mut self, bytes: usize) {
        if self.chunk.capacity() < bytes {
            self.chunk = BytesMut::with_capacity(bytes.max(CHUNK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arena_gives_back_what_it_copied() {
        let mut arena = Arena::default();
        let mut kept = Vec::new();
        for size in [0, 1, 100, CHUNK - 1, CHUNK, 3 * CHUNK, 7] {
            let (key, value) = (vec![1; size / 3], vec![2; size]);
            kept.push((key.clone(), value.clone(), arena.pair(Some(&key), Some(&value))));
        }
        for (key, value, copy) in kept {
            assert_eq!((copy.0.as_deref(), copy.1.as_deref()), (Some(&key[..]), Some(&value[..])));
        }
        assert_eq!(arena.pair(None, Some(b"v")), (None, Some(Bytes::from_static(b"v"))));
        assert_eq!(arena.pair(Some(b""), None), (Some(Bytes::new()), None));
    }
}
