//! Pictures of growth, as SVG.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::figures::{Figure, Line};
use super::results::Results;

const SIZE: (u32, u32) = (720, 360);
const TEXT: (&str, u32) = ("sans-serif", 14);

/// A picture that was written.
#[derive(Debug)]
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) file: String,
}

/// A curve: a program, and its points in order.
type Curves<'a> = BTreeMap<&'a str, Vec<(f64, f64)>>;

/// Writes all pictures for which there are figures.
pub(crate) fn write(dir: &Path, results: &Results) -> anyhow::Result<Vec<Plot>> {
    let lines: Vec<&Line> = results.parts.iter().flat_map(|part| &part.lines).collect();
    let mut works: Vec<&str> = lines.iter().filter(|line| line.at.is_some()).map(|line| line.work.as_str()).collect();
    works.dedup();
    let mut plots = Vec::new();
    for work in works {
        let of = |figure| curves(lines.iter().copied().filter(|line| line.work == work), figure);
        let axis = work.split_once(" against ").map_or("rows", |(_, axis)| axis);
        for (figure, is_wanted) in [(Figure::CpuMicrosPerRecord, true), (Figure::RestartMs, axis == "rows")] {
            let curves = of(figure);
            if !is_wanted || curves.values().all(|points| points.len() < 2) {
                continue;
            }
            let what = figure.title();
            let title = if axis == "rows" { format!("{work}: {what} against rows") } else { format!("{work}: {what}") };
            let file = format!("{}.svg", title.to_lowercase().replace(['µ', ':'], "").replace([' ', '/'], "-"));
            draw(&dir.join(&file), &title, (axis, what), &curves)?;
            plots.push(Plot { title, file });
        }
    }
    Ok(plots)
}

fn curves<'a>(lines: impl Iterator<Item = &'a Line>, figure: Figure) -> Curves<'a> {
    let mut curves = Curves::new();
    for line in lines {
        if let (Some(x), Some(y)) = (line.at, line.median(figure)) {
            curves.entry(&line.program).or_default().push((x, y));
        }
    }
    curves
}

fn draw(path: &Path, title: &str, axes: (&str, &str), curves: &Curves<'_>) -> anyhow::Result<()> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        chart(&area, title, axes, curves).map_err(|error| anyhow!("draw {title}: {error}"))?;
    }
    fs::write(path, svg).with_context(|| format!("write {}", path.display()))
}

/// The x axis is logarithmic; so is the y axis where curves are far apart.
fn chart(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    (x, y): (&str, &str),
    curves: &Curves<'_>,
) -> Result<(), Box<dyn std::error::Error>> {
    area.fill(&WHITE)?;
    let all = || curves.values().flatten();
    let least = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(0.0, f64::max);
    let (x_least, x_most) = (least(|point| point.0), most(|point| point.0));
    let (y_least, y_most) = (least(|point| point.1), most(|point| point.1));
    let mut builder = ChartBuilder::on(area);
    builder.caption(title, ("sans-serif", 18)).margin(12).x_label_area_size(40).y_label_area_size(70);
    // Zero has no place on a logarithmic axis, and an axis without an end is drawn for ever.
    let is_log = y_least > 0.0 && y_most > 20.0 * y_least;
    let to_axis = move |y: f64| if is_log { y.log10() } else { y };
    let ys = if is_log {
        to_axis(y_least * 0.5)..to_axis(y_most * 2.0)
    } else {
        0.0..(y_most * 1.3).max(f64::MIN_POSITIVE.sqrt())
    };
    let mut chart = builder.build_cartesian_2d((x_least * 0.9..x_most * 1.1).log_scale(), ys)?;
    let y_label = move |y: &f64| short(&if is_log { 10_f64.powf(*y) } else { *y });
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(x).y_desc(y).label_style(TEXT).x_label_formatter(&short).y_label_formatter(&y_label).draw()?;
    for (place, (program, points)) in curves.iter().enumerate() {
        let color = Palette99::pick(place).to_rgba();
        let points = points.iter().map(|&(x, y)| (x, to_axis(y)));
        let series = chart.draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(4))?;
        series.label(*program).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).label_font(TEXT).draw()?;
    area.present()?;
    Ok(())
}

/// `100000` as `100k`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "labels are made so")]
fn short(number: &f64) -> String {
    let (number, unit) = match *number {
        number if number >= 1e6 => (number / 1e6, "M"),
        number if number >= 1e3 => (number / 1e3, "k"),
        number => (number, ""),
    };
    let digits = format!("{number:.1}");
    format!("{}{unit}", digits.trim_end_matches(".0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_that_are_nothing_or_touch_zero_are_drawn() {
        let dir = millpond_harness::Scratch::new("plot").unwrap();
        for ys in [[0.0, 0.0], [0.0, 50.0], [1.0, 50.0], [5.0, 5.0]] {
            let path = dir.path().join("plot.svg");
            let curves = Curves::from([("millpond", vec![(1e4, ys[0]), (1e7, ys[1])])]);
            draw(&path, "rows", ("rows", "ms"), &curves).unwrap();
            assert!(fs::read_to_string(&path).unwrap().ends_with("</svg>\n"), "{ys:?}");
        }
    }
}
