//! The loader's offsets as `reset` moves them.

use std::collections::BTreeMap;
use std::error::Error;

use millpond::broker::TopicId;
use millpond::record::{Offset, TopicPartition};
use millpond::runtime::config::StreamsConfig;
use millpond_support::OffsetTable;

use crate::postgres::Database;
use crate::settings::Settings;

struct Kept {
    application_id: String,
    database: Database,
}

/// The offsets in the database that the configuration names.
///
/// # Errors
/// When the section `[app]` does not fit: correct it.
pub fn kept_offsets(config: &StreamsConfig) -> Result<Box<dyn OffsetTable>, Box<dyn Error>> {
    let settings: Settings = config.app.get()?;
    let database = settings.loader(config, "reset", 0)?.database()?;
    Ok(Box::new(Kept { application_id: config.application_id.clone(), database }))
}

impl OffsetTable for Kept {
    fn offsets(&mut self) -> Result<BTreeMap<TopicPartition, Offset>, Box<dyn Error>> {
        Ok(self.database.offsets_of(&self.application_id)?)
    }

    fn move_to(&mut self, offsets: &BTreeMap<TopicPartition, (Offset, TopicId)>) -> Result<(), Box<dyn Error>> {
        Ok(self.database.move_offsets(&self.application_id, offsets)?)
    }
}
