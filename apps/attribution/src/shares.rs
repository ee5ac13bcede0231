//! Which channel has brought how many orders, as the page shows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use millpond::http::{Block, Section, Share, Story, Traffic};
use millpond::time::Timestamp;

use crate::Totals;

/// A producer may send what it likes: beyond so many channels, others are counted together.
const CHANNELS_MAX: usize = 200;
/// So many are shown, and the rest together.
const SHOWN: usize = 12;
const OTHERS: &str = "others";
/// What has an `@` may be somebody's address.
const HIDDEN: &str = "(hidden)";

/// Orders by the channel that they belong to now: a correction moves an order from one to another.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shares {
    /// Below zero when an order is moved that was counted by another process.
    orders: BTreeMap<String, i64>,
    corrected: u64,
}

impl Shares {
    /// An order belongs to `to`; it is new, or belonged to `from`.
    pub(crate) fn belongs(&mut self, to: &str, from: Option<&str>) {
        if let Some(from) = from {
            self.corrected = self.corrected.saturating_add(1);
            self.add(from, -1);
        }
        self.add(to, 1);
    }

    fn add(&mut self, channel: &str, count: i64) {
        let channel = if channel.contains('@') { HIDDEN } else { channel };
        let known = self.orders.contains_key(channel) || self.orders.len() < CHANNELS_MAX;
        let channel = if known { channel } else { OTHERS };
        match self.orders.get_mut(channel) {
            Some(orders) => *orders = orders.saturating_add(count),
            None => drop(self.orders.insert(channel.to_owned(), count)),
        }
    }

    /// The channels with most orders first, the rest together at the end.
    fn shown(self) -> (Vec<Share>, u64) {
        let share = |(label, count): (String, i64)| Share { label, count: u64::try_from(count).unwrap_or(0) };
        let mut shares: Vec<Share> = self.orders.into_iter().map(share).filter(|share| share.count > 0).collect();
        shares.sort_by(|left, right| right.count.cmp(&left.count).then_with(|| left.label.cmp(&right.label)));
        let rest: u64 = shares.iter().skip(SHOWN).map(|share| share.count).sum();
        shares.truncate(SHOWN);
        if rest > 0 {
            shares.push(Share { label: "all other channels".to_owned(), count: rest });
        }
        (shares, self.corrected)
    }
}

/// Shares of the channels as a section of the page.
#[derive(Debug)]
pub struct AttributionStory(pub Arc<Totals>);

impl Story for AttributionStory {
    fn tell(&self, _now: Timestamp, _traffic: &Traffic) -> Section {
        let (shares, corrected) = self.0.shares().shown();
        let orders: u64 = shares.iter().map(|share| share.count).sum();
        let facts = Block::facts([("Orders attributed", orders.to_string()), ("Corrections", corrected.to_string())]);
        let section = Section::new("Orders by channel").with(facts);
        if shares.is_empty() {
            return section.with(Block::Note("No order since the start of this process.".to_owned()));
        }
        let caption = "Orders by the channel of the first visit, since the start of this process".to_owned();
        section.with(Block::Shares { caption, shares })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(shares: &Shares) -> Vec<(String, u64)> {
        shares.clone().shown().0.into_iter().map(|share| (share.label, share.count)).collect()
    }

    #[test]
    fn a_correction_moves_an_order() {
        let mut shares = Shares::default();
        (0..3).for_each(|_| shares.belongs("organic", None));
        shares.belongs("mail", None);
        shares.belongs("ads", Some("organic"));
        assert_eq!(told(&shares), [("organic".into(), 2), ("ads".into(), 1), ("mail".into(), 1)]);
        // The order was another process's.
        shares.belongs("ads", Some("search"));
        assert_eq!(told(&shares), [("ads".into(), 2), ("organic".into(), 2), ("mail".into(), 1)]);
        assert_eq!(shares.shown().1, 2);
    }

    #[test]
    fn channels_that_nobody_has_thought_of_are_bounded_and_addresses_are_hidden() {
        let mut shares = Shares::default();
        (0..10_000).for_each(|n| shares.belongs(&format!("c{n}"), None));
        shares.belongs("ann@example.com", None);
        assert!(shares.orders.len() <= CHANNELS_MAX + 1);
        let told = told(&shares);
        assert_eq!((told.len(), told.iter().map(|(_, count)| count).sum::<u64>()), (SHOWN + 1, 10_001));
        assert!(told.iter().all(|(label, _)| !label.contains('@')), "{told:?}");
    }
}
