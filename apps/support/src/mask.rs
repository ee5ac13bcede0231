//! Names in the place of personal data, for pages.

use std::hash::{BuildHasher, RandomState};

/// Shows who a record is about: as a name that says nothing, or in plain when the configuration asks for it.
///
/// One value has one name for as long as the process runs, so that a person sees what belongs together. Names come from a hash
/// under a key that the process draws and tells nobody: whoever knows all values cannot find the one behind a name.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    key: RandomState,
    plain: bool,
}

impl Mask {
    /// A mask; with `plain` it hides nothing.
    pub fn new(plain: bool) -> Self {
        Self { key: RandomState::new(), plain }
    }

    /// True when it hides nothing.
    pub const fn is_plain(&self) -> bool {
        self.plain
    }

    /// What is shown in the place of `value`: `user 3f9a1c`.
    pub fn show(&self, what: &str, value: &str) -> String {
        if self.plain { value.to_owned() } else { format!("{what} {:06x}", self.key.hash_one(value) >> 40) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_name_that_does_not_tell_it() {
        let mask = Mask::default();
        let name = mask.show("user", "ann@example.com");
        assert_eq!((&name, name.len()), (&mask.show("user", "ann@example.com"), 11));
        assert!(!name.contains("ann"), "{name}");
        assert_ne!(name, mask.show("user", "bob@example.com"));
        // Another process has another key.
        assert_ne!(
            (0..8).map(|n| Mask::default().show("user", &n.to_string())).collect::<Vec<_>>(),
            (0..8).map(|n| mask.show("user", &n.to_string())).collect::<Vec<_>>()
        );
        assert_eq!(Mask::new(true).show("user", "u1"), "u1");
    }
}
