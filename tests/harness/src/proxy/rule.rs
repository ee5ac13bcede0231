use std::time::Duration;

use super::frame::Api;

/// What happens to a request or its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The request waits that long, and all behind it on its connection.
    DelayRequest(Duration),
    /// The request never arrives; the client waits for its time-out.
    DropRequest,
    /// The request never arrives, and the connection breaks.
    CutRequest,
    /// The request arrives twice in a row; the client sees one response.
    Duplicate,
    /// The request arrives, and a copy of it is kept for [`Proxy::release`](super::Proxy::release). The client notices
    /// nothing.
    Copy,
    /// The request is kept for [`Proxy::release`](super::Proxy::release), and the connection breaks: the client tries again.
    HoldAndCut,
    /// The request waits for [`Proxy::let_go`](super::Proxy::let_go), and all behind it on its connection.
    Hold,
    /// The response waits that long, and all behind it on its connection.
    DelayResponse(Duration),
    /// The response never arrives; the client waits for its time-out.
    DropResponse,
    /// The response never arrives, and the connection breaks.
    CutResponse,
}

/// Which requests are struck, and how.
#[derive(Debug, Clone)]
pub struct Rule {
    api: Api,
    action: Action,
    containing: String,
    skip: u64,
    every: u64,
    times: u64,
    seen: u64,
    hits: u64,
}

impl Rule {
    /// Strikes the next request of this kind, once.
    pub fn once(api: Api, action: Action) -> Self {
        Self { api, action, containing: String::new(), skip: 0, every: 1, times: 1, seen: 0, hits: 0 }
    }

    /// Strikes every `every`th request of this kind.
    pub fn every(every: u64, api: Api, action: Action) -> Self {
        Self { every: every.max(1), times: u64::MAX, skip: every.saturating_sub(1), ..Self::once(api, action) }
    }

    /// Only requests that name this, such as a transactional id.
    #[must_use]
    pub fn of(mut self, name: impl Into<String>) -> Self {
        self.containing = name.into();
        self
    }

    /// Lets that many pass first.
    #[must_use]
    pub fn after(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits
    }

    /// What happens to this request, if this rule is about it and its turn has come.
    pub(super) fn strike(&mut self, api_key: i16, names: impl Fn(&str) -> bool) -> Option<Action> {
        if self.api.key() != api_key || self.hits >= self.times {
            return None;
        }
        if !self.containing.is_empty() && !names(&self.containing) {
            return None;
        }
        self.seen += 1;
        if self.seen <= self.skip || !(self.seen - self.skip - 1).is_multiple_of(self.every) {
            return None;
        }
        self.hits += 1;
        Some(self.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(mut rule: Rule, names: &[&str]) -> Vec<bool> {
        names.iter().map(|name| rule.strike(Api::EndTxn.key(), |wanted| *name == wanted).is_some()).collect()
    }

    #[test]
    fn rules_count_only_the_requests_that_they_are_about() {
        let cut = Action::CutRequest;
        assert_eq!(struck(Rule::once(Api::EndTxn, cut), &["a", "a"]), [true, false]);
        assert_eq!(
            struck(Rule::once(Api::EndTxn, cut).after(1).of("b"), &["b", "a", "b", "b"]),
            [false, false, true, false]
        );
        assert_eq!(struck(Rule::every(2, Api::EndTxn, cut), &["a"; 5]), [false, true, false, true, false]);
        assert_eq!(struck(Rule::once(Api::Produce, cut), &["a"]), [false]);
    }
}
