//! `topology`: the graph as text, as a picture, and for programs.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::output::Output;
use super::{Context, Failure};
use crate::program::Described;

/// How long a page may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How to print it.
#[derive(Debug, Clone, Args)]
pub(crate) struct TopologyArgs {
    /// In which form
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Ask a running process for it, by the address of its page, such as 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
}

/// A form of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Kafka Streams' own text, which visualisers read
    Text,
    /// A flowchart in Mermaid
    Mermaid,
    /// For programs
    Json,
}

pub(crate) fn run(args: &TopologyArgs, context: Context<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
    let format = if out.json { Format::Json } else { args.format };
    let text = match &args.from {
        Some(address) => ask(address, format)?,
        None => match context.described(&context.config_without_broker()?)? {
            Some(described) => form(&described, format),
            None => {
                return Err(Failure::usage(
                    "this program does not know the topology of your application",
                    "say --from with the address of a running process's page (it is in its log), or use the \
                     application's own binary",
                ));
            }
        },
    };
    out.write(&(text.trim_end().to_owned() + "\n"))
}

fn form(described: &Described, format: Format) -> String {
    match format {
        Format::Text => described.text.text.clone(),
        Format::Mermaid => described.text.mermaid.clone(),
        Format::Json => described.text.json.clone(),
    }
}

/// One request to the page of a running process.
fn ask(address: &str, format: Format) -> Result<String, Failure> {
    let host = address.trim_start_matches("http://").trim_end_matches('/');
    let query = match format {
        Format::Text => "",
        Format::Mermaid => "?format=mermaid",
        Format::Json => "?format=json",
    };
    let request = format!("GET /topology{query} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let failed = |error: std::io::Error| {
        let fix = "take the address from the log line `page` of the process, and see that it runs";
        Failure::new("page-unreachable", format!("nobody answers at {host}"), fix).because(&error)
    };
    let answer = exchange(host, &request).map_err(failed)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        return Ok(body.to_owned());
    }
    let fix = "see that the address is that of an application of this library";
    Err(Failure::new("page-refused", format!("{host} has no topology: {status}"), fix))
}

fn exchange(host: &str, request: &str) -> std::io::Result<String> {
    let unknown = || std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    let address = host.to_socket_addrs()?.next().ok_or_else(unknown)?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
