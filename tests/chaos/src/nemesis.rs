//! Who strikes at the servers while applications are struck.

use std::time::{Duration, Instant};

use millpond_harness::{Error, query};
use millpond_scene::wire_faults;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fault::Fault;
use crate::servers::Servers;
use crate::tally::Tally;

/// How long the wire is bad at a time, and how often held requests are delivered meanwhile.
const BAD_WIRE: Duration = Duration::from_secs(8);
const LATE: Duration = Duration::from_millis(200);

/// Strikes with these faults in turn, so often each, in the round of that name.
pub(crate) fn strike(
    servers: &Servers,
    tally: &Tally,
    (round, seed): (&str, u64),
    faults: &[(Fault, u64)],
) -> Result<(), Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut struck = 0;
    let mut left: Vec<(Fault, u64)> = faults.to_vec();
    while left.iter().any(|(_, count)| *count > 0) {
        for (fault, count) in left.iter_mut().filter(|(_, count)| *count > 0) {
            // Between two strikes at the brokers applications must be able to get on: the pace of the torment.
            let (least, most) =
                if *fault == Fault::Postgres || *fault == Fault::Backends { (500, 2_000) } else { (5_000, 8_000) };
            std::thread::park_timeout(Duration::from_millis(rng.random_range(least..most)));
            struck += 1;
            if *fault == Fault::Wire {
                wire(servers, tally, round)?;
            } else {
                one(servers, tally, (*fault, struck), &mut rng)?;
                tally.injected(*fault);
            }
            *count = count.saturating_sub(1);
        }
    }
    Ok(())
}

/// For a while requests are cut, repeated and delayed, and some come late. Each of them counts.
#[allow(clippy::disallowed_methods, reason = "the wire is bad for a while")]
fn wire(servers: &Servers, tally: &Tally, round: &str) -> Result<(), Error> {
    let Some(proxy) = &servers.proxy else { return Ok(()) };
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
    Ok(())
}

fn one(servers: &Servers, tally: &Tally, (fault, number): (Fault, usize), rng: &mut ChaCha8Rng) -> Result<(), Error> {
    let away = Duration::from_millis(rng.random_range(0..1_500));
    match fault {
        // With three, each in its turn, and the controller.
        Fault::Broker | Fault::BrokerDown | Fault::ThreeNodes => {
            let restarted = servers.node(number, |kafka| {
                kafka.kill()?;
                std::thread::park_timeout(if fault == Fault::BrokerDown { Duration::from_secs(70) } else { away });
                kafka.restart()
            });
            let Some((restarted, is_controller)) = restarted else { return Ok(()) };
            let mut counts = tally.counts();
            let kills = if is_controller { &mut counts.controller_kills } else { &mut counts.broker_kills };
            *kills += 1;
            restarted
        }
        Fault::Postgres => servers.postgres(|postgres| {
            postgres.kill()?;
            std::thread::park_timeout(away);
            postgres.restart()
        }),
        Fault::Backends => {
            let url = servers.postgres(|postgres| postgres.url());
            let others = "select pg_terminate_backend(pid) from pg_stat_activity \
                where pid <> pg_backend_pid() and backend_type = 'client backend'";
            // While the server is away there is no backend to terminate.
            query(&url, others).map(drop).or(Ok(()))
        }
        _ => Ok(()),
    }
}
