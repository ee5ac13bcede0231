//! What AWS's services would answer: the security token service, and the agent of a container or a pod. Everything that they say
//! and are told is a canary.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::canary::secret;

/// Listens until the test's process ends.
pub(crate) struct Services {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Services {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let told = Arc::clone(&asked);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                // Who goes without reading an answer asks again.
                if let Ok(line) = answer(connection) {
                    told.lock().unwrap().push(line);
                }
            }
        });
        Self { url, asked }
    }

    /// Where the security token service is.
    pub(crate) fn sts(&self) -> String {
        self.url.clone()
    }

    /// Where the agent has credentials.
    pub(crate) fn agent(&self) -> String {
        format!("{}/credentials", self.url)
    }

    /// Each has been asked, with what it must be shown.
    pub(crate) fn assert_asked(&self) {
        let asked = self.asked.lock().unwrap();
        for wanted in [secret("identity"), secret("container")] {
            assert!(asked.iter().any(|request| request.contains(&wanted)), "{wanted}: {asked:?}");
        }
    }
}

/// The request, answered.
fn answer(connection: TcpStream) -> std::io::Result<String> {
    let mut reader = BufReader::new(connection);
    let (mut request, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        request.push_str(&line);
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = String::new();
    reader.by_ref().take(length).read_to_string(&mut body)?;
    request.push_str(&body);
    let ends = "2099-01-01T00:00:00Z";
    let (key, token) = (secret("answered-key"), secret("answered-token"));
    let body = if request.starts_with("POST / ") {
        format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKIDEXAMPLE\
             </AccessKeyId><SecretAccessKey>{key}</SecretAccessKey><SessionToken>{token}</SessionToken>\
             <Expiration>{ends}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
             </AssumeRoleWithWebIdentityResponse>"
        )
    } else {
        format!(
            r#"{{"Code":"Success","AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"{key}","Token":"{token}","Expiration":"{ends}"}}"#
        )
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    reader.get_mut().write_all(format!("{head}{body}").as_bytes())?;
    Ok(request)
}
