//! The typed push graph of one task. Records move from node to node by value; bytes exist only in sources and sinks.
//!
//! Nodes are shared by `Rc` because a merge has several parents. A record never meets the same node twice on its way
//! down (there are no cycles), so the `RefCell`s are never borrowed twice.

use std::any::Any;
use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::{Context, Processor, ProcessorError, ScheduleId, TaskContext};
use crate::record::{ConsumedRecord, Record, TopicName};
use crate::state::TaskStores;
use crate::time::Timestamp;
use crate::topology::{NodeId, ResolvedTopics, StoreEntry, Topology, TopologyError};

/// A node that takes typed records.
pub(crate) trait Receive<K, V> {
    fn receive(&mut self, record: Record<K, V>, task: &mut TaskContext) -> Result<(), ProcessorError>;
}

/// A node that takes raw records: a source.
pub(crate) trait ReceiveRaw {
    fn receive_raw(&mut self, record: &ConsumedRecord, task: &mut TaskContext) -> Result<(), ProcessorError>;
}

/// A node with a life of its own: a processor.
pub(crate) trait Lifecycle {
    fn init(&mut self, task: &mut TaskContext) -> Result<(), ProcessorError>;
    fn punctuate(&mut self, id: ScheduleId, at: Timestamp, task: &mut TaskContext) -> Result<(), ProcessorError>;
    fn close(&mut self);
}

pub(crate) type Receiver<K, V> = Rc<RefCell<dyn Receive<K, V>>>;

/// The children of a node.
pub(crate) struct Outlet<K, V> {
    children: Vec<(Arc<str>, Receiver<K, V>)>,
}

impl<K, V> fmt::Debug for Outlet<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.children.iter().map(|(name, _)| name)).finish()
    }
}

impl<K: Clone, V: Clone> Outlet<K, V> {
    /// To all children; the last one gets the record itself, the others a clone.
    pub(crate) fn forward(&self, record: Record<K, V>, task: &mut TaskContext) -> Result<(), ProcessorError> {
        let Some((last, others)) = self.children.split_last() else { return Ok(()) };
        for child in others {
            send(child, record.clone(), task)?;
        }
        send(last, record, task)
    }

    pub(crate) fn forward_to(
        &self,
        name: &str,
        record: Record<K, V>,
        task: &mut TaskContext,
    ) -> Result<(), ProcessorError> {
        let child = self.children.iter().find(|(have, _)| &**have == name);
        let child = child.ok_or_else(|| ProcessorError::bug("forward_to names a child that is not connected"))?;
        send(child, record, task)
    }

    /// To the child at that place, in the order in which the children were connected.
    pub(crate) fn forward_at(
        &self,
        index: usize,
        record: Record<K, V>,
        task: &mut TaskContext,
    ) -> Result<(), ProcessorError> {
        self.children.get(index).map_or(Ok(()), |child| send(child, record, task))
    }
}

fn send<K, V>(
    (name, receiver): &(Arc<str>, Receiver<K, V>),
    record: Record<K, V>,
    task: &mut TaskContext,
) -> Result<(), ProcessorError> {
    let mut node = receiver.try_borrow_mut().map_err(|_| ProcessorError::bug("a record met the same node twice"))?;
    node.receive(record, task).map_err(|error| error.at(name))
}

/// A stateless operator: a closure and its children.
pub(crate) struct Operator<K2, V2, F> {
    pub(crate) outlet: Outlet<K2, V2>,
    pub(crate) apply: Arc<F>,
}

impl<K, V, K2, V2, F> Receive<K, V> for Operator<K2, V2, F>
where
    F: Fn(Record<K, V>, &Outlet<K2, V2>, &mut TaskContext) -> Result<(), ProcessorError>,
{
    fn receive(&mut self, record: Record<K, V>, task: &mut TaskContext) -> Result<(), ProcessorError> {
        (self.apply)(record, &self.outlet, task)
    }
}

