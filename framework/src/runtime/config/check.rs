//! What only shows when values are seen together.

use std::time::Duration;

use super::StreamsConfig;
use super::error::{ConfigError, Problem};

/// A shorter token could be found by trying.
const ADMIN_TOKEN_CHARS_MIN: usize = 16;

/// A commit that the client does not come back from is given up so long after its time-out.
const COMMIT_GRACE: Duration = Duration::from_secs(2);

/// Adds everything that is impossible to `errors`, each at the place of the value to change.
pub(super) fn check(config: &StreamsConfig, errors: &mut Vec<ConfigError>) {
    let mut checks = Checks { config, errors };
    checks.identity();
    checks.times();
    checks.dead_letters();
    checks.spans();
    checks.admin();
    checks.queries();
    checks.encryption();
    checks.authentication();
    checks.aws();
}

struct Checks<'a> {
    config: &'a StreamsConfig,
    errors: &'a mut Vec<ConfigError>,
}

impl Checks<'_> {
    fn impossible(&mut self, key: &str, reason: impl Into<String>) {
        let problem = Problem::Impossible { key: key.to_owned(), reason: reason.into() };
        self.errors.push(self.config.place(key).error(problem));
    }

    fn missing(&mut self, key: &str, hint: &str) {
        let problem = Problem::Missing { key: key.to_owned(), hint: hint.to_owned() };
        self.errors.push(ConfigError::nowhere(problem));
    }

    fn identity(&mut self) {
        let config = self.config;
        if config.application_id.is_empty() {
            self.missing("application.id", "every application needs a name of its own; say --application-id");
        } else if let Some(reason) = not_a_topic_name(&config.application_id, 150) {
            self.impossible("application.id", reason);
        }
        if let Some(reason) = config.instance.as_deref().and_then(|instance| not_a_topic_name(instance, 64)) {
            self.impossible("instance", reason);
        }
        if config.bootstrap_servers.is_empty() {
            self.missing("bootstrap.servers", "say --bootstrap-servers host:port");
        } else if let Some(bad) = config.bootstrap_servers.split(',').find(|server| !is_host_and_port(server)) {
            self.impossible("bootstrap.servers", format!("`{}` is not host:port", bad.trim()));
        }
        if config.state_dir.as_os_str().is_empty() {
            self.missing("state.dir", "there is no home directory to take for a default; say --state-dir");
        }
        if config.stream_threads == 0 {
            self.impossible("num.stream.threads", "without a thread nothing is processed; at least 1");
        }
        if config.replication_factor == 0 {
            self.impossible("replication.factor", "0 replicas keep nothing; -1 is the broker's default");
        }
    }

    fn times(&mut self) {
        let config = self.config;
        let transaction = config.transaction_timeout;
        if config.commit_interval.is_zero() {
            self.impossible("commit.interval.ms", "there must be time between two commits; at least 1");
        }
        // The age of a transaction stays below half of its time-out (invariant I13): the other half is for the commit.
        if config.commit_interval >= transaction / 2 {
            let reason = format!(
                "{} is not less than half of transaction.timeout.ms = {}: the broker would abort transactions that \
                 are only waiting for their commit",
                millis(config.commit_interval),
                millis(transaction)
            );
            self.impossible("commit.interval.ms", reason);
        }
        if config.heartbeat_interval >= config.session_timeout {
            let reason = format!("it must be less than session.timeout.ms = {}", millis(config.session_timeout));
            self.impossible("heartbeat.interval.ms", reason);
        }
        if config.max_poll_interval < config.session_timeout {
            let reason = format!("it must not be less than session.timeout.ms = {}", millis(config.session_timeout));
            self.impossible("max.poll.interval.ms", reason);
        }
        // A revocation waits for the commit in flight, for begin records, and for one more commit.
        let commits = 3 * transaction + 2 * COMMIT_GRACE;
        if config.max_poll_interval <= commits {
            let reason = format!(
                "it must be more than {}: two commits and the records before them may take that long with \
                 transaction.timeout.ms = {}",
                millis(commits),
                millis(transaction)
            );
            self.impossible("max.poll.interval.ms", reason);
        }
        if config.poll_timeout >= transaction / 2 {
            self.impossible("poll.ms", "it must be less than half of transaction.timeout.ms");
        }
    }

    fn dead_letters(&mut self) {
        let reason = self.config.dead_letter_topic.as_deref().and_then(|topic| not_a_topic_name(topic, 249));
        if let Some(reason) = reason {
            self.impossible("errors.dead.letter.queue.topic.name", reason);
        }
    }

    fn spans(&mut self) {
        let Some(endpoint) = self.config.otlp_endpoint.as_deref() else { return };
        let rest = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
        let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
        // A password would be shown with the rest of the configuration.
        if host.is_empty() || endpoint.contains(['@', '?', '#', ' ']) {
            let reason = "it is written like http://host:4318, without user and query; a token goes into the variable \
                          OTEL_EXPORTER_OTLP_HEADERS";
            self.impossible("otlp.endpoint", reason);
        }
    }

    fn admin(&mut self) {
        let Some(token) = &self.config.http_admin_token else { return };
        let token = token.expose();
        if token.chars().count() < ADMIN_TOKEN_CHARS_MIN {
            let reason =
                format!("it can be guessed; at least {ADMIN_TOKEN_CHARS_MIN} characters: openssl rand -hex 32");
            self.impossible("http.admin.token", reason);
        } else if !token.chars().all(|c| c.is_ascii_graphic()) {
            self.impossible(
                "http.admin.token",
                "a header holds no such character; letters, digits and signs, no spaces",
            );
        }
        if self.config.http_listen.is_none() {
            self.impossible("http.admin.token", "it has no use while http.listen is none; leave one of them out");
        }
    }

    fn queries(&mut self) {
        let config = self.config;
        if let Some(server) = &config.application_server {
            // It is committed beside the group's offsets, between spaces.
            if !is_host_and_port(server)
                || server.len() > 255
                || server.contains(|c: char| c.is_whitespace() || c == '/')
            {
                self.impossible("application.server", format!("`{server}` is not host:port"));
            }
        }
        if !config.queries {
            return;
        }
        match config.http_listen {
            None => self.impossible("queries", "queries are answered over HTTP; say http.listen, or queries = off"),
            Some(listen) if listen.ip().is_unspecified() && config.application_server.is_none() => {
                let hint = "the other processes cannot reach this one at the address of http.listen; say host:port";
                self.missing("application.server", hint);
            }
            Some(_) => {}
        }
    }

    fn encryption(&mut self) {
        let security = &self.config.security;
        let plain = !security.protocol.is_ssl() && security.auth.is_none();
        for (key, given) in [
            ("ssl.ca.location", security.ssl_ca_location.is_some()),
            ("ssl.certificate.location", security.ssl_certificate_location.is_some()),
            ("ssl.key.location", security.ssl_key_location.is_some()),
            ("ssl.key.password", security.ssl_key_password.is_some()),
        ] {
            if given && plain {
                let protocol = security.protocol.as_str();
                self.impossible(key, format!("security.protocol = {protocol} does not use TLS; say SSL or SASL_SSL"));
            }
        }
        match (&security.ssl_certificate_location, &security.ssl_key_location) {
            (Some(_), None) => self.impossible("ssl.certificate.location", "it needs ssl.key.location beside it"),
            (None, Some(_)) => self.impossible("ssl.key.location", "it needs ssl.certificate.location beside it"),
            _ => {}
        }
    }

    fn aws(&mut self) {
        let security = &self.config.security;
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if security.aws_region.as_deref().is_some_and(|region| !region.chars().all(legal)) {
            // It becomes part of the name of a host.
            self.impossible("aws.region", "a region is written like eu-west-1");
        }
        let role = security.aws_role_arn.as_deref();
        if role.is_some_and(|role| !(role.starts_with("arn:aws") && role.contains(":role/"))) {
            self.impossible("aws.role.arn", "a role is written like arn:aws:iam::123456789012:role/name");
        }
    }

    fn authentication(&mut self) {
        let security = &self.config.security;
        let said = [
            ("sasl.mechanism", security.sasl_mechanism.is_some()),
            ("sasl.username", security.sasl_username.is_some()),
            ("sasl.password", security.sasl_password.is_some()),
            ("sasl.oauthbearer.token.file", security.sasl_oauthbearer_token_file.is_some()),
        ];
        if security.auth.is_some() {
            for (key, _) in said.iter().filter(|(_, given)| *given) {
                self.impossible(key, "auth = msk-iam authenticates by the machine's AWS credentials; leave this out");
            }
            if self.config.places.contains_key("security.protocol") && security.protocol.as_str() != "SASL_SSL" {
                self.impossible("security.protocol", "auth = msk-iam needs SASL_SSL; leave it out or say that");
            }
            if security.aws_region.is_none() {
                self.missing("aws.region", "auth = msk-iam signs for one region; say which, such as eu-west-1");
            }
            return;
        }
        if !security.protocol.is_sasl() {
            for (key, _) in said.iter().filter(|(_, given)| *given) {
                let protocol = security.protocol.as_str();
                let reason = format!("security.protocol = {protocol} does not use SASL; say SASL_SSL");
                self.impossible(key, reason);
            }
            return;
        }
        let by_token = security.sasl_mechanism.as_deref() == Some("OAUTHBEARER");
        for (key, given) in said {
            let is_of_mechanism = match key {
                "sasl.mechanism" => true,
                "sasl.oauthbearer.token.file" => by_token,
                _ => !by_token,
            };
            match (is_of_mechanism, given) {
                (true, false) if key == "sasl.oauthbearer.token.file" => {
                    let hint =
                        "OAUTHBEARER shows a token; say the file that holds it, or auth = msk-iam for Amazon MSK";
                    self.missing(key, hint);
                }
                (true, false) => self.missing(key, "security.protocol uses SASL"),
                (false, true) if by_token => {
                    self.impossible(key, "sasl.mechanism = OAUTHBEARER shows a token and no password; leave this out");
                }
                (false, true) => {
                    self.impossible(key, "only sasl.mechanism = OAUTHBEARER shows a token; leave this out");
                }
                _ => {}
            }
        }
    }
}

/// Why a text cannot be part of a topic's name.
fn not_a_topic_name(name: &str, longest: usize) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name == "." || name == ".." {
        Some(format!("`{name}` is no name"))
    } else if let Some(bad) = name.chars().find(|c| !legal(*c)) {
        Some(format!("{bad:?} is not allowed in topic names; letters, digits, `.`, `_` and `-` are"))
    } else if name.len() > longest {
        Some(format!("it is longer than {longest} characters"))
    } else {
        None
    }
}

fn is_host_and_port(server: &str) -> bool {
    let server = server.trim();
    let server = server.split_once("://").map_or(server, |(_, address)| address);
    server.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
}

fn millis(duration: Duration) -> u128 {
    duration.as_millis()
}
