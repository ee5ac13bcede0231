//! The group's offsets are deleted: the application goes on from its last commit record.

use millpond_harness::{Error, try_wait_for};
use millpond_scene::LIMIT;

use super::{BINARY, Stage};

pub(super) fn play(stage: &mut Stage<'_>) -> Result<(), Error> {
    stage.app.start()?;
    stage.flow()?;
    // It leaves the group: only then is that empty, and may be deleted.
    stage.app.stop()?;
    let group = stage.scene.topic(BINARY);
    try_wait_for(LIMIT, "the group is empty", || Ok(stage.scene.client().delete_group(&group).is_ok().then_some(())))?;
    stage.struck();
    stage.feed()?;
    stage.app.start()?;
    let app = &mut stage.app;
    // A coordinator that has just moved answers the same for a while, so it asks for a minute before it believes.
    try_wait_for(LIMIT * 2, "it goes on without the group's offsets", || {
        Ok(app.journal().first_commit_ms().is_some().then_some(()))
    })?;
    if !stage.app.log().contains("going on from the last commit record") {
        stage.tally.complain("offsets: the loss was not told");
    }
    stage.judge()
}
