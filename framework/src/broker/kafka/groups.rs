//! Which group and instance a membership belongs to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::broker::{MemberConfig, Membership};

/// Shared by the consumers and producers of one broker. A [`Membership`] holds what the core compares, generation and
/// member id; the request that commits offsets also names the group and the instance, which only the consumer knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups(Arc<Mutex<BTreeMap<String, MemberConfig>>>);

impl Groups {
    pub(super) fn remember(&self, membership: &Membership, member: &MemberConfig) {
        if membership.is_fencing() {
            let mut known = self.known();
            if !known.contains_key(&membership.member_id) {
                known.insert(membership.member_id.clone(), member.clone());
            }
        }
    }

    /// A closed consumer's memberships are proof of nothing.
    pub(super) fn forget(&self, member: &MemberConfig) {
        self.known().retain(|_, known| known != member);
    }

    pub(super) fn find(&self, membership: &Membership) -> Option<MemberConfig> {
        self.known().get(&membership.member_id).cloned()
    }

    /// Entries are inserted and removed whole, so a poisoned lock is as good as any.
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, MemberConfig>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
