//! What an oracle found: counts of everything that must not be, and the first of it in words.

use serde::Serialize;

const SHOWN_MAX: usize = 20;

/// Differences between what is there and what must be there; all zero when the results are exact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Results that are missing.
    pub lost: u64,
    /// Results that are there more often than they must.
    pub duplicated: u64,
    /// Results in another order than their inputs.
    pub disordered: u64,
    /// Results that no input asks for.
    pub wrong: u64,
    /// Rows of a store that are not what its changelog, or the input, says.
    pub dirty: u64,
    /// Results that were compared.
    pub compared: u64,
    /// The first differences.
    pub first: Vec<String>,
}

impl Findings {
    /// True when nothing differs.
    pub const fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.disordered + self.wrong + self.dirty == 0
    }

    /// For tests.
    ///
    /// # Panics
    /// With the first differences where there are any, and where nothing was compared.
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self:#?}");
        assert!(self.compared > 10, "a test without results shows nothing: {self:#?}");
    }

    /// Adds another's.
    pub fn absorb(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.disordered += other.disordered;
        self.wrong += other.wrong;
        self.dirty += other.dirty;
        self.compared += other.compared;
        for text in other.first {
            self.say(text);
        }
    }

    /// Notes a difference in words.
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        if self.first.len() < SHOWN_MAX {
            self.first.push(text.into().chars().take(400).collect());
        }
    }

    /// Compares two collections in which order does not count.
    pub(crate) fn compare<T: Ord + std::fmt::Debug>(&mut self, what: &str, mut expected: Vec<T>, mut actual: Vec<T>) {
        expected.sort();
        actual.sort();
        self.compared += actual.len() as u64;
        let (mut expected, mut actual) = (expected.into_iter().peekable(), actual.into_iter().peekable());
        let mut last: Option<T> = None;
        loop {
            let order = match (expected.peek(), actual.peek()) {
                (None, None) => return,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(expected), Some(actual)) => expected.cmp(actual),
            };
            match order {
                std::cmp::Ordering::Equal => {
                    expected.next();
                    last = actual.next();
                }
                std::cmp::Ordering::Less => {
                    self.lost += 1;
                    self.say(format!("{what}: missing: {:?}", expected.next()));
                }
                std::cmp::Ordering::Greater => {
                    let surplus = actual.next();
                    let again = surplus.is_some() && surplus == last;
                    *(if again { &mut self.duplicated } else { &mut self.wrong }) += 1;
                    self.say(format!("{what}: {}: {surplus:?}", if again { "once more" } else { "unexpected" }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_doubles_and_inventions_are_told_apart() {
        let mut findings = Findings::default();
        findings.compare("test", vec![1, 2, 2, 3, 4], vec![4, 2, 2, 2, 3, 9]);
        assert_eq!((findings.lost, findings.duplicated, findings.wrong), (1, 1, 1), "{findings:?}");
        assert!(!findings.is_clean());
        let mut same = Findings::default();
        same.compare("test", vec![3, 1, 1], vec![1, 3, 1]);
        assert!(same.is_clean() && same.compared == 3);
    }
}