/// A processor and its children.
pub(crate) struct ProcessorNode<P: Processor> {
    pub(crate) processor: P,
    pub(crate) outlet: Outlet<P::KOut, P::VOut>,
    /// Place among the graph's life-cycle nodes: schedules find their way back by it.
    pub(crate) index: usize,
}

impl<P: Processor> Receive<P::KIn, P::VIn> for ProcessorNode<P> {
    fn receive(&mut self, record: Record<P::KIn, P::VIn>, task: &mut TaskContext) -> Result<(), ProcessorError> {
        let mut context = Context { task, outlet: &self.outlet, node: self.index };
        self.processor.process(record, &mut context)
    }
}

impl<P: Processor> Lifecycle for ProcessorNode<P> {
    fn init(&mut self, task: &mut TaskContext) -> Result<(), ProcessorError> {
        let mut context = Context { task, outlet: &self.outlet, node: self.index };
        self.processor.init(&mut context)
    }

    fn punctuate(&mut self, id: ScheduleId, at: Timestamp, task: &mut TaskContext) -> Result<(), ProcessorError> {
        let mut context = Context { task, outlet: &self.outlet, node: self.index };
        self.processor.punctuate(id, at, &mut context)
    }

    fn close(&mut self) {
        self.processor.close();
    }
}

/// A life-cycle node with its name.
type Living = (Arc<str>, Rc<RefCell<dyn Lifecycle>>);

/// The source of a topic.
struct Source {
    topic: TopicName,
    name: Arc<str>,
    node: Box<dyn ReceiveRaw>,
}

/// The instantiated graph of one task.
pub(crate) struct Graph {
    /// Few: looked through from the front, and a name is most often equal by its address.
    sources: Vec<Source>,
    living: Vec<Living>,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.sources.iter().map(|source| &source.topic).collect();
        f.debug_struct("Graph").field("sources", &topics).finish_non_exhaustive()
    }
}

impl Graph {
    pub(crate) fn init(&self, task: &mut TaskContext) -> Result<(), ProcessorError> {
        for (name, node) in &self.living {
            borrow(node)?.init(task).map_err(|error| error.at(name))?;
        }
        Ok(())
    }

    pub(crate) fn process(&mut self, record: &ConsumedRecord, task: &mut TaskContext) -> Result<(), ProcessorError> {
        let Some(source) = self.sources.iter_mut().find(|source| source.topic == record.source.topic) else {
            return Err(ProcessorError::bug("a record came from a topic that the task does not read"));
        };
        source.node.receive_raw(record, task).map_err(|error| error.at(&source.name))
    }

    /// Runs every schedule that is due; each at most once per call.
    pub(crate) fn punctuate(&self, task: &mut TaskContext) -> Result<bool, ProcessorError> {
        let (stream_time, now) = (task.stream_time, task.now);
        let due: Vec<_> = task
            .schedules
            .iter_mut()
            .filter_map(|schedule| schedule.due(stream_time, now).map(|at| (schedule.node, schedule.id, at)))
            .collect();
        if due.is_empty() {
            return Ok(false);
        }
        // There is no record in hand.
        task.metadata = None;
        let began = task.stopwatch.as_ref().map(|stopwatch| stopwatch.reading());
        for &(node, id, at) in &due {
            let Some((name, node)) = self.living.get(node) else { continue };
            borrow(node)?.punctuate(id, at, task).map_err(|error| error.at(name))?;
        }
        if let (Some(began), Some(stopwatch)) = (began, &task.stopwatch) {
            let took = stopwatch.reading().saturating_sub(began);
            task.punctuations.push(took);
        }
        Ok(true)
    }

    pub(crate) fn close(&self) {
        for (_, node) in &self.living {
            if let Ok(mut node) = node.try_borrow_mut() {
                node.close();
            }
        }
    }
}

fn borrow(node: &Rc<RefCell<dyn Lifecycle>>) -> Result<RefMut<'_, dyn Lifecycle + 'static>, ProcessorError> {
    node.try_borrow_mut().map_err(|_| ProcessorError::bug("a processor was called while it was running"))
}

