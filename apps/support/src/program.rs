//! An application as its command line sees it: what it is, what it looks like, and how it runs.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use millpond::formats::StoreFormats;
use millpond::http::{Story, TopologyText};
use millpond::metrics::OwnMetrics;
use millpond::runtime::config::StreamsConfig;
use millpond::topology::Topology;

use crate::cli::{self, Cli};
use crate::finding::Finding;
use crate::offsets::OffsetTable;
use crate::run;
use crate::startup::{App, Env};
use crate::stop::Stop;

type Failed = Box<dyn Error>;
type Check<'a> = Box<dyn Fn(&StreamsConfig) -> Vec<Finding> + 'a>;
/// Made from what the application was told.
type FromEnv<'a, T> = Box<dyn Fn(&Env<'_>) -> Result<T, Failed> + 'a>;

type Open<'a> = Box<dyn Fn(&StreamsConfig) -> Result<Box<dyn OffsetTable>, Failed> + 'a>;

/// Where an application keeps its offsets itself.
pub(crate) struct OffsetKeeper<'a> {
    /// In a few words, such as `sink_offset in PostgreSQL`.
    pub(crate) place: &'static str,
    /// What a person should know before they move.
    pub(crate) notes: &'static [&'static str],
    pub(crate) open: Open<'a>,
}

/// An application with everything that its commands need to know. Made by [`App::program`], [`App::sink`] or
/// [`App::tool`].
pub struct Program<'a> {
    app: App<'a>,
    shape: Shape<'a>,
    formats: Arc<StoreFormats>,
    keeper: Option<OffsetKeeper<'a>>,
    check: Option<Check<'a>>,
    story: Option<FromEnv<'a, Arc<dyn Story>>>,
    own: Option<Arc<dyn OwnMetrics>>,
}

enum Shape<'a> {
    /// A topology of the library.
    Streams(FromEnv<'a, Topology>),
    /// A program with a loop of its own.
    Own { describe: FromEnv<'a, Look>, run: FromEnv<'a, ()> },
    /// Nothing runs: only commands.
    Tool,
}

/// What a program with a loop of its own looks like.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// A picture of what goes where.
    pub text: TopologyText,
    /// The topics that it reads.
    pub inputs: Vec<String>,
}

/// What an application looks like.
pub(crate) struct Described {
    /// The graph; `None` for a program with a loop of its own.
    pub(crate) topology: Option<Topology>,
    pub(crate) text: TopologyText,
    /// The topics that a program with a loop of its own reads.
    pub(crate) inputs: Vec<String>,
}

impl std::fmt::Debug for Program<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("app", &self.app).finish_non_exhaustive()
    }
}

impl<'a> App<'a> {
    /// An application that runs a topology.
    pub fn program(self, topology: impl Fn(&Env<'_>) -> Result<Topology, Failed> + 'a) -> Program<'a> {
        Program::new(self, Shape::Streams(Box::new(topology)))
    }

    /// An application with a loop of its own, and what it looks like.
    pub fn sink(
        self,
        describe: impl Fn(&Env<'_>) -> Result<Look, Failed> + 'a,
        run: impl Fn(&Env<'_>) -> Result<(), Failed> + 'a,
    ) -> Program<'a> {
        Program::new(self, Shape::Own { describe: Box::new(describe), run: Box::new(run) })
    }

    /// A program that has the commands and runs no application.
    pub fn tool(self) -> Program<'a> {
        Program::new(self, Shape::Tool)
    }

    /// The whole of a `main`: an application that runs a topology, with nothing else to tell.
    pub fn run(self, topology: impl Fn(&Env<'_>) -> Result<Topology, Failed> + 'a) -> ExitCode {
        self.program(topology).main()
    }
}

impl<'a> Program<'a> {
    fn new(app: App<'a>, shape: Shape<'a>) -> Self {
        Self { app, shape, formats: Arc::default(), keeper: None, check: None, story: None, own: None }
    }

