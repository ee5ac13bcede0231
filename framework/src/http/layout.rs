//! Places the vertices of a graph in layers, so that what flows goes one way. Pure.
//!
//! As Sugiyama does it: turn the edges of cycles round, put each vertex one layer after the last of those before it, let long
//! edges pass through places of their own in the layers between, order each layer by the middle of its neighbours, then move
//! everything towards them as far as there is room.

use std::collections::BTreeMap;

/// A length along the flow, and one across it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Extent {
    pub(super) along: f64,
    pub(super) across: f64,
}

/// What is to be placed.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) sizes: &'a [Extent],
    pub(super) edges: &'a [(usize, usize)],
    /// Room that each edge wants along the flow, for its text.
    pub(super) room: &'a [f64],
    /// Room between neighbours of a layer.
    pub(super) gap: f64,
}

#[derive(Debug, PartialEq)]
pub(super) struct Layout {
    /// The middle of each vertex.
    pub(super) places: Vec<Extent>,
    /// The points that each edge passes, from border to border.
    pub(super) routes: Vec<Vec<Extent>>,
    /// The whole.
    pub(super) size: Extent,
}

const SWEEPS: usize = 6;

/// A vertex, or a place that a long edge passes.
#[derive(Debug, Clone)]
struct Item {
    layer: usize,
    size: Extent,
    before: Vec<usize>,
    after: Vec<usize>,
    place: f64,
}

