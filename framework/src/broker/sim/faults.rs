//! When faults strike: scheduled by a test (`SimBroker::fail_next`), drawn from a seed ([`Faults::seeded`]), or repeated
//! from an earlier run ([`Faults::exactly`]). A fault strikes when a client passes its step.

use std::collections::BTreeMap;
use std::fmt;

use super::fault::Fault;
use super::rng::SplitMix64;

/// How long something that was delayed takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delay {
    /// Until the test releases it.
    Held,
    /// That many client calls.
    Calls(u64),
}

impl Delay {
    /// So many calls; `None`: until the test releases it.
    pub(super) const fn calls(self) -> Option<u64> {
        match self {
            Self::Held => None,
            Self::Calls(calls) => Some(calls),
        }
    }
}

/// One strike of a fault in a run: enough to strike again in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// Which fault.
    pub fault: Fault,
    /// After how many passes of its step.
    pub pass: u32,
    /// How many client calls a delay takes; `None`: until it is released.
    pub calls: Option<u64>,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} after {} passes", self.fault, self.pass)
    }
}

/// A number for each fault.
#[derive(Debug, Clone)]
struct PerFault([u32; Fault::ALL.len()]);

impl Default for PerFault {
    fn default() -> Self {
        Self([0; Fault::ALL.len()])
    }
}

impl PerFault {
    fn get(&self, fault: Fault) -> u32 {
        self.0.get(fault as usize).copied().unwrap_or(0)
    }

    fn set(&mut self, fault: Fault, number: u32) {
        if let Some(slot) = self.0.get_mut(fault as usize) {
            *slot = number;
        }
    }
}

/// Which faults strike when. Equal schedules and seeds strike equally.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    rng: Option<SplitMix64>,
    one_in: PerFault,
    passes: PerFault,
    /// Fault, and how many passes of its step are let through first.
    scheduled: Vec<(Fault, u32)>,
    exact: BTreeMap<(Fault, u32), Option<u64>>,
    /// Whether strikes are written down.
    recording: bool,
    struck: Vec<Strike>,
}

/// Longest delay that a seed draws, in client calls.
const DELAY_CALLS_MAX: u64 = 24;

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// Faults drawn from a seed; none until [`with`](Self::with) names them.
    pub fn seeded(seed: u64) -> Self {
        Self { rng: Some(SplitMix64::new(seed)), ..Self::default() }
    }

    /// The strikes of an earlier run, or some of them.
    pub fn exactly(strikes: &[Strike]) -> Self {
        let exact = strikes.iter().map(|strike| ((strike.fault, strike.pass), strike.calls)).collect();
        Self { exact, ..Self::default() }
    }

    /// Adds a drawn fault: strikes once in `one_in` passes of its step on average; zero is never.
    #[must_use]
    pub fn with(mut self, fault: Fault, one_in: u32) -> Self {
        self.one_in.set(fault, one_in);
        self
    }

    /// Writes down what strikes, for [`strikes`](Self::strikes).
    #[must_use]
    pub const fn recorded(mut self) -> Self {
        self.recording = true;
        self
    }

    /// What has struck so far, in order; empty unless [`recorded`](Self::recorded).
    pub fn strikes(&self) -> &[Strike] {
        &self.struck
    }

    /// Strikes once, after `passes` passes of its step.
    pub fn schedule(&mut self, fault: Fault, passes: u32) {
        self.scheduled.push((fault, passes));
    }

    /// Whether the fault strikes now, and how long a delay would last.
    pub(super) fn strike(&mut self, fault: Fault) -> Option<Delay> {
        let pass = self.passes.get(fault);
        self.passes.set(fault, pass.saturating_add(1));
        let delay = self.decide(fault, pass)?;
        if self.recording {
            self.struck.push(Strike { fault, pass, calls: delay.calls() });
        }
        Some(delay)
    }

    fn decide(&mut self, fault: Fault, pass: u32) -> Option<Delay> {
        let mut due = None;
        for (index, (scheduled, passes)) in self.scheduled.iter_mut().enumerate() {
            if *scheduled == fault {
                match passes.checked_sub(1) {
                    Some(fewer) => *passes = fewer,
                    None => due = due.or(Some(index)),
                }
            }
        }
        if let Some(index) = due {
            self.scheduled.remove(index);
            return Some(Delay::Held);
        }
        if !self.exact.is_empty() {
            return self.exact.get(&(fault, pass)).map(|calls| calls.map_or(Delay::Held, Delay::Calls));
        }
        let one_in = self.one_in.get(fault);
        let rng = self.rng.as_mut().filter(|_| one_in != 0)?;
        rng.one_in(one_in).then(|| Delay::Calls(1 + rng.below(DELAY_CALLS_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduled_fault_strikes_once_after_its_passes() {
        let mut faults = Faults::none();
        faults.schedule(Fault::AfterSend, 2);
        faults.schedule(Fault::AfterSend, 0);
        let struck: Vec<bool> = (0..5).map(|_| faults.strike(Fault::AfterSend).is_some()).collect();
        assert_eq!(struck, [true, false, true, false, false]);
        assert_eq!(faults.strike(Fault::BeforeSend), None);
    }

    #[test]
    fn a_seed_strikes_the_same_way_twice_and_about_as_often_as_said() {
        let draw = || {
            let mut faults = Faults::seeded(42).with(Fault::FetchEmpty, 10);
            (0..1000).map(|_| faults.strike(Fault::FetchEmpty).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
        let hits = draw().into_iter().filter(|&hit| hit).count();
        assert!((60..140).contains(&hits), "{hits} of 1000, one in 10 asked for");
    }

    #[test]
    fn what_has_struck_strikes_again_in_the_same_places() {
        let pass = |faults: &mut Faults| (0..200).map(|_| faults.strike(Fault::EndTxnDelayed)).collect::<Vec<_>>();
        let mut drawn = Faults::seeded(7).with(Fault::EndTxnDelayed, 20).recorded();
        let first = pass(&mut drawn);
        assert!(!drawn.strikes().is_empty());
        assert_eq!(pass(&mut Faults::exactly(drawn.strikes())), first);
    }
}
