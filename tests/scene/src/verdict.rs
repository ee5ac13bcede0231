//! Everything of a scene against what its input asks for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use fraud::reference::CartAdd;
use millpond_harness::{Error, Received};

use crate::findings::Findings;
use crate::scene::{CLOSING_MS, LATE, Scene, rule};
use crate::{carts, oracle, stores};

/// The oracle of a scene at rest, from [`Scene::oracle`].
#[derive(Debug)]
pub struct Oracle<'s> {
    scene: &'s Scene,
    /// Whole topics, as they were when they were needed first.
    read: RefCell<BTreeMap<&'static str, Rc<[Received]>>>,
}

impl<'s> Oracle<'s> {
    pub(crate) fn new(scene: &'s Scene) -> Self {
        Self { scene, read: RefCell::default() }
    }

    fn topic(&self, name: &'static str) -> Result<Rc<[Received]>, Error> {
        if let Some(read) = self.read.borrow().get(name) {
            return Ok(Rc::clone(read));
        }
        let read: Rc<[Received]> = self.scene.client().read_committed(&self.scene.topic(name))?.into();
        self.read.borrow_mut().insert(name, Rc::clone(&read));
        Ok(read)
    }

    /// What the fraud detector takes in: events that were refused as late are left out.
    fn adds(&self) -> Result<Vec<CartAdd>, Error> {
        let events = self.topic("events")?;
        let adds = events.iter().filter_map(|event| CartAdd::read(event.timestamp_ms, event.value.as_deref()));
        Ok(adds.filter(|add| !add.user_id.starts_with(LATE)).collect())
    }

    /// Compares outputs and dead letters of the application with what its input asks for.
    ///
    /// # Errors
    /// [`Error`] when something cannot be read.
    pub fn verify(&self, binary: &str) -> Result<Findings, Error> {
        let (mut findings, scene) = (Findings::default(), self.scene);
        let letters = scene.client().read_committed(&format!("{}-dead-letters", scene.topic(binary)))?;
        let mut found = oracle::dead_letters(&letters);
        let expected = if binary == "loader" {
            let loaded = self.topic("processed")?;
            findings.compare("events", oracle::rows(&loaded), scene.query(oracle::ROWS)?);
            let table = oracle::attribution_rows(&self.topic("attributions")?);
            findings.compare("attributions", table, scene.query(oracle::ATTRIBUTION_ROWS)?);
            oracle::refused(&scene.topic("processed"), &loaded, |flaw| flaw.loader)
        } else {
            let (topic, events) = (scene.topic("events"), self.topic("events")?);
            match binary {
                "redaction" => {
                    oracle::verify_redaction(&events, &self.topic("processed")?, &letters, &mut findings);
                    oracle::refused(&topic, &events, |flaw| flaw.redaction)
                }
                "fraud" => {
                    self.verify_alerts(&letters, &mut findings)?;
                    found.retain(|(_, _, _, reason)| reason != "late_event");
                    oracle::refused(&topic, &events, |flaw| flaw.fraud)
                }
                _ => {
                    oracle::verify_attribution(&events, &self.topic("attributions")?, &mut findings);
                    oracle::refused(&topic, &events, |flaw| flaw.attribution)
                }
            }
        };
        findings.compare(&format!("dead letters of {binary}"), expected, found);
        Ok(findings)
    }

    fn verify_alerts(&self, letters: &[Received], findings: &mut Findings) -> Result<(), Error> {
        oracle::verify_fraud(&rule(), &self.adds()?, &self.topic("alerts")?, findings);
        let late = letters.iter().filter(|letter| letter.header("__streams.errors.reason") == Some(b"late_event"));
        let expected = (0..8).map(|n| format!("{LATE}{n}")).collect();
        findings.compare("late events", expected, late.map(Received::key_text).collect());
        Ok(())
    }

    /// Compares the application's stores with their changelogs and with the input. It must not run, and this instance
    /// must have owned all tasks at the end; of fraud the bursts must be closed ([`Scene::close_bursts`]).
    ///
    /// # Errors
    /// [`Error`] when something cannot be read.
    pub fn verify_stores(&self, binary: &str, state_dir: &Path, instance: &str) -> Result<Findings, Error> {
        let mut findings = Findings::default();
        if matches!(binary, "fraud" | "attribution") {
            let (client, id) = (self.scene.client(), self.scene.topic(binary));
            let tables = stores::verify(client, &id, state_dir, instance, &mut findings)?;
            if binary == "attribution" {
                stores::verify_attribution(&self.topic("events")?, &tables, &mut findings);
            } else {
                carts::verify(&rule(), &self.adds()?, &tables, CLOSING_MS, &mut findings);
            }
        }
        Ok(findings)
    }
}
