//! `state verify`: every row is read, which checks the engine's checksums, decoded where the serdes are known, and compared with
//! the changelog where that is asked for.

use millpond::broker::kafka::{KafkaBroker, KafkaConfig};
use millpond::record::TaskId;
use millpond::runtime::config::StreamsConfig;
use millpond::state::KeyRange;
use millpond::state::changelog::{ChangelogKey, classify};
use millpond::state::rocksdb::TaskView;
use serde_json::{Value, json};

use super::changelog::{self, Compared};
use super::open::Opened;
use crate::cli::Failure;
use crate::cli::output::{Output, lines};
use crate::cli::progress::Progress;
use millpond::formats::{StoreFormat, StoreFormats, hex};

/// So many bad rows of a store are named; the others are counted.
const NAMED_MAX: u64 = 10;

/// Something that is wrong.
struct Damage {
    instance: String,
    task: TaskId,
    what: String,
}

#[derive(Default)]
struct Tally {
    rows: u64,
    undecoded_stores: Vec<String>,
    damage: Vec<Damage>,
    /// `None` when nobody has asked for it.
    compared: Option<Vec<Compared>>,
}

/// `against`: where the changelogs are, if the rows are to be compared with them.
pub(super) fn run(
    opened: &Opened,
    formats: &StoreFormats,
    against: Option<&StreamsConfig>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let connect = |config| KafkaBroker::connect(KafkaConfig::of(config)?);
    let broker = against.map(connect).transpose()?;
    let mut tally = Tally { compared: broker.as_ref().map(|_| Vec::new()), ..Tally::default() };
    for (instance, task) in opened.tasks() {
        let mut bad = |what| tally.damage.push(Damage { instance: instance.instance.clone(), task, what });
        match opened.view(instance, task) {
            Err(failure) => bad(failure.to_string().trim_end().replace('\n', ";")),
            Ok(view) => {
                if view.checkpoint().is_none() && has_rows(&view)? {
                    bad("there are rows, but no checkpoint says of which commit".to_owned());
                }
                for store in view.stores() {
                    read_store(&view, store, formats.of(store), (&instance.instance, &mut tally))?;
                }
                if let (Some(broker), Some(config)) = (&broker, against) {
                    tally.compare(broker, &config.application_id, (&instance.instance, &view))?;
                }
            }
        }
    }
    tally.undecoded_stores.sort();
    tally.undecoded_stores.dedup();
    out.answer(|| tally.json(), || tally.text())?;
    let damaged = tally.damage.len();
    if damaged == 0 {
        return Ok(());
    }
    let fix = "stop the instance and move the named task's directory away: at its next start it restores the task from its \
               changelog; if a row cannot be decoded, run the version that wrote it, or reset the application";
    Err(Failure::new("state-damaged", format!("{damaged} findings, see above"), fix))
}

fn has_rows(view: &TaskView) -> Result<bool, Failure> {
    for store in view.stores() {
        if view.scan(store, &KeyRange::all())?.next().transpose()?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_store(
    view: &TaskView,
    store: &str,
    format: Option<&StoreFormat>,
    (instance, tally): (&str, &mut Tally),
) -> Result<(), Failure> {
    if format.is_none() {
        tally.undecoded_stores.push(store.to_owned());
    }
    let progress = Progress::over("verifying", view.stats(store)?.rows);
    let mut bad_rows = 0;
    for row in view.scan(store, &KeyRange::all())? {
        let what = match row {
            Err(error) => Some(format!("store {store}: {error}")),
            Ok((key, value)) => {
                tally.rows += 1;
                problem(format, &key, &value).map(|problem| format!("store {store}, key {}: {problem}", hex(&key)))
            }
        };
        progress.step();
        let Some(what) = what else { continue };
        bad_rows += 1;
        if bad_rows <= NAMED_MAX {
            tally.damage.push(Damage { instance: instance.to_owned(), task: view.task(), what });
        }
    }
    if bad_rows > NAMED_MAX {
        let what = format!("store {store}: {} more rows like these", bad_rows - NAMED_MAX);
        tally.damage.push(Damage { instance: instance.to_owned(), task: view.task(), what });
    }
    Ok(())
}

/// What is wrong with a row; never its bytes, which may be personal.
fn problem(format: Option<&StoreFormat>, key: &[u8], value: &[u8]) -> Option<String> {
    if classify(key) != ChangelogKey::Row {
        return Some("the key is one of those that commit records have".to_owned());
    }
    let format = format?;
    let key = format.key(key).err().map(|error| format!("the key does not decode: {error}"));
    key.or_else(|| format.value(value).err().map(|error| format!("the value does not decode: {error}")))
}

impl Tally {
    fn compare(
        &mut self,
        broker: &KafkaBroker,
        application_id: &str,
        (instance, view): (&str, &TaskView),
    ) -> Result<(), Failure> {
        let damage = &mut self.damage;
        let mut bad = |what| damage.push(Damage { instance: instance.to_owned(), task: view.task(), what });
        let compared = changelog::compare(broker, application_id, (instance, view), &mut bad)?;
        compared.iter().filter_map(Compared::finding).for_each(bad);
        self.compared.get_or_insert_default().extend(compared);
        Ok(())
    }

    fn json(&self) -> Value {
        let damage = self
            .damage
            .iter()
            .map(|damage| json!({ "instance": damage.instance, "task": damage.task.to_string(), "what": damage.what }));
        json!({
            "ok": self.damage.is_empty(), "rows": self.rows, "not_decoded": self.undecoded_stores,
            "findings": damage.collect::<Vec<_>>(),
            "changelogs": self.compared.iter().flatten().map(Compared::json).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let damage = self.damage.iter();
        let damage = damage.map(|damage| format!("{} {}: {}", damage.instance, damage.task, damage.what));
        let undecoded = Some(self.undecoded_stores.join(", ")).filter(|stores| !stores.is_empty());
        let undecoded =
            undecoded.map(|stores| format!("read but not decoded, because their types are not known here: {stores}"));
        let compared = self.compared.iter().flatten().map(Compared::text);
        lines(damage.chain([format!("{} rows were read", self.rows)]).chain(undecoded).chain(compared))
    }
}
