//! What the principal may do, and what the application needs. Pure.

use std::collections::BTreeSet;

use millpond::broker::kafka::{Resource, Right};

use crate::finding::Finding;

/// The command that grants rights on something.
pub(super) type Grant<'a> = &'a dyn Fn(&[Right], &Resource) -> String;

/// Rights that are missing on something, as one finding. A cluster that does not tell (an empty set) is not accused.
pub(super) fn missing(on: &Resource, has: &BTreeSet<Right>, needs: &[Right], grant: Grant<'_>) -> Option<Finding> {
    if has.is_empty() {
        return None;
    }
    let missing: Vec<Right> = needs.iter().filter(|right| !has.contains(right)).copied().collect();
    if missing.is_empty() {
        return None;
    }
    let names: Vec<String> = missing.iter().map(|right| format!("{right:?}")).collect();
    let what = format!("this principal lacks {} on {on}", names.join(", "));
    Some(Finding::broken("rights", what, grant(&missing, on)))
}
