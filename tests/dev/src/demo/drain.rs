//! Lag, as the brokers know it: committed offsets against end offsets, of every input partition of every group.

use millpond_harness::{Group, PartitionLag};

use super::names::{APPLICATIONS, Application, Names};
use super::servers::Servers;

/// A view of all groups.
#[derive(Debug)]
pub(crate) struct Groups(Vec<(Application, Group, Vec<String>)>);

impl Groups {
    pub(crate) fn of(servers: &Servers, names: &Names) -> anyhow::Result<Self> {
        let client = servers.client();
        let group = |application: Application| {
            let group = client.group(&names.id(application))?;
            Ok((application, group, names.inputs(application)))
        };
        APPLICATIONS.into_iter().map(group).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Every partition that has something left. Empty means that everything has come through: groups are looked at in
    /// the order in which data flows, committed offsets before end offsets, so nothing can slip behind the eye.
    pub(crate) fn left(&self) -> anyhow::Result<Vec<(Application, PartitionLag)>> {
        let mut left = Vec::new();
        for (application, group, topics) in &self.0 {
            // One topic after the other: what the first one's records have become is in the second by then.
            for topic in topics {
                let lags = group.lag(&[topic])?.into_iter().filter(|partition| partition.lag() != 0);
                left.extend(lags.map(|lag| (*application, lag)));
            }
        }
        Ok(left)
    }
}

/// One line that says where records are left.
pub(crate) fn told(left: &[(Application, PartitionLag)]) -> String {
    let told = left.iter().map(|(application, lag)| {
        let PartitionLag { topic, partition, committed, end } = lag;
        let committed = committed.map_or_else(|| "none".to_owned(), |offset| offset.to_string());
        format!("{} {topic}-{partition} committed={committed} end={end}", application.name())
    });
    told.collect::<Vec<_>>().join(", ")
}

/// All lags together.
pub(crate) fn total(left: &[(Application, PartitionLag)]) -> i64 {
    left.iter().map(|(_, partition)| partition.lag()).sum()
}
