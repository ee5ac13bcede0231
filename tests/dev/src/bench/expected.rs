//! What the outputs must be, worked out while the input is made.

use std::collections::BTreeMap;

use fraud::Rule;
use fraud::reference::{CartAdd, bursts};

use super::program::Side;

/// What is in a topic, and what follows from it.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) events: u64,
    pub(crate) value_bytes: u64,
    /// Events with an e-mail address: the confirmed orders.
    pub(crate) addresses: u64,
    /// Records of each user.
    pub(crate) counts: Vec<i64>,
    /// Sums of the amounts of each user.
    pub(crate) sums: Vec<i64>,
    /// When each user put something into the cart.
    carts: Vec<Vec<i64>>,
    last_ms: i64,
    visits: BTreeMap<u32, (i64, &'static str)>,
    orders: Vec<(u32, i64)>,
    /// Orders of each channel, for who looks at events in the order of their offsets alone.
    by_offset: BTreeMap<String, u64>,
}

const ORGANIC: &str = "organic";

impl Expected {
    pub(crate) fn new(users: u32) -> Self {
        let users = usize::try_from(users).unwrap_or(0);
        Self { counts: vec![0; users], ..Self::default() }
    }

    pub(crate) fn event(&mut self, user: u32, at_ms: i64, bytes: usize) {
        (self.events, self.value_bytes) = (self.events + 1, self.value_bytes + bytes as u64);
        self.last_ms = at_ms;
        add(&mut self.counts, user, 1);
    }

    pub(crate) fn amount(&mut self, user: u32, amount: i64) {
        self.sums.resize(self.counts.len(), 0);
        add(&mut self.sums, user, amount);
    }

    pub(crate) fn cart(&mut self, user: u32, at_ms: i64) {
        self.carts.resize(self.counts.len(), Vec::new());
        if let Some(times) = usize::try_from(user).ok().and_then(|user| self.carts.get_mut(user)) {
            times.push(at_ms);
        }
    }

    pub(crate) fn visit(&mut self, user: u32, at_ms: i64, channel: &'static str) {
        let first = self.visits.entry(user).or_insert((at_ms, channel));
        // Of visits at the same time ours takes the one whose channel is the smaller, as it does whatever the order.
        if at_ms == first.0 && channel < first.1 {
            first.1 = channel;
        }
    }

    pub(crate) fn order(&mut self, user: u32, at_ms: i64) {
        self.addresses += 1;
        self.orders.push((user, at_ms));
        let channel = self.visits.get(&user).map_or(ORGANIC, |visit| visit.1);
        *self.by_offset.entry(channel.to_owned()).or_default() += 1;
    }

    /// Orders of each channel. Ours lets a visit count for an order of the same millisecond that comes before it.
    pub(crate) fn channels(&self, side: Side) -> BTreeMap<String, u64> {
        if side == Side::Streams {
            return self.by_offset.clone();
        }
        let mut channels = BTreeMap::new();
        for (user, at_ms) in &self.orders {
            let visit = self.visits.get(user).filter(|visit| visit.0 <= *at_ms);
            *channels.entry(visit.map_or(ORGANIC, |visit| visit.1).to_owned()).or_default() += 1;
        }
        channels
    }

    /// Fewest and most alerts. Ours holds an alert for a while that follows another of the same user: those of the last
    /// seconds may not have left yet.
    pub(crate) fn alerts(&self, side: Side) -> (u64, u64) {
        if side == Side::Streams {
            let alerts = self.carts.iter().map(|times| cleared_bursts(times)).sum();
            return (alerts, alerts);
        }
        let rule = Rule::default();
        let reach_ms = i64::try_from((rule.window + rule.grace).as_millis()).unwrap_or(i64::MAX);
        let (mut least, mut most) = (0, 0);
        for (user, times) in self.carts.iter().enumerate().filter(|(_, times)| times.len() >= rule.count.get()) {
            let add = |&at_ms: &i64| CartAdd { user_id: user.to_string(), at_ms, item_url: None };
            let adds: Vec<CartAdd> = times.iter().map(add).collect();
            for burst in bursts(&rule, &adds).into_values().flatten() {
                most += 1;
                least += u64::from(burst.last_ms < self.last_ms - 2 * reach_ms);
            }
        }
        (least, most)
    }
}

fn add(numbers: &mut [i64], user: u32, by: i64) {
    if let Some(number) = usize::try_from(user).ok().and_then(|user| numbers.get_mut(user)) {
        *number += by;
    }
}

/// The peer's rule: five in less than five seconds, and then from nothing again.
fn cleared_bursts(times: &[i64]) -> u64 {
    let (mut alerts, mut recent) = (0, Vec::new());
    for &at_ms in times {
        recent.retain(|&earlier| earlier > at_ms - 5_000);
        recent.push(at_ms);
        if recent.len() >= 5 {
            alerts += 1;
            recent.clear();
        }
    }
    alerts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_of_both_rules() {
        let mut expected = Expected::new(2);
        for at_ms in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] {
            expected.cart(1, at_ms);
        }
        expected.event(0, 1_000_000, 1);
        assert_eq!(expected.alerts(Side::Streams), (2, 2));
        assert_eq!(expected.alerts(Side::Millpond), (1, 1));
    }

    #[test]
    fn a_visit_of_the_same_millisecond_counts_for_ours_only() {
        let mut expected = Expected::new(2);
        expected.order(1, 7);
        expected.visit(1, 7, "mail");
        expected.visit(1, 8, "google");
        expected.order(1, 8);
        let channels = |side| expected.channels(side).into_iter().collect::<Vec<_>>();
        assert_eq!(channels(Side::Streams), [("mail".to_owned(), 1), ("organic".to_owned(), 1)]);
        assert_eq!(channels(Side::Millpond), [("mail".to_owned(), 2)]);
    }
}
