//! When rows are copied: at once where they go through, seldom where they are refused again and again.

/// Batches that are inserted after refusals in a row, at most, before a copy is tried once more.
const SPARED_MAX: u32 = 63;

/// What is known of a table. A copy that is refused is paid for twice: its rows stay in the table and in the log of
/// PostgreSQL as dead ones, and are sent again. So each refusal in a row doubles the batches that go without a try; a table
/// of which rows are replaced in every batch is tried in one of 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CopyAttempts {
    is_possible: bool,
    /// Batches to come that are not tried.
    spared: u32,
    /// How many were spared after the last refusal.
    last_spared: u32,
}

impl CopyAttempts {
    pub(super) const fn new(is_possible: bool) -> Self {
        Self { is_possible, spared: 0, last_spared: 0 }
    }

    /// Whether this batch is to be copied.
    pub(super) const fn begin(&mut self) -> bool {
        let is_spared = self.spared > 0;
        self.spared = self.spared.saturating_sub(1);
        self.is_possible && !is_spared
    }

    pub(super) const fn taken(&mut self) {
        self.last_spared = 0;
    }

    pub(super) fn refused(&mut self) {
        self.last_spared = (2 * self.last_spared + 1).min(SPARED_MAX);
        self.spared = self.last_spared;
    }
}

#[cfg(test)]
mod tests {
    use super::CopyAttempts;

    /// Which of so many batches are tried, when those that `refused` names are refused.
    fn tried(batches: u32, refused: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut attempts = CopyAttempts::new(true);
        let tried = (0..batches).filter(|batch| {
            let tries = attempts.begin();
            match (tries, refused(*batch)) {
                (true, true) => attempts.refused(),
                (true, false) => attempts.taken(),
                (false, _) => {}
            }
            tries
        });
        tried.collect()
    }

    #[test]
    fn every_batch_is_tried_where_all_are_taken() {
        assert_eq!(tried(5, |_| false), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn each_refusal_in_a_row_doubles_the_pause_up_to_one_of_sixty_four() {
        assert_eq!(tried(260, |_| true), [0, 2, 6, 14, 30, 62, 126, 190, 254]);
    }

    #[test]
    fn one_that_is_taken_ends_the_pauses() {
        assert_eq!(tried(12, |batch| [0, 2, 9].contains(&batch)), [0, 2, 6, 7, 8, 9, 11]);
    }

    #[test]
    fn where_it_is_impossible_none_is_tried() {
        let mut attempts = CopyAttempts::new(false);
        assert!((0..100).all(|_| !attempts.begin()));
    }
}
