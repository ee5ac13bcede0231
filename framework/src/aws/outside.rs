//! For fuzzers: decoders that nothing outside this crate calls.

use super::error::Service;
use super::http::{Answer, host, is_loopback, parts, said, shown};
use super::{document, profile, sign, sts};

/// Takes a text for everything that may come from a service or a file of AWS.
///
/// # Panics
/// When a decoder does not keep its promises: that is what a fuzzer looks for.
pub fn read_all(text: &str) {
    let read = |name: &str| profile::of_texts(text, name).map(drop);
    // What is wrong is told without the text's secrets: see the tests of each reader.
    let _ = [read("default"), read("other")];
    for status in [200, 403, 500] {
        let answer = || Answer::new(status, text.to_owned());
        for service in [Service::Container, Service::Instance] {
            let _ = document::credentials(service, "http://127.0.0.1/v1?x", &answer(), &["secret"]);
        }
        let _ = sts::read(&answer());
    }
    let _ = (sign::seconds_of(text), sign::encode(text), said(text, &["a"]), shown(text));
    if let Some((scheme, authority)) = parts(text) {
        assert!(matches!(scheme, "http" | "https"), "{scheme}");
        let _ = is_loopback(host(authority));
    }
}
