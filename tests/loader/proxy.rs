//! Stands between a loader and PostgreSQL and cuts the connection at COMMIT, before or after the server has seen it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

/// A simple query with the text `COMMIT`, as it is on the wire: tag, length, text, NUL.
const COMMIT: &[u8] = b"Q\x00\x00\x00\x0bCOMMIT\x00";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    Nothing = 0,
    /// The server never sees the next COMMIT: rolled back.
    Request = 1,
    /// The server commits; nobody hears of it.
    Response = 2,
}

/// A proxy that lives as long as the test's process.
pub(crate) struct Proxy {
    pub(crate) url: String,
    next: Arc<AtomicU8>,
    /// How many COMMITs pass before the cut.
    passes: Arc<AtomicU8>,
}

impl Proxy {
    /// In front of the server of `url`.
    pub(crate) fn start(url: &str) -> Self {
        let (head, tail) = url.split_once("127.0.0.1:").unwrap();
        let (port, database) = tail.split_once('/').unwrap();
        let server = format!("127.0.0.1:{port}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{head}127.0.0.1:{}/{database}", listener.local_addr().unwrap().port());
        let next = Arc::new(AtomicU8::new(Cut::Nothing as u8));
        let passes = Arc::new(AtomicU8::new(0));
        let shared = (Arc::clone(&next), Arc::clone(&passes));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                let (next, passes) = (Arc::clone(&shared.0), Arc::clone(&shared.1));
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let cut = Arc::new(AtomicU8::new(Cut::Nothing as u8));
                let seen = Arc::clone(&cut);
                thread::spawn(move || requests(client, server, (&next, &passes), &cut));
                thread::spawn(move || responses(back.0, back.1, &seen));
            }
        });
        Self { url, next, passes }
    }

    /// Cuts at the COMMIT after `passes` others.
    pub(crate) fn cut(&self, cut: Cut, passes: u8) {
        self.passes.store(passes, Ordering::SeqCst);
        self.next.store(cut as u8, Ordering::SeqCst);
    }

    /// True when nothing is left to cut.
    pub(crate) fn has_cut(&self) -> bool {
        self.next.load(Ordering::SeqCst) == Cut::Nothing as u8
    }
}

fn requests(mut client: TcpStream, mut server: TcpStream, plan: (&AtomicU8, &AtomicU8), cut: &AtomicU8) {
    let mut buffer = vec![0; 65_536];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        // The loader waits for each answer, so a COMMIT comes alone.
        let commit = buffer[..read] == *COMMIT;
        if commit && plan.0.load(Ordering::SeqCst) != Cut::Nothing as u8 {
            if plan.1.load(Ordering::SeqCst) == 0 {
                let what = plan.0.swap(Cut::Nothing as u8, Ordering::SeqCst);
                cut.store(what, Ordering::SeqCst);
                if what == Cut::Request as u8 {
                    break;
                }
            } else {
                plan.1.fetch_sub(1, Ordering::SeqCst);
            }
        }
        if server.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The client sees the end of its connection, the server too, and rolls back what is open.
    if cut.load(Ordering::SeqCst) != Cut::Response as u8 {
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    }
}

fn responses(mut server: TcpStream, mut client: TcpStream, cut: &AtomicU8) {
    let mut buffer = vec![0; 65_536];
    while let Ok(read @ 1..) = server.read(&mut buffer) {
        // An answer after the cut is the one to COMMIT: it has taken place, and stays unheard.
        if cut.load(Ordering::SeqCst) == Cut::Response as u8 || client.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}
