//! The topology as a picture: SVG with what flows on its edges, wide for a desk and tall for a phone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use askama::Template;

use super::format::{duration, rate, short};
use super::graph::{Edge, Graph, Vertex, VertexId, VertexKind};
use super::layout::{Extent, Plan};
use super::status::{Status, Topic};

/// Which way things flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Right,
    Down,
}

#[derive(Debug, Template)]
#[template(path = "picture.html")]
pub(super) struct Picture {
    class: &'static str,
    width: f64,
    height: f64,
    bands: Vec<Band>,
    arrows: Vec<Arrow>,
    boxes: Vec<Shape>,
}

/// A sub-topology behind its processors.
#[derive(Debug)]
struct Band {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    label: Text,
}

#[derive(Debug)]
struct Arrow {
    class: &'static str,
    path: String,
    texts: Vec<Text>,
}

#[derive(Debug)]
struct Text {
    x: f64,
    y: f64,
    anchor: &'static str,
    class: &'static str,
    words: String,
}

#[derive(Debug)]
struct Shape {
    class: &'static str,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    radius: f64,
    name: String,
    label: Text,
    stores: Vec<Text>,
}

/// Text of a box, in pixels: about what a system's font takes.
const CHAR: f64 = 6.9;
const LABEL_CHARS_MAX: usize = 30;
const PADDING: f64 = 13.0;
const BOX: f64 = 32.0;
const STORE: f64 = 17.0;
/// Around everything; above it stand the names of the sub-topologies.
const MARGIN: f64 = 14.0;
const BAND: f64 = 12.0;
const BAND_TITLE: f64 = 20.0;
/// For such a name beside an edge.
const BAND_SIDE: f64 = 36.0;
/// From so old on, what waits is called late.
const LATE_SECONDS: f64 = 10.0;

impl Picture {
    pub(super) fn draw(graph: &Graph, status: &Status, flow: Flow) -> Self {
        let topics: BTreeMap<&str, &Topic> = status.topics.iter().map(|topic| (topic.name.as_str(), topic)).collect();
        let drawing = Drawing { graph, status, topics, flow };
        drawing.picture()
    }
}

struct Drawing<'a> {
    graph: &'a Graph,
    status: &'a Status,
    topics: BTreeMap<&'a str, &'a Topic>,
    flow: Flow,
}

