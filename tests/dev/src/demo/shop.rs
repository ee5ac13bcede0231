//! The shop: who does what when, and how it is written. A pure function of seed, rate and number of users.
//!
//! Time is counted in events: event `n` happens `n / rate` seconds after the beginning. What an event sets off (the rest
//! of a burst, a visit that is reported late) waits in a heap until its number comes up.

mod random;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Write;

pub(crate) use random::Random;

const CHANNELS: [&str; 7] = ["google", "mail", "instagram", "affiliate", "tiktok", "partner", "retargeting"];
const FIRST_NAMES: [&str; 8] = ["ada", "ben", "chloe", "dario", "elif", "femi", "grace", "j\u{fc}rgen"];
const LAST_NAMES: [&str; 8] = ["abadi", "brandt", "costa", "dubois", "eriksen", "fischer", "garcia", "hopper"];
const DOMAINS: [&str; 5] = ["example.com", "example.org", "mail.example", "shop.test", "example.co.uk"];

/// How many visitors are in the shop at a time, at most: those who put things into carts and order.
const PRESENT_MAX: u32 = 32_768;
/// Events of one in so many are reported up to [`LATE_MS`] late, the others up to [`PROMPT_MS`].
const LATE_ONE_IN: u32 = 10;
const LATE_MS: u32 = 300;
const PROMPT_MS: u32 = 10;
/// A burst begins with one in so many events.
const BURST_ONE_IN: u32 = 4_000;
/// One in so many orders is followed by the report of a visit before it.
const LATE_VISIT_ONE_IN: u32 = 20;
/// One in so many events is malformed.
const MALFORMED_ONE_IN: u32 = 1_000;

/// What the generator is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) rate: u32,
    pub(crate) users: u32,
    pub(crate) partitions: i32,
}

/// An event, its value in the buffer that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Emission {
    /// Event time, in milliseconds since the beginning; early events may be from before it.
    pub(crate) at_ms: i64,
    pub(crate) partition: i32,
    /// A tombstone: the buffer is empty and means nothing.
    pub(crate) is_null: bool,
}

/// Yields one event after the other.
#[derive(Debug)]
pub(crate) struct Shop {
    plan: Plan,
    random: Random,
    number: u64,
    orders: u64,
    /// A ring: each visit takes the place of an old one.
    present: Vec<u32>,
    oldest: usize,
    pending: BinaryHeap<Reverse<Pending>>,
}

/// Ordered by the number of the event that it becomes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pending {
    number: u64,
    user: u32,
    deed: PendingDeed,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PendingDeed {
    AddToCart,
    Visit { at_ms: i64 },
}

