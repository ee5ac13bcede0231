//! The left-hand side of an `@`: how far it reaches.

use super::domain::is_word_beyond_ascii;
use super::scan::ends_comment;
use super::units::Unit;

/// What stands before an `@`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Local {
    /// Its first unit. Equal to the position of the `@` if there is none.
    pub(super) start: usize,
    /// Whether it has a quoted part or a comment.
    pub(super) quoted: bool,
}

/// The previous quotation mark on the same line for every closing one, so that quoted parts are crossed in one step.
#[derive(Debug)]
pub(super) struct Quotes {
    /// Position of each unescaped mark and of the one before it, in order.
    pairs: Vec<(usize, Option<usize>)>,
}

impl Quotes {
    /// Looks through the text once.
    pub(super) fn of(units: &[Unit]) -> Self {
        let mut pairs = Vec::new();
        let mut previous = None;
        let mut escaped = false;
        for (at, unit) in units.iter().enumerate() {
            match unit.ch {
                '\n' | '\r' => previous = None,
                '"' if !escaped => {
                    pairs.push((at, previous));
                    previous = Some(at);
                }
                _ => {}
            }
            escaped = unit.ch == '\\' && !escaped;
        }
        Self { pairs }
    }

    fn opening(&self, closing: usize) -> Option<usize> {
        let index = self.pairs.binary_search_by_key(&closing, |(at, _)| *at).ok()?;
        self.pairs.get(index).and_then(|(_, opening)| *opening)
    }
}

/// The characters of RFC 5322's `atext`, the dot, and RFC 6531's characters beyond ASCII.
fn is_local(ch: char) -> bool {
    ch.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(ch) || is_word_beyond_ascii(ch)
}

/// Expands to the left of the `@` at unit `at`, not beyond unit `floor` (but quoted parts are crossed whole).
pub(super) fn find(units: &[Unit], floor: usize, at: usize, quotes: &Quotes) -> Local {
    let mut start = at;
    let mut has_quoted = false;
    while let Some(before) = start.checked_sub(1).filter(|before| *before >= floor) {
        let Some(unit) = units.get(before) else { break };
        let joined = start == at || units.get(start).is_some_and(|unit| unit.ch == '.');
        if is_local(unit.ch) {
            start = before;
        } else if let Some(open) = (joined && unit.ch == '"').then(|| quoted_part(units, before, quotes)).flatten() {
            start = open;
            has_quoted = true;
        } else if let Some(open) = (start == at && unit.ch == ')').then(|| comment(units, floor, before)).flatten() {
            // A comment alone is no local part: the loop goes on before it, and a start at the `(` is undone below.
            start = open;
            has_quoted = true;
        } else {
            break;
        }
    }
    if units.get(start).is_some_and(|unit| unit.ch == '(') {
        return Local { start: at, quoted: false };
    }
    if !has_quoted {
        start = after_url(units, start, at);
    }
    let dots = units.iter().take(at).skip(start).take_while(|unit| unit.ch == '.').count();
    Local { start: start + dots, quoted: has_quoted }
}

/// The opening mark of the quoted part that ends at `closing`. `":"` and `","` are the seams of JSON and CSV, no local part.
fn quoted_part(units: &[Unit], closing: usize, quotes: &Quotes) -> Option<usize> {
    let open = quotes.opening(closing)?;
    let inside = units.get(open + 1..closing)?;
    let seam = !inside.is_empty() && inside.iter().all(|unit| " :,;=\t\\[]{}".contains(unit.ch));
    (!seam).then_some(open)
}

/// The `(` of the comment that ends at `closing`.
fn comment(units: &[Unit], floor: usize, closing: usize) -> Option<usize> {
    let inside = units.get(floor..closing)?;
    let open = inside.iter().rposition(|unit| ends_comment(unit.ch))?;
    inside.get(open).filter(|unit| unit.ch == '(').map(|_| floor + open)
}

/// In a URL, a path or a query string, the unit after the last delimiter; elsewhere `start`.
///
/// A delimiter that is itself encoded belongs to the value (`?email=a%2Fb%40example.com`), unless the whole URL is encoded
/// that deep.
fn after_url(units: &[Unit], start: usize, at: usize) -> usize {
    let Some(local) = units.get(start..at) else { return start };
    let path = local.first().filter(|unit| unit.ch == '/');
    let named =
        || local.windows(2).any(|pair| matches!(pair, [name, sign] if sign.ch == '=' && name.ch.is_alphanumeric()));
    let query = || local.iter().find(|unit| matches!(unit.ch, '?' | '&')).filter(|_| named());
    let Some(mark) = path.or_else(query) else { return start };
    let delimiter = |unit: &Unit| unit.layers <= mark.layers && matches!(unit.ch, '/' | '?' | '&' | '=' | '#');
    let Some(last) = local.iter().rposition(delimiter) else { return start };
    let cut = start + last + 1;
    // `redirect=%2F%2Fhost%2F%3Femail%3Djoe%40example.com`: an encoded URL in a URL.
    if cut > start && units.get(cut).is_some_and(|unit| unit.ch == '/') { after_url(units, cut, at) } else { cut }
}
