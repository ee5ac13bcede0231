//! Which rows of many are bad, when the database only says that some are: halve until single rows are left.

use std::ops::Range;

/// The order in which to try ranges of rows: from left to right, so that later rows meet what earlier ones left.
#[derive(Debug)]
pub(crate) struct Bisection {
    /// What is left to try, the leftmost range last.
    todo: Vec<Range<usize>>,
}

impl Bisection {
    /// Over `rows` rows, at first in ranges of at most `rows_max`.
    pub(crate) fn new(rows: usize, rows_max: usize) -> Self {
        let step = rows_max.max(1);
        let mut todo: Vec<_> = (0..rows).step_by(step).map(|from| from..rows.min(from.saturating_add(step))).collect();
        todo.reverse();
        Self { todo }
    }

    /// The next range to try, never empty; `None` when all rows are settled.
    pub(crate) fn next_range(&mut self) -> Option<Range<usize>> {
        self.todo.pop()
    }

    /// The range could not be inserted: tries its halves, or returns the one row it holds, which is bad.
    pub(crate) fn refused(&mut self, range: &Range<usize>) -> Option<usize> {
        if range.len() <= 1 {
            return range.clone().next();
        }
        let middle = range.start.saturating_add(range.len() / 2);
        self.todo.push(middle..range.end);
        self.todo.push(range.start..middle);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Bisection;

    proptest! {
        /// Against a plain filter: exactly the bad rows are found, each good row is inserted once, and in order.
        #[test]
        fn exactly_the_bad_rows_are_found_in_order(
            rows in 0_usize..200,
            rows_max in 1_usize..64,
            bad in prop::collection::btree_set(0_usize..200, 0..20),
        ) {
            let mut bisection = Bisection::new(rows, rows_max);
            let (mut inserted, mut found) = (Vec::new(), Vec::new());
            while let Some(range) = bisection.next_range() {
                prop_assert!(!range.is_empty() && range.len() <= rows_max);
                if range.clone().any(|row| bad.contains(&row)) {
                    found.extend(bisection.refused(&range));
                } else {
                    inserted.extend(range);
                }
            }
            let expected: Vec<_> = bad.iter().copied().filter(|row| *row < rows).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(inserted, (0..rows).filter(|row| !bad.contains(row)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_bad_row_of_a_thousand_costs_twenty_statements() {
        let mut bisection = Bisection::new(1000, 1000);
        let mut tried = BTreeSet::new();
        while let Some(range) = bisection.next_range() {
            tried.insert((range.start, range.end));
            if range.contains(&617) {
                bisection.refused(&range);
            }
        }
        assert!(tried.len() <= 21, "{} statements", tried.len());
    }
}
