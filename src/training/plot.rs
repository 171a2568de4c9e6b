//! `loss.svg`: a run's learning curve as one self-contained picture.
//!
//! Bits per byte over tokens seen: each step's loss faintly, its moving average, the held-out evaluations, and the
//! baselines as dashed lines. The picture has its own background, so that it reads the same on white and on dark pages;
//! its colours are those of Okabe and Ito's palette, which colour-blind people tell apart. Text in, text out; no file.

use std::fmt::Write;

use crate::training::observer::{EvalRecord, StepRecord};

/// Width and height of the picture, and the box inside it that holds the data, in SVG units.
const SIZE: (f64, f64) = (960.0, 540.0);
const LEFT: f64 = 72.0;
const RIGHT: f64 = 820.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 474.0;

/// Points kept of each curve: one for about every SVG unit, which keeps the file under 40 kB however long the run.
const MAX_POINTS: usize = 600;
/// Labels right of the plot are at least this far apart.
const LABEL_HEIGHT: f64 = 17.0;

const TRAIN: &str = "#0072b2";
const HELD_OUT: &str = "#d55e00";
const BASELINE: &str = "#6b7280";
const INK: &str = "#1f2937";

/// A point of a curve: tokens seen, bits per byte.
type Point = (f64, f64);

/// The picture of a run, an SVG document: `steps` and `evals` in order, `baselines` as (name, bits per byte).
///
/// Values that are not finite are left out; a run without any point gives an empty frame that says so.
pub fn loss_svg(title: &str, steps: &[StepRecord], evals: &[EvalRecord], baselines: &[(String, f64)]) -> String {
    let raw = finite(steps.iter().map(|step| (step.n_tokens_seen as f64, step.bits_per_byte)));
    let smooth = moving_average(&raw);
    let held_out = finite(evals.iter().map(|eval| (eval.n_tokens_seen as f64, eval.bits_per_byte)));
    let baselines: Vec<_> = baselines.iter().filter(|(_, bits)| bits.is_finite()).cloned().collect();
    let scale = Scale::fit(&raw, &smooth, &held_out, &baselines);

    let mut svg = Svg::new(title);
    svg.axes(&scale);
    svg.text(LEFT, 38.0, &format!(r#"font-size="20" font-weight="600" fill="{INK}""#), title);
    svg.legend(!raw.is_empty(), !held_out.is_empty(), !baselines.is_empty());
    svg.baselines(&scale, &baselines);
    svg.add(r#"<g clip-path="url(#data)">"#);
    svg.raw_points(&scale, &raw);
    svg.line(&scale, &thinned(&smooth), &format!(r#"stroke="{TRAIN}" stroke-width="2.2""#));
    svg.held_out(&scale, &held_out);
    svg.add("</g>");
    match best(&held_out) {
        Some(point) => svg.best(&scale, point),
        None if raw.is_empty() => svg.no_data(),
        None => {}
    }
    svg.finish()
}

/// The curve without its points that cannot be drawn.
fn finite(points: impl Iterator<Item = Point>) -> Vec<Point> {
    points.filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
}

/// The lowest point, the first of equals.
fn best(points: &[Point]) -> Option<Point> {
    points.iter().copied().reduce(|best, point| if point.1 < best.1 { point } else { best })
}

/// The mean over a window of one fortieth of the run, centred so that the curve does not lag behind the points. At the
/// steep start, which a one-sided mean would flatten, the window narrows on both sides alike; at the end on one.
fn moving_average(points: &[Point]) -> Vec<Point> {
    let mut sums = vec![0.0];
    for (_, y) in points {
        sums.push(sums[sums.len() - 1] + y);
    }
    let n = points.len();
    let half = n / 80;
    let mean = |i: usize| {
        let before = half.min(i);
        let after = before.min(n - 1 - i);
        (sums[i + after + 1] - sums[i - before]) / (before + after + 1) as f64
    };
    points.iter().enumerate().map(|(i, point)| (point.0, mean(i))).collect()
}

/// At most [`MAX_POINTS`] of the points at even distances, the last one included.
fn thinned(points: &[Point]) -> Vec<Point> {
    let n = points.len();
    if n <= MAX_POINTS {
        return points.to_vec();
    }
    (0..MAX_POINTS).map(|i| points[i * (n - 1) / (MAX_POINTS - 1)]).collect()
}

/// From tokens and bits to places in the picture.
struct Scale {
    x: Axis,
    y: Axis,
    /// What the x axis counts: its label, and the tokens in one unit.
    x_unit: (&'static str, f64),
}

/// One axis: its range, and the distance of its ticks, which stand on whole multiples of it.
struct Axis {
    low: f64,
    high: f64,
    tick: f64,
}

impl Axis {
    /// The range from `low` to `high` with at most `n_ticks` steps.
    fn new(low: f64, high: f64, n_ticks: f64) -> Axis {
        Axis { low, high, tick: nice_step((high - low) / n_ticks) }
    }

    /// Where `value` lies between the ends: 0 to 1.
    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let first = (self.low / self.tick - 1e-6).ceil();
        let n_steps = (self.high / self.tick + 1e-6).floor() - first;
        (0..=n_steps.clamp(0.0, 50.0) as usize).map(move |i| (first + i as f64) * self.tick)
    }

    /// A tick's number with just the decimals that tell it from its neighbour.
    fn label(&self, value: f64) -> String {
        let n_decimals = (-self.tick.log10().floor()).clamp(0.0, 6.0) as usize;
        format!("{value:.n_decimals$}")
    }
}

/// The nearest 1, 2 or 5 times a power of ten that is not below `rough`.
fn nice_step(rough: f64) -> f64 {
    if !(rough.is_finite() && rough > 1e-9) {
        return 1e-3;
    }
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough * 0.999).unwrap_or(10.0);
    factor * power
}

impl Scale {
    fn fit(raw: &[Point], smooth: &[Point], held_out: &[Point], baselines: &[(String, f64)]) -> Scale {
        let max_x = raw.iter().chain(held_out).fold(0.0, |max: f64, point| max.max(point.0));
        let x_unit = match max_x {
            ..2e3 => ("tokens seen", 1.0),
            2e3..2e6 => ("thousand tokens seen", 1e3),
            2e6..2e9 => ("million tokens seen", 1e6),
            _ => ("billion tokens seen", 1e9),
        };
        // A little air after the last point, so that its mark is not cut in half.
        let high_x = if max_x > 0.0 { 1.015 * max_x / x_unit.1 } else { 1.0 };
        let (low, high) = Scale::y_range(raw, smooth, held_out, baselines);
        Scale { x: Axis::new(0.0, high_x, 8.0), y: Axis::new(low, high, 9.0), x_unit }
    }

    /// The bits per byte that matter. The first steps' loss is that of a model that knows nothing; it would squeeze all
    /// later progress into the lower half, so the range reaches up to where the run was after one twenty-fifth.
    fn y_range(raw: &[Point], smooth: &[Point], held_out: &[Point], baselines: &[(String, f64)]) -> Point {
        let n_early = raw.len() / 25;
        let early = raw.get(n_early).map_or(f64::NEG_INFINITY, |point| point.0);
        let mut values: Vec<f64> = smooth[n_early..].iter().map(|point| point.1).collect();
        values.extend(held_out.iter().filter(|point| point.0 >= early).map(|point| point.1));
        // The faint points under the curve stay in view; a single spike above it may leave.
        values.extend(best(raw).map(|point| point.1));
        if values.is_empty() {
            values.extend(held_out.iter().map(|point| point.1));
        }
        values.extend(baselines.iter().map(|(_, bits)| bits));
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !low.is_finite() {
            return (0.0, 8.0);
        }
        let margin = ((high - low) * 0.05).max(0.02 * high.abs()).max(1e-3);
        ((low - margin).max(0.0), high + margin)
    }

    fn place(&self, point: Point) -> Point {
        let x = LEFT + self.x.share(point.0 / self.x_unit.1) * (RIGHT - LEFT);
        // Points far outside are clipped anyway; numbers that stay small keep every viewer's arithmetic safe.
        let y = (BOTTOM - self.y.share(point.1) * (BOTTOM - TOP)).clamp(-2_000.0, 3_000.0);
        (x, y)
    }
}

/// The document while it is written.
struct Svg(String);

impl Svg {
    fn new(title: &str) -> Svg {
        let (width, height) = SIZE;
        let mut svg = Svg(String::with_capacity(40_000));
        svg.add(&format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" font-family="system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif" font-size="13">"#
        ));
        svg.add(&format!("<title>{}</title>", escaped(title)));
        svg.add(&format!(
            r##"<rect x="0.5" y="0.5" width="{}" height="{}" rx="10" fill="#ffffff" stroke="#d1d5db"/>"##,
            width - 1.0,
            height - 1.0
        ));
        svg.add(&format!(
            r#"<clipPath id="data"><rect x="{LEFT}" y="{TOP}" width="{}" height="{}"/></clipPath>"#,
            RIGHT - LEFT,
            BOTTOM - TOP
        ));
        svg
    }

    fn add(&mut self, element: &str) {
        self.0.push_str(element);
        self.0.push('\n');
    }

    fn text(&mut self, x: f64, y: f64, attributes: &str, text: &str) {
        self.add(&format!(r#"<text x="{x:.1}" y="{y:.1}" {attributes}>{}</text>"#, escaped(text)));
    }

    fn segment(&mut self, from: Point, to: Point, attributes: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(&format!(r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" {attributes}/>"#));
    }

    fn axes(&mut self, scale: &Scale) {
        for value in scale.y.ticks() {
            let y = BOTTOM - scale.y.share(value) * (BOTTOM - TOP);
            self.segment((LEFT, y), (RIGHT, y), r##"stroke="#e5e7eb""##);
            self.text(LEFT - 10.0, y + 4.5, r##"text-anchor="end" fill="#4b5563""##, &scale.y.label(value));
        }
        for value in scale.x.ticks() {
            let x = LEFT + scale.x.share(value) * (RIGHT - LEFT);
            self.segment((x, TOP), (x, BOTTOM), r##"stroke="#f3f4f6""##);
            self.segment((x, BOTTOM), (x, BOTTOM + 5.0), r##"stroke="#9ca3af""##);
            self.text(x, BOTTOM + 21.0, r##"text-anchor="middle" fill="#4b5563""##, &scale.x.label(value));
        }
        self.segment((LEFT, BOTTOM), (RIGHT, BOTTOM), r##"stroke="#9ca3af""##);
        let middle = (LEFT + RIGHT) / 2.0;
        self.text(middle, BOTTOM + 46.0, &format!(r#"text-anchor="middle" fill="{INK}""#), scale.x_unit.0);
        let y = (TOP + BOTTOM) / 2.0;
        let turned = format!(r#"text-anchor="middle" transform="rotate(-90 22 {y})" fill="{INK}""#);
        self.text(22.0, y, &turned, "bits per byte (lower is better)");
    }

    /// One row between title and plot, so that it covers no data.
    fn legend(&mut self, has_train: bool, has_held_out: bool, has_baselines: bool) {
        let y = 66.0;
        let line = |colour: &str, more: &str| format!(r#"stroke="{colour}" stroke-width="2.4" {more}"#);
        let entries = [
            (has_train, "training, each step", 142.0, None),
            (has_train, "training, moving average", 184.0, Some(line(TRAIN, ""))),
            (has_held_out, "held out", 73.0, Some(line(HELD_OUT, ""))),
            (has_baselines, "without a neural network", 0.0, Some(line(BASELINE, r#"stroke-dasharray="6 4""#))),
        ];
        let mut x = LEFT;
        for (_, name, width, stroke) in entries.iter().filter(|entry| entry.0) {
            match stroke {
                Some(stroke) => self.segment((x, y), (x + 24.0, y), stroke),
                None => (0..3).for_each(|i| {
                    self.dot((x + 4.0 + 8.0 * f64::from(i), y - f64::from(i % 2) * 3.0), 1.8, TRAIN, 0.45)
                }),
            }
            if *name == "held out" {
                self.dot((x + 12.0, y), 3.4, HELD_OUT, 1.0);
            }
            self.text(x + 31.0, y + 4.5, &format!(r#"fill="{INK}""#), name);
            x += width + 36.0;
        }
    }

    fn dot(&mut self, (x, y): Point, radius: f64, colour: &str, opacity: f64) {
        self.add(&format!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" fill="{colour}" fill-opacity="{opacity}"/>"#
        ));
    }

    fn baselines(&mut self, scale: &Scale, baselines: &[(String, f64)]) {
        let mut lines: Vec<_> =
            baselines.iter().map(|(name, bits)| (scale.place((0.0, *bits)).1, name, bits)).collect();
        lines.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut free_from = TOP;
        for (y, name, bits) in lines {
            let label_y = y.max(free_from);
            free_from = label_y + LABEL_HEIGHT;
            self.segment(
                (LEFT, y),
                (RIGHT, y),
                &format!(r#"stroke="{BASELINE}" stroke-width="1.5" stroke-dasharray="6 4""#),
            );
            self.segment((RIGHT, y), (RIGHT + 8.0, label_y), &format!(r#"stroke="{BASELINE}""#));
            self.text(RIGHT + 12.0, label_y + 4.5, &format!(r#"fill="{BASELINE}""#), &format!("{name} {bits:.2}"));
        }
    }

    fn raw_points(&mut self, scale: &Scale, raw: &[Point]) {
        self.add(&format!(r#"<g fill="{TRAIN}" fill-opacity="0.22">"#));
        for point in thinned(raw) {
            let (x, y) = scale.place(point);
            self.add(&format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="1.8"/>"#));
        }
        self.add("</g>");
    }

    fn line(&mut self, scale: &Scale, points: &[Point], attributes: &str) {
        if points.len() < 2 {
            return;
        }
        let mut path = String::new();
        for point in points {
            let (x, y) = scale.place(*point);
            write!(path, "{x:.1},{y:.1} ").expect("writing to a string cannot fail");
        }
        self.add(&format!(
            r#"<polyline points="{}" fill="none" stroke-linejoin="round" {attributes}/>"#,
            path.trim_end()
        ));
    }

    fn held_out(&mut self, scale: &Scale, held_out: &[Point]) {
        self.line(scale, &thinned(held_out), &format!(r#"stroke="{HELD_OUT}" stroke-width="2""#));
        // Many evaluations would run into one thick band of dots.
        let radius = if held_out.len() > 80 { 1.6 } else { 3.4 };
        thinned(held_out).into_iter().for_each(|point| self.dot(scale.place(point), radius, HELD_OUT, 1.0));
    }

    /// A ring around the best evaluation and its value, above the point where the falling curves leave room.
    fn best(&mut self, scale: &Scale, point: Point) {
        let (x, y) = scale.place(point);
        self.add(&format!(
            r##"<circle cx="{x:.1}" cy="{y:.1}" r="6.5" fill="#ffffff" stroke="{HELD_OUT}" stroke-width="2.4"/>"##
        ));
        self.dot((x, y), 2.6, HELD_OUT, 1.0);
        let label = format!("best held out {:.3}", point.1);
        let label_x = x.clamp(LEFT + 80.0, RIGHT - 80.0);
        let label_y = if y - 16.0 > TOP + 12.0 { y - 16.0 } else { y + 26.0 };
        let halo = r##"paint-order="stroke" stroke="#ffffff" stroke-width="4" stroke-linejoin="round""##;
        let attributes = format!(r##"text-anchor="middle" font-size="14" font-weight="600" fill="#b34700" {halo}"##);
        self.text(label_x, label_y, &attributes, &label);
    }

    fn no_data(&mut self) {
        let (x, y) = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
        self.text(x, y, r##"text-anchor="middle" font-size="16" fill="#6b7280""##, "nothing measured yet");
    }

    fn finish(mut self) -> String {
        self.add("</svg>");
        self.0
    }
}

/// `text` as XML character data: markup escaped, and characters that XML 1.0 forbids replaced by a space.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::Random;

    fn step(step: u64, bits_per_byte: f64) -> StepRecord {
        StepRecord {
            step,
            n_tokens_seen: step * 4_096,
            loss: bits_per_byte * 1.8,
            bits_per_byte,
            lr: 1e-3,
            grad_norm: 1.0,
            ms: 100.0,
            tokens_per_s: 4e4,
            fraction_done: 0.5,
            elapsed_s: step as f64 * 0.1,
        }
    }

    fn eval(step: u64, bits_per_byte: f64) -> EvalRecord {
        let n_tokens_seen = step * 4_096;
        EvalRecord {
            step,
            n_tokens_seen,
            bits_per_byte,
            loss: bits_per_byte * 1.8,
            is_best: false,
            is_average: false,
            elapsed_s: 0.0,
        }
    }

    /// A run that learns and in its last third begins to memorise.
    fn run(n_steps: u64) -> (Vec<StepRecord>, Vec<EvalRecord>) {
        let mut random = Random::new(1, 0);
        let curve = |step: u64| {
            1.7 + 3.5 * (-(step as f64) / (n_steps as f64 / 30.0)).exp()
                + 0.9 * (-3.0 * step as f64 / n_steps as f64).exp()
        };
        let mut noise = || (random.next_u64() % 1_000) as f64 / 1_000.0 - 0.5;
        let steps = (1..=n_steps).map(|i| step(i, curve(i) + 0.18 * noise())).collect();
        let rise = |i: u64| 0.25 * (i as f64 / n_steps as f64 - 0.65).max(0.0);
        let every = (n_steps / 24).max(1) as usize;
        let evals = (0..=n_steps).step_by(every).map(|i| eval(i, curve(i) + 0.08 + 3.0 * rise(i))).collect();
        (steps, evals)
    }

    fn baselines() -> Vec<(String, f64)> {
        vec![("xz".into(), 2.52), ("5-gram".into(), 2.28)]
    }

    /// Every tag that opens closes in order, and no text holds a bare `<` or `&`.
    fn assert_is_xml(svg: &str) {
        let mut open = Vec::new();
        for part in svg.split('<').skip(1) {
            let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("an unclosed tag: {part:.80}"));
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "{part:.80}");
            } else if !tag.ends_with('/') {
                open.push(name);
            }
            assert_eq!(tag.matches('"').count() % 2, 0, "an odd quote in {tag:.80}");
            assert!(!text.contains('>'), "a bare > in {text:.80}");
            for entity in text.split('&').skip(1) {
                assert!(
                    ["amp;", "lt;", "gt;", "quot;"].iter().any(|e| entity.starts_with(e)),
                    "a bare & in {text:.80}"
                );
            }
        }
        assert!(open.is_empty(), "left open: {open:?}");
    }

    #[test]
    fn a_run_is_drawn_with_its_best_point_and_labelled_baselines() {
        let (steps, evals) = run(3_000);
        let svg = loss_svg("tinyshakespeare", &steps, &evals, &baselines());
        assert_is_xml(&svg);
        let best = evals.iter().map(|eval| eval.bits_per_byte).fold(f64::INFINITY, f64::min);
        for words in
            ["tinyshakespeare", "xz 2.52", "5-gram 2.28", &format!("best held out {best:.3}"), "million tokens seen"]
        {
            assert!(svg.contains(words), "no {words:?}");
        }
        assert!(svg.contains("viewBox") && !svg.contains("href"), "it needs a viewBox and nothing from elsewhere");
        // For a person who works on the picture: SISKIN_PLOT=a.svg cargo test plot
        if let Some(path) = std::env::var_os("SISKIN_PLOT") {
            std::fs::write(path, &svg).unwrap();
        }
    }

    #[test]
    fn a_long_run_stays_a_small_file() {
        let (steps, _) = run(200_000);
        let evals: Vec<_> = (0..5_000).map(|i| eval(i * 40, 2.0)).collect();
        let n_bytes = loss_svg("long", &steps, &evals, &baselines()).len();
        assert!(n_bytes < 100_000, "{n_bytes} bytes");
    }

    #[test]
    fn few_or_unusable_points_still_give_a_picture() {
        let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        let cases: Vec<(Vec<StepRecord>, Vec<EvalRecord>)> = vec![
            (vec![], vec![]),
            (vec![step(1, 3.0)], vec![]),
            (vec![], vec![eval(0, 3.0)]),
            (vec![step(0, 0.0)], vec![eval(0, 0.0)]),
            (vec![step(1, 3.0), step(2, 3.0)], vec![eval(1, 2.0), eval(2, 2.5)]),
            (bad.iter().map(|&y| step(1, y)).collect(), bad.iter().map(|&y| eval(1, y)).collect()),
            (vec![step(1, f64::NAN), step(2, 3.0), step(3, 1e300), step(4, 2.0)], vec![eval(4, f64::NAN)]),
        ];
        for (i, (steps, evals)) in cases.iter().enumerate() {
            for baselines in [vec![], baselines(), vec![("broken".into(), f64::NAN)]] {
                let svg = loss_svg("few", steps, evals, &baselines);
                assert_is_xml(&svg);
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "case {i}: {svg}");
            }
        }
        assert!(loss_svg("none", &[], &[], &[]).contains("nothing measured yet"));
    }

    #[test]
    fn a_title_is_text_and_never_markup() {
        let svg = loss_svg("a<b> & \"c\"\u{7}</svg>", &[], &[], &[("<i>".into(), 2.0)]);
        assert_is_xml(&svg);
        assert!(svg.contains("a&lt;b&gt; &amp; &quot;c&quot; &lt;/svg&gt;"), "{svg}");
    }

    #[test]
    fn ticks_are_nice_numbers() {
        let cases = [
            (0.0, 1.0, 5.0, 0.2),
            (1.62, 3.31, 6.0, 0.5),
            (0.0, 12.3, 8.0, 2.0),
            (2.0, 2.0, 6.0, 1e-3),
            (0.0, 0.9, 6.0, 0.2),
        ];
        for (low, high, n_ticks, tick) in cases {
            let axis = Axis::new(low, high, n_ticks);
            assert!((axis.tick - tick).abs() < 1e-12, "{low} to {high}: {}", axis.tick);
            assert!(axis.ticks().all(|value| value >= low - 1e-9 && value <= high + 1e-9), "{low} to {high}");
        }
        assert_eq!(Axis { low: 0.0, high: 2.0, tick: 0.25 }.label(0.5), "0.5");
        assert_eq!(Axis { low: 0.0, high: 2.0, tick: 0.02 }.label(0.5), "0.50");
    }

    #[test]
    fn the_average_of_a_flat_curve_is_flat_and_keeps_every_point() {
        let points: Vec<Point> = (0..500).map(|i| (f64::from(i), 2.0)).collect();
        assert!(moving_average(&points).iter().zip(&points).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-9));
        assert!(moving_average(&[]).is_empty());
    }
}
