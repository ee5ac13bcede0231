//! What can be made to go wrong.

use std::fmt;
use std::str::FromStr;

macro_rules! faults {
    ($($variant:ident $name:literal $text:literal),* $(,)?) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $(#[doc = $text] $variant,)*
        }

        impl Fault {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name on the command line and in the report.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

faults! {
    Failpoint "failpoint" "SIGKILL at a named step.",
    Kill "kill" "SIGKILL at a random moment.",
    Zombie "zombie" "SIGSTOP beyond the session, another member takes over, then SIGCONT.",
    Twice "twice" "The same instance started again: on the same machine, and on another.",
    Fence "fence" "Another producer with the same transactional id.",
    Timeout "timeout" "SIGSTOP beyond the transaction's time-out.",
    Storm "storm" "A second member that joins and leaves again and again.",
    Broker "broker" "SIGKILL of the broker, and a restart.",
    Postgres "postgres" "SIGKILL of PostgreSQL, and a restart.",
    Backends "backends" "Backends of PostgreSQL terminated.",
    BrokerDown "broker-down" "The broker is away for 70 s.",
    ThreeNodes "three-nodes" "SIGKILL and restart of one of three brokers after the other.",
    Wire "wire" "Requests cut, repeated, delayed and late, by a proxy before the broker.",
    Damage "damage" "Files of RocksDB flipped, truncated or removed while the application is down.",
    Offsets "offsets" "The group's offsets deleted while the application is down.",
    Recreated "recreated" "A changelog deleted and made again.",
    Truncated "truncated" "A changelog cut off from its beginning.",
    Garbage "garbage" "Bytes in a changelog and a commit record that nobody can read.",
    DiskFull "disk-full" "The state directory's file system is full.",
    Clock "clock" "The application's clock jumps.",
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(", ");
        let found = Self::ALL.iter().copied().find(|fault| fault.name() == name);
        found.ok_or_else(|| format!("there is no fault `{name}`; there are {}", known()))
    }
}
