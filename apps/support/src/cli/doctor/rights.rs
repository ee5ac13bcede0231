//! What the principal may do, and what the application needs. Pure.

use std::collections::BTreeSet;

use millpond::broker::kafka::Right;

use crate::finding::Finding;

/// Rights that are missing on something, as one finding. A cluster that does not tell (an empty set) is not accused.
pub(super) fn missing(on: &str, has: &BTreeSet<Right>, needs: &[Right]) -> Option<Finding> {
    if has.is_empty() {
        return None;
    }
    let missing: Vec<String> =
        needs.iter().filter(|right| !has.contains(right)).map(|right| format!("{right:?}")).collect();
    if missing.is_empty() {
        return None;
    }
    let missing = missing.join(", ");
    let what = format!("this principal lacks {missing} on {on}");
    Some(Finding::broken("rights", what, format!("add an ACL that allows {missing} on {on}")))
}
