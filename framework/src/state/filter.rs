//! Which keys a layer of uncommitted writes does not have, told without looking for them: most reads are of keys that were not
//! written since the last commit, and a search for one compares it with a dozen others.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

/// Bits of a filter: 8 KiB, which stay in the processor's cache. With the 5,000 rows of a busy task's commit, one search in
/// thirteen is in vain.
const BITS: usize = 1 << 16;

const WORD: usize = u64::BITS as usize;

/// A Bloom filter with one hash (Bloom, "Space/Time Trade-offs in Hash Coding with Allowable Errors", 1970). Keys that were
/// chosen to meet in it cost the searches that it would have spared, and nothing else.
#[derive(Debug, Default)]
pub(crate) struct KeyFilter {
    /// Empty until the first key comes.
    words: Vec<u64>,
}

/// A key's place in all filters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyBit {
    word: usize,
    mask: u64,
}

impl KeyBit {
    pub(crate) fn of(key: &[u8]) -> Self {
        let mut hasher = FixedState::with_seed(0).build_hasher();
        hasher.write(key);
        let bit = usize::try_from(hasher.finish() % BITS as u64).unwrap_or(0);
        Self { word: bit / WORD, mask: 1 << (bit % WORD) }
    }
}

impl KeyFilter {
    pub(crate) fn insert(&mut self, bit: KeyBit) {
        if self.words.is_empty() {
            self.words = vec![0; BITS / WORD];
        }
        if let Some(word) = self.words.get_mut(bit.word) {
            *word |= bit.mask;
        }
    }

    /// False when no such key was inserted.
    pub(crate) fn may_have(&self, bit: KeyBit) -> bool {
        self.words.get(bit.word).is_some_and(|word| word & bit.mask != 0)
    }

    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
    }

    #[cfg(test)]
    pub(crate) fn bits(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_was_inserted_may_be_there_and_few_others() {
        let mut filter = KeyFilter::default();
        let key = |n: u32| KeyBit::of(format!("user-{n}").as_bytes());
        assert!((0..100).all(|n| !filter.may_have(key(n))));
        (0..5_000).for_each(|n| filter.insert(key(n)));
        assert!((0..5_000).all(|n| filter.may_have(key(n))));
        let in_vain = (5_000..15_000).filter(|&n| filter.may_have(key(n))).count();
        assert!((400..1_200).contains(&in_vain), "{in_vain} of 10,000");
        filter.clear();
        assert!((0..5_000).all(|n| !filter.may_have(key(n))));
    }
}
