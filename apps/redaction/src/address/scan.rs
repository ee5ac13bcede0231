//! One walk over the `@` of a text. Between two of them every unit is looked at a fixed number of times.

use super::domain::{self, Domain};
use super::local::{self, Quotes};
use super::units::Unit;
use super::{Class, Finding};

/// What counts as an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Mode {
    /// Any `x@y` goes: nothing is missed, and `user@host`, `react@18.2.0` and `icon@2x.png` go too.
    Strict,
    /// The domain must have a known top-level domain (public suffix list, private networks) or be an IP address.
    #[default]
    Balanced,
}

/// A finding in units.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    quoted: bool,
    literal: bool,
}

/// What the walk remembers.
struct Walk<'a> {
    units: &'a [Unit],
    mode: Mode,
    quotes: Quotes,
    spans: Vec<Span>,
    /// The last `@` that was left, and where its local part starts: `a@b@example.com` goes as a whole.
    left: Option<(usize, usize)>,
}

pub(super) fn scan(units: &[Unit], mode: Mode) -> Vec<Finding> {
    let mut walk = Walk { units, mode, quotes: Quotes::of(units), spans: Vec::new(), left: None };
    for (at, unit) in units.iter().enumerate() {
        if unit.ch == '@' {
            walk.visit(at);
        }
    }
    walk.spans.iter().filter_map(|span| finding(units, *span)).collect()
}

impl Walk<'_> {
    fn visit(&mut self, at: usize) {
        let floor = self.spans.last().map_or(0, |span| span.end);
        if at < floor {
            return;
        }
        let local = local::find(self.units, floor, at, &self.quotes);
        let start = self.chained(local.start, at);
        if start == at {
            self.left = None;
            return;
        }
        let comment = self.comment_after(at);
        match domain::find(self.units, at + 1 + comment, self.mode) {
            Some(domain) if !self.is_git_remote(start, at, domain) => {
                let start = self.unwrapped(start, at, domain.end);
                self.push(Span {
                    start,
                    end: domain.end,
                    quoted: local.quoted || comment > 0,
                    literal: domain.kind == domain::Kind::Literal,
                });
            }
            _ => self.left = Some((at, start)),
        }
    }

    /// Where the address starts if the local part is glued to an earlier `@` or to an earlier address.
    fn chained(&self, start: usize, at: usize) -> usize {
        if let Some((left_at, left_start)) = self.left
            && left_at + 1 == start
            && start < at
        {
            return left_start;
        }
        match self.spans.last() {
            Some(span) if span.end == at => span.start,
            _ => start,
        }
    }

    /// The length of a comment between the `@` and the domain.
    fn comment_after(&self, at: usize) -> usize {
        let tail = self.units.get(at + 1..).unwrap_or_default();
        if tail.first().is_none_or(|unit| unit.ch != '(') {
            return 0;
        }
        let end = tail.iter().skip(1).position(|unit| ends_comment(unit.ch));
        end.filter(|end| tail.get(end + 1).is_some_and(|unit| unit.ch == ')')).map_or(0, |end| end + 2)
    }

    /// `git@host:path` and `ssh://git@host/path` name a machine's account, not a person.
    fn is_git_remote(&self, start: usize, at: usize, domain: Domain) -> bool {
        let local = self.units.iter().take(at).skip(start).map(|unit| unit.ch);
        let after = self.units.get(domain.end).map(|unit| unit.ch);
        self.mode == Mode::Balanced && local.eq("git".chars()) && matches!(after, Some(':' | '/'))
    }

    /// Without quotes and emphasis that stand around the whole address: `'joe@example.com'`, `*joe@example.com*`.
    fn unwrapped(&self, start: usize, at: usize, end: usize) -> usize {
        let pairs = self.units.iter().take(at).skip(start).zip(self.units.iter().skip(end));
        let wrapped = |(open, close): &(&Unit, &Unit)| match open.ch {
            '\'' | '*' | '`' | '|' | '_' | '~' => close.ch == open.ch,
            '{' => close.ch == '}',
            _ => false,
        };
        let wrapping = pairs.take_while(wrapped).count();
        if start + wrapping < at { start + wrapping } else { start }
    }

    /// Adds a span; one that reaches back over earlier ones takes their place.
    fn push(&mut self, mut span: Span) {
        while let Some(last) = self.spans.pop_if(|last| last.end > span.start || last.start >= span.start) {
            span.start = span.start.min(last.start);
            span.quoted |= last.quoted;
        }
        self.spans.push(span);
        self.left = None;
    }
}

/// A comment holds no other comment, no `@` and no bracket. Without the bracket, what held an `@` would become a comment
/// once the address in it is replaced by the marker, and the second pass would find more than the first.
pub(super) const fn ends_comment(ch: char) -> bool {
    matches!(ch, '(' | ')' | '@' | '[' | ']' | '"' | '\n')
}

fn finding(units: &[Unit], span: Span) -> Option<Finding> {
    let inside = units.get(span.start..span.end)?;
    let range = inside.first()?.start..inside.last()?.end;
    let hidden = inside.windows(2).any(|pair| matches!(pair, [left, right] if right.start > left.end));
    let punycode =
        || inside.windows(4).any(|part| part.iter().map(|unit| unit.ch.to_ascii_lowercase()).eq("xn--".chars()));
    let class = if inside.iter().any(|unit| unit.layers > 0) {
        Class::Encoded
    } else if hidden || inside.iter().any(|unit| unit.folded) {
        Class::Disguised
    } else if span.quoted {
        Class::Quoted
    } else if span.literal {
        Class::Literal
    } else if inside.iter().any(|unit| !unit.ch.is_ascii()) {
        Class::International
    } else if punycode() {
        Class::Punycode
    } else {
        Class::Plain
    };
    Some(Finding { range, class })
}