impl Plan<'_> {
    pub(super) fn layout(&self) -> Layout {
        let forward = self.forward();
        let layers = self.layers(&forward);
        let mut items: Vec<Item> = layers
            .iter()
            .zip(self.sizes)
            .map(|(&layer, &size)| Item { layer, size, before: Vec::new(), after: Vec::new(), place: 0.0 })
            .collect();
        let paths: Vec<Vec<usize>> = forward.iter().map(|&edge| connect(&mut items, edge)).collect();
        let mut rows = rows(&items);
        order(&mut rows, &items);
        self.place(&rows, &mut items);
        let columns = self.columns(&rows, &items, &paths);
        let middle = |index: usize| {
            let item = items.get(index);
            let along = item.and_then(|item| columns.get(item.layer)).copied().unwrap_or_default();
            Extent { along, across: item.map_or(0.0, |item| item.place) }
        };
        let routes = paths.iter().zip(self.edges).map(|(path, &(from, _))| {
            let mut points: Vec<Extent> = path.iter().map(|&index| middle(index)).collect();
            let half = |index: Option<&usize>| {
                index.and_then(|&index| items.get(index)).map_or(0.0, |item| item.size.along / 2.0)
            };
            if let Some(first) = points.first_mut() {
                first.along += half(path.first());
            }
            if let Some(last) = points.last_mut() {
                last.along -= half(path.last());
            }
            // An edge of a cycle was turned round to be placed, and is drawn as it is.
            if path.first() != Some(&from) {
                points.reverse();
            }
            points
        });
        let end = |length: fn(Extent) -> f64, place: fn(Extent) -> f64| {
            let ends = items.iter().enumerate().map(|(index, item)| place(middle(index)) + length(item.size) / 2.0);
            ends.fold(0.0, f64::max)
        };
        let size = Extent {
            along: end(|size| size.along, |place| place.along),
            across: end(|size| size.across, |place| place.across),
        };
        Layout { places: (0..self.sizes.len()).map(middle).collect(), routes: routes.collect(), size }
    }

    /// The edges without cycles: one that leads back is turned round.
    fn forward(&self) -> Vec<(usize, usize)> {
        let mut state = vec![Seen::Not; self.sizes.len()];
        let mut back = vec![false; self.edges.len()];
        for start in 0..self.sizes.len() {
            self.visit(start, &mut state, &mut back);
        }
        let turned = |(&(from, to), &back): (&(usize, usize), &bool)| if back { (to, from) } else { (from, to) };
        self.edges.iter().zip(&back).map(turned).collect()
    }

    fn visit(&self, at: usize, state: &mut [Seen], back: &mut [bool]) {
        if state.get(at) != Some(&Seen::Not) {
            return;
        }
        set(state, at, Seen::Open);
        for (number, &(_, to)) in self.edges.iter().enumerate().filter(|(_, (from, _))| *from == at) {
            if state.get(to) == Some(&Seen::Open) {
                set(back, number, true);
            } else {
                self.visit(to, state, back);
            }
        }
        set(state, at, Seen::Done);
    }

    fn layers(&self, edges: &[(usize, usize)]) -> Vec<usize> {
        let mut layers = vec![0_usize; self.sizes.len()];
        // Without cycles a path has fewer edges than there are vertices.
        for _ in 0..self.sizes.len() {
            for &(from, to) in edges.iter().filter(|(from, to)| from != to) {
                let after = layers.get(from).map_or(0, |layer| layer + 1);
                if let Some(layer) = layers.get_mut(to) {
                    *layer = after.max(*layer);
                }
            }
        }
        // What nothing leads to comes right before what it leads to.
        for at in 0..layers.len() {
            let first = edges.iter().filter(|(from, _)| *from == at).filter_map(|(_, to)| layers.get(*to)).min();
            let Some(before) = first.and_then(|first| first.checked_sub(1)) else { continue };
            if edges.iter().all(|(_, to)| *to != at) {
                set(&mut layers, at, before);
            }
        }
        layers
    }

    /// Across the flow: neighbours pull, and nobody overlaps.
    fn place(&self, rows: &[Vec<usize>], items: &mut [Item]) {
        for row in rows {
            let mut at = 0.0;
            for &index in row {
                if let Some(item) = items.get_mut(index) {
                    item.place = at + item.size.across / 2.0;
                    at += item.size.across + self.gap;
                }
            }
        }
        for _ in 0..SWEEPS {
            for row in rows.iter().chain(rows.iter().rev()) {
                self.pull(row, items);
            }
        }
        let border = items.iter().map(|item| item.place - item.size.across / 2.0).fold(f64::INFINITY, f64::min);
        for item in items {
            item.place -= border;
        }
    }

    fn pull(&self, row: &[usize], items: &mut [Item]) {
        let wanted: Vec<(f64, f64)> = row
            .iter()
            .filter_map(|&index| items.get(index))
            .map(|item| {
                let places: Vec<f64> =
                    item.before.iter().chain(&item.after).filter_map(|&n| items.get(n)).map(|n| n.place).collect();
                (mean(&places).unwrap_or(item.place), item.size.across)
            })
            .collect();
        // From both sides, and the middle of both: neither end of the layer is preferred.
        let mut low = Vec::with_capacity(wanted.len());
        let mut border = f64::NEG_INFINITY;
        for &(place, size) in &wanted {
            let place = place.max(border + size / 2.0);
            border = place + size / 2.0 + self.gap;
            low.push(place);
        }
        let mut border = f64::INFINITY;
        for (&(place, size), (index, low)) in wanted.iter().zip(row.iter().zip(&low)).rev() {
            let high = place.min(border - size / 2.0);
            border = high - size / 2.0 - self.gap;
            if let Some(item) = items.get_mut(*index) {
                item.place = f64::midpoint(high, *low);
            }
        }
    }

    /// Along the flow: the middle of each layer.
    fn columns(&self, rows: &[Vec<usize>], items: &[Item], paths: &[Vec<usize>]) -> Vec<f64> {
        let mut room: BTreeMap<usize, f64> = BTreeMap::new();
        for (path, wanted) in paths.iter().zip(self.room) {
            // The text of a long edge stands in the first of its gaps.
            if let Some(item) = path.first().and_then(|&index| items.get(index)) {
                let room = room.entry(item.layer).or_default();
                *room = room.max(*wanted);
            }
        }
        let mut at = 0.0;
        let mut columns = Vec::with_capacity(rows.len());
        for (layer, row) in rows.iter().enumerate() {
            let width =
                row.iter().filter_map(|&index| items.get(index)).map(|item| item.size.along).fold(0.0, f64::max);
            columns.push(at + width / 2.0);
            at += width + room.get(&layer).copied().unwrap_or_default();
        }
        columns
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    Open,
    Done,
}

fn set<T>(slots: &mut [T], at: usize, value: T) {
    if let Some(slot) = slots.get_mut(at) {
        *slot = value;
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a handful of neighbours")]
    let count = values.len() as f64;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / count)
}

/// The items that an edge passes, ends included; those between are added.
fn connect(items: &mut Vec<Item>, (from, to): (usize, usize)) -> Vec<usize> {
    let layer = |items: &[Item], index: usize| items.get(index).map_or(0, |item| item.layer);
    let mut path = vec![from];
    for between in layer(items, from) + 1..layer(items, to) {
        items.push(Item { layer: between, size: Extent::default(), before: Vec::new(), after: Vec::new(), place: 0.0 });
        path.push(items.len() - 1);
    }
    path.push(to);
    for pair in path.windows(2) {
        let &[left, right] = pair else { continue };
        if let Some(item) = items.get_mut(left) {
            item.after.push(right);
        }
        if let Some(item) = items.get_mut(right) {
            item.before.push(left);
        }
    }
    path
}

