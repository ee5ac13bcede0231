//! Why a connection was refused, by us or by the broker, and what to do about it.

use rdkafka::error::RDKafkaErrorCode as Code;

const CERTIFICATE: &str = "the broker's certificate is not trusted: ssl.ca.location must hold the authority that signed it, its names must have \
    the host of bootstrap.servers, and today must lie within its dates by this machine's clock; look at it with openssl s_client \
    -connect host:port";
const OURS: &str = "the broker does not take this client's certificate, or wants one: say ssl.certificate.location and ssl.key.location, \
    and see that it has not ended and that its authority is in the broker's truststore";
const NO_TLS: &str = "what listens there does not speak TLS: correct the port in bootstrap.servers, or security.protocol; nothing was sent in plain text";
const PASSWORD: &str = "correct sasl.username and sasl.password; a user of SCRAM is made by kafka-configs.sh --alter --entity-type users, for each \
    mechanism of its own";
const MECHANISM: &str = "say a sasl.mechanism that this listener of the broker has (sasl.enabled.mechanisms)";
const TOKEN: &str = "the broker refuses the token: set this machine's clock, and see that the token's issuer, audience and role are those that the \
    broker expects; with MSK, that the role may kafka-cluster:Connect";
const NO_TOKEN: &str = "without a token nobody is let in: mend the source of tokens that is named";

/// What to do about a refusal; `None` where the code alone says it.
pub(super) fn advice(code: Code, reason: &str) -> Option<&'static str> {
    let reason = reason.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    match code {
        Code::SSL if says(&["wrong version number", "plaintext broker listener", "http request"]) => Some(NO_TLS),
        // What the other side sends in an alert comes before our own words: its text may hold them.
        Code::SSL if says(&["alert", "client ssl authentication", "unexpected message"]) => Some(OURS),
        Code::SSL => Some(CERTIFICATE),
        Code::UnsupportedSASLMechanism => Some(MECHANISM),
        Code::Authentication | Code::SaslAuthenticationFailed
            if says(&["mechanism"]) && says(&["unsupported", "not enabled"]) =>
        {
            Some(MECHANISM)
        }
        Code::Authentication | Code::SaslAuthenticationFailed
            if says(&["no credentials", "acquire sasl", "aws", "token.file"]) =>
        {
            Some(NO_TOKEN)
        }
        Code::Authentication | Code::SaslAuthenticationFailed if says(&["oauthbearer", "token"]) => Some(TOKEN),
        Code::Authentication | Code::SaslAuthenticationFailed => Some(PASSWORD),
        _ => None,
    }
}

/// A time-out tells nothing of why nobody answers: the last failure of a connection does.
pub(super) fn with_trouble(code: Code, reason: String, trouble: Option<&str>) -> String {
    match trouble {
        Some(trouble) if matches!(code, Code::OperationTimedOut | Code::AllBrokersDown | Code::RequestTimedOut) => {
            // What speaks TLS closes the connection when it is greeted in plain text.
            let unlike = trouble.contains("APIVERSION_QUERY") && !trouble.contains("security.protocol");
            let guess = if unlike { "; is security.protocol that of this listener?" } else { "" };
            format!("{reason}; the last attempt to connect failed: {trouble}{guess}")
        }
        _ => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reasons are librdkafka's own words, of connections to real brokers.
    #[test]
    fn each_refusal_says_what_to_do() {
        for (code, reason, said) in [
            (
                Code::SSL,
                "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be \
                 verified, verify that ssl.ca.location is correctly configured",
                "ssl.ca.location must hold",
            ),
            (
                Code::SSL,
                "error:0A00045C:SSL routines::tlsv13 alert certificate required",
                "say ssl.certificate.location",
            ),
            (Code::SSL, "SSL handshake failed: error:0A00010B:SSL routines::wrong version number", "security.protocol"),
            (
                Code::Authentication,
                "SASL authentication error: Authentication failed during authentication due to invalid credentials with SASL \
                 mechanism SCRAM-SHA-512",
                "sasl.password",
            ),
            (Code::Authentication, "SASL OAUTHBEARER authentication failed: {\"status\":\"invalid_token\"}", "clock"),
            (
                Code::Authentication,
                "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: \
                 SCRAM-SHA-512",
                "sasl.enabled.mechanisms",
            ),
            (Code::Authentication, "no credentials: AWS gave none", "source of tokens"),
            (Code::Authentication, "the file of sasl.oauthbearer.token.file is empty: path=/t", "source of tokens"),
        ] {
            let advice = advice(code, reason).unwrap_or_default();
            assert!(advice.contains(said), "{reason}: {advice}");
        }
        assert_eq!(advice(Code::TopicAuthorizationFailed, "refused"), None);
    }

    #[test]
    fn a_time_out_tells_why_nobody_answered() {
        let told = |code| with_trouble(code, "timed out".into(), Some("connecting to a SSL listener?"));
        assert!(told(Code::OperationTimedOut).ends_with("failed: connecting to a SSL listener?"));
        assert_eq!(told(Code::UnknownTopic), "timed out");
        assert_eq!(with_trouble(Code::OperationTimedOut, "timed out".into(), None), "timed out");
    }
}