impl Shop {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut random = Random::new(plan.seed);
        // Full from the beginning: few people in a new shop would all look like bursts.
        let present = (0..plan.users.min(PRESENT_MAX)).map(|_| random.below(plan.users)).collect();
        Self { plan, random, number: 0, orders: 0, present, oldest: 0, pending: BinaryHeap::new() }
    }

    /// The next event; `out` is cleared and filled with its value.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Emission {
        out.clear();
        let number = self.number;
        self.number += 1;
        let now_ms = self.millis(number);
        let delay_ms = if self.random.one_in(LATE_ONE_IN) { LATE_MS } else { PROMPT_MS };
        let at_ms = now_ms - i64::from(self.random.below(delay_ms));
        let partition = i32::try_from(self.random.below(self.plan.partitions.unsigned_abs())).unwrap_or(0);
        let is_due = self.pending.peek().is_some_and(|Reverse(pending)| pending.number <= number);
        let due = if is_due { self.pending.pop() } else { None };
        if let Some(Reverse(pending)) = due {
            let at_ms = self.pending(&pending, at_ms, out);
            return Emission { at_ms, partition, is_null: false };
        }
        if self.random.one_in(MALFORMED_ONE_IN) {
            let is_null = self.malformed(out);
            return Emission { at_ms, partition, is_null };
        }
        self.ordinary(at_ms, out);
        Emission { at_ms, partition, is_null: false }
    }

    fn millis(&self, number: u64) -> i64 {
        i64::try_from(number.saturating_mul(1000) / u64::from(self.plan.rate)).unwrap_or(i64::MAX)
    }

    /// The number of the event that happens so much later than the present one.
    fn later(&self, millis: u32) -> u64 {
        self.number + u64::from(self.plan.rate) * u64::from(millis) / 1000
    }

    fn ordinary(&mut self, at_ms: i64, out: &mut Vec<u8>) {
        match self.random.below(100) {
            0..50 => {
                let user = self.random.below(self.plan.users);
                if let Some(place) = self.present.get_mut(self.oldest) {
                    *place = user;
                }
                self.oldest = (self.oldest + 1) % self.present.len().max(1);
                self.visit(user, out);
            }
            50..70 => self.page_view(out),
            70..94 => {
                let user = self.visitor();
                if self.random.one_in(BURST_ONE_IN * 24 / 100) {
                    self.begin_burst(user);
                }
                self.add_to_cart(user, out);
            }
            _ => self.order(at_ms, out),
        }
    }

    fn pending(&mut self, pending: &Pending, at_ms: i64, out: &mut Vec<u8>) -> i64 {
        match pending.deed {
            PendingDeed::AddToCart => {
                self.add_to_cart(pending.user, out);
                at_ms
            }
            PendingDeed::Visit { at_ms } => {
                self.visit(pending.user, out);
                at_ms
            }
        }
    }

    /// Somebody who is in the shop.
    fn visitor(&mut self) -> u32 {
        let place = self.random.below(u32::try_from(self.present.len()).unwrap_or(u32::MAX));
        usize::try_from(place).ok().and_then(|place| self.present.get(place)).copied().unwrap_or(0)
    }

    /// Some are too small or too slow to be fraud.
    fn begin_burst(&mut self, user: u32) {
        let (more, pace_ms) = (2 + self.random.below(7), 100 + self.random.below(1_100));
        for step in 1..=more {
            let number = self.later(step * pace_ms);
            self.pending.push(Reverse(Pending { number, user, deed: PendingDeed::AddToCart }));
        }
    }

    fn visit(&mut self, user: u32, out: &mut Vec<u8>) {
        let name = if self.random.one_in(2) { "visit" } else { "site_visit" };
        let page = self.random.below(50);
        write(out, format_args!(r#"{{"user_id":"u{user}","event_name":"{name}","page":"/landing/{page}""#));
        if self.random.one_in(8) {
            out.extend_from_slice(b"}");
        } else {
            let channel = self.random.pick(&CHANNELS);
            write(out, format_args!(r#","channel":"{channel}"}}"#));
        }
    }

    fn page_view(&mut self, out: &mut Vec<u8>) {
        let user = self.visitor();
        write(out, format_args!(r#"{{"user_id":"u{user}","event_name":"page_view","page":"#));
        let page = self.random.below(5_000);
        if self.random.one_in(50) {
            let (first, last) = (self.random.pick(&FIRST_NAMES), self.random.pick(&LAST_NAMES));
            write(out, format_args!(r#""/unsubscribe?mail={first}.{last}%40example.com&list={page}"}}"#));
        } else {
            write(out, format_args!(r#""/items?page={page}"}}"#));
        }
    }

    fn add_to_cart(&mut self, user: u32, out: &mut Vec<u8>) {
        let item = self.random.below(20_000);
        write(out, format_args!(r#"{{"user_id":"u{user}","event_name":"add_to_cart","item_url":"/item/{item}"}}"#));
    }

    fn order(&mut self, at_ms: i64, out: &mut Vec<u8>) {
        let user = self.visitor();
        self.orders += 1;
        let order = self.orders;
        let (first, last) = (self.random.pick(&FIRST_NAMES), self.random.pick(&LAST_NAMES));
        let domain = self.random.pick(&DOMAINS);
        write(out, format_args!(r#"{{"user_id":"u{user}","event_name":"order_confirmed","order_id":"o{order}","#));
        write(out, format_args!(r#""order_email":"{first}.{last}{user}@{domain}"}}"#));
        if self.random.one_in(LATE_VISIT_ONE_IN) {
            let (wait_ms, before_ms) = (self.random.below(3_000), 1 + self.random.below(1_000));
            let deed = PendingDeed::Visit { at_ms: at_ms - i64::from(before_ms) };
            self.pending.push(Reverse(Pending { number: self.later(wait_ms), user, deed }));
        }
    }

    /// True when the value is null.
    fn malformed(&mut self, out: &mut Vec<u8>) -> bool {
        let user = self.visitor();
        match self.random.below(4) {
            0 => return true,
            1 => write(out, format_args!(r#"{{"user_id":"u{user}","event_name":"visit","page":"#)),
            2 => out.extend_from_slice(br#"{"event_name":"visit","page":"/landing/1"}"#),
            _ => out.extend_from_slice(b"{\"user_id\":\"\xff\",\"event_name\":\"visit\"}"),
        }
        false
    }
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A vector takes everything.
    let _ = out.write_fmt(text);
}