fn rows(items: &[Item]) -> Vec<Vec<usize>> {
    let last = items.iter().map(|item| item.layer).max();
    let mut rows = vec![Vec::new(); last.map_or(0, |last| last + 1)];
    for (index, item) in items.iter().enumerate() {
        if let Some(row) = rows.get_mut(item.layer) {
            row.push(index);
        }
    }
    rows
}

/// Orders each layer by the middle of its neighbours, forth and back.
fn order(rows: &mut [Vec<usize>], items: &[Item]) {
    let count = rows.len();
    for sweep in 0..SWEEPS {
        let mut ranks: BTreeMap<usize, usize> =
            rows.iter().flat_map(|row| row.iter().enumerate().map(|(rank, &index)| (index, rank))).collect();
        for step in 0..count {
            let layer = if sweep % 2 == 0 { step } else { count - 1 - step };
            let Some(row) = rows.get_mut(layer) else { continue };
            let key = |index: usize| {
                let item = items.get(index)?;
                let neighbours = if sweep % 2 == 0 { &item.before } else { &item.after };
                #[expect(clippy::cast_precision_loss, reason = "a place in a layer")]
                let places: Vec<f64> =
                    neighbours.iter().filter_map(|n| ranks.get(n)).map(|&rank| rank as f64).collect();
                mean(&places)
            };
            #[expect(clippy::cast_precision_loss, reason = "a place in a layer")]
            let mut keyed: Vec<(f64, usize)> =
                row.iter().enumerate().map(|(rank, &index)| (key(index).unwrap_or(rank as f64), index)).collect();
            keyed.sort_by(|left, right| left.0.total_cmp(&right.0));
            *row = keyed.into_iter().map(|(_, index)| index).collect();
            ranks.extend(row.iter().enumerate().map(|(rank, &index)| (index, rank)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: Extent = Extent { along: 80.0, across: 30.0 };

    fn lay(count: usize, edges: &[(usize, usize)]) -> Layout {
        let sizes = vec![SIZE; count];
        let room = vec![40.0; edges.len()];
        Plan { sizes: &sizes, edges, room: &room, gap: 12.0 }.layout()
    }

    #[test]
    fn a_chain_is_a_line() {
        let layout = lay(3, &[(0, 1), (1, 2)]);
        let places: Vec<_> = layout.places.iter().map(|place| (place.along, place.across)).collect();
        assert_eq!(places, [(40.0, 15.0), (160.0, 15.0), (280.0, 15.0)]);
        assert_eq!(layout.size, Extent { along: 320.0, across: 30.0 });
        assert_eq!(layout.routes[0], [Extent { along: 80.0, across: 15.0 }, Extent { along: 120.0, across: 15.0 }]);
    }

    #[test]
    fn an_edge_over_a_layer_goes_around_what_is_there() {
        let layout = lay(3, &[(0, 1), (1, 2), (0, 2)]);
        assert_eq!(layout.routes[2].len(), 3);
        assert!((layout.routes[2][1].across - layout.places[1].across).abs() >= SIZE.across / 2.0);
    }

    #[test]
    fn what_is_read_late_stands_right_before_its_reader() {
        let layout = lay(4, &[(0, 1), (1, 2), (3, 2)]);
        assert!((layout.places[3].along - layout.places[1].along).abs() < 0.1);
    }

    #[test]
    fn a_cycle_is_drawn() {
        let layout = lay(2, &[(0, 1), (1, 0), (1, 1)]);
        let back = &layout.routes[1];
        assert!(back[0].along > back[1].along, "{back:?}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(lay(0, &[]).size, Extent::default());
    }

    proptest! {
        #[test]
        fn no_two_vertices_overlap_and_all_are_inside(
            edges in proptest::collection::vec((0_usize..12, 0_usize..12), 0..30)
        ) {
            let layout = lay(12, &edges);
            for (n, left) in layout.places.iter().enumerate() {
                prop_assert!(left.along >= SIZE.along / 2.0 - 0.01 && left.along <= layout.size.along - SIZE.along / 2.0 + 0.01);
                prop_assert!(left.across >= SIZE.across / 2.0 - 0.01 && left.across <= layout.size.across - SIZE.across / 2.0 + 0.01);
                for right in layout.places.iter().skip(n + 1) {
                    let apart = (left.along - right.along).abs() >= SIZE.along - 0.01
                        || (left.across - right.across).abs() >= SIZE.across - 0.01;
                    prop_assert!(apart, "{left:?} {right:?}");
                }
            }
            prop_assert_eq!(layout.routes.len(), edges.len());
        }
    }
}
