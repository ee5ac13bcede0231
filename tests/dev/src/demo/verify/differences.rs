//! Where what is there is not what must be there.

const SHOWN_MAX: usize = 10;

/// The first differences in words, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Differences {
    pub(crate) first: Vec<String>,
    pub(crate) count: u64,
}

impl Differences {
    pub(crate) fn add(&mut self, difference: impl Into<String>) {
        self.count += 1;
        if self.first.len() < SHOWN_MAX {
            self.first.push(difference.into());
        }
    }

    /// Adds all of another's, also those that are only counted.
    pub(crate) fn append(&mut self, other: Self) {
        let uncounted = other.count - u64::try_from(other.first.len()).unwrap_or(u64::MAX);
        self.extend(other.first);
        self.count += uncounted;
    }

    pub(crate) fn extend<D: ToString>(&mut self, differences: impl IntoIterator<Item = D>) {
        for difference in differences {
            self.add(difference.to_string());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}
