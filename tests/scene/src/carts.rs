//! The stores of fraud against the fold of its input. The input alone does not say when a row was swept, so a row of which
//! nothing is left to expect may be there or not; whatever is there must come from the input, and what must be there is.

use std::collections::{BTreeMap, BTreeSet};

use fraud::reference::{CartAdd, bursts};
use fraud::{Evidence, Rule};
use millpond::serde::{Bincode, Ordered, Serde};
use serde::{Deserialize, Serialize};

use crate::findings::Findings;
use crate::stores::Tables;

/// The row of a user in `carts`, field by field as the application writes it.
#[derive(Debug, Serialize, Deserialize)]
struct Activity {
    adds: Vec<Add>,
    bursts: Vec<Burst>,
    wake_up_ms: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Add {
    at_ms: i64,
    item: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Burst {
    first_ms: i64,
    last_ms: i64,
    held: Option<Evidence>,
}

/// Compares. `adds` are the events that were not refused; all partitions have seen the time `now_ms`.
pub(crate) fn verify(rule: &Rule, adds: &[CartAdd], tables: &Tables, now_ms: i64, findings: &mut Findings) {
    let horizon_ms = now_ms - i64::try_from((rule.window + rule.grace).as_millis()).unwrap_or(i64::MAX);
    let facts: BTreeSet<(&str, i64, Option<&str>)> =
        adds.iter().map(|add| (add.user_id.as_str(), add.at_ms, add.item_url.as_deref())).collect();
    let bursts = bursts(rule, adds);
    let mut expected = BTreeMap::new();
    for add in adds.iter().filter(|add| add.at_ms > horizon_ms) {
        *expected.entry(add.user_id.as_str()).or_insert(0) += 1;
    }
    let mut wake_ups = BTreeSet::new();
    for (key, row) in tables.get("carts").into_iter().flatten() {
        let user = String::from_utf8_lossy(key).into_owned();
        findings.compared += 1;
        let Ok(activity) = Serde::<Activity>::decode(&Bincode, row) else {
            wrong(findings, &format!("{user}: a row that cannot be read"));
            continue;
        };
        for add in &activity.adds {
            if !facts.contains(&(user.as_str(), add.at_ms, add.item.as_deref())) {
                wrong(findings, &format!("{user}: {add:?} is not in the input"));
            }
        }
        let of_user = bursts.get(&user).map(Vec::as_slice).unwrap_or_default();
        for burst in &activity.bursts {
            let known = of_user.iter().any(|known| known.first_ms <= burst.first_ms && burst.last_ms <= known.last_ms);
            if !known {
                wrong(findings, &format!("{user}: {burst:?} is no burst of the input"));
            }
            if burst.held.is_some() && burst.last_ms <= horizon_ms {
                wrong(findings, &format!("{user}: {burst:?} still holds its alert"));
            }
        }
        let young = activity.adds.iter().filter(|add| add.at_ms > horizon_ms).count();
        // Of a burst the inner events go.
        let all = expected.remove(user.as_str()).unwrap_or(0);
        if young > all || (young < all && of_user.is_empty()) {
            wrong(findings, &format!("{user}: {young} of {all} events are remembered"));
        }
        wake_ups.extend(activity.wake_up_ms.map(|at_ms| encoded(&(at_ms, user))));
    }
    for user in expected.keys() {
        wrong(findings, &format!("{user}: its row is missing"));
    }
    let looked_at: BTreeSet<Vec<u8>> =
        tables.get("wake-ups").into_iter().flatten().map(|(key, _)| key.clone()).collect();
    if looked_at != wake_ups {
        wrong(findings, &format!("{} wake-ups, and {} rows that name one", looked_at.len(), wake_ups.len()));
    }
}

fn wrong(findings: &mut Findings, text: &str) {
    findings.dirty += 1;
    findings.say(format!("fraud carts against the input: {text}"));
}

fn encoded(key: &(i64, String)) -> Vec<u8> {
    let mut out = Vec::new();
    // What cannot be encoded is empty, and found.
    let _ = Ordered.encode(key, &mut out);
    out
}
