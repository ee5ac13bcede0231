//! What services of AWS and clients of the pages send.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Documents, files and dates.
pub(crate) fn aws(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    millpond::aws::outside::read_all(text);
}

/// The names of hosts in requests. Names that may be somebody's else must have been said.
pub(crate) fn http_host(bytes: &[u8]) {
    let Ok(host) = std::str::from_utf8(bytes) else { return };
    let said = ["status.example.com".to_owned()];
    if millpond::http::outside::is_ours(host, &said) && !millpond::http::outside::is_ours(host, &[]) {
        assert!(host.to_ascii_lowercase().contains("status.example.com"), "{host}");
    }
}

/// A whole request to a real server, which answers it or closes, and goes on.
pub(crate) fn http_request(bytes: &[u8]) {
    let address = super::rows::served();
    let Ok(mut stream) = TcpStream::connect(address) else { panic!("the server is gone") };
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit for reading");
    // The server may have closed before it has heard all.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = [0; 9];
    let read = stream.read(&mut answer).unwrap_or(0);
    assert!(read == 0 || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
}