impl Drawing<'_> {
    fn picture(&self) -> Picture {
        let sizes: Vec<(f64, f64)> = self.graph.vertices.iter().map(size).collect();
        let extents: Vec<Extent> = sizes.iter().map(|&(width, height)| self.turn(width, height)).collect();
        let edges: Vec<(usize, usize)> = self.graph.edges.iter().map(|edge| (edge.from.0, edge.to.0)).collect();
        let room: Vec<f64> = self.graph.edges.iter().map(|edge| self.room(edge)).collect();
        // Names of sub-topologies stand above the boxes: between neighbours when things flow down side by side.
        let gap = if self.flow == Flow::Right { 2.0 * BAND + BAND_TITLE } else { 3.0 * BAND };
        let layout = Plan { sizes: &extents, edges: &edges, room: &room, gap }.layout();
        let side = if self.flow == Flow::Down { BAND_SIDE } else { 0.0 };
        let (left, top) = (MARGIN + BAND + side, MARGIN + BAND + BAND_TITLE);
        let point = |place: Extent| match self.flow {
            Flow::Right => (left + place.along, top + place.across),
            Flow::Down => (left + place.across, top + place.along),
        };
        let corners: Vec<(f64, f64)> = layout
            .places
            .iter()
            .zip(&sizes)
            .map(|(&place, (width, height))| {
                let (x, y) = point(place);
                (x - width / 2.0, y - height / 2.0)
            })
            .collect();
        let vessels = self.graph.vertices.iter().zip(corners.iter().zip(&sizes));
        let boxes: Vec<Shape> = vessels.map(|(vertex, (&corner, &size))| vessel(vertex, corner, size)).collect();
        let routes = self.graph.edges.iter().zip(&layout.routes);
        let arrows = routes.map(|(edge, route)| {
            let points: Vec<(f64, f64)> = route.iter().map(|&place| point(place)).collect();
            self.arrow(edge, &points)
        });
        let (along, across) = (layout.size.along, layout.size.across);
        let (width, height) = if self.flow == Flow::Right { (along, across) } else { (across, along) };
        // Text beside the edges may be wider than the boxes of a picture that flows down.
        let beside = if self.flow == Flow::Down { 76.0 } else { 0.0 };
        Picture {
            class: if self.flow == Flow::Right { "rightward" } else { "downward" },
            width: (left + width.max(beside * 2.0) + beside + BAND + MARGIN).ceil(),
            height: (top + height + BAND + MARGIN).ceil(),
            bands: self.bands(&boxes),
            arrows: arrows.collect(),
            boxes,
        }
    }

    fn turn(&self, width: f64, height: f64) -> Extent {
        match self.flow {
            Flow::Right => Extent { along: width, across: height },
            Flow::Down => Extent { along: height, across: width },
        }
    }

    /// Along the flow, for the text of an edge.
    fn room(&self, edge: &Edge) -> f64 {
        match (self.flow, edge.read.is_some(), edge.written.is_some()) {
            (Flow::Right, true, _) => 128.0,
            (Flow::Right, false, true) => 76.0,
            (Flow::Right, false, false) => 28.0,
            (Flow::Down, true, _) => 62.0,
            (Flow::Down, false, true) => 50.0,
            (Flow::Down, false, false) => 24.0,
        }
    }

    fn topic(&self, id: Option<VertexId>) -> Option<&Topic> {
        let vertex = self.graph.vertices.get(id?.0)?;
        self.topics.get(vertex.full_name(&self.status.application_id).as_str()).copied()
    }

    fn arrow(&self, edge: &Edge, points: &[(f64, f64)]) -> Arrow {
        let read = self.topic(edge.read);
        let written = self.topic(edge.written);
        let lags = read.is_some_and(|topic| topic.lag_seconds.is_some_and(|seconds| seconds >= LATE_SECONDS));
        let flows = read.is_some_and(|topic| topic.read > 0.0) || written.is_some_and(|topic| topic.written > 0.0);
        let class = match (lags, flows) {
            (true, _) => "edge late",
            (_, true) => "edge flows",
            _ => "edge",
        };
        let pace = match (read, written) {
            // A table's rows beside the records that they come from.
            (Some(read), Some(written)) => Some(format!("{} → {}", rate(read.read), rate(written.written))),
            (Some(read), None) => Some(rate(read.read)),
            (None, Some(written)) => Some(rate(written.written)),
            (None, None) => None,
        };
        Arrow { class, path: self.path(points), texts: self.texts(points, pace, read.map(lag), lags) }
    }

    fn texts(&self, points: &[(f64, f64)], pace: Option<String>, lag: Option<String>, lags: bool) -> Vec<Text> {
        let (Some(&(x0, y0)), Some(&(x1, y1))) = (points.first(), points.get(1)) else { return Vec::new() };
        let (x, y) = (f64::midpoint(x0, x1), f64::midpoint(y0, y1));
        let (anchor, places) = match self.flow {
            Flow::Right => ("middle", [(x - 4.0, y - 7.0), (x - 4.0, y + 16.0)]),
            Flow::Down => ("start", [(x + 9.0, y - 3.0), (x + 9.0, y + 12.0)]),
        };
        let class = if lags { "lag late" } else { "lag" };
        let texts = [(pace, "pace"), (lag, class)].into_iter().zip(places);
        texts.filter_map(|((text, class), (x, y))| Some(Text { x, y, anchor, class, words: text? })).collect()
    }

    /// Curves that leave and arrive along the flow; the last bit is the arrow's head.
    fn path(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        let Some((x, y)) = points.first() else { return path };
        // Writing to a text does not fail.
        let _ = write!(path, "M{x:.1} {y:.1}");
        for pair in points.windows(2) {
            let &[(x0, y0), (x1, y1)] = pair else { continue };
            let ((ax, ay), (bx, by)) = match self.flow {
                Flow::Right => ((f64::midpoint(x0, x1), y0), (f64::midpoint(x0, x1), y1)),
                Flow::Down => ((x0, f64::midpoint(y0, y1)), (x1, f64::midpoint(y0, y1))),
            };
            let _ = write!(path, "C{ax:.1} {ay:.1} {bx:.1} {by:.1} {x1:.1} {y1:.1}");
        }
        path
    }

    fn bands(&self, boxes: &[Shape]) -> Vec<Band> {
        let mut bands: BTreeMap<usize, (f64, f64, f64, f64)> = BTreeMap::new();
        for (vertex, vessel) in self.graph.vertices.iter().zip(boxes) {
            let Some(part) = vertex.part else { continue };
            let band = bands.entry(part).or_insert((f64::MAX, f64::MAX, 0.0, 0.0));
            *band = (
                band.0.min(vessel.x),
                band.1.min(vessel.y),
                band.2.max(vessel.x + vessel.width),
                band.3.max(vessel.y + vessel.height),
            );
        }
        let band = |(part, (left, top, right, bottom)): (usize, (f64, f64, f64, f64))| Band {
            x: left - BAND,
            y: top - BAND,
            width: right - left + 2.0 * BAND,
            height: bottom - top + 2.0 * BAND,
            label: self.band_label(part, (left, top, right)),
        };
        bands.into_iter().map(band).collect()
    }

    /// Above the band; where edges come from above, on the other side of them than their text.
    fn band_label(&self, part: usize, (left, top, right): (f64, f64, f64)) -> Text {
        let prefix = format!("{part}_");
        let name = format!("sub-topology {part}");
        let words = match self.status.tasks.iter().filter(|task| task.id.starts_with(&prefix)).count() {
            _ if self.flow == Flow::Down => name,
            0 => name,
            1 => format!("{name}: 1 task"),
            tasks => format!("{name}: {tasks} tasks"),
        };
        let y = top - BAND - 6.0;
        match self.flow {
            Flow::Right => Text { x: left - BAND + 4.0, y, anchor: "start", class: "band", words },
            Flow::Down => Text { x: f64::midpoint(left, right) - 9.0, y, anchor: "end", class: "band", words },
        }
    }
}

