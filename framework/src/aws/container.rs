//! Credentials of a container: ECS, and EKS Pod Identity.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::error::{CredentialError, Service};
use super::http::{Http, Limits, host, is_loopback, parts, twice};
use super::{Credentials, Variables, document};

/// Where a relative address begins, on ECS.
const ECS: &str = "http://169.254.170.2";
/// Who may be asked without TLS beside this machine: the agents of ECS and of EKS Pod Identity.
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
const LIMITS: Limits = Limits { connect: Duration::from_secs(2), total: Duration::from_secs(5) };

/// The credentials of the container; `None` when none are configured.
pub(super) fn credentials(variables: &Variables) -> Result<Option<Credentials>, CredentialError> {
    let Some(url) = url(variables)? else { return Ok(None) };
    let http = Http::direct(Service::Container, LIMITS);
    twice(|| {
        // Kubernetes writes a new token into the file from time to time.
        let token = token(variables)?;
        let token = token.as_deref().unwrap_or_default();
        let headers: &[_] = if token.is_empty() { &[] } else { &[("authorization", token)] };
        let answer = http.get(&url, headers)?;
        document::credentials(Service::Container, &url, &answer, &[token])
    })
    .map(Some)
}

fn url(variables: &Variables) -> Result<Option<String>, CredentialError> {
    const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    if let Some(path) = variables.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        if !path.starts_with('/') {
            let variable = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
            return Err(CredentialError::Variable { variable, reason: "must begin with a slash".to_owned() });
        }
        return Ok(Some(format!("{ECS}{path}")));
    }
    let Some(url) = variables.get(FULL) else { return Ok(None) };
    let wrong = |reason: &str| CredentialError::Variable { variable: FULL, reason: reason.to_owned() };
    let (scheme, authority) =
        parts(url).ok_or_else(|| wrong("is no URL such as http://169.254.170.23/v1/credentials"))?;
    if scheme == "http" && !may_be_plain(host(authority)) {
        return Err(wrong("leads to another machine without TLS; say https, or the address of the agent"));
    }
    Ok(Some(url.to_owned()))
}

fn may_be_plain(host: &str) -> bool {
    let agent = |agent: &str| agent.parse::<IpAddr>().ok();
    let is_agent = |address: IpAddr| AGENTS.into_iter().filter_map(agent).any(|ours| ours == address);
    is_loopback(host) || host.parse::<IpAddr>().is_ok_and(is_agent)
}

/// The token from the file, or from the variable.
fn token(variables: &Variables) -> Result<Option<String>, CredentialError> {
    let (variable, token) = match variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => {
            let path = PathBuf::from(path);
            let token = std::fs::read_to_string(&path).map_err(|error| CredentialError::File {
                what: "the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                path,
                reason: error.to_string(),
            })?;
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.trim().to_owned())
        }
        None => match variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN") {
            Some(token) => ("AWS_CONTAINER_AUTHORIZATION_TOKEN", token.to_owned()),
            None => return Ok(None),
        },
    };
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        // It becomes a header.
        let reason = "holds no token, which is one line of ASCII".to_owned();
        return Err(CredentialError::Variable { variable, reason });
    }
    Ok(Some(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, value: &str) -> Result<Option<String>, String> {
        let variables = [(name.to_owned(), value.to_owned())].into_iter().collect();
        url(&variables).map_err(|error| error.to_string())
    }

    #[test]
    fn only_this_machine_and_the_agents_are_asked_without_tls() {
        let full = |value| asked("AWS_CONTAINER_CREDENTIALS_FULL_URI", value);
        for good in [
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://127.0.0.1:1/c",
            "http://localhost/c",
            "https://credentials.example/c",
        ] {
            assert_eq!(full(good), Ok(Some(good.to_owned())));
        }
        for wrong in
            ["http://credentials.example/c", "http://169.254.170.23.evil/c", "http://169.254.169.254/", "file:///x"]
        {
            assert!(full(wrong).unwrap_err().starts_with("AWS_CONTAINER_CREDENTIALS_FULL_URI "), "{wrong}");
        }
        let relative = |value| asked("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", value);
        assert_eq!(relative("/v2/credentials/1"), Ok(Some("http://169.254.170.2/v2/credentials/1".to_owned())));
        assert!(relative("@evil/").unwrap_err().contains("must begin with a slash"));
        assert_eq!(url(&Variables::default()), Ok(None));
    }

    #[test]
    fn a_token_that_is_no_header_is_not_sent() {
        let variables =
            |token: &str| [("AWS_CONTAINER_AUTHORIZATION_TOKEN".to_owned(), token.to_owned())].into_iter().collect();
        assert_eq!(token(&variables("abc ")), Ok(Some("abc".to_owned())));
        let error = token(&variables("abc\r\nx: canary")).unwrap_err().to_string();
        assert!(error.contains("one line of ASCII") && !error.contains("canary"), "{error}");
    }
}