    /// The same with the serdes of its stores, so that commands show rows decoded, and queries can ask for them.
    #[must_use]
    pub fn stores(mut self, formats: StoreFormats) -> Self {
        self.formats = Arc::new(formats);
        self
    }

    /// The same for an application that keeps its offsets itself, in `place`: `reset` moves them there, and shows `notes`
    /// with its plan. `open` refuses what is wrong in the configuration and connects to nobody yet: `config check` asks it, too.
    #[must_use]
    pub fn offsets_in(
        mut self,
        place: &'static str,
        notes: &'static [&'static str],
        open: impl Fn(&StreamsConfig) -> Result<Box<dyn OffsetTable>, Failed> + 'a,
    ) -> Self {
        self.keeper = Some(OffsetKeeper { place, notes, open: Box::new(open) });
        self
    }

    /// The same with what `doctor` looks at besides Kafka and this machine.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&StreamsConfig) -> Vec<Finding> + 'a) -> Self {
        self.check = Some(Box::new(check));
        self
    }

    /// The same with a section of its own on the page. A program with a loop of its own hands it to
    /// [`serve`](crate::serve) itself.
    #[must_use]
    pub fn story(mut self, story: impl Fn(&Env<'_>) -> Result<Arc<dyn Story>, Failed> + 'a) -> Self {
        self.story = Some(Box::new(story));
        self
    }

    /// The same with metrics of its own, for `/metrics` and the command of that name.
    #[must_use]
    pub fn measures(mut self, own: Arc<dyn OwnMetrics>) -> Self {
        self.own = Some(own);
        self
    }

    pub(crate) fn own(&self) -> Option<&dyn OwnMetrics> {
        self.own.as_deref()
    }

    pub(crate) fn examine(&self, config: &StreamsConfig) -> Vec<Finding> {
        self.check.as_ref().map(|check| check(config)).unwrap_or_default()
    }

    pub(crate) const fn keeper(&self) -> Option<&OffsetKeeper<'a>> {
        self.keeper.as_ref()
    }

    pub(crate) fn formats(&self) -> &StoreFormats {
        &self.formats
    }

    /// The whole of a `main`: reads flags and configuration, then runs the application until it is asked to stop, or does
    /// what a command says.
    pub fn main(&self) -> ExitCode {
        let cli = match Cli::of_process(self) {
            Ok(cli) => cli,
            Err(ended) => return ended,
        };
        if let Some(command) = &cli.command {
            return cli::run(self, &cli, command);
        }
        self.app.start(&cli.args, cli.json, |env| match &self.shape {
            Shape::Streams(topology) => {
                let story = self.story.as_ref().map(|story| story(env)).transpose()?;
                let extras = run::Extras { story, own: self.own.clone(), formats: self.formats.clone() };
                run::streams(env, &Arc::new(topology(env)?), extras)
            }
            Shape::Own { run, .. } => run(env),
            Shape::Tool => Err("there is nothing to run; say a command, see --help".into()),
        })
    }

    pub(crate) const fn app(&self) -> &App<'_> {
        &self.app
    }

    /// False for a program that only has commands.
    pub(crate) const fn runs(&self) -> bool {
        !matches!(self.shape, Shape::Tool)
    }

    /// What the application looks like with that configuration.
    pub(crate) fn describe(&self, config: &StreamsConfig) -> Result<Option<Described>, Failed> {
        let env = Env { app: self.app, config: config.clone(), stop: Stop::new(), logs: None };
        Ok(match &self.shape {
            Shape::Streams(topology) => {
                let topology = topology(&env)?;
                let text = TopologyText::from(&topology);
                Some(Described { topology: Some(topology), text, inputs: Vec::new() })
            }
            Shape::Own { describe, .. } => {
                let Look { text, inputs } = describe(&env)?;
                Some(Described { topology: None, text, inputs })
            }
            Shape::Tool => None,
        })
    }
}
