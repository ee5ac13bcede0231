//! Which faults of the broker a seed has, and how often: about half of them, each rare, usual or frequent.

use crate::broker::sim::{Fault, Faults, SplitMix64};

/// Faults that tear a transaction: only where [`tearing`](super::Simulation::tearing) is asked for.
const TEARING: Fault = Fault::EndTxnDuplicatedUnnoticed;

/// Offsets that the group has and does not tell. Where commit records are lost by a mistake both proofs of a commit are gone at
/// a time, and nobody can tell a first start; where a first start is at the end it passes over what was to be read.
const HIDING: Fault = Fault::CommittedOffsetTransientlyMissing;

/// Once in so many passes of its step.
const OFTEN: [u32; 4] = [12, 40, 120, 400];
/// A commit that is in flight for a while is the usual case, not a fault: it is what processing ahead is made of.
const IN_FLIGHT: [u32; 4] = [2, 3, 6, 20];
/// A process that dies all the time gets nowhere.
const DEATHS: [u32; 3] = [80, 250, 800];
/// Steps that every call passes.
const PAUSES: [u32; 3] = [150, 500, 1500];

/// The faults of a seed.
pub(super) fn draw(seed: u64, tearing: bool, tells_offsets: bool) -> Faults {
    let mut rng = SplitMix64::new(seed ^ 0xFA01_7500);
    let calm = rng.one_in(40);
    let mut faults = Faults::seeded(rng.next_u64()).recorded();
    for fault in Fault::ALL {
        let rates: &[u32] = match fault {
            Fault::Paused => &PAUSES,
            Fault::CommitSlow | Fault::CommitToldLate => &IN_FLIGHT,
            // What a late request tears depends on what is delivered when.
            Fault::DeliverySlow if tearing => &IN_FLIGHT,
            _ if is_death(fault) => &DEATHS,
            _ => &OFTEN,
        };
        let rate = usize::try_from(rng.below(rates.len() as u64)).ok().and_then(|index| rates.get(index));
        let always = fault == TEARING || (fault == Fault::DeliverySlow && tearing);
        let wanted = if always { tearing } else { rng.one_in(2) && !calm };
        let wanted = wanted && !(tells_offsets && fault == HIDING);
        if wanted {
            faults = faults.with(fault, rate.copied().unwrap_or(0));
        }
    }
    faults
}

fn is_death(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::CrashAfterInit
            | Fault::CrashBeforeSend
            | Fault::CrashAfterSend
            | Fault::CrashBeforeSendOffsets
            | Fault::CrashAfterSendOffsets
            | Fault::CrashBeforeEndTxn
            | Fault::CrashAfterEndTxn
            | Fault::CrashBeforeAcknowledge
            | Fault::CrashInOffsetFetch
            | Fault::CrashInRestore
    )
}
