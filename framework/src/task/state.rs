//! Where a task is in its life, for reports. The life itself is drawn in `task`.

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TaskState {
    /// Assigned; another thread still holds its state.
    #[default]
    Created,
    /// Replaying its changelogs.
    Restoring,
    /// Processing.
    Running,
    /// Taken back, stores still open.
    Suspended,
    /// Gone.
    Closed,
}

impl TaskState {
    /// All states, in the order of a life.
    pub const ALL: [Self; 5] = [Self::Created, Self::Restoring, Self::Running, Self::Suspended, Self::Closed];

    /// The name in metrics and on the page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Restoring => "restoring",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }
}
