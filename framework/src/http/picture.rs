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
        let lags = read.is_some_and(|topic| topic.lag_seconds >= LATE_SECONDS);
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
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let records = short(topic.lag_records as f64);
    if topic.lag_seconds > 0.0 {
        let age = std::time::Duration::try_from_secs_f64(topic.lag_seconds).unwrap_or_default();
        format!("lag {records}, {}", duration(age))
    } else {
        format!("lag {records}")
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
