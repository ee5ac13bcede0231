//! The loader binary.

use std::collections::BTreeSet;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use loader::{LoaderConfig, LoaderStory, Measures, Publisher, Settings, SharedStatus};
use millpond::broker::kafka::{KafkaBroker, KafkaConfig};
use millpond::http::{Graph, TopologyText};
use millpond::runtime::stats::StatusBoard;
use millpond_support::{App, Env, Look, Shown, Spans, instance, serve};

const LOADER: App<'static> = App {
    name: "loader",
    about: "Writes topics into PostgreSQL, rows and offsets in one transaction",
    version: env!("CARGO_PKG_VERSION"),
    defaults: &[
        ("application.id", "loader"),
        ("errors.deserialization", "dead-letter"),
        ("errors.processing", "dead-letter"),
    ],
    // Not connected to by a command that only describes.
    placeholders: &[("app.database_url", "postgres://localhost/loader")],
};

/// What whoever resets a loader should know.
const NOTES: [&str; 2] = [
    "rows stay: a record that is read again is left out where it was appended before, and replaces its row where the route \
     has a key; to load anew, TRUNCATE the tables while no loader runs",
    "dead letters stay: a record that is refused again leaves another one",
];

/// How often the page and the metrics are brought up to date.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let measures = Arc::new(Measures::default());
    let followed = measures.clone();
    let program = LOADER.sink(look, move |env| run(env, &followed));
    let program = program.offsets_in("sink_offset in PostgreSQL", &NOTES, loader::kept_offsets);
    program.measures(measures).check(loader::examine).main()
}

fn look(env: &Env<'_>) -> Result<Look, Box<dyn Error>> {
    let configs = configs(env, "0")?;
    let routes = configs.iter().take(1).flat_map(|config| config.routes.iter());
    let inputs: BTreeSet<String> = routes.map(|route| route.topic().to_string()).collect();
    Ok(Look { text: topology(&configs), inputs: inputs.into_iter().collect() })
}

/// The configuration of each thread. All share the first one's AWS credentials.
fn configs(env: &Env<'_>, instance: &str) -> Result<Vec<LoaderConfig>, Box<dyn Error>> {
    let settings: Settings = env.config.app.get()?;
    let threads = 0..u32::try_from(env.config.stream_threads.max(1))?;
    let first = settings.loader(&env.config, instance, 0)?;
    Ok(threads.map(|thread| LoaderConfig { thread, ..first.clone() }).collect())
}

/// Starts the threads, shows what they do, and stops them all when one fails or somebody asks.
fn run(env: &Env<'_>, measures: &Arc<Measures>) -> Result<(), Box<dyn Error>> {
    // Its section is checked before anything is locked.
    configs(env, "")?;
    // The lock on the name comes first: two processes of one name would claim each other's partitions for ever.
    let instance = instance(&env.config)?;
    let broker = KafkaBroker::connect(KafkaConfig::of(&env.config)?)?;
    let board = StatusBoard::new();
    let spans = Spans::start(env, instance.name())?;
    let mut configs = configs(env, instance.name())?;
    for config in &mut configs {
        config.tracing = spans.tracing();
    }
    let statuses: Vec<SharedStatus> = configs.iter().map(|_| SharedStatus::default()).collect();
    measures.follow(&statuses);
    let story: Arc<dyn millpond::http::Story> = Arc::new(LoaderStory::new(&statuses, board.clone()));
    let shown = Shown::of_sink(board.clone(), topology(&configs), &broker);
    let page = serve(env, instance.name(), Shown { own: Some(measures.clone()), story: Some(story), ..shown })?;
    let running = AtomicUsize::new(configs.len());
    let stop = env.stop.flag();
    let publisher = |(config, status): (&LoaderConfig, &SharedStatus)| {
        Publisher::new(&broker, status.clone(), board.thread(&config.thread.to_string()))
    };
    let mut publishers = configs.iter().zip(&statuses).map(publisher).collect::<Result<Vec<_>, _>>()?;
    // Nothing may fail between the first spawn and the last join: the scope would wait for threads that nobody stops.
    let ended = std::thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        let mut threads = Vec::new();
        for (config, status) in configs.iter().zip(&statuses) {
            let (broker, stop, running) = (broker.clone(), &stop, &running);
            threads.push(scope.spawn(move || {
                let mut thread = Running { count: running, stop, well: false };
                let ended = loader::run(config, broker, status, stop);
                thread.well = ended.is_ok();
                ended
            }));
        }
        while running.load(Ordering::Acquire) > 0 {
            for publisher in &mut publishers {
                publisher.publish();
            }
            if env.stop.wait(PUBLISH_INTERVAL) && running.load(Ordering::Acquire) > 0 {
                // Asked to stop: the threads are writing what they have read.
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
        let mut ended = Ok(());
        for thread in threads {
            let joined = thread.join().map_err(|_| Box::<dyn Error>::from("a loader thread panicked; see the log"));
            ended = ended.and(joined.and_then(|joined| joined.map_err(told)));
        }
        ended
    });
    drop(spans);
    drop(page);
    ended
}

/// What a broker said is told as it would be told of any other application.
fn told(error: loader::Error) -> Box<dyn Error> {
    match error {
        loader::Error::Broker(error) => error.into(),
        other => other.into(),
    }
}

/// A thread that runs. However it ends, by a panic too, nobody waits for it any longer; and unless it ended well the others
/// stop: the process is started again as a whole.
struct Running<'a> {
    count: &'a AtomicUsize,
    stop: &'a AtomicBool,
    well: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.well {
            self.stop.store(true, Ordering::Release);
        }
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The routes as a topology, in words.
fn topology(configs: &[LoaderConfig]) -> TopologyText {
    let routes = configs.first().map(|config| config.routes.clone());
    let lines: Vec<(String, String)> = routes
        .iter()
        .flat_map(loader::Routes::iter)
        .map(|route| (route.topic().to_string(), route.table().to_string()))
        .collect();
    let text: Vec<String> = lines.iter().map(|(topic, table)| format!("{topic} --> {table}\n")).collect();
    let edges = lines.iter().enumerate();
    let edges = edges.map(|(n, (topic, table))| format!("  t{n}([\"{topic}\"]) --> d{n}[(\"{table}\")]\n"));
    let mermaid = format!("flowchart TD\n{}", edges.collect::<Vec<_>>().concat());
    let routes: Vec<_> =
        lines.iter().map(|(topic, table)| serde_json::json!({ "topic": topic, "table": table })).collect();
    let mut graph = Graph::new();
    for route in configs.iter().take(1).flat_map(|config| config.routes.iter()) {
        // Rows are counted under this name.
        let (topic, table) = (graph.topic(route.topic()), graph.table(&route.table().plain()));
        graph.flow(topic, table);
    }
    TopologyText { text: text.concat(), mermaid, json: serde_json::json!({ "routes": routes }).to_string(), graph }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::Running;

    #[test]
    fn a_thread_that_panics_stops_the_others_and_is_not_waited_for() {
        let (count, stop) = (AtomicUsize::new(2), AtomicBool::new(false));
        drop(Running { count: &count, stop: &stop, well: true });
        assert_eq!((count.load(Ordering::Acquire), stop.load(Ordering::Acquire)), (1, false));
        let panicked = catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _thread = Running { count: &count, stop: &stop, well: false };
            std::panic::resume_unwind(Box::new("a bug"));
        }));
        assert!(panicked.is_err());
        assert_eq!((count.load(Ordering::Acquire), stop.load(Ordering::Acquire)), (0, true));
    }
}
