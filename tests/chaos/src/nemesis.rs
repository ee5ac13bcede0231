//! Who strikes at the servers while applications are struck.

use std::time::{Duration, Instant};

use millpond_harness::Error;
use millpond_scene::wire_faults;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::evidence;
use crate::fault::Fault;
use crate::servers::Servers;
use crate::tally::Tally;

/// How long the wire is bad at a time, and how often held requests are delivered meanwhile.
const BAD_WIRE: Duration = Duration::from_secs(8);
const LATE: Duration = Duration::from_millis(200);

/// So many times each of them is tried of which nothing shows.
const TRIES: u64 = 10;

/// Strikes with these faults in turn, so often each, in the round of that name.
pub(crate) fn strike(
    servers: &Servers,
    tally: &Tally,
    (round, seed): (&str, u64),
    faults: &[(Fault, u64)],
) -> Result<(), Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut struck = 0;
    let mut left: Vec<(Fault, u64, u64)> =
        faults.iter().map(|(fault, count)| (*fault, *count, count * TRIES)).collect();
    let is_left = |(_, count, tries): &(Fault, u64, u64)| *count > 0 && *tries > 0;
    while left.iter().any(is_left) {
        for (fault, count, tries) in left.iter_mut().filter(|left| is_left(left)) {
            // Between two strikes at the brokers applications must be able to get on: the pace of the torment.
            let (least, most) =
                if *fault == Fault::Postgres || *fault == Fault::Backends { (500, 2_000) } else { (5_000, 8_000) };
            std::thread::park_timeout(Duration::from_millis(rng.random_range(least..most)));
            struck += 1;
            let hit = if *fault == Fault::Wire {
                wire(servers, tally, round)?
            } else {
                let shown = one(servers, tally, (*fault, struck), &mut rng)?;
                tally.strikes(*fault, shown)
            };
            *count = count.saturating_sub(u64::from(hit));
            *tries = tries.saturating_sub(1);
        }
    }
    Ok(())
}

/// For a while requests are cut, repeated and delayed, and some come late. Each of them counts; false when there was none.
#[allow(clippy::disallowed_methods, reason = "the wire is bad for a while")]
fn wire(servers: &Servers, tally: &Tally, round: &str) -> Result<bool, Error> {
    let Some(proxy) = &servers.proxy else { return Ok(false) };
    proxy.set_rules(wire_faults(round));
    let began = Instant::now();
    while began.elapsed() < BAD_WIRE {
        std::thread::park_timeout(LATE);
        proxy.release()?;
    }
    let hits: u64 = proxy.hits().iter().sum();
    proxy.set_rules([]);
    proxy.release()?;
    (0..hits).for_each(|_| tally.injected(Fault::Wire));
    Ok(hits > 0)
}

/// Strikes once. False when nothing came of it.
fn one(servers: &Servers, tally: &Tally, (fault, number): (Fault, usize), rng: &mut ChaCha8Rng) -> Result<bool, Error> {
    let away = Duration::from_millis(rng.random_range(0..1_500));
    match fault {
        // With three, each in its turn, and the controller.
        Fault::Broker | Fault::BrokerDown | Fault::ThreeNodes => {
            let restarted = servers.node(number, |kafka| {
                kafka.kill()?;
                std::thread::park_timeout(if fault == Fault::BrokerDown { Duration::from_secs(70) } else { away });
                kafka.restart()
            });
            let Some((restarted, is_controller)) = restarted else { return Ok(false) };
            let mut counts = tally.counts();
            let kills = if is_controller { &mut counts.controller_kills } else { &mut counts.broker_kills };
            *kills += 1;
            restarted.map(|()| true)
        }
        Fault::Postgres => servers.postgres(|postgres| {
            postgres.kill()?;
            std::thread::park_timeout(away);
            postgres.restart().map(|()| true)
        }),
        Fault::Backends => {
            let url = servers.postgres(|postgres| postgres.url());
            Ok(evidence::terminate_backends(&url) > 0)
        }
        _ => Ok(false),
    }
}