fn lag(topic: &Topic) -> String {
    let Some(records) = topic.lag_records else { return "lag –".to_owned() };
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let records = short(records as f64);
    match topic.lag_seconds {
        Some(seconds) if seconds > 0.0 => {
            let age = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
            format!("lag {records}, {}", duration(age))
        }
        _ => format!("lag {records}"),
    }
}

fn shown(vertex: &Vertex) -> String {
    let label = vertex.label();
    match label.char_indices().nth(LABEL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", label.get(..end).unwrap_or_default()),
        None => label,
    }
}

#[expect(clippy::cast_precision_loss, reason = "some characters and lines")]
fn size(vertex: &Vertex) -> (f64, f64) {
    let chars = |text: &str| text.chars().count().min(LABEL_CHARS_MAX + 1) as f64 * CHAR;
    let stores = vertex.stores.iter().map(|store| chars(store) + 16.0).fold(0.0, f64::max);
    let height = BOX + vertex.stores.len() as f64 * STORE + if vertex.stores.is_empty() { 0.0 } else { 3.0 };
    ((chars(&shown(vertex)).max(stores) + 2.0 * PADDING).max(58.0), height)
}

fn vessel(vertex: &Vertex, (x, y): (f64, f64), (width, height): (f64, f64)) -> Shape {
    let middle = x + width / 2.0;
    let text = |x: f64, y: f64, anchor, class, words: String| Text { x, y, anchor, class, words };
    #[expect(clippy::cast_precision_loss, reason = "some stores")]
    let stores = vertex
        .stores
        .iter()
        .enumerate()
        .map(|(n, store)| text(x + PADDING, y + BOX + n as f64 * STORE + 9.0, "start", "store", store.clone()));
    let (class, radius) = match vertex.kind {
        VertexKind::Topic => ("topic", height / 2.0),
        VertexKind::InternalTopic => ("topic internal", height / 2.0),
        VertexKind::Processor => ("processor", 7.0),
        VertexKind::Table => ("table", 3.0),
    };
    Shape {
        class,
        x,
        y,
        width,
        height,
        radius,
        name: vertex.name.clone(),
        label: text(middle, y + 20.5, "middle", "name", shown(vertex)),
        stores: stores.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsl::{Repartitioned, StreamsBuilder, Topic as Stream};
    use crate::http::StatusSource;
    use crate::http::history::History;
    use crate::record::{Partition, TaskId};
    use crate::runtime::config::StreamsConfig;
    use crate::runtime::stats::{InputSnapshot, StatusBoard, TaskSnapshot, ThreadSnapshot};
    use crate::serde::Utf8;
    use crate::time::Timestamp;
    use std::time::Duration;

    const fn topic(name: &'static str) -> Stream<String, String> {
        Stream::new(name, &Utf8, &Utf8)
    }

    /// Records that a topic has seen within a second: read, written; and what waits, in two partitions: records, milliseconds.
    type Seen = (&'static str, u64, u64, Option<[(u64, u64); 2]>);

    fn thread(seen: &[Seen]) -> ThreadSnapshot {
        let waits = |(topic, _, _, lags): &Seen| {
            let inputs = lags.iter().flatten().zip(0..).map(|(&(lag_records, age), partition)| InputSnapshot {
                topic: (*topic).into(),
                partition: Partition(partition),
                committed: None,
                position: None,
                end: None,
                lag_records: Some(lag_records),
                lag: Some(Duration::from_millis(age)),
            });
            inputs.collect::<Vec<_>>()
        };
        let task = TaskId { subtopology: 0, partition: Partition(0) };
        ThreadSnapshot {
            thread: "0".into(),
            records_in: seen.iter().map(|seen| (seen.0.into(), seen.1)).filter(|(_, count)| *count > 0).collect(),
            records_out: seen.iter().map(|seen| (seen.0.into(), seen.2)).filter(|(_, count)| *count > 0).collect(),
            tasks: vec![TaskSnapshot { inputs: seen.iter().flat_map(waits).collect(), ..TaskSnapshot::created(task) }],
            ..ThreadSnapshot::default()
        }
    }

    fn status(seen: &[Seen]) -> Status {
        let board = StatusBoard::new();
        let (mut history, at) = (History::default(), |second: i64| Timestamp::from_millis(second * 1_000));
        let nothing: Vec<Seen> = seen.iter().map(|(topic, ..)| (*topic, 0, 0, None)).collect();
        history.look(&[thread(&nothing)], at(1));
        history.look(&[thread(seen)], at(2));
        board.thread("0").publish(&thread(seen));
        let source = StatusSource::new(
            &StreamsConfig::new("shop", "b:1", "/s"),
            "1",
            board,
            crate::http::TopologyText::default(),
        );
        Status::read(&source, &history, at(2))
    }

    /// The words on each edge, and that they stand beside it: between its two boxes, along its line.
    fn told(graph: &Graph, status: &Status, flow: Flow) -> Vec<String> {
        let picture = Picture::draw(graph, status, flow);
        let edges = graph.edges.iter().zip(&picture.arrows).map(|(edge, arrow)| {
            let (from, to) = (&picture.boxes[edge.from.0], &picture.boxes[edge.to.0]);
            let middle = |vessel: &Shape| (vessel.x + vessel.width / 2.0, vessel.y + vessel.height / 2.0);
            let ((x0, y0), (x1, y1)) = (middle(from), middle(to));
            for text in &arrow.texts {
                let is_beside = match flow {
                    Flow::Right => {
                        (from.x + from.width..to.x).contains(&text.x)
                            && (y0.min(y1) - 8.0..=y0.max(y1) + 17.0).contains(&text.y)
                    }
                    Flow::Down => {
                        (from.y + from.height - 3.0..to.y + 12.0).contains(&text.y)
                            && (x0.min(x1)..=x0.max(x1) + 10.0).contains(&text.x)
                    }
                };
                assert!(is_beside, "{text:?} of {} → {}: {from:?} {to:?}", from.name, to.name);
            }
            let words: Vec<&str> = arrow.texts.iter().map(|text| text.words.as_str()).collect();
            let late = if arrow.class == "edge late" { " (late)" } else { "" };
            format!("{} → {}: {}{late}", from.label.words, to.label.words, words.join("; "))
        });
        edges.collect()
    }

    #[test]
    fn each_edge_has_the_rate_and_the_lag_of_its_own_topics() {
        let builder = StreamsBuilder::new();
        let stream = builder.stream(&topic("in")).filter(|_, _| true);
        stream.repartition(Repartitioned::named("again", &Utf8, &Utf8)).to(&topic("out"));
        builder.stream(&topic("other")).filter(|_, _| true).to(&topic("elsewhere"));
        let graph = Graph::from(&builder.build().unwrap());
        let status = status(&[
            ("in", 1_200, 0, Some([(40, 500), (2, 1_500)])),
            ("shop-again-repartition", 500, 700, Some([(3, 12_000), (4, 0)])),
            ("out", 0, 30, None),
            ("other", 20, 0, Some([(0, 0), (0, 0)])),
            ("elsewhere", 0, 10, None),
        ]);
        let expected = [
            "again-repartition → out: 500/s → 30/s; lag 7, 12 s (late)",
            "filter → again-repartition: 700/s",
            "filter → elsewhere: 10/s",
            "filter → filter: ",
            "in → filter: 1.2 k/s; lag 42, 1.5 s",
            "other → filter: 20/s; lag 0",
        ];
        for flow in [Flow::Right, Flow::Down] {
            let mut told = told(&graph, &status, flow);
            told.sort();
            assert_eq!(told, expected, "{flow:?}");
        }
    }

    #[test]
    fn the_edge_to_a_table_has_its_rows_beside_the_records_that_they_come_from() {
        let mut graph = Graph::new();
        for (from, to) in [("events", "carts"), ("people", "names")] {
            let (from, to) = (graph.topic(from), graph.table(to));
            graph.flow(from, to);
        }
        let status =
            status(&[("events", 90, 0, Some([(5, 0), (0, 0)])), ("carts", 0, 80, None), ("names", 0, 7, None)]);
        for flow in [Flow::Right, Flow::Down] {
            // Nothing is known of `people` yet.
            let expected = ["events → carts: 90/s → 80/s; lag 5", "people → names: 7/s"];
            assert_eq!(told(&graph, &status, flow), expected, "{flow:?}");
        }
    }
}