/// How a node is made for a task; kept in the topology behind `dyn Any`, because each node has other types.
pub(crate) struct Factory<K, V>(pub(crate) MakeReceiver<K, V>);

type MakeReceiver<K, V> =
    Box<dyn Fn(&mut Instantiation<'_>, NodeId) -> Result<Receiver<K, V>, TopologyError> + Send + Sync>;

/// How a source is made for a task.
pub(crate) type SourceFactory =
    Box<dyn Fn(&mut Instantiation<'_>, NodeId) -> Result<Box<dyn ReceiveRaw>, TopologyError> + Send + Sync>;

/// A graph while it is being made: each node once, children before parents.
pub(crate) struct Instantiation<'a> {
    pub(crate) topology: &'a Topology,
    pub(crate) topics: &'a ResolvedTopics,
    pub(crate) stores: Option<&'a Rc<TaskStores>>,
    made: BTreeMap<NodeId, Box<dyn Any>>,
    living: Vec<Living>,
}

impl<'a> Instantiation<'a> {
    /// Makes the graph of a sub-topology.
    pub(crate) fn graph(
        topology: &'a Topology,
        subtopology: u32,
        topics: &'a ResolvedTopics,
        stores: Option<&'a Rc<TaskStores>>,
    ) -> Result<Graph, TopologyError> {
        let mut this = Self { topology, topics, stores, made: BTreeMap::new(), living: Vec::new() };
        let mut sources = Vec::new();
        for (id, topic, factory) in topology.sources_of(subtopology) {
            let topic = topics.name(topic)?;
            let node = factory(&mut this, id)?;
            sources.push(Source { topic, name: topology.node_name(id), node });
        }
        Ok(Graph { sources, living: this.living })
    }

    /// The children of a node, made when they are not yet.
    pub(crate) fn outlet<K: 'static, V: 'static>(&mut self, node: NodeId) -> Result<Outlet<K, V>, TopologyError> {
        let topology = self.topology;
        let mut children = Vec::new();
        for &child in topology.children_of(node) {
            children.push((topology.node_name(child), self.receiver::<K, V>(child)?));
        }
        Ok(Outlet { children })
    }

    fn receiver<K: 'static, V: 'static>(&mut self, node: NodeId) -> Result<Receiver<K, V>, TopologyError> {
        if let Some(made) = self.made.get(&node) {
            let receiver = made.downcast_ref::<Receiver<K, V>>();
            return receiver.cloned().ok_or_else(|| TopologyError::bug("a node was made with other types"));
        }
        let factory = self.topology.factory_of(node).and_then(|factory| factory.downcast_ref::<Factory<K, V>>());
        let factory = factory.ok_or_else(|| TopologyError::bug("a node's factory has other types than its parent"))?;
        let receiver = (factory.0)(self, node)?;
        self.made.insert(node, Box::new(receiver.clone()));
        Ok(receiver)
    }

    /// The stores of the task and the entry of the store named, for opening a handle.
    pub(crate) fn store(&self, name: &str) -> Result<(&'a Rc<TaskStores>, &'a StoreEntry), TopologyError> {
        let entry = self.topology.store(name).ok_or_else(|| TopologyError::UnknownStore { store: name.to_owned() })?;
        let stores = self.stores.ok_or_else(|| TopologyError::bug("a task without stores has a node with stores"))?;
        Ok((stores, entry))
    }

    /// Registers a processor for init, punctuation and close; `make` gets its place.
    pub(crate) fn living<P: Processor>(
        &mut self,
        node: NodeId,
        make: impl FnOnce(usize) -> ProcessorNode<P>,
    ) -> Rc<RefCell<ProcessorNode<P>>> {
        let shared = Rc::new(RefCell::new(make(self.living.len())));
        self.living.push((self.topology.node_name(node), shared.clone()));
        shared
    }
}
